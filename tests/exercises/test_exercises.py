"""Every exercise of the repository keeps what its form promises.

The reference passes, the starter counts as not attempted, each wrong answer fails in the way that it says,
and doing nothing earns nothing. Budgets are what the reference costs, or the statement names the slack.
"""

import ast
import re
from pathlib import Path

import pytest

from labkit.comm.simulated.run import DEFAULT_NETWORK, simulate
from labkit.grading.exercise import Budget, exercise_names, load_exercise
from labkit.grading.judge import judge
from labkit.grading.outcomes import Status
from labkit.grading.remote.ranks import Zygote

FOLDER = Path(__file__).parents[2] / "exercises"
NAMES = exercise_names(FOLDER)
WRONG = sorted(path.relative_to(FOLDER) for name in NAMES for path in (FOLDER / name / "wrong").glob("*.py"))
PROMISED = re.compile(r"\nstatus: (?P<status>[^\n]+)\nfeedback: (?P<feedback>[^\n]+)\s*\Z")
MAX_CASES, MAX_RANKS = 35, 260  # a check has to end within seconds, and each rank is a process
BUDGET_WORDS = {
    "num_messages": "message", "num_bytes": "byte", "num_rounds": "round", "num_reduced_elements": "element",
    "max_bytes_sent": "byte", "max_bytes_received": "byte", "time_s": "time",
}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as started:
        yield started


@pytest.fixture(params=NAMES)
def exercise(request):
    return load_exercise(request.param, FOLDER)


def source(exercise, file):
    return (exercise.folder / file).read_text(encoding="utf-8")


def test_there_are_exercises():
    """If the folder were not found, all tests below would be empty."""
    assert {"point_to_point/ring_pass", "point_to_point/deadlock_repair"} <= set(NAMES)
    assert len(WRONG) >= 4 * len(NAMES)


def test_topics_list_their_exercises():
    for topic in {name.partition("/")[0] for name in NAMES}:
        listed = (FOLDER / topic / "order.txt").read_text(encoding="utf-8").split()
        assert sorted(listed) == sorted(name.partition("/")[2] for name in NAMES if name.startswith(f"{topic}/"))
        assert (FOLDER / topic / "topic.md").read_text(encoding="utf-8").startswith("# ")


def test_statement_says_what_to_write(exercise):
    assert exercise.statement.startswith(f"# {exercise.title}\n")
    assert f"{exercise.function}(" in exercise.statement
    assert re.search(rf"^def {exercise.function}\(", exercise.starter, re.MULTILINE)
    points = f"{exercise.points:g} point"
    assert points in exercise.statement, f"the statement does not say {points!r}"


def test_markdown_is_well_formed(exercise):
    """Fences are closed, headings follow an empty line, table rows have equally many cells."""
    lines = exercise.statement.splitlines()
    assert sum(line.startswith("```") for line in lines) % 2 == 0
    inside = False
    for before, line, following in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        inside ^= line.startswith("```")
        if inside or line.startswith("```"):
            continue
        assert line == line.rstrip(), line
        if line.startswith("#"):
            assert before == following == "", line
        if line.startswith("|") and before.startswith("|"):
            assert cells(line) == cells(before), line
        elif line.startswith("|"):
            assert before == "", line


def cells(row):
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def test_hints_rise(exercise):
    """The last hint is nearly the code: it is longer than the first, and makes calls of the reference."""
    first, second, third = exercise.hints
    assert len({first, second, third}) == 3
    assert len(first) < len(third)
    functions = [
        node.func for node in ast.walk(ast.parse(source(exercise, "reference.py"))) if isinstance(node, ast.Call)
    ]
    called = {getattr(function, "attr", None) or function.id for function in functions}
    assert any(f"{name}(" in third for name in called)
    assert sum(f"{name}(" in third for name in called) >= sum(f"{name}(" in first for name in called)


def test_cases_cover_the_awkward(exercise):
    cases = exercise.all_cases()
    assert len(cases) > len(exercise.cases()), "there are no hidden cases"
    assert len({case.label for case in cases}) > len(cases) / 2
    assert all(bool(case.expected) != bool(case.judge) for case in cases)
    with_ranks = [case for case in cases if case.num_ranks]
    if with_ranks:
        assert {16, 33} <= {case.num_ranks for case in with_ranks}
        assert len({case.num_ranks for case in with_ranks if case.num_ranks < 10}) >= 7
        assert sum(case.real for case in with_ranks) >= 2
        assert any(case.unsafe_sends for case in with_ranks) and any(case.seed is not None for case in with_ranks)
        assert len(cases) <= MAX_CASES and sum(case.num_ranks for case in cases) <= MAX_RANKS


@pytest.mark.mpi
def test_reference_passes(exercise, zygote):
    verdict = judge(exercise, source(exercise, "reference.py"), zygote=zygote)
    assert verdict.status is Status.PASSED, verdict.text()
    assert verdict.points == verdict.max_points == exercise.points
    assert verdict.num_passed == verdict.num_cases == len(exercise.all_cases())


def test_starter_is_not_attempted(exercise, zygote):
    verdict = judge(exercise, exercise.starter, zygote=zygote)
    assert (verdict.status, verdict.points) == (Status.NOT_ATTEMPTED, 0), verdict.text()


def test_starter_does_not_solve_it(exercise, zygote):
    """With a line more it is an attempt: it says that it is not written, or is a program that fails."""
    verdict = judge(exercise, exercise.starter + "\nunused = 1\n", zygote=zygote)
    is_empty = "raise NotImplementedError" in exercise.starter
    assert (verdict.status is Status.NOT_ATTEMPTED) == is_empty, verdict.text()
    assert not verdict.passed and verdict.points == 0


@pytest.mark.parametrize("body", ["return None", "return arguments[-1]", "return arguments[0]"])
def test_doing_nothing_earns_nothing(exercise, zygote, body):
    verdict = judge(exercise, f"def {exercise.function}(*arguments):\n    {body}\n", zygote=zygote)
    assert verdict.status in (Status.INCORRECT, Status.CRASHED), verdict.text()
    assert verdict.points == 0


def test_at_least_four_wrong_answers(exercise):
    assert len(list((exercise.folder / "wrong").glob("*.py"))) >= 4


@pytest.mark.mpi
@pytest.mark.parametrize("path", WRONG, ids=str)
def test_wrong_answer(path, zygote):
    exercise = load_exercise(path.parts[0] + "/" + path.parts[1], FOLDER)
    text = (FOLDER / path).read_text(encoding="utf-8")
    promised = PROMISED.search(ast.get_docstring(ast.parse(text)) or "")
    assert promised, f"{path}: its docstring does not end with lines 'status: ...' and 'feedback: ...'"
    verdict = judge(exercise, text, zygote=zygote)
    assert verdict.status == Status(promised["status"].strip()), verdict.text()
    assert promised["feedback"].strip().lower() in verdict.text().lower(), verdict.text()
    over = exercise.points_over_budget if verdict.status is Status.OVER_BUDGET else 0
    assert verdict.points == over < exercise.points


def test_budgets_are_tight(exercise):
    """The reference costs what the budget allows; where it costs less, a paragraph of the statement names the slack."""
    namespace = {}
    exec(compile(source(exercise, "reference.py"), "reference.py", "exec"), namespace)
    answer = namespace[exercise.function]
    loose = set()
    for case in exercise.all_cases():
        if case.budget is None or not case.num_ranks or case.real:
            continue
        run = simulate(
            case.num_ranks, lambda comm, case=case: answer(comm, *copied(case.arguments[comm.rank])),
            network=case.network or DEFAULT_NETWORK, seed=case.seed, check_unsafe_sends=case.unsafe_sends,
        )
        for limit in Budget.__dataclass_fields__.keys() & BUDGET_WORDS.keys():
            allowed = getattr(case.budget, limit)
            used = float(run.time_s) if limit == "time_s" else getattr(run.counts, limit)
            if allowed is not None:
                assert used <= allowed * (1 + 1e-9), f"{case.label}: {limit} is {used} of {allowed}"
                if used < allowed * (1 - 1e-9):
                    loose.add(limit)
    paragraphs = re.split(r"\n\n|\n(?=- )", exercise.statement)
    for limit in loose:
        assert any("slack" in text and BUDGET_WORDS[limit] in text for text in paragraphs), (
            f"the reference stays below the budget of {limit}, and no paragraph of the statement names this slack"
        )


def copied(value):
    """Arguments of a rank that may be changed."""
    if isinstance(value, (list, tuple)):
        return type(value)(copied(item) for item in value)
    return value.copy() if hasattr(value, "copy") else value
