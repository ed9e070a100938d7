"""Progress: kept across restarts, by several processes at once, and never in the way of a notebook."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labkit.cli import main
from labkit.grading import progress
from labkit.grading.course import LESSONS, Lesson
from labkit.grading.course_progress import course_progress, progress_text
from labkit.grading.outcomes import Status, Verdict
from labkit.grading.progress import (
    progress_path,
    read_progress,
    record_card,
    record_exercise,
    record_quiz,
    record_visit,
    reset_progress,
)
from labkit.grading.quiz_file import load_quiz

ROOT = Path(__file__).parents[2]
LESSON = "04_point_to_point"


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "here" / "progress.json"))
    return tmp_path / "here" / "progress.json"


def verdict(points, status=Status.INCORRECT, name="collectives/ring"):
    return Verdict(name, status, points, 4.0, "")


def test_the_file_is_where_the_user_keeps_data(monkeypatch, tmp_path):
    assert progress_path() == tmp_path / "here" / "progress.json"
    monkeypatch.delenv("LABKIT_PROGRESS")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert progress_path() == Path("/data/labkit/progress.json")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setattr(sys, "platform", "linux")
    assert progress_path() == Path("/home/someone/.local/share/labkit/progress.json")


def test_everything_is_still_there_in_another_process(path):
    assert record_visit(LESSON) == record_quiz(LESSON, {"pack": 0.5}) == record_card(LESSON, "Tag", 2, 3) == ""
    assert record_exercise(verdict(4.0, Status.PASSED)) == ""
    program = (
        "from labkit.grading.progress import read_progress as r\n"
        f"p, lesson = r(), {LESSON!r}\n"
        "print(p.visited(lesson), p.quiz_points(lesson), p.boxes(lesson), p.card_rounds(lesson), p.exercises())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.strip() == (
        "True {'pack': 0.5} {'Tag': 2} 3 {'collectives/ring': {'points': 4.0, 'max_points': 4.0, 'passed': True}}"
    ), done.stderr
    assert set(json.loads(path.read_text())) == {"format", "lessons", "exercises"}  # and nothing about a person


def test_points_only_rise_and_cards_go_both_ways():
    for points in (0.5, 1.0, 0.25):
        record_quiz(LESSON, {"pack": points})
    record_quiz(LESSON, {"halo-64": 0.0})
    assert read_progress().quiz_points(LESSON) == {"pack": 1.0, "halo-64": 0.0}
    for points, status in ((2.0, Status.OVER_BUDGET), (4.0, Status.PASSED), (0.0, Status.DEADLOCKED)):
        record_exercise(verdict(points, status))
    assert read_progress().exercises() == {"collectives/ring": {"points": 4.0, "max_points": 4.0, "passed": True}}
    for box, number in ((2, 5), (0, 4)):
        record_card(LESSON, "Tag", box, number)
    assert read_progress().boxes(LESSON) == {"Tag": 0} and read_progress().card_rounds(LESSON) == 5


WRITER = """
import sys
from labkit.grading.progress import record_quiz
print("ready", flush=True)
sys.stdin.readline()
for k in range(60):
    problem = record_quiz("04_point_to_point", {f"{sys.argv[1]}-{k}": 1.0})
    assert not problem, problem
"""


def test_processes_that_write_at_once_lose_nothing(path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(number)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in range(3)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        while any(writer.poll() is None for writer in writers):  # readers see whole files only
            if path.exists():
                assert json.loads(path.read_text())["format"] == 1
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdin.close()
            writer.stdout.close()
    assert read_progress().quiz_points(LESSON) == {f"{number}-{k}": 1.0 for number in range(3) for k in range(60)}
    assert sorted(p.name for p in path.parent.iterdir()) == [".progress.json.lock", "progress.json"]


def test_threads_that_write_at_once_lose_nothing():
    threads = [
        threading.Thread(target=lambda t=t: [record_card(LESSON, f"{t}-{k}", 1, 1) for k in range(30)])
        for t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_progress().boxes(LESSON)) == 120


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b'{"format": 99}', b'{"lessons": {}}', b"\xff\xfe\x00", b'{"format": 1', b"[" * 100_000],
    ids=["empty", "cut off", "a list", "a later format", "no format", "no text", "half", "deep"],
)
def test_a_damaged_file_is_set_aside_and_begun_anew(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    assert read_progress().quiz_points(LESSON) == {}
    assert path.read_bytes() == content  # reading changes nothing
    assert len(course_progress()) == 13
    assert record_quiz(LESSON, {"pack": 1.0}) == ""
    assert path.with_name("progress.damaged-1.json").read_bytes() == content
    assert read_progress().quiz_points(LESSON) == {"pack": 1.0}
    path.write_bytes(content)
    record_visit(LESSON)
    assert path.with_name("progress.damaged-2.json").exists()


def test_odd_entries_are_passed_over_and_foreign_ones_are_kept(path):
    path.parent.mkdir()
    odd = {
        "format": 1, "later": {"a": 1},
        "lessons": {
            LESSON: {
                "visited": "yes", "cards": [1], "card_rounds": -1,
                "quiz": {"pack": "all", "halo-64": True, "no-cure": 1},
            },
            "05_collectives": 7,
        },
        "exercises": {"a/b": 3, "a/c": {"points": "x", "max_points": 1}, "a/d": {"points": 1, "max_points": 2}},
    }
    path.write_text(json.dumps(odd))
    found = read_progress()
    assert found.quiz_points(LESSON) == {"no-cure": 1} and found.boxes(LESSON) == {} and found.card_rounds(LESSON) == 0
    assert not found.visited(LESSON) and found.quiz_points("05_collectives") == {}
    assert list(found.exercises()) == ["a/d"]
    record_card(LESSON, "Tag", 1, 1)
    record_quiz("05_collectives", {"mismatch": 1})
    record_exercise(verdict(1, name="a/b"))
    content = json.loads(path.read_text())
    assert content["later"] == {"a": 1} and content["lessons"][LESSON]["cards"] == {"Tag": 1}
    assert read_progress().exercises()["a/b"]["points"] == 1
    assert read_progress().quiz_points("05_collectives") == {"mismatch": 1}


def test_where_nothing_can_be_kept_it_is_said_and_nothing_breaks(path, monkeypatch):
    path.parent.write_text("a file where the folder should be")
    problem = record_visit(LESSON)
    assert "could not be kept" in problem and "LABKIT_PROGRESS" in problem
    assert read_progress().visited(LESSON) is False and reset_progress() is None
    monkeypatch.setenv("LABKIT_PROGRESS", str(path.parents[1]))  # a folder
    assert "could not be kept" in record_quiz(LESSON, {"pack": 1})
    assert not list(path.parents[1].glob(".*.??????*[!k]")), "a temporary file is left"


def test_a_lock_that_is_held_for_ever_stops_nobody(path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(progress, "LOCK_TIMEOUT_S", 0.05)
    record_visit(LESSON)
    with open(path.with_name(".progress.json.lock"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another process has held the lock" in record_quiz(LESSON, {"pack": 1})
    assert record_quiz(LESSON, {"pack": 1}) == ""


def test_the_course_counts_what_there_is(monkeypatch, tmp_path):
    exercises = tmp_path / "exercises"
    for name in ("point_to_point/a", "point_to_point/b", "collectives/c"):
        (exercises / name).mkdir(parents=True)
        (exercises / name / "exercise.py").write_text("")
    monkeypatch.setenv("LABKIT_EXERCISES", str(exercises))
    record_quiz(LESSON, {"pack": 0.5, "halo-64": 1, "a question of last year": 1, "no-cure": 50})
    record_card(LESSON, "Tag", 1, 1)
    record_card(LESSON, "Halo", 0, 1)
    record_exercise(verdict(4, Status.PASSED, "point_to_point/a"))
    record_exercise(verdict(1, Status.INCORRECT, "point_to_point/b"))
    record_exercise(verdict(4, Status.PASSED, "point_to_point/of last year"))
    still_to_come = Lesson("99_to_come", "To come", "Later")
    monkeypatch.setattr("labkit.grading.course_progress.LESSONS", (*LESSONS, still_to_come))
    lessons = {one.lesson.number: one for one in course_progress()}
    four = lessons["04"]
    assert (four.quiz_points, four.max_quiz_points) == (2.5, load_quiz(LESSON).max_points)
    assert four.num_cards_known == 1 and four.num_cards > 10
    assert (four.num_exercises_passed, four.num_exercises, four.exercise_points) == (1, 2, 5)
    assert (lessons["05"].num_exercises_passed, lessons["05"].num_exercises) == (0, 1)
    assert len(lessons) == 14 and not lessons["99"].lesson.exists and lessons["99"].max_quiz_points == 0
    text = progress_text(tuple(lessons.values()))
    num_to_come = 1 + sum(not lesson.exists for lesson in LESSONS)
    assert "2.5 of 9" in text and "1 of 2" in text and text.count("to come") == num_to_come


def test_the_command_tells_and_resets(capsys, path):
    record_quiz(LESSON, {"pack": 0.5})
    assert main(["progress"]) == 0
    out = capsys.readouterr().out
    assert "0.5 of 9" in out and str(path) in out
    assert main(["progress", "--reset"]) == 0
    assert "progress.old-1.json" in capsys.readouterr().out
    assert read_progress().quiz_points(LESSON) == {} and not path.exists()
    assert main(["progress", "--reset"]) == 0
    assert "nothing to reset" in capsys.readouterr().out


def test_students_import_from_labkit_and_it_stays_light():
    program = (
        "import sys, labkit\n"
        "assert 'ipywidgets' not in sys.modules and 'plotly' not in sys.modules\n"
        "assert {'quiz', 'flashcards', 'summary', 'course_map', 'check'} <= set(dir(labkit))\n"
        "from labkit import quiz, flashcards, summary, course_map\n"
        "print(quiz.__module__, flashcards.__module__, summary.__module__, course_map.__module__)\n"
        "from labkit import errors, bench\n"
        "try:\n    labkit.nothing\nexcept AttributeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    names = [f"labkit.widgets.{name}" for name in ("quiz", "flashcards", "summary", "course_map")]
    assert done.stdout.splitlines() == [" ".join(names), "module 'labkit' has no attribute 'nothing'"], done.stderr
