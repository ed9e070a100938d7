"""The terms of a lesson as cards: say what it means, turn the card, tell whether you knew it."""

from __future__ import annotations

from labkit.grading.cards import TOP_BOX, CardRun
from labkit.grading.course import find_lesson
from labkit.widgets.markup import to_html, to_inline_html
from labkit.widgets.study import StudyWidget


class FlashcardWidget(StudyWidget):
    """The cards of a lesson, the least known first; a card that was not known comes back soon.

    Parameters
    ----------
    lesson : str
        ``"04_point_to_point"``.

    Attributes
    ----------
    run : CardRun

    Examples
    --------
    >>> cards = FlashcardWidget("05_collectives")
    >>> cards.run.current.term
    'Collective'
    >>> cards.again()
    >>> cards.run.current.term
    'Round'
    """

    def __init__(self, lesson: str):
        self.title = str(find_lesson(lesson))
        self.run = CardRun(lesson)
        super().__init__(self._state())

    def known(self) -> None:
        """The card on top was known."""
        self.run.known()
        self.state = self._state()

    def again(self) -> None:
        """The card on top was not known."""
        self.run.again()
        self.state = self._state()

    def begin(self) -> None:
        """The next round."""
        self.run.begin()
        self.state = self._state()

    def react(self, message: dict) -> None:
        """``{"do": "known" or "again", "term": ...}`` about the card that the page shows, or ``{"do": "begin"}``."""
        card = self.run.current
        if message.get("do") == "begin":
            if card is None:
                self.begin()
        elif card is not None and message.get("term") == card.term:  # not one that was clicked twice
            {"known": self.known, "again": self.again}.get(message.get("do"), lambda: None)()

    def _state(self) -> dict:
        run, card = self.run, self.run.current
        return {
            "kind": "flashcards", "title": self.title, "left": run.num_left, "known": run.num_known,
            "total": len(run.cards), "problem": run.problem,
            "boxes": [sum(box == number for box in run.boxes.values()) for number in range(TOP_BOX + 1)],
            "card": card and {"term": card.term, "front": to_inline_html(card.term), "back": to_html(card.meaning)},
        }

    def text(self) -> str:
        """All terms with their meanings."""
        lines = [f"Flashcards of {self.title}: {self.run.num_known} of {len(self.run.cards)} known", ""]
        return "\n".join(lines + [f"{card.term}: {card.meaning}" for card in self.run.cards])


def flashcards(lesson: str) -> FlashcardWidget:
    """The terms of a lesson as cards, ``flashcards("04_point_to_point")``."""
    return FlashcardWidget(lesson)
