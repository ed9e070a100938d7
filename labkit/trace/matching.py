"""Which send belongs to which receive, and how long each call waited. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from labkit.trace.events import Message, Span

ONE_TO_ALL = {"bcast", "scatter", "scatterv"}  # only the root has what the others wait for
BUFFERED_BYTES = 1024  # every MPI library puts so small a message aside
ALL_TO_ONE = {"gather", "gatherv", "reduce"}  # only the root waits for the others


class Endpoint(NamedTuple):
    """One end of a message; ``span`` is the index of the span that completed it."""

    rank: int
    direction: str
    peer: int
    tag: int
    num_bytes: int
    context: str
    posted_ns: int
    completed_ns: int
    line: int | None
    span: int


def match_endpoints(endpoints: Sequence[Endpoint]) -> list[tuple[Endpoint, Endpoint]]:
    """Pairs (send, receive): MPI keeps the order of messages with equal communicator, ends and tag.

    So the k-th send of such a stream belongs to the k-th receive, both in the order in which they
    were posted. What has no partner is left out.
    """
    sends, receives = defaultdict(list), defaultdict(list)
    for end in endpoints:
        if end.direction == "send":
            sends[end.context, end.rank, end.peer, end.tag].append(end)
        else:
            receives[end.context, end.peer, end.rank, end.tag].append(end)
    pairs = []
    for stream, outgoing in sends.items():
        outgoing.sort(key=lambda end: end.posted_ns)
        incoming = sorted(receives.get(stream, ()), key=lambda end: end.posted_ns)
        pairs += zip(outgoing, incoming, strict=False)
    return pairs


def make_message(send: Endpoint, receive: Endpoint) -> Message:
    """The message of a matched pair."""
    return Message(
        source=send.rank,
        dest=receive.rank,
        tag=send.tag,
        num_bytes=send.num_bytes,
        context=send.context,
        send_start_ns=send.posted_ns,
        send_end_ns=send.completed_ns,
        recv_start_ns=receive.posted_ns,
        recv_end_ns=receive.completed_ns,
        line=send.line,
    )


def waiting_of_spans(spans: Sequence[Span], pairs: Sequence[tuple[Endpoint, Endpoint]]) -> list[int]:
    """How long each span waited for another rank before data could move, in ns.

    A receive waits until its message was sent. A send waits until its receive was posted, unless it
    ended before that (MPI has put the message aside), or is so small that MPI surely does so. A
    collective waits until its last member came; of a one-to-all collective only for the root, and
    of an all-to-one only the root waits.
    """
    waiting = [0] * len(spans)

    def note(index: int, until_ns: int) -> None:
        span = spans[index]
        waiting[index] = max(waiting[index], min(until_ns, span.end_ns) - span.start_ns, 0)

    for send, receive in pairs:
        note(receive.span, send.posted_ns)
        span = spans[send.span]
        synchronous = span.name.lower().startswith(("ss", "iss")) or send.num_bytes > BUFFERED_BYTES
        if synchronous and receive.posted_ns < span.end_ns:
            note(send.span, receive.posted_ns)

    calls = defaultdict(list)
    for index, span in enumerate(spans):
        if span.kind == "collective" and span.sequence is not None:
            calls[span.context, span.sequence].append(index)
    for indices in calls.values():
        last_ns = max(spans[i].start_ns for i in indices)
        root_ns = {spans[i].rank: spans[i].start_ns for i in indices}
        for index in indices:
            span = spans[index]
            name = span.name.lower()
            if name in ONE_TO_ALL:
                if span.rank != span.peer and span.peer in root_ns:
                    note(index, root_ns[span.peer])
            elif name in ALL_TO_ONE:
                if span.rank == span.peer:
                    note(index, last_ns)
            elif not name.startswith("i"):  # a nonblocking call does not wait
                note(index, last_ns)
    return waiting


def with_waiting(spans: Sequence[Span], waiting: Sequence[int]) -> tuple[Span, ...]:
    """The spans, each knowing how long it waited."""
    return tuple(
        replace(span, waiting_ns=ns) if ns else span for span, ns in zip(spans, waiting, strict=True)
    )
