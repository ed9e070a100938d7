"""Questions as values, and judging an answer to one: choose, calculate a number, put steps in order.

Nothing here shows anything, and what a question shows before it is answered, :attr:`Choice.choices`,
:attr:`Order.shown`, does not tell the answer: the order is drawn from the names of lesson and question,
so it is the same whenever the lesson is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from labkit.errors import UsageError
from labkit.grading.numbers import read_number
from labkit.grading.outcomes import Status


@dataclass(frozen=True)
class Choice:
    """One of several statements is right.

    Attributes
    ----------
    name : str
        Of the question in its lesson: ``"eager-limit"``.
    text : str
        The question; Markdown of the small kind that labkit.widgets.markup knows.
    right, explanation : str
        The right choice, and why it is.
    wrong : tuple of (str, str)
        Every wrong choice with its explanation: why one might think so, and what is so.
    points : float
    lesson : str
    """

    name: str
    text: str
    right: str
    explanation: str
    wrong: tuple[tuple[str, str], ...]
    points: float = 1.0
    lesson: str = ""

    kind = "choice"

    @property
    def choices(self) -> tuple[str, ...]:
        """All choices, as they are shown."""
        return tuple(_shuffled((self.right, *(text for text, _ in self.wrong)), f"{self.lesson}:{self.name}"))

    def judge(self, answer: int | str) -> tuple[Status, str]:
        """``answer``: the place of the choice, from 0, or its letter, ``"b"``."""
        chosen = self.choices[_place(answer, len(self.choices))]
        if chosen == self.right:
            return Status.PASSED, self.explanation
        return Status.INCORRECT, dict(self.wrong)[chosen]


@dataclass(frozen=True)
class Number:
    """A number is asked for.

    Attributes
    ----------
    name, text, explanation, points, lesson
        As in :class:`Choice`.
    answer : float
        In ``unit``.
    wrong : tuple of (float, str)
        Numbers that a known slip leads to, each with its explanation.
    hint : str
        For any other wrong number: where to begin.
    unit : str
    relative_tolerance, absolute_tolerance : float
        Right is what differs by no more than the larger of the two.
    """

    name: str
    text: str
    answer: float
    explanation: str
    wrong: tuple[tuple[float, str], ...]
    hint: str
    unit: str = ""
    relative_tolerance: float = 1e-9
    absolute_tolerance: float = 0.0
    points: float = 1.0
    lesson: str = ""

    kind = "number"

    def agrees(self, value: float, other: float) -> bool:
        """Whether ``value`` is ``other`` within the tolerance."""
        return abs(value - other) <= max(self.relative_tolerance * abs(other), self.absolute_tolerance)

    def judge(self, answer: float | str) -> tuple[Status, str]:
        """``answer``: a number, or text that :func:`labkit.grading.numbers.read_number` can read."""
        value = read_number(answer, self.unit) if isinstance(answer, str) else _real(answer)
        if self.agrees(value, self.answer):
            return Status.PASSED, self.explanation
        return Status.INCORRECT, next((why for slip, why in self.wrong if self.agrees(value, slip)), self.hint)


@dataclass(frozen=True)
class Order:
    """Steps are to be put in order.

    Attributes
    ----------
    name, text, explanation, points, lesson
        As in :class:`Choice`.
    steps : tuple of str
        In the right order.
    reasons : tuple of str
        ``reasons[k]``: why step k comes before step k + 1. A wrong order has at least one such pair the wrong way
        round, so it always has an explanation.
    """

    name: str
    text: str
    steps: tuple[str, ...]
    explanation: str
    reasons: tuple[str, ...]
    points: float = 1.0
    lesson: str = ""

    kind = "order"

    @property
    def shown(self) -> tuple[str, ...]:
        """The steps as they are shown at first, never in the right order."""
        for attempt in range(100):
            found = tuple(_shuffled(self.steps, f"{self.lesson}:{self.name}:{attempt}"))
            if found != self.steps:
                return found
        return self.steps[::-1]

    def judge(self, answer: Sequence[int] | str) -> tuple[Status, str]:
        """``answer``: places in :attr:`shown`, from 0, in the order that is meant; or letters, ``"b a c"``."""
        places = answer.replace(",", " ").split() if isinstance(answer, str) else list(answer)
        order = [_place(place, len(self.steps)) for place in places]
        if sorted(order) != list(range(len(self.steps))):
            raise UsageError(f"name each of the {len(self.steps)} steps once; this names {len(set(order))} of them.")
        at = {self.shown[place]: index for index, place in enumerate(order)}
        for k, why in enumerate(self.reasons):
            if at[self.steps[k]] > at[self.steps[k + 1]]:
                return Status.INCORRECT, why
        return Status.PASSED, self.explanation


Question = Choice | Number | Order


@dataclass(frozen=True)
class Quiz:
    """The questions of a lesson."""

    lesson: str
    title: str
    questions: tuple[Question, ...]

    @property
    def max_points(self) -> float:
        """For right answers to all questions at the first try."""
        return sum(question.points for question in self.questions)


@dataclass(frozen=True)
class Answered:
    """What came of an answer.

    Attributes
    ----------
    question : str
        Its name.
    status : Status
        PASSED, INCORRECT, or NOT_ATTEMPTED: there was no answer, or none that can be read.
    points, max_points : float
    explanation : str
    given : object
        The answer.
    num_wrong : int
        Wrong answers to this question so far.
    """

    question: str
    status: Status
    points: float
    max_points: float
    explanation: str
    given: object = field(default=None, compare=False)
    num_wrong: int = 0

    @property
    def passed(self) -> bool:
        """Whether it is right."""
        return self.status is Status.PASSED

    def text(self) -> str:
        """For a terminal."""
        words = {Status.PASSED: "Right", Status.INCORRECT: "Not right"}.get(self.status, "No answer yet")
        points = f", {self.points:g} of {self.max_points:g} points" if self.passed else ""
        return f"{words}{points}. {self.explanation}"

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(self.text())


def judge_answer(question: Question, answer, num_wrong: int = 0) -> Answered:
    """Judge one answer.

    Every wrong answer before halves what the right one is worth. An answer that cannot be read costs nothing.

    Parameters
    ----------
    question : Choice, Number or Order
    answer : object
        As the question's ``judge`` takes it; None or blank text is no answer.
    num_wrong : int
        Wrong answers that were given before.

    Examples
    --------
    >>> question = Number("half", "Half of 3?", 1.5, "3 / 2.", ((6.0, "That is twice."),), "Divide by two.")
    >>> judge_answer(question, "3/2").points, judge_answer(question, 1.5, num_wrong=1).points
    (1.0, 0.5)
    >>> judge_answer(question, "6").explanation, str(judge_answer(question, "a few").status)
    ('That is twice.', 'not attempted')
    """

    def came_to(status, explanation, points=0.0, wrong=num_wrong):
        return Answered(question.name, status, points, question.points, explanation, answer, wrong)

    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return came_to(Status.NOT_ATTEMPTED, "Give an answer first.")
    try:
        status, explanation = question.judge(answer)
    except UsageError as error:
        return came_to(Status.NOT_ATTEMPTED, f"{error}")
    if status is Status.PASSED:
        return came_to(status, explanation, question.points / 2**num_wrong)
    return came_to(status, explanation, wrong=num_wrong + 1)


def _shuffled(items: Sequence[str], seed: str) -> list[str]:
    """The same order for the same texts and seed, on any machine."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{item}".encode()).digest())


def _place(answer: int | str, count: int) -> int:
    """A place from 0, given as one or as a letter."""
    if isinstance(answer, str) and len(answer.strip()) == 1:
        answer = ord(answer.strip().lower()) - ord("a")
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < count:
        raise UsageError(f"there is no choice {answer!r}; name one by its letter, a to {chr(ord('a') + count - 1)}.")
    return answer


def _real(value) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{value!r} is no number.") from None
