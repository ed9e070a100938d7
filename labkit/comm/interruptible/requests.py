"""Requests and matched messages whose waits can be interrupted, and that say what they wait for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from time import perf_counter_ns

import numpy as np
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError, peer_problem, tag_problem, truncation_problem
from labkit.comm.source_lines import cell_line
from labkit.comm.waits import Operation

_Request, _Prequest, _Message = MPI.Request, MPI.Prequest, MPI.Message
_Status = MPI.Status
WILDCARDS = {
    "source": {MPI.ANY_SOURCE: "ANY_SOURCE", MPI.PROC_NULL: "PROC_NULL"},
    "dest": {MPI.PROC_NULL: "PROC_NULL"},
    "tag": {MPI.ANY_TAG: "ANY_TAG"},
}


def call_text(name: str, comm, **arguments) -> str:
    """A call as a student would write it: ``Recv(source=ANY_SOURCE, tag=7)``."""
    words = ", ".join(
        f"{key}={WILDCARDS.get(key, {}).get(value, value)}" for key, value in arguments.items()
    )
    where = "" if comm.is_whole_world else f" on {comm.describe()}"
    return f"{name}({words}){where}"


def explained(error, comm, call: str, word: str, peer, tag) -> MPIError:
    """An error of MPI with rank, call and values; ``word`` is ``"dest"`` or ``"source"``."""
    error_class = error.Get_error_class()
    text = error.Get_error_string()
    sizes = re.search(r"(\d+) bytes received but buffer size is (\d+)", text)  # MPICH's words, in either order
    if error_class == MPI.ERR_RANK:
        problem = peer_problem(peer, comm.size, word=word)
    elif error_class == MPI.ERR_TAG:
        problem = tag_problem(tag)
    elif error_class == MPI.ERR_TRUNCATE and sizes:
        room, num_bytes = sorted(map(int, sizes.groups()))
        problem = truncation_problem(num_bytes, room, peer, tag)
    else:
        problem = text
    return MPIError(error_class, f"rank {comm.rank}: {call_text(call, comm, **{word: peer, 'tag': tag})}: {problem}")


def message_bytes(buffer) -> int:
    """Bytes of a buffer argument of mpi4py: an array, or ``[data, count, datatype]`` and its short forms."""
    try:
        return buffer.nbytes
    except AttributeError:
        pass
    if isinstance(buffer, (list, tuple)) and buffer and buffer[0] is not None:
        data, *rest = buffer
        datatype = next((item for item in rest if isinstance(item, MPI.Datatype)), None)
        count = next((item for item in rest if isinstance(item, int)), None)
        if count is None and rest and isinstance(rest[0], tuple) and rest[0] and isinstance(rest[0][0], int):
            count = rest[0][0]  # (count, displacement)
        if datatype is not None and count is not None:
            return count * datatype.Get_size()
        return message_bytes(data)
    try:
        return memoryview(buffer).nbytes
    except TypeError:
        return 0


def copy_of_buffer(buffer):
    """A buffer argument of mpi4py with its data copied, the datatype and counts kept; None, for MPI.PROC_NULL, stays."""
    if buffer is None:
        return None
    if isinstance(buffer, (list, tuple)):
        return [copy_of_buffer(buffer[0]), *buffer[1:]]
    if hasattr(buffer, "clone"):  # a torch tensor
        return buffer.clone()
    if isinstance(buffer, np.ndarray):
        return buffer.copy(order="A")  # as it lies in memory, for that is what is sent
    return buffer.copy() if hasattr(buffer, "copy") else bytearray(memoryview(buffer).cast("B"))


class Pending:
    """What a nonblocking call has started: enough to name it, to match it and to record its end."""

    __slots__ = ("kind", "call", "comm", "peer", "tag", "num_bytes", "sequence", "posted_ns", "line")

    def __init__(self, kind, call, comm, peer=None, tag=None, num_bytes=0, sequence=None):
        self.kind, self.call, self.comm = kind, call, comm
        self.peer, self.tag, self.num_bytes, self.sequence = peer, tag, num_bytes, sequence
        self.posted_ns = perf_counter_ns()
        self.line = cell_line()

    def operation(self) -> Operation:
        """This as a value that other ranks can be compared with."""
        comm, peer, tag = self.comm, self.peer, self.tag
        if self.kind == "collective":
            return Operation(
                "collective", self.call, comm.context, comm.members, sequence=self.sequence,
                num_bytes=self.num_bytes, line=self.line,
            )
        if self.kind == "window":
            return Operation("window", self.call, comm.context, comm.members, line=self.line)
        word = "dest" if self.kind == "send" else "source"
        return Operation(
            self.kind,
            call_text(self.call, comm, **{word: peer, "tag": tag}),
            comm.context,
            comm.members if peer == MPI.ANY_SOURCE else comm.world_ranks(peer),
            None if tag == MPI.ANY_TAG else tag,
            self.num_bytes,
            line=self.line,
        )


class Completion:
    """What an interruptible request adds to one of mpi4py: its own ``Wait`` and ``Test`` families."""

    pending: Pending | None = None
    _monitor = None

    def incomplete(self) -> Operation | None:
        """What this request still waits for, or None if it is complete."""
        if self.pending is None or self == MPI.REQUEST_NULL:
            return None
        try:
            is_complete = _Request.Get_status(self)
        except MPI.Exception:  # it has ended with an error, which its own wait tells
            return None
        return None if is_complete else self.pending.operation()

    def _completed(self, status, span=None, end_ns=0) -> None:
        """Keep the books of a request that is complete; of one that was so before, do nothing."""
        if self._monitor is None or self._monitor.active.pop(id(self), None) is None:
            return
        if span is not None and self.pending.kind in ("send", "recv"):
            record_endpoint(self.pending, status, span, end_ns)

    # Buffers ------------------------------------------------------------------------------------

    def Wait(self, status=None):
        return _wait_for([self], "Wait", partial(_Request.Test, self), status)

    def Test(self, status=None):
        return _test_for([self], "Test", partial(_Request.Test, self), status)

    @classmethod
    def Waitall(cls, requests, statuses=None):
        return _wait_for(requests, "Waitall", partial(_Request.Testall, requests), statuses)

    @classmethod
    def Testall(cls, requests, statuses=None):
        return _test_for(requests, "Testall", partial(_Request.Testall, requests), statuses)

    @classmethod
    def Waitany(cls, requests, status=None):
        return _wait_for(requests, "Waitany", partial(_Request.Testany, requests), status)

    @classmethod
    def Testany(cls, requests, status=None):
        return _test_for(requests, "Testany", partial(_Request.Testany, requests), status)

    @classmethod
    def Waitsome(cls, requests, statuses=None):
        return _wait_for(requests, "Waitsome", partial(_Request.Testsome, requests), statuses)

    @classmethod
    def Testsome(cls, requests, statuses=None):
        return _test_for(requests, "Testsome", partial(_Request.Testsome, requests), statuses)

    # Pickled objects ----------------------------------------------------------------------------

    def wait(self, status=None):
        return _wait_for([self], "wait", partial(_Request.test, self), status)

    def test(self, status=None):
        return _test_for([self], "test", partial(_Request.test, self), status)

    @classmethod
    def waitall(cls, requests, statuses=None):
        return _wait_for(requests, "waitall", partial(_Request.testall, requests), statuses)

    @classmethod
    def testall(cls, requests, statuses=None):
        return _test_for(requests, "testall", partial(_Request.testall, requests), statuses)

    @classmethod
    def waitany(cls, requests, status=None):
        return _wait_for(requests, "waitany", partial(_Request.testany, requests), status)

    @classmethod
    def testany(cls, requests, status=None):
        return _test_for(requests, "testany", partial(_Request.testany, requests), status)

    @classmethod
    def waitsome(cls, requests, statuses=None):
        return _wait_for(requests, "waitsome", partial(_Request.testsome, requests), statuses)

    @classmethod
    def testsome(cls, requests, statuses=None):
        return _test_for(requests, "testsome", partial(_Request.testsome, requests), statuses)

    def Free(self):
        self._completed(None)
        super().Free()


class Request(Completion, _Request):
    """A request of a nonblocking call."""


class Prequest(Completion, _Prequest):
    """A persistent request: ``Start`` it, wait for it, start it again."""

    def Start(self):
        super().Start()
        self._started()

    @classmethod
    def Startall(cls, requests):
        _Prequest.Startall(requests)
        for request in requests:
            if isinstance(request, Prequest):
                request._started()

    def _started(self):
        self.pending.posted_ns = perf_counter_ns()
        self.pending.line = cell_line()
        self._monitor.active[id(self)] = self


# For each member of the Wait family: what its Test returns, as (done, what Wait returns,
# indices of the completed requests or None for all).
_OUTCOMES = {
    "wait": lambda flag: (flag, True, None),
    "waitall": lambda flag: (flag, True, None),
    "waitany": lambda pair: (pair[1], pair[0], [pair[0]]),
    "waitsome": lambda indices: (indices is None or bool(indices), indices, indices or []),
    "object wait": lambda pair: (pair[0], pair[1], None),
    "object waitall": lambda pair: (pair[0], pair[1], None),
    "object waitany": lambda triple: (triple[1], (triple[0], triple[2]), [triple[0]]),
    "object waitsome": lambda pair: (pair[0] is None or bool(pair[0]), pair, pair[0] or []),
}
_STATUS_LISTS = {"waitall", "waitsome"}


def _wait_for(requests, call: str, test, status):
    """Poll ``test(status)`` until it says that it is done; give what the wait of MPI would give."""
    outcome_of, several, status, recorder, start_ns = _prepare(requests, call, status)
    result = None

    def done():
        nonlocal result
        try:
            result = test(status)
        except MPI.Exception as error:
            raise _explained_for(requests, error) from None
        return outcome_of(result)[0]

    def describe():
        waiting = [
            operation
            for request in requests
            if isinstance(request, Completion) and (operation := request.incomplete()) is not None
        ]
        words = f"{len(requests)} requests" if several else ""
        if len(waiting) == 1:
            words += (", " if words else "") + waiting[0].text
        elif waiting:
            words += f", {len(waiting)} incomplete: " + "; ".join(w.text for w in waiting[:3])
        return f"{call}({words})", waiting, "any" if "any" in call or "some" in call else "all"

    monitor = next((r._monitor for r in requests if getattr(r, "_monitor", None)), None)
    if monitor is None:
        while not done():
            pass
    else:
        monitor.wait(done, describe)
    _finish(requests, call, result, outcome_of, status, several, recorder, start_ns)
    return outcome_of(result)[1]


def _test_for(requests, call: str, test, status):
    """One poll; keeps the books when it completes something."""
    outcome_of, several, status, recorder, start_ns = _prepare(requests, call, status)
    try:
        result = test(status)
    except MPI.Exception as error:
        raise _explained_for(requests, error) from None
    if outcome_of(result)[0]:
        _finish(requests, call, result, outcome_of, status, several, recorder, start_ns)
    return result


def _explained_for(requests: Sequence, error):
    """The error of a wait, explained where it is clear which request it belongs to."""
    if len(requests) != 1 or getattr(requests[0], "pending", None) is None or requests[0].pending.peer is None:
        return error
    requests[0]._completed(None)
    pending = requests[0].pending
    return explained(error, pending.comm, pending.call, "dest" if pending.kind == "send" else "source", pending.peer, pending.tag)


def _prepare(requests: Sequence, call: str, status):
    family = "wait" + call.lower().removeprefix("wait").removeprefix("test")
    outcome_of = _OUTCOMES[family if call[0].isupper() else f"object {family}"]
    several = family != "wait"
    recorder = next(
        (r.pending.comm.recorder for r in requests if getattr(r, "pending", None) is not None), None
    )
    if recorder is not None and status is None:
        status = [] if family in _STATUS_LISTS else _Status()
    return outcome_of, several, status, recorder, recorder.now() if recorder is not None else 0


def _finish(requests, call, result, outcome_of, status, several, recorder, start_ns):
    indices = outcome_of(result)[2]
    if indices is None:
        indices = range(len(requests))
    span = end_ns = None
    if recorder is not None:
        first = next(r.pending for r in requests if getattr(r, "pending", None) is not None)
        span, end_ns = recorder.span(
            call, "wait", start_ns, first.comm,
            num_bytes=sum(r.pending.num_bytes for r in requests if getattr(r, "pending", None)),
        )
    for position, index in enumerate(indices):
        if 0 <= index < len(requests) and isinstance(request := requests[index], Completion):
            one = status
            if isinstance(status, list):
                where = position if "some" in call else index
                one = status[where] if where < len(status) else None
            request._completed(one, span, end_ns)


def record_endpoint(pending: Pending, status, span: int, end_ns: int) -> None:
    """Record the end of a message that was started nonblocking and is complete now."""
    comm, peer, tag, num_bytes = pending.comm, pending.peer, pending.tag, pending.num_bytes
    if pending.kind == "recv" and status is not None:
        if status.Is_cancelled():
            return
        peer, tag, num_bytes = status.source, status.tag, status.count
    if peer is None or peer < 0:
        return
    comm.recorder.endpoint(
        pending.kind, comm.members[peer], tag, num_bytes, comm.context,
        pending.posted_ns, end_ns, pending.line, span,
    )


def track(raw, pending: Pending) -> Request:
    """The interruptible form of a request of mpi4py; it is remembered until it completes."""
    request = (Prequest if isinstance(raw, _Prequest) else Request)(raw)
    request.pending = pending
    request._monitor = monitor = pending.comm.monitor
    if not isinstance(request, Prequest):
        monitor.active[id(request)] = request
    return request


class Message(_Message):
    """A matched message: found by ``Mprobe``, to be received by nobody else."""

    def _prepare(self, comm, status):
        self.comm, self.source, self.tag, self.num_bytes = comm, status.source, status.tag, status.count
        return self

    def _pending(self, call: str) -> Pending:
        return Pending("recv", call, self.comm, self.source, self.tag, self.num_bytes)

    def Irecv(self, buf):
        return track(super().Irecv(buf), self._pending("Irecv"))

    def irecv(self):
        return track(super().irecv(), self._pending("irecv"))

    def Recv(self, buf, status=None):
        self.Irecv(buf).Wait(status)

    def recv(self, status=None):
        return self.irecv().wait(status)
