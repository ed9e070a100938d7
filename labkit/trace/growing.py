"""A timeline while its run goes on: ranks send what they recorded piece by piece, here it comes together."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from labkit.trace.events import RankRecord, Span
from labkit.trace.timeline import Timeline


@dataclass(frozen=True, slots=True)
class RecordPart:
    """What one rank has recorded since its last part.

    Attributes
    ----------
    record : RankRecord
        The new calls and ends of messages alone; ``span`` of an end counts the calls of all parts. Its times
        and ``num_dropped`` are those of the whole run so far.
    open_call : tuple, optional
        A call the rank has waited in for long, as a call that ends now.
    """

    record: RankRecord
    open_call: tuple | None = None


class GrowingTimeline:
    """The timeline of a run so far; parts come in one thread, and another may ask.

    Parts of one rank come in order. A message is known when both its ends are, so a picture made meanwhile may
    lack the newest messages, and of messages that are alike (same ranks, tag and communicator) and complete
    out of order it may join the wrong ends for a moment.

    Parameters
    ----------
    num_ranks : int
        So many rows, also before the first part.

    Examples
    --------
    >>> growing = GrowingTimeline(2)
    >>> call = ("Send", "send", 10, 30, 1, 0, 8, "comm", None, 2)
    >>> growing.add(RecordPart(RankRecord(0, (call,), (), (), 0, start_ns=0, end_ns=40)))
    >>> [(span.rank, span.name, span.duration_ns) for span in growing.timeline().spans]
    [(0, 'Send', 20)]
    """

    def __init__(self, num_ranks: int):
        self.num_ranks = num_ranks
        self._parts: dict[int, list[RecordPart]] = {}
        self._lock = threading.Lock()
        self._drawn: tuple[int, Timeline] | None = None  # (parts it is made of, timeline)

    def add(self, part: RecordPart) -> None:
        """Add the next part of its rank."""
        with self._lock:
            self._parts.setdefault(part.record.rank, []).append(part)

    def timeline(self) -> Timeline:
        """All parts so far as one timeline."""
        with self._lock:
            parts = {rank: list(of_rank) for rank, of_rank in self._parts.items()}
        num_parts = sum(map(len, parts.values()))
        if self._drawn is None or self._drawn[0] != num_parts:
            self._drawn = num_parts, self._put_together(parts)
        return self._drawn[1]

    def _put_together(self, parts: dict[int, list[RecordPart]]) -> Timeline:
        so_far = Timeline.from_records(
            replace(
                of_rank[-1].record,
                spans=tuple(span for part in of_rank for span in part.record.spans),
                endpoints=tuple(end for part in of_rank for end in part.record.endpoints),
                marks=tuple(mark for part in of_rank for mark in part.record.marks),
            )
            for of_rank in parts.values()
        )
        newest = [of_rank[-1] for of_rank in parts.values()]
        open_calls = [_waiting_call(part.record, part.open_call) for part in newest if part.open_call is not None]
        spans = sorted(so_far.spans + tuple(open_calls), key=lambda span: (span.rank, span.start_ns, -span.end_ns))
        return replace(so_far, num_ranks=max(so_far.num_ranks, self.num_ranks), spans=tuple(spans))


def _waiting_call(record: RankRecord, call: tuple) -> Span:
    """A call that has only waited so far."""
    name, kind, start, end, *rest = call
    offset = record.clock_offset_ns
    return Span(record.rank, "mpi", name, kind, start + offset, end + offset, *rest, waiting_ns=end - start)
