"""What a traced simulated rank remembers: the same tuples as a real one, in virtual time."""

from __future__ import annotations

from mpi4py.MPI import ANY_TAG

from labkit.comm.source_lines import cell_line
from labkit.trace.events import RankRecord

MAX_SPANS = 200_000  # a rank; what comes after is counted, not kept


def nanoseconds(time_s) -> int:
    """Virtual time as the timeline counts it."""
    return round(time_s * 1e9)


class Recorder:
    """Spans and ends of messages of one simulated rank."""

    def __init__(self, me):
        self.me = me
        self.spans: list[tuple] = []
        self.endpoints: list[tuple] = []
        self.num_dropped = 0

    def span(self, name, kind, start, comm, *, peer=None, tag=None, num_bytes=0, sequence=None) -> int | None:
        """A call that ends now; return its index."""
        if len(self.spans) >= MAX_SPANS:
            self.num_dropped += 1
            return None
        self.spans.append(
            (
                name, kind, nanoseconds(start), nanoseconds(self.me.now), peer, tag, num_bytes,
                comm.context if comm is not None else "comm", sequence, cell_line(),
            )
        )
        return len(self.spans) - 1

    def _endpoint(self, direction, comm, peer, tag, num_bytes, posted, span, line=None) -> None:
        if span is not None and peer >= 0:
            self.endpoints.append(
                (
                    direction, comm.members[peer], tag, num_bytes, comm.context, nanoseconds(posted),
                    nanoseconds(self.me.now), line if line is not None else self.spans[span][-1], span,
                )
            )

    def send_span(self, comm, call, start, dest, tag, num_bytes) -> None:
        if comm.is_hidden:
            return
        peer = comm.members[dest] if dest >= 0 else None
        span = self.span(call, "send", start, comm, peer=peer, tag=tag, num_bytes=num_bytes)
        self._endpoint("send", comm, dest, tag, num_bytes, start, span)

    def receive_span(self, call, start, request) -> None:
        comm, message = request.comm, request.message
        if comm.is_hidden:
            return
        if message is None:  # from MPI.PROC_NULL
            self.span(call, "recv", start, comm, tag=ANY_TAG)
            return
        span = self.span(
            call, "recv", start, comm, peer=comm.members[message.source], tag=message.tag, num_bytes=message.num_bytes
        )
        self._endpoint("recv", comm, message.source, message.tag, message.num_bytes, request.posted_at, span)

    def sendrecv_span(self, comm, call, start, receive, dest, sendtag, num_bytes) -> None:
        if comm.is_hidden:
            return
        peer = comm.members[dest] if dest >= 0 else None
        message = receive.message
        both = num_bytes + (message.num_bytes if message is not None else 0)
        span = self.span(call, "sendrecv", start, comm, peer=peer, tag=sendtag, num_bytes=both)
        self._endpoint("send", comm, dest, sendtag, num_bytes, start, span)
        if message is not None:
            self._endpoint("recv", comm, message.source, message.tag, message.num_bytes, start, span)

    def start_span(self, comm, request, start) -> None:
        """A nonblocking call has returned."""
        if not comm.is_hidden:
            self.span(
                request.call, request.kind, start, comm, tag=request.tag if request.tag >= 0 else None,
                peer=comm.members[request.peer] if request.peer >= 0 else None, num_bytes=request.num_bytes,
            )

    def wait_span(self, call, start, requests) -> None:
        """A wait or test has completed these requests."""
        comm = requests[0].comm
        if comm.is_hidden:
            return
        span = self.span(call, "wait", start, comm, num_bytes=sum(r.num_bytes for r in requests))
        for request in requests:
            message = request.message
            if request.kind == "send":
                self._endpoint(
                    "send", comm, request.peer, request.tag, request.num_bytes, request.posted_at, span, request.line
                )
            elif message is not None:
                self._endpoint(
                    "recv", comm, message.source, message.tag, message.num_bytes, request.posted_at, span, request.line
                )

    def probe_span(self, call, start, request) -> None:
        message = request.message
        if not request.comm.is_hidden and message is not None:
            self.span(
                call, "probe", start, request.comm, peer=request.comm.members[message.source], tag=message.tag,
                num_bytes=message.num_bytes,
            )

    def record(self, end) -> RankRecord:
        """Everything, as the value that a timeline is made of."""
        return RankRecord(
            rank=self.me.rank, spans=tuple(self.spans), endpoints=tuple(self.endpoints), marks=(),
            clock_offset_ns=0, start_ns=0, end_ns=nanoseconds(end), num_dropped=self.num_dropped,
        )
