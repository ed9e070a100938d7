"""Flashcards: the terms of a lesson, and in which order to ask for them.

Leitner's boxes: a card that was known moves up a box, one that was not goes back to the first. In round r
the cards of box b are asked for if 2^(b - 1) divides r: what is known well comes back ever more rarely.
"""

from __future__ import annotations

import functools
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import UsageError
from labkit.grading import progress
from labkit.grading.course import find_lesson
from labkit.grading.quiz_file import TABLES, TEXT, check_table, read_toml

TOP_BOX = 4
AGAIN_AFTER = 3  # so many other cards come before one that was not known


@dataclass(frozen=True, slots=True)
class Card:
    """A term and what it means."""

    term: str
    meaning: str


@functools.lru_cache(maxsize=64)
def load_flashcards(lesson: str) -> tuple[Card, ...]:
    """The cards of a lesson, in its order.

    Raises
    ------
    UsageError
        No such lesson, or a file that breaks a rule.
    """
    return read_flashcards(find_lesson(lesson).folder / "flashcards.toml")


def read_flashcards(path: Path) -> tuple[Card, ...]:
    """The cards of a file: ``[[card]]`` with ``term`` and ``meaning``."""
    content = read_toml(path)
    check_table(content, {"card": TABLES}, {}, str(path))
    for number, values in enumerate(content["card"], 1):
        check_table(values, {"term": TEXT, "meaning": TEXT}, {}, f"{path}, card {number}")
    cards = tuple(Card(values["term"].strip(), values["meaning"].strip()) for values in content["card"])
    terms = [card.term for card in cards]
    if twice := {term for term in terms if terms.count(term) > 1}:
        raise UsageError(f"{path}: a term has one card, but {', '.join(sorted(twice))} has two.")
    return cards


def due_cards(cards: tuple[Card, ...], boxes: dict[str, int], number: int) -> list[Card]:
    """The cards of round ``number``, from 1: the least known first; all, if none were due.

    Examples
    --------
    >>> cards = (Card("a", "1"), Card("b", "2"), Card("c", "3"))
    >>> [card.term for card in due_cards(cards, {"a": 2, "b": 1}, 1)]
    ['c', 'b']
    >>> [card.term for card in due_cards(cards, {"a": 2, "b": 1}, 2)]
    ['c', 'b', 'a']
    """
    def box(card):
        return boxes.get(card.term, 0)

    due = [card for card in cards if number % 2 ** max(0, box(card) - 1) == 0]
    return sorted(due or cards, key=box)  # stable: within a box, the lesson's order


class CardRun:
    """A round through the cards of a lesson.

    Attributes
    ----------
    boxes : dict of str to int
        By term: 0 is not known yet.
    number : int
        Of the round, counted since the first one ever.
    problem : str
        Why the progress could not be kept, or "".
    """

    def __init__(self, lesson: str):
        self.lesson, self.cards = lesson, load_flashcards(lesson)
        self.problem = progress.record_visit(lesson)
        kept = progress.read_progress()
        self.boxes = {card.term: min(TOP_BOX, kept.boxes(lesson).get(card.term, 0)) for card in self.cards}
        self.number = kept.card_rounds(lesson)
        self.begin()

    def begin(self) -> None:
        """The next round."""
        self.number += 1
        self._queue = deque(due_cards(self.cards, self.boxes, self.number))

    @property
    def current(self) -> Card | None:
        """The card on top, or None: the round is over."""
        return self._queue[0] if self._queue else None

    @property
    def num_left(self) -> int:
        """Cards that are still to come in this round, with the one on top."""
        return len(self._queue)

    @property
    def num_known(self) -> int:
        """Of all cards: known the last time."""
        return sum(box > 0 for box in self.boxes.values())

    def known(self) -> None:
        """The card on top was known: it moves up a box."""
        if self.current is not None:
            card = self._queue.popleft()
            self._keep(card, min(TOP_BOX, self.boxes[card.term] + 1))

    def again(self) -> None:
        """The card on top was not known: it goes to the first box, and comes again soon."""
        if self.current is not None:
            card = self._queue.popleft()
            self._queue.insert(min(AGAIN_AFTER, len(self._queue)), card)
            self._keep(card, 0)

    def _keep(self, card: Card, box: int) -> None:
        self.boxes[card.term] = box
        self.problem = progress.record_card(self.lesson, card.term, box, self.number)
