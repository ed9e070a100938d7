"""A course in real nbgrader: it generates, autogrades and exports, and gives the points that labkit grade gives."""

import copy
import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from labkit.grading.grade import Course, grade
from labkit.grading.nbgrader.course import assignment
from labkit.grading.release import release_course
from labkit.grading.submissions import find_submissions
from tests.grading.conftest import write_exercise

ROOT = Path(__file__).parents[2]
SWAP = '''
import numpy as np
from labkit.grading.exercise import Budget, Exercise, mpi_case


def cases():
    return [
        mpi_case(
            p, f"{p} ranks", lambda rank: (rank,), lambda rank, p=p: {"return": (rank - 1) % p}, unsafe_sends=True,
            budget=Budget(num_messages=p),
        )
        for p in (2, 3)
    ]


exercise = Exercise(
    title="Pass to the right", function="pass_right", points=4, points_over_budget=1.5, cases=cases, hints=("a", "b", "c")
)
'''
RIGHT = """def pass_right(comm, value):
    return comm.sendrecv(value, (comm.rank + 1) % comm.size, source=(comm.rank - 1) % comm.size)
"""
TWICE = RIGHT.replace("    return", "    comm.sendrecv(value, (comm.rank + 1) % comm.size, source=(comm.rank - 1) % comm.size)\n    return")
DEADLOCK = """def pass_right(comm, value):
    found = comm.recv(source=(comm.rank - 1) % comm.size)
    comm.send(value, (comm.rank + 1) % comm.size)
    return found
"""
ANSWERS = {
    "correct": {"square": "import sys\nprint('noise', file=sys.stderr)\ndef square(n):\n    return n * n", "pass_right": RIGHT},
    "partly": {"square": "def square(n):\n    return n + 1", "pass_right": TWICE},
    "stuck": {"pass_right": DEADLOCK},
}
POINTS = {  # by hand
    "correct": {"numbers/square": 3, "numbers/pass_right": 4},
    "partly": {"numbers/square": 0, "numbers/pass_right": 1.5},
    "stuck": {"numbers/square": 0, "numbers/pass_right": 0},
}


@pytest.fixture
def exercises(tmp_path):
    folder = tmp_path / "exercises"
    write_exercise(folder / "numbers" / "square", "square", "The square of a number", 3, "n * n")
    other = folder / "numbers" / "pass_right"
    write_exercise(other, "pass_right", "Pass to the right", 4, "n")
    (other / "hidden.py").unlink()
    (other / "exercise.py").write_text(SWAP)
    (other / "starter.py").write_text('def pass_right(comm, value):\n    """To the right."""\n    raise NotImplementedError\n')
    (other / "reference.py").write_text(RIGHT)
    return folder


def test_the_source_notebook(exercises):
    notebook = assignment("numbers", exercises)
    nbformat.validate(notebook)
    found = [cell.metadata.nbgrader for cell in notebook.cells]
    assert all(data.schema_version == 3 for data in found)
    assert len({data.grade_id for data in found}) == len(found)
    assert [data.points for data in found if data.grade] == [4, 3]
    for cell in notebook.cells:
        if cell.metadata.nbgrader.solution:
            before, rest = cell.source.split("### BEGIN SOLUTION\n")
            assert "NotImplementedError" in before and rest.endswith("\n### END SOLUTION")
            assert not cell.metadata.nbgrader.locked
        else:
            assert cell.metadata.nbgrader.locked


def nbgrader(course, *arguments):
    """Run nbgrader in a course with files of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "LABKIT_EXERCISES"},
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "HOME": str(course), "JUPYTER_CONFIG_DIR": str(course / "jupyter"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # nbgrader calls alembic
        "JUPYTER_DATA_DIR": str(course / "data"), "IPYTHONDIR": str(course / "ipython"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=course, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(400)
@pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None, reason="nbgrader is not installed: pip install -c constraints.txt -e .[instructor]"
)
def test_nbgrader_gives_the_same_points(exercises, tmp_path):
    course = tmp_path / "course"
    release_course(course, exercises)
    nbgrader(course, "generate_assignment", "numbers")
    released = nbformat.read(course / "release" / "numbers" / "numbers.ipynb", 4)
    text = json.dumps(released)
    assert "secret_of_the_reference" not in text and "sendrecv" not in text and "NotImplementedError" in text

    for student, answers in ANSWERS.items():
        notebook = copy.deepcopy(released)
        for cell in notebook.cells:
            for function, answer in answers.items():
                if cell.metadata.nbgrader.solution and f"def {function}(" in cell.source:
                    cell.source = answer
        path = course / "submitted" / student / "numbers" / "numbers.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    nbgrader(course, "autograde", "numbers", "--create")
    nbgrader(course, "export")

    with open(course / "grades.csv", encoding="utf-8") as file:
        exported = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    loaded = Course.load(course / "exercises")
    rows = grade(find_submissions([str(course / "submitted")], list(loaded.topics)), loaded)
    assert {row.student for row in rows} == set(ANSWERS) == set(exported)
    for student, points in POINTS.items():
        ours = {row.exercise: row.points for row in rows if row.student == student}
        assert ours == points
        assert exported[student] == sum(points.values())
        graded = nbformat.read(course / "autograded" / student / "numbers" / "numbers.ipynb", 4)
        for cell in graded.cells:
            if cell.metadata.nbgrader.grade:  # silent: nbgrader gives 0 to a cell that writes on stderr
                assert not [output for output in cell.outputs if output.output_type == "stream"]
    assert {row.exercise: row.status for row in rows if row.student == "stuck"} == {
        "numbers/square": "not attempted", "numbers/pass_right": "deadlocked",
    }
