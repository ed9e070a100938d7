"""The lessons of the course, and where what belongs to each of them is kept.

A lesson's questions, cards and summary are data, ``labkit/lessons/<lesson>/``::

    quiz.toml         5 to 10 questions: labkit.grading.quiz_file says how they are written
    flashcards.toml   the terms of the lesson: labkit.grading.cards
    summary.md        the sections Basic, Medium and Detailed
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import UsageError

LESSONS_FOLDER = Path(__file__).parents[1] / "lessons"
LEVELS = ("Basic", "Medium", "Detailed")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson: its name is that of its notebook, without ``.ipynb``."""

    name: str
    title: str
    part: str

    @property
    def number(self) -> str:
        """``"04"``."""
        return self.name.partition("_")[0]

    @property
    def topic(self) -> str:
        """``"point_to_point"``: the folder of its exercises."""
        return self.name.partition("_")[2]

    @property
    def folder(self) -> Path:
        """Where its questions, cards and summary are."""
        return LESSONS_FOLDER / self.name

    @property
    def exists(self) -> bool:
        """Whether the lesson has been written."""
        return self.folder.is_dir()

    def __str__(self) -> str:
        return f"{self.number} {self.title}"


MACHINE = "One machine"
MESSAGES = "Messages, and training with them"
MODELS = "Models over many machines, and their use"
LESSONS = (
    Lesson("00_start_here", "Start here", MACHINE),
    Lesson("01_floating_point", "Floating point", MACHINE),
    Lesson("02_softmax", "Softmax", MACHINE),
    Lesson("03_threads", "Threads", MACHINE),
    Lesson("04_point_to_point", "Point to point", MESSAGES),
    Lesson("05_collectives", "Collectives", MESSAGES),
    Lesson("06_data_parallel", "Data parallel", MESSAGES),
    Lesson("07_parameter_server", "Parameter server", MESSAGES),
    Lesson("08_model_parallel", "Model parallel", MODELS),
    Lesson("09_tensor_parallel", "Tensor parallel", MODELS),
    Lesson("10_hybrid_parallel", "Hybrid parallel", MODELS),
    Lesson("11_fault_tolerance", "Fault tolerance", MODELS),
    Lesson("12_serving", "Serving", MODELS),
)


def find_lesson(name: str) -> Lesson:
    """The lesson of this name, which has been written.

    Raises
    ------
    UsageError
        There is none; the message lists those that there are.

    Examples
    --------
    >>> str(find_lesson("04_point_to_point"))
    '04 Point to point'
    """
    for lesson in LESSONS:
        if lesson.name == name and lesson.exists:
            return lesson
    raise UsageError(f"there is no lesson {name!r}; the lessons are {', '.join(l.name for l in LESSONS if l.exists)}.")


def load_summary(name: str) -> dict[str, str]:
    """The summary of a lesson, by level: Markdown texts of ``Basic``, ``Medium``, ``Detailed``.

    Raises
    ------
    UsageError
        No such lesson, or its file has other sections.

    Examples
    --------
    >>> list(load_summary("05_collectives"))
    ['Basic', 'Medium', 'Detailed']
    """
    path = find_lesson(name).folder / "summary.md"
    parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {title.strip(): text.strip() for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    if tuple(found) != LEVELS or not all(found.values()):
        raise UsageError(f"{path}: the sections of a summary are {', '.join(LEVELS)}, but here they are {list(found)}.")
    return found
