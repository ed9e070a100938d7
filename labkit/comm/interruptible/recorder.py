"""What a traced rank remembers: plain tuples, cheap to make and to send.

:meth:`labkit.trace.timeline.Timeline.from_records` turns the records of all ranks into a timeline.
"""

from __future__ import annotations

from time import perf_counter_ns

from labkit.comm.source_lines import cell_line
from labkit.trace.events import RankRecord

MAX_SPANS = 200_000  # a rank; what comes after is counted, not kept


class Recorder:
    """The spans (calls) and endpoints (ends of messages) of one rank, on its own clock in ns."""

    now = staticmethod(perf_counter_ns)

    def __init__(self, rank: int, clock_offset_ns: int = 0):
        self.rank = rank
        self.clock_offset_ns = clock_offset_ns
        self.start_ns = perf_counter_ns()
        self.spans: list[tuple] = []
        self.endpoints: list[tuple] = []
        self.num_dropped = 0

    def span(self, name, kind, start_ns, comm, *, peer=None, tag=None, num_bytes=0, sequence=None):
        """Record a call that ends now; return (its index, its end)."""
        end_ns = perf_counter_ns()
        if len(self.spans) >= MAX_SPANS:
            self.num_dropped += 1
            return None, end_ns
        context = comm.context if comm is not None else "comm"
        self.spans.append(
            (name, kind, start_ns, end_ns, peer, tag, num_bytes, context, sequence, cell_line())
        )
        return len(self.spans) - 1, end_ns

    def endpoint(self, direction, peer, tag, num_bytes, context, posted_ns, completed_ns, line, span):
        """Record one end of a message: ``peer`` is a world rank, ``span`` the call that completed it."""
        if span is not None:
            self.endpoints.append(
                (direction, peer, tag, num_bytes, context, posted_ns, completed_ns, line, span)
            )

    def record(self) -> RankRecord:
        """Everything so far, as the value the timeline is made of."""
        return RankRecord(
            rank=self.rank,
            spans=tuple(self.spans),
            endpoints=tuple(self.endpoints),
            marks=(),
            clock_offset_ns=self.clock_offset_ns,
            start_ns=self.start_ns,
            end_ns=perf_counter_ns(),
            num_dropped=self.num_dropped,
        )
