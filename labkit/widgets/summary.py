"""The summary of a lesson in three levels: basic, medium, detailed."""

from __future__ import annotations

from labkit.grading.course import find_lesson, load_summary
from labkit.grading.progress import record_visit
from labkit.widgets.markup import to_html
from labkit.widgets.study import StudyWidget


class SummaryWidget(StudyWidget):
    """The summary of a lesson; one chooses the level on the page.

    Parameters
    ----------
    lesson : str
        ``"04_point_to_point"``.

    Attributes
    ----------
    levels : dict of str to str
        Markdown texts by level.
    """

    def __init__(self, lesson: str):
        self.title, self.levels = str(find_lesson(lesson)), load_summary(lesson)
        record_visit(lesson)
        super().__init__({
            "kind": "summary", "title": self.title,
            "levels": [{"name": name, "html": to_html(text)} for name, text in self.levels.items()],
        })

    def react(self, message: dict) -> None:
        """Nothing: the page chooses the level by itself."""

    def text(self) -> str:
        """All levels, one after the other."""
        return "\n\n".join([f"Summary of {self.title}", *(f"{name}\n\n{text}" for name, text in self.levels.items())])


def summary(lesson: str) -> SummaryWidget:
    """The summary of a lesson in three levels, ``summary("04_point_to_point")``."""
    return SummaryWidget(lesson)
