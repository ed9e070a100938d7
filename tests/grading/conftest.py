"""A course of one topic with tiny exercises, and notebooks that answer it."""

import json
from pathlib import Path

import pytest

EXERCISE = '''
import numpy as np
from labkit.grading.exercise import Case, Exercise


def cases():
    return [Case(f"n = {{n}}", ((n,),), ({{"return": {oracle}}},)) for n in (1, 2, 5)]


exercise = Exercise(title="{title}", function="{name}", points={points}, cases=cases, hints=("a", "b", "c"))
'''
STARTER = '''def {name}(n):
    """{title}."""
    raise NotImplementedError
'''
FUNCTIONS = {  # name: (title, points, the right expression)
    "double": ("Twice a number", 2, "2 * n"),
    "square": ("The square of a number", 3, "n * n"),
}


def write_exercise(folder: Path, name: str, title: str, points: float, oracle: str) -> None:
    """One exercise in a folder."""
    (folder / "wrong").mkdir(parents=True)
    (folder / "exercise.py").write_text(EXERCISE.format(name=name, title=title, points=points, oracle=oracle))
    (folder / "starter.py").write_text(STARTER.format(name=name, title=title))
    (folder / "statement.md").write_text(f"# {title}\n\nWrite `{name}(n)`.\n\n## Example\n\n```\n# not a heading\n```\n")
    (folder / "reference.py").write_text(f"def {name}(n):\n    secret_of_the_reference = {oracle}\n    return secret_of_the_reference\n")
    (folder / "wrong" / "off_by_one.py").write_text(f"def {name}(n):\n    slip_of_a_wrong_answer = {oracle} + 1\n    return slip_of_a_wrong_answer\n")
    (folder / "hidden.py").write_text(
        "from labkit.grading.exercise import Case\n\n\ndef cases():\n"
        f"    hidden_argument_of_the_instructor = 77\n    n = hidden_argument_of_the_instructor\n"
        f"    return [Case('hidden', ((n,),), ({{'return': {oracle}}},))]\n"
    )


@pytest.fixture
def course(tmp_path):
    """The folder of a course: topic ``numbers`` with the exercises ``square`` (3 points) and ``double`` (2 points)."""
    folder = tmp_path / "course" / "exercises"
    for name, (title, points, oracle) in FUNCTIONS.items():
        write_exercise(folder / "numbers" / name, name, title, points, oracle)
    (folder / "numbers" / "order.txt").write_text("square\ndouble\n")
    return folder


def notebook(*cells: str, outputs=()) -> str:
    """The text of a notebook with these code cells."""
    return json.dumps({
        "cells": [
            {"cell_type": "code", "id": f"c{number}", "metadata": {}, "execution_count": None, "outputs": list(outputs),
             "source": text.splitlines(keepends=True)}
            for number, text in enumerate(cells)
        ],
        "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
    })
