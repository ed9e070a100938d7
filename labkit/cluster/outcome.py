"""What a cell has brought, and its end in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from labkit.comm.deadlock import ranks_text
from labkit.comm.verdict import statuses_text
from labkit.comm.waits import RankStatus
from labkit.trace.growing import RecordPart

RESTART = "All variables of the ranks are lost; the next cell starts new ranks."


@dataclass
class CellOutcome:
    """What a cell that ended well has brought.

    Attributes
    ----------
    results : dict of int to dict
        By rank: the display bundle of its last expression.
    timeline : labkit.trace.timeline.Timeline or None
        With ``trace``.
    left_over : dict of int to list of str
        By rank: requests that were never completed.
    seconds : float
        From sending the cell to the last rank's answer.
    """

    results: dict[int, dict] = field(default_factory=dict)
    timeline: object | None = None
    left_over: dict[int, list[str]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Listener:
    """Where the output of a running cell goes; each is called in the thread that runs the cell."""

    text: Callable[[int, str, str], None] = lambda rank, stream, text: None
    display: Callable[[int, dict], None] = lambda rank, content: None
    part: Callable[[RecordPart], None] | None = None  # of a trace, while the cell runs; None: not wanted
    idle: Callable[[], None] = lambda: None


def status_of(rank: int, outcome: dict) -> RankStatus:
    line = outcome.get("line")
    where = f", line {line}" if line else ""
    status = outcome["status"]
    if status == "error":
        return RankStatus(rank, "failed", f"has failed with {outcome['name']}{where}", line)
    if status == "exit":
        return RankStatus(rank, "finished", f"has finished: {outcome['text']}{where}", line)
    if status == "interrupted":
        return RankStatus(rank, "computing", f"computes{where}", line)
    if status == "absent":
        return RankStatus(rank, "absent", "takes no part in this cell")
    return RankStatus(rank, "finished", "has finished")


def failures_text(outcomes: dict[int, dict], statuses) -> str:
    """The tracebacks, equal ones once, and what the other ranks were doing."""
    failures: dict[str, list[int]] = {}
    for rank, outcome in outcomes.items():  # in the order in which they ended
        if outcome["status"] == "error":
            failures.setdefault(outcome["traceback"], []).append(rank)
    first = outcomes[next(iter(failures.values()))[0]]
    message = f"{first['name']}: {first['message']}" if first["message"] else first["name"]
    failed = sum(failures.values(), [])
    parts = [f"{ranks_text(failed)} raised {message}"]
    for traceback, ranks in failures.items():
        parts.append(f"{ranks_text(ranks)}:\n{traceback}")
    others = [s for s in statuses if s.state in ("waiting", "computing")]
    if others:
        parts.append(f"The cell was ended; at that time\n{statuses_text(others)}")
    return "\n".join(parts)
