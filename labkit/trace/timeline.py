"""A run as a value: who did what when, and which message went where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.trace.events import Mark, Message, RankRecord, Span
from labkit.trace.matching import (
    Endpoint,
    make_message,
    match_endpoints,
    waiting_of_spans,
    with_waiting,
)


@dataclass(frozen=True)
class Timeline:
    """The events of a run on one clock, rank 0's. Two equal timelines are ``==``.

    Attributes
    ----------
    num_ranks : int
    spans : tuple of Span
        In order of rank and start.
    messages : tuple of Message
        In order of their send.
    marks : tuple of Mark
    clock_offsets_ns : tuple of int
        By rank: what was added to its clock; 0 for ranks that share a machine with rank 0.
    start_ns, end_ns : int
        Of the run.
    num_unmatched : int
        Ends of messages whose other end was not recorded.
    num_dropped : int
        Calls that were not recorded because a rank made too many.
    """

    num_ranks: int
    spans: tuple[Span, ...] = ()
    messages: tuple[Message, ...] = ()
    marks: tuple[Mark, ...] = ()
    clock_offsets_ns: tuple[int, ...] = ()
    start_ns: int = 0
    end_ns: int = 0
    num_unmatched: int = 0
    num_dropped: int = 0

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    @classmethod
    def from_records(cls, records: Iterable[RankRecord]) -> Timeline:
        """Put the records of the ranks together: one clock, messages matched, waiting told apart.

        Parameters
        ----------
        records : iterable of RankRecord
            At most one a rank, in any order.
        """
        records = sorted(records, key=lambda record: record.rank)
        spans: list[Span] = []
        endpoints: list[Endpoint] = []
        marks: list[Mark] = []
        for record in records:
            offset, first = record.clock_offset_ns, len(spans)
            for name, kind, start, end, peer, tag, size, context, sequence, line in record.spans:
                spans.append(
                    Span(
                        record.rank, "mpi", name, kind, start + offset, end + offset, peer, tag,
                        size, context, sequence, line,
                    )
                )
            for direction, peer, tag, size, context, posted, done, line, span in record.endpoints:
                endpoints.append(
                    Endpoint(
                        record.rank, direction, peer, tag, size, context, posted + offset,
                        done + offset, line, first + span,
                    )
                )
            marks += [Mark(record.rank, "mpi", name, time + offset) for name, time in record.marks]
        pairs = match_endpoints(endpoints)
        spans = with_waiting(spans, waiting_of_spans(spans, pairs))
        messages = sorted(
            (make_message(send, receive) for send, receive in pairs),
            key=lambda m: (m.send_start_ns, m.source, m.dest),
        )
        return cls(
            num_ranks=records[-1].rank + 1 if records else 0,
            spans=tuple(sorted(spans, key=lambda span: (span.rank, span.start_ns, -span.end_ns))),
            messages=tuple(messages),
            marks=tuple(marks),
            clock_offsets_ns=tuple(record.clock_offset_ns for record in records),
            start_ns=min((r.start_ns + r.clock_offset_ns for r in records), default=0),
            end_ns=max((r.end_ns + r.clock_offset_ns for r in records), default=0),
            num_unmatched=len(endpoints) - 2 * len(pairs),
            num_dropped=sum(record.num_dropped for record in records),
        )

    def from_zero(self) -> Timeline:
        """The same run with times counted from its start."""
        zero = self.start_ns
        if zero == 0:
            return self
        return replace(
            self,
            spans=tuple(
                replace(s, start_ns=s.start_ns - zero, end_ns=s.end_ns - zero) for s in self.spans
            ),
            messages=tuple(
                replace(
                    m,
                    send_start_ns=m.send_start_ns - zero,
                    send_end_ns=m.send_end_ns - zero,
                    recv_start_ns=m.recv_start_ns - zero,
                    recv_end_ns=m.recv_end_ns - zero,
                )
                for m in self.messages
            ),
            marks=tuple(replace(m, time_ns=m.time_ns - zero) for m in self.marks),
            start_ns=0,
            end_ns=self.end_ns - zero,
        )

    def save(self, path: str | Path) -> None:
        """Write Chrome trace JSON, which Perfetto (ui.perfetto.dev) opens."""
        from labkit.trace.chrome import write_chrome_trace

        write_chrome_trace(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Timeline:
        """Read what :meth:`save` has written: an equal timeline.

        Raises
        ------
        TraceFormatError
            The file is no Chrome trace.
        """
        from labkit.trace.chrome import read_chrome_trace

        return read_chrome_trace(path)
