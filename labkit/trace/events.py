"""Events of a run. All times are integer nanoseconds; all ranks are world ranks."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("send", "recv", "sendrecv", "collective", "wait", "probe", "window", "compute", "other")


@dataclass(frozen=True, slots=True)
class Span:
    """Something a rank did from ``start_ns`` to ``end_ns``; of this, it waited ``waiting_ns`` first.

    ``kind`` is one of ``KINDS``. ``peer`` is the other rank, or the root of a collective;
    ``sequence`` the number of a collective call on its communicator ``context``; ``line`` the line
    of the cell.
    """

    rank: int
    lane: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    peer: int | None = None
    tag: int | None = None
    num_bytes: int = 0
    context: str = "comm"
    sequence: int | None = None
    line: int | None = None
    waiting_ns: int = 0

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Message:
    """A message from ``source`` to ``dest``, with the times of both its ends."""

    source: int
    dest: int
    tag: int
    num_bytes: int
    context: str
    send_start_ns: int
    send_end_ns: int
    recv_start_ns: int
    recv_end_ns: int
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A named moment of a rank."""

    rank: int
    lane: str
    name: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class RankRecord:
    """What one traced rank delivers, on its own clock; add ``clock_offset_ns`` for rank 0's.

    Attributes
    ----------
    spans : tuple of tuple
        ``(name, kind, start_ns, end_ns, peer, tag, num_bytes, context, sequence, line)``
    endpoints : tuple of tuple
        One end of a message: ``(direction, peer, tag, num_bytes, context, posted_ns,
        completed_ns, line, span)``; ``span`` is the index of the call that completed it.
    marks : tuple of tuple
        ``(name, time_ns)``
    num_dropped : int
        Calls that were not recorded because there were too many.
    """

    rank: int
    spans: tuple[tuple, ...]
    endpoints: tuple[tuple, ...]
    marks: tuple[tuple, ...]
    clock_offset_ns: int
    start_ns: int
    end_ns: int
    num_dropped: int = 0
