"""Writing an nbgrader course: ``source/<topic>/<topic>.ipynb``, the configuration, and the exercises beside them.

::

    nbgrader generate_assignment collectives     source/ -> release/, what students get
    nbgrader autograde collectives               submitted/<student>/collectives/ -> autograded/
    nbgrader export                              grades.csv
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit.grading.exercise import Exercise
from labkit.grading.notebooks import METADATA, cell_id, notebook_text, statement_text, topic_exercises, topic_text

CONFIG = '''"""nbgrader's configuration of this course, written by ``labkit release --nbgrader``."""

c = get_config()
c.CourseDirectory.course_id = {course!r}
# A solution cell holds the starter, and the reference between its marks: what students get is the starter.
c.ClearSolutions.code_stub = {{"python": ""}}
c.Execute.timeout = {timeout}  # s, of one cell: an answer is run on many cases, each with a limit of its own
'''
TIMEOUT_S = 300


def course_files(topics: list[str], folder: Path, course: str) -> dict[str, str]:
    """The files of a course by path, but for the exercises.

    Parameters
    ----------
    topics : list of str
        An assignment each.
    folder : Path
        Of all exercises, with references.
    course : str
        nbgrader's ``course_id``.
    """
    files = {"nbgrader_config.py": CONFIG.format(course=course, timeout=TIMEOUT_S)}
    for topic in topics:
        files[f"source/{topic}/{topic}.ipynb"] = notebook_text(assignment(topic, folder))
    return files


def assignment(topic: str, folder: Path) -> nbformat.NotebookNode:
    """The source notebook of an assignment, with references."""
    cells = [new_markdown_cell(topic_text(topic, folder), id="title", metadata=_metadata("title", locked=True))]
    for number, exercise in enumerate(topic_exercises(topic, folder), start=1):
        cells += [
            new_markdown_cell(statement_text(exercise, number), **_labels(exercise, "statement", locked=True)),
            new_code_cell(solution_text(exercise), **_labels(exercise, "solution", solution=True)),
            new_code_cell(
                f'from labkit.grading.nbgrader import score\n\nscore("{exercise.name}")',
                **_labels(exercise, "test", grade=True, locked=True, points=exercise.points),
            ),
        ]
    return new_notebook(cells=cells, metadata=METADATA)


def solution_text(exercise: Exercise) -> str:
    """The starter, and the reference where nbgrader cuts it out."""
    reference = (exercise.folder / "reference.py").read_text(encoding="utf-8").strip("\n")
    return f"{exercise.starter.strip()}\n\n\n### BEGIN SOLUTION\n{reference}\n### END SOLUTION"


def _labels(exercise: Exercise, role: str, **flags) -> dict:
    name = cell_id(exercise.name, role)
    return {"id": name, "metadata": _metadata(name, **flags)}


def _metadata(grade_id: str, *, grade: bool = False, solution: bool = False, locked: bool = False, points: float | None = None) -> dict:
    """A cell's metadata in nbgrader's schema, version 3."""
    found = {
        "grade": grade, "grade_id": grade_id, "locked": locked, "schema_version": 3, "solution": solution, "task": False,
    }
    return {"nbgrader": found | ({"points": points} if points is not None else {})}
