"""Faults that are wanted: which rank, at which step, what happens. They strike where the plan says, in every run alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.errors import UsageError

KINDS = ("kill", "kill-in-write", "notice", "slow", "stall", "join")
_FORMS = (
    ("kill", re.compile(r"kill rank (\d+) at step (\d+)")),
    ("kill-in-write", re.compile(r"kill rank (\d+) while it writes step (\d+)")),
    ("notice", re.compile(r"notice to rank (\d+) at step (\d+)(?:, (\d+(?:\.\d+)?) s)?")),
    ("slow", re.compile(r"slow rank (\d+) at step (\d+) by (\d+(?:\.\d+)?) s for (\d+) steps?")),
    ("stall", re.compile(r"stall rank (\d+) at step (\d+)")),
    ("join", re.compile(r"join at step (\d+)")),
)
NOTICE_S = 120.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, or a machine that comes.

    Attributes
    ----------
    kind : str
        ``kill`` (SIGKILL, before the step), ``kill-in-write`` (in the middle of writing the checkpoint of this step),
        ``notice`` (it is told that it has ``seconds`` left, as spot machines are), ``slow`` (``seconds`` more a step for
        ``num_steps``), ``stall`` (the process stops, and does not end), ``join`` (a machine is there to join).
    step : int
        Steps done when it strikes.
    rank : int or None
        At that moment; None for ``join``.
    seconds : float
    num_steps : int
    """

    kind: str
    step: int
    rank: int | None = None
    seconds: float = 0.0
    num_steps: int = 0

    def __str__(self) -> str:
        if self.kind == "kill":
            return f"kill rank {self.rank} at step {self.step}"
        if self.kind == "kill-in-write":
            return f"kill rank {self.rank} while it writes step {self.step}"
        if self.kind == "notice":
            return f"notice to rank {self.rank} at step {self.step}, {self.seconds:g} s"
        if self.kind == "slow":
            return f"slow rank {self.rank} at step {self.step} by {self.seconds:g} s for {self.num_steps} steps"
        if self.kind == "stall":
            return f"stall rank {self.rank} at step {self.step}"
        return f"join at step {self.step}"


@dataclass(frozen=True)
class FaultPlan:
    """Faults in the order of their steps; a text form goes both ways.

    Examples
    --------
    >>> plan = FaultPlan.parse("join at step 30; kill rank 1 at step 12; slow rank 0 at step 5 by 0.1 s for 3 steps")
    >>> [fault.step for fault in plan]
    [5, 12, 30]
    >>> FaultPlan.parse(str(plan)) == plan
    True
    """

    faults: tuple[Fault, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "faults", tuple(sorted(self.faults, key=lambda fault: fault.step)))

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))

    @classmethod
    def parse(cls, plan: str | FaultPlan | None) -> FaultPlan:
        """A plan from its text; a plan comes back as it is, None is the empty one.

        Raises
        ------
        UsageError
            A part of the text is no fault.
        """
        if isinstance(plan, FaultPlan):
            return plan
        parts = [part.strip() for part in (plan or "").split(";") if part.strip()]
        return cls(tuple(map(_fault, parts)))


def _fault(text: str) -> Fault:
    for kind, form in _FORMS:
        match = form.fullmatch(text)
        if match is None:
            continue
        if kind == "join":
            return Fault(kind, int(match[1]))
        rank, step = int(match[1]), int(match[2])
        if kind == "notice":
            return Fault(kind, step, rank, float(match[3] or NOTICE_S))
        if kind == "slow":
            return Fault(kind, step, rank, float(match[3]), int(match[4]))
        return Fault(kind, step, rank)
    raise UsageError(
        f"{text!r} is no fault. Say, for example: 'kill rank 1 at step 40', 'kill rank 1 while it writes step 40', "
        "'notice to rank 2 at step 80, 120 s', 'slow rank 0 at step 5 by 0.1 s for 10 steps', 'stall rank 1 at step 9', "
        "'join at step 100'; several with ';' between them."
    )
