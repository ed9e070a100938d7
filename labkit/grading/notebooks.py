"""The notebook of a topic, built from the folders of its exercises; ``labkit exercises build|check``.

::

    # Collectives                         <- topic.md
    from labkit import check
    ## 1. Ring all-gather (4 points)      <- statement.md, headings one level down
    def allgather_ring(comm, x): ...      <- starter.py; the student writes here
    check("collectives/allgather_ring", allgather_ring)

The same folders always give the same bytes: no outputs, and ids that come from the names.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit.errors import UsageError
from labkit.grading.exercise import Exercise, exercise_names, exercises_folder, load_exercise

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MAX_ID = 64  # characters, by the format
FENCE = re.compile(r"\s*(```|~~~)")
HEADING = re.compile(r"#{1,5} ")


def topic_notebook(topic: str, folder: Path | None = None) -> nbformat.NotebookNode:
    """The notebook that a student opens for a topic.

    Parameters
    ----------
    topic : str
    folder : Path, optional
        Of all exercises.

    Returns
    -------
    NotebookNode
        Cells of exercises have ``metadata["labkit"] = {"exercise": "topic/name", "role": ...}`` with the roles
        ``"statement"``, ``"starter"`` and ``"check"``.

    Raises
    ------
    UsageError
        The topic has no exercises.
    """
    folder = folder or exercises_folder()
    exercises = topic_exercises(topic, folder)
    cells = [
        new_markdown_cell(topic_text(topic, folder), id="title"),
        new_code_cell("from labkit import check", id="import-check"),
    ]
    for number, exercise in enumerate(exercises, start=1):
        cells += [
            new_markdown_cell(statement_text(exercise, number), **labels(exercise, "statement")),
            new_code_cell(exercise.starter.strip("\n"), **labels(exercise, "starter")),
            new_code_cell(f'check("{exercise.name}", {exercise.function})', **labels(exercise, "check")),
        ]
    return new_notebook(cells=cells, metadata=METADATA)


def topic_exercises(topic: str, folder: Path) -> list[Exercise]:
    """The exercises of a topic, in the order of the course."""
    names = exercise_names(folder)
    found = [load_exercise(name, folder) for name in names if name.startswith(f"{topic}/")]
    if not found:
        raise UsageError(f"there is no topic {topic!r}; the topics are {', '.join(topics(folder)) or 'none'}.")
    return found


def topics(folder: Path) -> list[str]:
    """The topics that have exercises."""
    return list(dict.fromkeys(name.split("/")[0] for name in exercise_names(folder)))


def topic_text(topic: str, folder: Path) -> str:
    """What stands at the top: ``topic.md``, or the name of the topic."""
    path = folder / topic / "topic.md"
    if path.exists():
        return path.read_text(encoding="utf-8").strip()
    return f"# {topic.replace('_', ' ').capitalize()}"


def statement_text(exercise: Exercise, number: int) -> str:
    """The statement with a numbered heading; its own headings go one level down, but not those in code."""
    lines, in_code = [], False
    for line in exercise.statement.strip().splitlines():
        if FENCE.match(line):
            in_code = not in_code
        lines.append(f"#{line}" if HEADING.match(line) and not in_code else line)
    if lines and lines[0].startswith("## "):
        del lines[0]
    points = f"{exercise.points:g} point{'s' * (exercise.points != 1)}"
    return "\n".join([f"## {number}. {exercise.title} ({points})", *([""] if lines and lines[0] else []), *lines])


def labels(exercise: Exercise, role: str) -> dict:
    """Id and metadata of a cell, as keyword arguments."""
    return {"id": cell_id(exercise.name, role), "metadata": {"labkit": {"exercise": exercise.name, "role": role}}}


def cell_id(name: str, role: str) -> str:
    """A valid cell id from names; long ones end in a digest.

    Examples
    --------
    >>> cell_id("collectives/scan", "starter")
    'collectives-scan-starter'
    """
    text = re.sub(r"[^a-zA-Z0-9_-]", "-", f"{name}-{role}")
    if len(text) > MAX_ID:
        text = f"{text[:MAX_ID - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text


def notebook_text(notebook: nbformat.NotebookNode) -> str:
    """The text of the file."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def notebook_path(topic: str, folder: Path) -> Path:
    """Where the notebook of a topic is."""
    return folder / topic / f"{topic}.ipynb"


def build(folder: Path) -> list[Path]:
    """Write the notebooks that are not up to date; their paths."""
    written = []
    for topic in topics(folder):
        path, text = notebook_path(topic, folder), notebook_text(topic_notebook(topic, folder))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def differing(folder: Path) -> list[Path]:
    """Notebooks that are missing or are not what :func:`build` would write."""
    found = []
    for topic in topics(folder):
        path = notebook_path(topic, folder)
        if not path.exists() or path.read_text(encoding="utf-8") != notebook_text(topic_notebook(topic, folder)):
            found.append(path)
    return found


def main(argv: list[str] | None = None) -> int:
    """Build the notebooks of all topics from the folders of their exercises, or check that they are built."""
    parser = argparse.ArgumentParser(prog="labkit exercises", description=main.__doc__)
    parser.add_argument("action", choices=("build", "check"))
    parser.add_argument("--exercises", type=Path, metavar="DIR", help="the folder of exercises")
    options = parser.parse_args(argv)
    folder = options.exercises.resolve() if options.exercises else exercises_folder()
    if not folder.is_dir():
        raise UsageError(f"--exercises {options.exercises}: there is no such folder.")
    if options.action == "build":
        for path in build(folder):
            print(f"wrote {path}")
        return 0
    wrong = differing(folder)
    for path in wrong:
        print(f"{path} is not what its exercises say: run labkit exercises build.")
    return 1 if wrong else 0
