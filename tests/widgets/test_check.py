"""``check`` as a program uses it, and what its widget holds."""

import dataclasses
import importlib.util
import sys
import warnings

import pytest

from labkit import check as lazy_check
from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.grading.exercise import load_exercise
from labkit.grading.judge import judge
from labkit.grading.outcomes import Status
from labkit.grading.progress import read_progress
from labkit.grading.remote import kept
from labkit.trace.chrome import chrome_trace
from labkit.widgets import check as module
from labkit.widgets.check import Check, check
from labkit.widgets.check_screen import CheckWidget, hint_html, sentence

NAME = "point_to_point/ring_pass"


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """No hints shown yet, and nothing kept."""
    monkeypatch.setattr(module, "_hints_shown", {})
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "progress.json"))


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left():
    yield
    kept.close_kept()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """``written(source)``: the functions in a file of their own, imported."""

    def write(source, name="answers_of_a_student"):
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        made = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, made)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(made)
        return made

    return write


def answer(which):
    return (load_exercise(NAME).folder / f"{which}.py").read_text()


def value(verdict):
    return dataclasses.replace(verdict, seconds=0.0).to_dict()


@pytest.mark.parametrize("which, status", [
    ("reference", Status.PASSED), ("wrong/sends_own_vector", Status.INCORRECT),
    ("wrong/forgets_last_rank", Status.DEADLOCKED), ("wrong/neighbour_without_modulo", Status.CRASHED),
    ("wrong/uses_allgather", Status.FORBIDDEN_CALL), ("wrong/pickles_the_vector", Status.OVER_BUDGET),
])
def test_the_verdict_is_the_judge_s(written, capfd, which, status):
    found = check(NAME, written(answer(which)).ring_pass)
    alone = judge(load_exercise(NAME), found.source)
    assert found.verdict.status is status
    assert value(found.verdict) == value(alone)
    output, errors = capfd.readouterr()
    assert errors == ""
    assert output.startswith(alone.text())
    assert output.count(alone.text()) == 1  # shown once
    assert alone.text() not in repr(found)
    assert read_progress().exercises()[NAME]["points"] == alone.points
    assert f"confined by {alone.sandbox}." in output


def test_the_function_of_the_session_is_taken(written, monkeypatch):
    function = written(answer("reference")).ring_pass
    monkeypatch.setattr(sys.modules["__main__"], "ring_pass", function, raising=False)
    assert check(NAME).verdict.passed


def test_what_was_not_written_is_not_attempted(written, capsys):
    exercise = load_exercise(NAME)
    found = check(NAME, written(exercise.starter).ring_pass)
    assert found.verdict.status is Status.NOT_ATTEMPTED and found.verdict.points == 0
    assert "there is no answer yet: ring_pass is as in the starter." in capsys.readouterr().out
    assert read_progress().exercises() == {}


def test_odd_numbers_and_strings_of_an_answer_do_not_reach_stderr(written, capfd):
    source = 'import numpy as np\n\n\ndef ring_pass(comm, own):\n    "\\d"\n    return np.full(own.shape, np.inf) * 0\n'
    function = written(source).ring_pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(NAME, function).verdict.status is Status.INCORRECT
    assert capfd.readouterr().err == ""


def test_hints_come_one_after_the_other_and_stay_known(written, capsys):
    function = written(answer("wrong/sends_own_vector")).ring_pass
    found = check(NAME, function)
    assert f'For a hint: check("{NAME}", ring_pass).hint()' in capsys.readouterr().out
    hints = load_exercise(NAME).hints
    assert repr(found.hint()) == f"Hint 1 of 3: {hints[0]}"  # as it is, without quotes
    assert found.hint() == f"Hint 2 of 3: {hints[1]}"
    assert check(NAME, function).hint() == f"Hint 3 of 3: {hints[2]}"
    assert found.hint() == f"Hint 3 of 3: {hints[2]}"
    assert "For a hint" not in found.text()


@pytest.mark.parametrize("arguments, words", [
    (("point_to_point/ring_pas",), r"there is no exercise .*collectives/scan.*Did you mean 'point_to_point/ring_pass'\?"),
    (("ring_pass",), r"Did you mean 'point_to_point/ring_pass'\?"),
    (("nowhere/xyzzy",), r"there is no exercise 'nowhere/xyzzy'; the exercises are .*collectives/scan"),
    ((simulate, NAME), "the function simulate. They are the other way round"),
    ((7,), "the first argument is an int"),
    ((NAME, "ring_pass"), r"the second argument is the function itself.*not the text 'ring_pass'"),
    ((NAME, 3.5), "not a float"),
    ((NAME, simulate), "asks for a function named ring_pass, not simulate"),
])
def test_errors_of_use_say_what_to_do(arguments, words):
    with pytest.raises(UsageError, match=words):
        check(*arguments)


def test_a_definition_that_does_not_count_is_refused(monkeypatch):
    def make():
        def ring_pass(comm, own):
            return own

        ring_pass.__module__ = "__main__"
        return ring_pass

    monkeypatch.setattr(sys.modules["__main__"], "ring_pass", make(), raising=False)
    with pytest.raises(UsageError, match="another value since this function was defined"):
        check(NAME, make())


def test_a_machine_that_cannot_run_answers_is_told_as_a_sentence(written, monkeypatch, capfd):
    def nothing_starts():
        raise OSError("Resource temporarily unavailable")

    kept.close_kept()
    monkeypatch.setattr(kept, "Zygote", nothing_starts)
    found = check(NAME, written(answer("reference")).ring_pass)
    output, errors = capfd.readouterr()
    assert found.verdict is None and not found.running and errors == ""
    assert output.startswith(f"NOT CHECKED  {NAME}\nThe answer could not be run: no process could be started")
    assert "Run labkit doctor." in output and "Traceback" not in output
    assert repr(found) == f"<check of {NAME}: not checked>"
    assert read_progress().exercises() == {}
    state = CheckWidget(found).state
    assert state["verdict"] is None and not state["running"] and "no process could be started" in state["problem"]


def test_one_process_starts_ranks_for_all_checks_until_one_goes_wrong():
    with kept.kept_zygote() as first:
        pass
    with kept.kept_zygote() as second:
        assert second is first and second.process.poll() is None
        with kept.kept_zygote() as other:  # in another thread, say
            assert other is not first
    assert (other.process.poll() is None) + (first.process.poll() is None) == 1  # one is kept
    with pytest.raises(KeyboardInterrupt), kept.kept_zygote() as stopped:
        raise KeyboardInterrupt
    assert stopped.process.poll() is not None
    with kept.kept_zygote() as fresh:
        assert fresh is not stopped
    fresh.process.kill()
    fresh.process.wait()
    with kept.kept_zygote() as after:
        assert after is not fresh and after.ask(["status", []]) == ["status", []]


def test_another_sandbox_needs_another_process(monkeypatch):
    with kept.kept_zygote() as before:
        pass
    monkeypatch.setenv("LABKIT_SANDBOX", "limits")
    with kept.kept_zygote() as lowered:
        assert lowered is not before and lowered.sandbox.text.startswith("limits only")
    assert before.process.poll() is not None
    kept.close_kept()


# -- the widget -------------------------------------------------------------------------------------


@pytest.fixture
def widget(written):
    """``widget(which)``: of a check that has ended."""

    def make(which):
        return CheckWidget(check(NAME, written(answer(which)).ring_pass))

    return make


def _one_line(values):
    return " ".join(str(values).split())


def test_the_page_gets_values_line_and_slip(widget):
    shown = widget("wrong/sends_own_vector").state["verdict"]
    assert (shown["status"], shown["tone"], shown["points"], shown["maxPoints"]) == ("incorrect", "wrong", 0, 3)
    # 3 ranks with 2 elements are the smallest case in which the slip shows; the oracle is the definition of the task.
    (a,), (b,), (c,) = next(case for case in load_exercise(NAME).cases() if case.label == shown["case"]).arguments
    assert shown["rows"] == [["expected", _one_line(4 * a + 2 * b + c)], ["actual", _one_line(2 * b + c)]]
    assert shown["where"] == "rank 0" and shown["message"].startswith("On rank 0, ")
    assert "sends its own vector on" in shown["slip"] and shown["timeline"] == "folded"


def test_a_deadlock_names_lines_and_unfolds_its_timeline(widget):
    page = widget("wrong/forgets_last_rank")
    shown = page.state["verdict"]
    assert shown["tone"] == "wrong" and shown["isProse"] and shown["timeline"] == "open"
    number = next(n for n, line in enumerate(page.check.source.splitlines(), 1) if line.strip().startswith("comm.Recv("))
    text = page.check.source.splitlines()[number - 1].strip()
    assert f"line {number}" in shown["details"] and text in shown["details"]  # the verdict quotes the line itself
    assert shown["lines"] == []
    assert page.figure is None and page.state["figure"] == ""  # nothing is sent before it is asked for
    page.react({"do": "timeline"})
    assert chrome_trace(page.figure.timeline) == page.check.verdict.timeline
    assert page.state["figure"] == page.figure.model_id
    before = page.figure
    page.react({"do": "timeline"})
    assert page.figure is before


def test_a_traceback_comes_without_the_judge_s_lines(widget):
    shown = widget("wrong/neighbour_without_modulo").state["verdict"]
    lines = shown["details"].splitlines()
    assert lines[0].startswith("line ") and lines[0].endswith(", in ring_pass") and lines[1].strip().startswith("comm.Send(")
    assert "File" not in shown["details"] and shown["lines"] == []  # the traceback shows the line itself


def test_hints_are_revealed_on_the_page(widget):
    page = widget("wrong/sends_own_vector")
    hints = load_exercise(NAME).hints
    assert page.state["hints"] == [] and not any(hint in str(page.state) for hint in hints)
    for number in (1, 2, 3):
        page.react({"do": "hint"})
        assert len(page.state["hints"]) == number
    page.react({"do": "hint"})
    page.react({"do": "something else"})
    assert page.state["hints"] == [hint_html(hint) for hint in hints]


def test_a_pass_shows_its_cost_and_no_failing_case(widget):
    shown = widget("reference").state["verdict"]
    assert (shown["status"], shown["tone"], shown["case"], shown["rows"], shown["timeline"]) == ("passed", "right", "", [], "")
    assert shown["numPassed"] == shown["numCases"] > 10
    assert " of at most " in shown["cost"] and not shown["cost"].startswith("Cost of")


def test_progress_is_shown_while_it_runs():
    running = Check(load_exercise(NAME))
    assert running.text() == f"checking {NAME} ..."
    running.num_done, running.num_cases = 6, 24
    assert running.text() == f"checking {NAME}: case 7 of 24 ..."
    state = CheckWidget(running).state
    assert (state["running"], state["done"], state["cases"], state["verdict"]) == (True, 6, 24, None)


@pytest.mark.parametrize("text, shown", [
    ("on rank 0, x is 1 (1 of 2 differs)", "On rank 0, x is 1 (1 of 2 differs)."), ("", ""),
    ("'ring' is returned", "'ring' is returned."), ("np.empty is wrong.", "np.empty is wrong."),
    ("deadlock: all wait", "Deadlock: all wait."), ("Allreduce is not allowed", "Allreduce is not allowed."),
])
def test_messages_become_sentences(text, shown):
    assert sentence(text) == shown


def test_a_hint_of_several_lines_is_code():
    assert hint_html("for k in range(p):\n    x < y") == "<pre><code>for k in range(p):\n    x &lt; y</code></pre>"
    assert hint_html("Use `Send`.") == "<p>Use <code>Send</code>.</p>"


def test_labkit_offers_it():
    assert lazy_check is check
