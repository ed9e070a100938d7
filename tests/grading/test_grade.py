"""Grading a class: with a judge that knows the answers by their text, and, at the end, with the real one."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import psutil
import pytest

from labkit.cli import main
from labkit.errors import UsageError
from labkit.grading import workers
from labkit.grading.grade import Course, grade
from labkit.grading.journal import Journal, answer_key, exercise_digest
from labkit.grading.outcomes import Status, Verdict
from labkit.grading.submissions import find_submissions
from labkit.grading.workers import Task, Worker, in_processes, in_turn
from tests.grading.conftest import notebook

ROOT = Path(__file__).parents[2]
SQUARE, DOUBLE = "def square(n):\n    return n * n", "def double(n):\n    return 2 * n"


class FakeJudge:
    """Right is what calculates with ``*``; counts what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, exercise, source):
        self.asked.append((exercise.name, source))
        if source is None:
            return Verdict(exercise.name, Status.NOT_ATTEMPTED, 0, exercise.points, "nothing there")
        if "raise Trouble" in source:
            raise RuntimeError("the machine has no room")
        if "*" in source:
            return Verdict(exercise.name, Status.PASSED, exercise.points, exercise.points, "all well", sandbox="none", seconds=1.5)
        return Verdict(exercise.name, Status.INCORRECT, 0, exercise.points, "wrong value")


@pytest.fixture
def handed_in(tmp_path, course):
    """A function that hands in files and grades them all with a fake judge."""
    folder = tmp_path / "submissions"
    folder.mkdir()

    def hand_in(files, judge=None, **options):
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        loaded = Course.load(course)
        found = find_submissions([str(folder)], list(loaded.topics))
        # All tasks are taken before the first is judged, as if there were many workers.
        return grade(found, loaded, run=lambda tasks: in_turn(list(tasks), judge or FakeJudge()), **options)

    return hand_in


def brief(rows):
    return [(row.student, row.exercise, row.points, row.status) for row in rows]


def test_a_row_a_student_and_question_in_order(handed_in):
    rows = handed_in({"bob.ipynb": notebook(DOUBLE), "ann.ipynb": notebook(SQUARE, "def double(n):\n    return n")})
    assert brief(rows) == [
        ("ann", "numbers/square", 3, "passed"), ("ann", "numbers/double", 0, "incorrect"),
        ("bob", "numbers/square", 0, "not attempted"), ("bob", "numbers/double", 2, "passed"),
    ]
    assert (rows[0].max, rows[0].sandbox, rows[0].seconds, rows[0].topic) == (3, "none", 1.5, "numbers")
    assert rows[2].message == "there is no function square"


@pytest.mark.parametrize("text, status, words", [
    (notebook(SQUARE)[:-30], "unreadable", "JSON is broken"),
    (b"", "unreadable", "is empty"),
    (json.dumps({"nbformat": 4}), "unreadable", "no list of cells"),
    (notebook(), "not attempted", "there is no function square"),
    (notebook("def sqare(n):\n    return n * n"), "not attempted", "the notebook defines sqare"),
    (notebook("def square(n):\n    return n", SQUARE), "passed", "defined 2 times"),
    (notebook("def square(n:\n"), "incorrect", "cannot be parsed"),
    (notebook(SQUARE, outputs=[{"output_type": "stream", "name": "stdout", "text": ["x" * 99] * 500_000}]), "passed", "all well"),
], ids=["broken JSON", "empty", "missing cells", "no cells", "renamed", "duplicated", "syntax", "50 MB"])
def test_odd_files_are_rows_that_say_so(handed_in, text, status, words):
    rows = handed_in({"odd.ipynb": text, "zoe.ipynb": notebook(SQUARE, DOUBLE)})
    assert (rows[0].student, rows[0].status) == ("odd", status)
    assert words in rows[0].message
    assert brief(rows)[2:] == [("zoe", "numbers/square", 3, "passed"), ("zoe", "numbers/double", 2, "passed")]
    assert sum(row.max for row in rows[:2]) == 5  # out of the same points


def test_the_newest_readable_file_counts_and_is_named(handed_in, tmp_path):
    handed_in({"ann/numbers.ipynb": notebook("def square(n):\n    return n"), "ann/numbers (1).ipynb": notebook(SQUARE), "ann/numbers (2).ipynb": "{"})
    times = {"numbers.ipynb": 100, "numbers (1).ipynb": 200, "numbers (2).ipynb": 300}
    for name, when in times.items():
        os.utime(tmp_path / "submissions" / "ann" / name, (when, when))
    rows = handed_in({})
    assert brief(rows)[0] == ("ann", "numbers/square", 3, "passed")
    assert "of 3 files numbers (1).ipynb was taken, the newest that can be read (not numbers (2).ipynb, numbers.ipynb)" in rows[0].message


def test_equal_answers_are_judged_once(handed_in):
    judge = FakeJudge()
    rows = handed_in({f"s{i}.ipynb": notebook(f"print({i})", SQUARE, DOUBLE) for i in range(20)}, judge)
    assert len(rows) == 40 and all(row.status == "passed" for row in rows)
    assert len(judge.asked) == 2


def test_trouble_of_the_machine_is_no_verdict(handed_in, tmp_path):
    path = tmp_path / "journal"
    with Journal(path) as journal:
        rows = handed_in({"a.ipynb": notebook("def square(n):\n    raise Trouble", DOUBLE)}, journal=journal)
    assert brief(rows) == [("a", "numbers/square", 0, "not judged"), ("a", "numbers/double", 2, "passed")]
    assert "no room" in rows[0].message
    assert len(path.read_text().splitlines()) == 1  # so it is judged again next time


def test_a_topic_that_only_others_have_handed_in(handed_in, course):
    from tests.grading.conftest import write_exercise

    write_exercise(course / "letters" / "half", "half", "Half", 4, "n / 2")
    rows = handed_in({"ann/numbers.ipynb": notebook(SQUARE), "ann/letters.ipynb": notebook("def half(n):\n    return .5 * n"), "bob/numbers.ipynb": notebook(SQUARE)})
    assert [(row.student, row.exercise, row.status, row.max) for row in rows if row.topic == "letters"] == [
        ("ann", "letters/half", "passed", 4), ("bob", "letters/half", "not handed in", 4),
    ]


def test_a_journal_goes_on_where_it_was(handed_in, tmp_path):
    path, first, second = tmp_path / "journal", FakeJudge(), FakeJudge()
    files = {"a.ipynb": notebook(SQUARE, DOUBLE)}
    with Journal(path) as journal:
        one = handed_in(files, first, journal=journal)
    path.write_bytes(path.read_bytes() + b'["half a li')  # killed while writing
    with Journal(path) as journal:
        two = handed_in(files | {"b.ipynb": notebook("def square(n):\n    return -n")}, second, journal=journal)
    assert brief(two)[:2] == brief(one)
    assert len(first.asked) == 2 and [name for name, _ in second.asked] == ["numbers/square", "numbers/double"]
    assert second.asked[0][1].startswith("def square") and second.asked[1][1] is None
    with Journal(path) as journal:
        assert len(journal.verdicts) == 4
    with Journal(path, fresh=True) as journal:
        assert journal.verdicts == {}


def test_one_journal_has_one_writer(tmp_path):
    with Journal(tmp_path / "j"), pytest.raises(UsageError, match="another labkit grade"):
        Journal(tmp_path / "j")


def test_a_changed_exercise_is_judged_anew(course):
    exercise = Course.load(course).topics["numbers"][0]
    before = exercise_digest(exercise)
    (exercise.folder / "reference.py").write_text("# better words\n")
    assert exercise_digest(exercise) == before
    (exercise.folder / "hidden.py").write_text("def cases():\n    return []\n")
    assert exercise_digest(exercise) != before
    assert answer_key(exercise, before, "x") != answer_key(exercise, before, "y")


def test_memory_stays_flat(handed_in, tmp_path):
    """200 notebooks of a megabyte: nothing of one is kept when the next is read."""
    padding = [{"output_type": "stream", "text": "x" * 1_000_000}]
    files = {f"s{i:03}.ipynb": notebook(f"def square(n):\n    return n * {i}", DOUBLE, outputs=padding) for i in range(20)}
    handed_in(files)
    for i in range(20, 200):
        os.link(tmp_path / "submissions" / f"s{i % 20:03}.ipynb", tmp_path / "submissions" / f"s{i:03}.ipynb")
    tracemalloc.start()
    rows = handed_in({})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 400
    assert peak < 8_000_000


# The command, with the real judge.


def run_command(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "labkit", "grade", *map(str, arguments)], capture_output=True, text=True, env=environment, **options
    )


@pytest.mark.timeout(100)
def test_the_command(course, tmp_path):
    folder = tmp_path / "subs"
    folder.mkdir()
    (folder / "ann.ipynb").write_text(notebook(SQUARE, DOUBLE))
    (folder / "bob.ipynb").write_text(notebook("def square(n):\n    print('PASSED')\n    raise SystemExit(0)", DOUBLE.replace("2", "3")))
    (folder / "cyd.ipynb").write_text("{")
    out = tmp_path / "scores.csv"
    done = run_command(f"{folder}/*.ipynb", "--out", out, "--json", tmp_path / "s.json", "--exercises", course, "--jobs", 2, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(out.open()))
    assert [(row["student"], row["exercise"], row["points"], row["status"]) for row in rows] == [
        ("ann", "numbers/square", "3", "passed"), ("ann", "numbers/double", "2", "passed"),
        ("bob", "numbers/square", "0", "crashed"), ("bob", "numbers/double", "0", "incorrect"),
        ("cyd", "numbers/square", "0", "unreadable"), ("cyd", "numbers/double", "0", "unreadable"),
    ]
    assert "limits" in rows[0]["sandbox"]
    first = out.read_text()
    assert run_command(folder, "--out", out, "--exercises", course, cwd=tmp_path).returncode == 0
    assert out.read_text() == first  # from the journal: not even the seconds differ
    assert json.loads((tmp_path / "s.json").read_text())["totals"][0]["points"] == 5


@pytest.mark.timeout(100)
def test_an_interrupt_keeps_what_is_done(course, tmp_path):
    folder = tmp_path / "subs"
    folder.mkdir()
    (folder / "ann.ipynb").write_text(notebook(SQUARE, DOUBLE))
    (folder / "bob.ipynb").write_text(notebook("def square(n):\n    while True:\n        pass"))
    out = tmp_path / "scores.csv"
    journal = tmp_path / "scores.csv.journal"
    process = subprocess.Popen(
        [sys.executable, "-m", "labkit", "grade", str(folder), "--out", str(out), "--exercises", str(course), "--jobs", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_text().count("\n") == 2):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 2  # a worker, and in its sandbox what runs the endless answer
    os.killpg(process.pid, signal.SIGINT)  # to all in the foreground, as Ctrl-C does
    assert process.wait(30) == 130
    assert psutil.wait_procs(started, timeout=20)[1] == []
    assert "2 verdicts are kept" in process.stderr.read()
    process.stderr.close()
    assert not out.exists() and journal.read_text().count("\n") == 2


@pytest.mark.parametrize("arguments", [["nothing.ipynb"], [".", "--jobs", "-1"], [".", "--out", "no/such/scores.csv"]])
def test_bad_usage(course, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ipynb").write_text(notebook(SQUARE))
    assert main(["grade", *arguments, "--exercises", str(course)]) == 2
    assert "labkit grade:" in capsys.readouterr().err


@pytest.fixture
def started(monkeypatch):
    """The workers whose process has been started, and what can be patched for them."""
    found, start = [], Worker.start

    def counted_start(worker):
        if worker.process is None:
            found.append(worker)
        start(worker)

    monkeypatch.setattr(Worker, "start", counted_start)
    return found


@pytest.mark.timeout(100)
@pytest.mark.parametrize(("patience_s", "number"), [(1000.0, 1), (0.0, 2)])
def test_as_many_processes_as_there_is_work_for(course, monkeypatch, started, patience_s, number):
    """The second one waits until the first is ready, and then some; with no patience it starts at once."""
    monkeypatch.setattr(workers, "START_S", patience_s)
    monkeypatch.setattr(workers, "PATIENCE_S", patience_s)
    tasks = [Task("numbers/double", course, f"{DOUBLE}  # {copy}") for copy in range(6)]
    found = dict(in_processes(tasks, jobs=2))
    assert [found[task].points for task in tasks] == [2] * 6
    assert len(started) == number and all(worker.process is None for worker in started)


@pytest.mark.timeout(100)
def test_the_first_process_starts_early_and_always_ends(course, tmp_path, monkeypatch, started):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ann.ipynb").write_text(notebook(DOUBLE))
    command = ["grade", "ann.ipynb", "--out", "s.csv", "--exercises", str(course), "--jobs", "1"]
    assert main(["grade", "nothing.ipynb", "--exercises", str(course)]) == 2
    assert len(started) == 1 and started[0].process is None
    assert main(command) == 0 and len(started) == 2 and started[1].process is None
    assert main(command) == 0 and len(started) == 2  # all from the journal


@pytest.mark.timeout(100)
def test_a_worker_that_dies_costs_its_answer_only(course, tmp_path, monkeypatch):
    """An exercise that kills the process that judges it: two tries, then a sentence; the others are judged."""
    (course / "numbers" / "double" / "hidden.py").write_text("import os\n\n\ndef cases():\n    os._exit(7)\n")
    tasks = [Task("numbers/double", course, DOUBLE), Task("numbers/square", course, SQUARE)]
    found = {task.exercise: result for task, result in in_processes(tasks, jobs=1)}
    assert "has died" in found["numbers/double"]
    assert found["numbers/square"].points == 3
