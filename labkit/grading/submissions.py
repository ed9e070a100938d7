"""What was handed in: files, whose they are, and what topic they answer.

Understood without options:

=====================================================================  ==========================
``submitted/<student>/<assignment>/x.ipynb``                           nbgrader
``<Name>_<number>_assignsubmission_file_/x.ipynb``                     Moodle's download of all files
``FOLDER/<student>/.../x.ipynb``                                       a folder a student
``jane.ipynb``, ``jane_collectives.ipynb``, ``collectives-jane.ipynb``  a file a student
``jane/collectives.ipynb``                                             a file with the topic's name: the folder above
=====================================================================  ==========================
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import UsageError

MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)_?")
NBGRADER = ("submitted", "autograded", "downloaded")
LEFT_OUT = ("__MACOSX", "__pycache__")  # and whatever begins with a dot
COPY = re.compile(r"[-_ ]*(?:\(\d+\)|-Copy\d+)$")  # what browsers and Jupyter append


@dataclass(frozen=True)
class Submission:
    """A file that was handed in.

    Attributes
    ----------
    path : Path
    student : str
    assignment : str
        nbgrader's name of the assignment; "" elsewhere.
    """

    path: Path
    student: str
    assignment: str = ""


def find_submissions(arguments: Sequence[str], topics: Sequence[str] = ()) -> list[Submission]:
    """The files that the arguments name, by student and path; each once.

    Parameters
    ----------
    arguments : sequence of str
        Files, folders (with everything below them), and patterns, also quoted ones.
    topics : sequence of str
        Names of topics: a file is not called after its student if it is called after one of these.

    Raises
    ------
    UsageError
        An argument names nothing, or there is no notebook anywhere.
    """
    found: dict[Path, tuple[str, str, str]] = {}
    for argument in arguments:
        for path, root in _files(argument):
            found.setdefault(path.resolve(), _owner(path.resolve(), root.resolve() if root else None, topics))
    if not found:
        raise UsageError(f"there are no notebooks in {', '.join(map(str, arguments))}: name files, folders or patterns.")
    # Two students may have the same name: then Moodle's numbers tell them apart.
    numbers: dict[str, set[str]] = {}
    for student, number, _ in found.values():
        numbers.setdefault(student, set()).add(number)
    submissions = [
        Submission(path, f"{student} ({number})" if number and len(numbers[student]) > 1 else student, assignment)
        for path, (student, number, assignment) in found.items()
    ]
    return sorted(submissions, key=lambda submission: (submission.student, submission.path))


def topics_of(submission: Submission, cells: Sequence[str], functions: dict[str, Sequence[str]]) -> list[str]:
    """The topics that a file answers: by nbgrader's assignment, its name, its checks, or the functions in it.

    Parameters
    ----------
    submission : Submission
    cells : sequence of str
        Its code cells; empty if it cannot be read.
    functions : dict
        The functions of the exercises of each topic.
    """
    if submission.assignment in functions:
        return [submission.assignment]
    for name in (submission.path.stem, submission.path.parent.name):
        words = _plain(name)
        named = [topic for topic in functions if _plain(topic) in words]
        if named:
            return [max(named, key=len)]
    text = "\n".join(cells)
    checked = [topic for topic in functions if re.search(rf"check\(\s*[\"']{re.escape(topic)}/", text)]
    if checked:
        return checked
    defined = set(re.findall(r"^\s*(?:async\s+)?def\s+(\w+)", text, re.MULTILINE))
    answered = [topic for topic, names in functions.items() if defined & set(names)]
    return answered or (list(functions) if len(functions) == 1 else [])


def _files(argument: str) -> list[tuple[Path, Path | None]]:
    """(file, the folder that was named, if one was) for one argument."""
    path = Path(argument).expanduser()
    if path.is_dir():
        return [(file, path) for file in _below(path)]
    if path.exists():
        return [(path, None)]
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    if not matches:
        raise UsageError(f"{argument}: there is no such file or folder, and no file matches it.")
    found: list[tuple[Path, Path | None]] = []
    for match in matches:
        if match.is_dir():  # FOLDER/*: each a student's
            found += [(file, match.parent) for file in _below(match)]
        elif match.suffix in (".ipynb", ".py"):
            found.append((match, None))
    return found


def _below(folder: Path) -> list[Path]:
    """Notebooks in a folder and below, without hidden ones."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_OUT)
        found += [Path(place, name) for name in sorted(files) if name.endswith(".ipynb") and not name.startswith(".")]
    return found


def _owner(path: Path, root: Path | None, topics: Sequence[str]) -> tuple[str, str, str]:
    """(student, number, assignment) of a file."""
    parts = path.parts
    for index, part in enumerate(parts[:-1]):
        if part in NBGRADER and len(parts) - index == 4:
            return parts[index + 1], "", parts[index + 2]
    for part in parts[-2::-1]:
        match = MOODLE.fullmatch(part)
        if match:
            return match["name"], match["number"], ""
    inside = path.relative_to(root).parts if root is not None else (path.name,)
    if len(inside) > 1:
        return inside[0], "", ""
    return _name_in_stem(path.stem, topics) or path.parent.name or path.stem, "", ""


def _name_in_stem(stem: str, topics: Sequence[str]) -> str:
    """The student in the name of a file: what is left without the topic."""
    name = COPY.sub("", stem)
    for topic in sorted(topics, key=len, reverse=True):
        words = r"[-_ ]".join(map(re.escape, topic.split("_")))
        for pattern in (rf"{words}(?:[-_ ]+|$)", rf"(?:^|[-_ ]+){words}$"):
            shorter = re.sub(rf"^{pattern}" if not pattern.endswith("$") else pattern, "", name, count=1, flags=re.IGNORECASE)
            if shorter != name:
                return shorter
    return name


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]+", "_", name.lower())
