"""What came of an answer, as values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How the check of an answer ended."""

    PASSED = "passed"
    INCORRECT = "incorrect"
    NOT_ATTEMPTED = "not attempted"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    DEADLOCKED = "deadlocked"
    OVER_BUDGET = "over budget"
    FORBIDDEN_CALL = "forbidden call"


@dataclass(frozen=True)
class Verdict:
    """What came of an answer.

    Attributes
    ----------
    exercise : str
        ``"topic/name"``.
    status : Status
    points, max_points : float
    message : str
        One sentence: what is wrong, or that all is well.
    case : str
        The smallest case that failed, in words: ``"5 ranks, 7 elements"``.
    rank : int or None
        The first rank with a wrong value.
    expected, actual : str
        Values of that case, shortened.
    details : str
        The verdict on a deadlock, or a traceback with the lines of the answer only.
    slip : str
        What has probably gone wrong, if it is a known slip.
    cost : str
        What was sent, beside the budget.
    num_passed, num_cases : int
        Cases.
    sandbox : str
        What confined the answer: ``"bubblewrap, seccomp, limits"``.
    seconds : float
        Wall time of the check.
    timeline : dict or None
        Of the failing case, as :func:`labkit.trace.chrome.chrome_trace` gives it.
    """

    exercise: str
    status: Status
    points: float
    max_points: float
    message: str
    case: str = ""
    rank: int | None = None
    expected: str = ""
    actual: str = ""
    details: str = ""
    slip: str = ""
    cost: str = ""
    num_passed: int = 0
    num_cases: int = 0
    sandbox: str = ""
    seconds: float = 0.0
    timeline: dict | None = None

    @property
    def passed(self) -> bool:
        """Whether it has all points."""
        return self.status is Status.PASSED

    def to_dict(self, *, timeline: bool = True) -> dict:
        """A dictionary for JSON."""
        found = dataclasses.asdict(self)
        if not timeline:
            del found["timeline"]
        return found

    @classmethod
    def from_dict(cls, values: dict) -> Verdict:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**values, "status": Status(values["status"])})

    def text(self) -> str:
        """For a terminal, and for notebooks without widgets."""
        mark = "PASSED" if self.passed else self.status.upper()
        lines = [f"{mark}  {self.exercise}  {self.points:g} of {self.max_points:g} points", self.message]
        if self.case:
            lines.append(f"smallest failing case: {self.case}")
        if self.expected or self.actual:
            where = f"rank {self.rank}: " if self.rank is not None else ""
            lines += [f"  {where}expected {self.expected}", f"  {' ' * len(where)}actual   {self.actual}"]
        if self.details:
            lines.append(self.details)
        if self.slip:
            lines.append(f"likely slip: {self.slip}")
        if self.cost:
            lines.append(self.cost)
        return "\n".join(lines)
