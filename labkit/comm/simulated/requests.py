"""Requests of simulated ranks: mpi4py's Wait and Test families, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError, truncation_problem
from labkit.comm.simulated.buffers import put
from labkit.comm.source_lines import cell_line
from labkit.comm.waits import Operation

WORDS = {
    "peer": {MPI.ANY_SOURCE: "ANY_SOURCE", MPI.PROC_NULL: "PROC_NULL"},
    "tag": {MPI.ANY_TAG: "ANY_TAG"},
}
UNDEFINED, BYTE = MPI.UNDEFINED, MPI.BYTE
MPIRequest, REQUEST_NULL = MPI.Request, MPI.REQUEST_NULL  # while a simulation runs, the name in MPI means a simulated one


class Request:
    """A communication that has been started, like ``mpi4py.MPI.Request``.

    Attributes
    ----------
    done_at : float or None
        The virtual time at which it will be complete, in s, once that is known.
    """

    # What most requests never change stands here once, which makes them cheap.
    done_at = message = line = mark = sequence = value = None
    overhead_s = 0  # what the processor has to do for it yet, once it is complete
    awaited = cancelled = pickled = False
    active = True
    data = None

    def __init__(self, kind, call, comm, peer, tag, buffer=None, num_bytes=0):
        self.kind, self.call, self.comm, self.peer, self.tag = kind, call, comm, peer, tag
        self.buffer, self.num_bytes = buffer, num_bytes
        self.posted_at = comm.me.now
        self.order = comm.world.events()

    def set_done(self, time) -> None:
        """It is known now when this completes."""
        self.done_at = time
        if self.awaited:
            self.awaited = False
            self.comm.me.learn(time)

    def accepts(self, message) -> bool:
        """Whether the message is one that this receive or probe asks for."""
        return self.peer in (message.source, MPI.ANY_SOURCE) and self.tag in (message.tag, MPI.ANY_TAG)

    def finish(self, status=None):
        """The books of a request that is complete: fill its buffer and status; return its object, if any."""
        if not self.active:
            if status is not None:
                fill_empty(status)
            return None
        result = None
        self.active = False
        me = self.comm.me
        if self.line is not None or me.posted:
            me.posted.pop(self.order, None)
        message = self.message
        if message is not None and self.kind == "recv":
            if self.overhead_s:
                me.handle((self,), me.now)
            me.note_received(message)
            result = self._unpack(message)
        if self.mark is not None:
            self.mark(self)
        if type(self) is Request:
            self.buffer = None
        if status is not None:
            self._fill(status)
        return result

    def _unpack(self, message):
        data, buffer = message.data, self.buffer
        if type(buffer) is type(data) is np.ndarray and buffer.dtype is data.dtype and buffer.shape == data.shape:
            if buffer.flags.c_contiguous:
                buffer[...] = data  # nearly all messages
                return None
        if self.pickled:
            return self.comm.world.pickle.loads(data)
        if type(data) is bytes:
            data = np.frombuffer(data, np.uint8)
        try:
            put(data, buffer)
        except MPI.Exception as error:
            if error.Get_error_class() != MPI.ERR_TRUNCATE:
                raise
            raise MPIError(
                MPI.ERR_TRUNCATE,
                f"rank {self.comm.rank}: {self.text()}: "
                + truncation_problem(message.num_bytes, self.num_bytes, message.source, message.tag),
            ) from None

    def _fill(self, status) -> None:
        if self.kind == "recv" or self.kind == "probe":
            fill_status(status, self.message)
        status.Set_cancelled(self.cancelled)

    def text(self) -> str:
        """The call as a student would write it."""
        if self.kind == "collective":
            return self.call
        word = "dest" if self.kind == "send" else "source"
        peer, tag = WORDS["peer"].get(self.peer, self.peer), WORDS["tag"].get(self.tag, self.tag)
        return f"{self.call}({word}={peer}, tag={tag}){self.comm.where}"

    def operation(self) -> Operation:
        """This as a value for finding deadlocks."""
        comm = self.comm
        if self.kind == "collective":
            return Operation("collective", self.call, comm.context, comm.members, sequence=self.sequence, line=self.line)
        peers = comm.members if self.peer == MPI.ANY_SOURCE else tuple(comm.members[p] for p in (self.peer,) if p >= 0)
        return Operation(
            self.kind, self.text(), comm.context, peers, None if self.tag == MPI.ANY_TAG else self.tag,
            self.num_bytes, line=self.line,
        )

    def is_complete(self) -> bool:
        """Whether it is complete at its rank's virtual time."""
        return self.done_at is not None and self.done_at <= self.comm.me.now

    # -- mpi4py's names -------------------------------------------------------------------------

    def __bool__(self):
        return self.active

    def __eq__(self, other):
        """As mpi4py's: requests that are over are all equal, to MPI.REQUEST_NULL too. So they have no hash."""
        return self is other or (not self and isinstance(other, (Request, MPIRequest)) and not other)

    def Wait(self, status=None):
        _wait(self.comm, [self], "Wait")
        self.finish(status)
        return True

    def wait(self, status=None):
        _wait(self.comm, [self], "wait")
        return self.finish(status)

    def Test(self, status=None):
        return _test([self], "Test", [status] if status is not None else None) is not None

    def test(self, status=None):
        results = _test([self], "test", [status] if status is not None else None)
        return (False, None) if results is None else (True, results[0])

    def Get_status(self, status=None):
        if not self.is_complete() and self.active:
            self.comm.me.poll("Get_status", [self])
        done = not self.active or self.is_complete()
        if done and status is not None:
            if self.active:
                self._fill(status)
            else:
                fill_empty(status)
        return done

    def Cancel(self):
        if self.kind == "recv" and self.active and self.message is None and self.comm.mailbox.withdraw(self):
            self.cancelled = True
            self.set_done(self.comm.me.now)

    cancel = Cancel

    def Free(self):
        if not self:
            raise MPIError(MPI.ERR_REQUEST, f"rank {self.comm.rank}: Free: {self.text()} is over: there is nothing to free")
        self.comm.me.posted.pop(self.order, None)
        was_active, self.active = self.active, False
        self.__class__ = FreedRequest
        if was_active and self.done_at is not None:
            self.set_done(self.done_at)

    @classmethod
    def Waitall(cls, requests, statuses=None):
        _wait_all(requests, "Waitall", statuses)
        return True

    @classmethod
    def waitall(cls, requests, statuses=None):
        return _wait_all(requests, "waitall", statuses)

    @classmethod
    def Testall(cls, requests, statuses=None):
        return _test(requests, "Testall", _statuses(requests, statuses)) is not None

    @classmethod
    def testall(cls, requests, statuses=None):
        results = _test(requests, "testall", _statuses(requests, statuses))
        return results is not None, results

    @classmethod
    def Waitany(cls, requests, status=None):
        return _wait_any(requests, "Waitany", status)[0]

    @classmethod
    def waitany(cls, requests, status=None):
        return _wait_any(requests, "waitany", status)

    @classmethod
    def Testany(cls, requests, status=None):
        index, done, _ = _test_any(requests, "Testany", status)
        return index, done

    @classmethod
    def testany(cls, requests, status=None):
        return _test_any(requests, "testany", status)

    @classmethod
    def Waitsome(cls, requests, statuses=None):
        indices, _ = _wait_some(requests, "Waitsome", statuses)
        return indices

    @classmethod
    def waitsome(cls, requests, statuses=None):
        return _wait_some(requests, "waitsome", statuses)

    @classmethod
    def Testsome(cls, requests, statuses=None):
        return _test_some(requests, "Testsome", statuses)[0]

    @classmethod
    def testsome(cls, requests, statuses=None):
        return _test_some(requests, "testsome", statuses)


class Prequest(Request):
    """A persistent request: ``Start`` begins its communication, any number of times."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.active = False
        self.done_at = self.posted_at

    def __bool__(self):
        return True

    def Start(self):
        if self.active:
            raise MPIError(MPI.ERR_REQUEST, f"rank {self.comm.rank}: Start: {self.text()} is active; wait for it first")
        self.active, self.message, self.done_at, self.data = True, None, None, None
        self.cancelled = False
        self.posted_at, self.order = self.comm.me.now, self.comm.world.events()
        self.comm.begin(self)

    @classmethod
    def Startall(cls, requests):
        for request in requests:
            request.Start()


class FreedRequest(Request):
    """What a request is after ``Free``: equal to MPI.REQUEST_NULL, while its communication goes on to its end."""

    def set_done(self, time) -> None:
        self.done_at = time
        if self.kind == "recv":
            self.comm.world.at(time, self._receive, self.message)

    def _receive(self, time, message) -> None:
        """The message is there: fill the buffer."""
        if message is None:  # from MPI.PROC_NULL
            return
        me, world = self.comm.me, self.comm.world
        me.note_received(message)
        try:
            self._unpack(message)
        except Exception as failure:  # nobody waits for it, whom it could be told
            me.state, me.failure, world.failed_at, world.ending = "failed", failure, time, True

    def __eq__(self, other):
        """Not equal to one another: a mailbox tells them apart by this."""
        return self is other or (isinstance(other, MPIRequest) and not other)

    def Start(self):
        raise MPIError(
            MPI.ERR_REQUEST, f"rank {self.comm.rank}: Start: {self.text()} has been freed: make another, or free it later"
        )


def fill_status(status, message) -> None:
    """Say which message it is; None for a receive from MPI.PROC_NULL, or a cancelled one."""
    if message is not None:
        status.Set_source(message.source)
        status.Set_tag(message.tag)
        status.Set_elements(BYTE, message.num_bytes)
    else:
        status.Set_source(MPI.PROC_NULL)
        status.Set_tag(MPI.ANY_TAG)
        status.Set_elements(BYTE, 0)


def fill_empty(status) -> None:
    """What MPI says of a request that is not active."""
    status.Set_source(MPI.ANY_SOURCE)
    status.Set_tag(MPI.ANY_TAG)
    status.Set_elements(BYTE, 0)
    status.Set_cancelled(False)


class _Null:
    """Stands for MPI.REQUEST_NULL in a list of requests."""

    active = False

    def finish(self, status=None):
        if status is not None:
            fill_empty(status)


_NULL = _Null()


def _own(requests) -> list:
    """The requests, of which some may be MPI.REQUEST_NULL."""
    return [_NULL if isinstance(r, MPIRequest) and r == REQUEST_NULL else r for r in requests]


def _live(requests) -> list[Request]:
    return [r for r in requests if r.active]


def _wait(comm, requests: Sequence[Request], call: str) -> None:
    """Until all are complete, keeping the books of the timeline."""
    me = comm.me
    start = me.now
    live = _live(requests)
    if live:
        me.wait_for(live, call)
    if me.recorder is not None and live:
        me.recorder.wait_span(call, start, live)


def _statuses(requests, statuses):
    """mpi4py's way with a list of statuses: it is made as long as the list of requests."""
    if statuses is None:
        return None
    statuses += [MPI.Status() for _ in range(len(requests) - len(statuses))]
    return statuses


def _finish_all(requests, statuses) -> list:
    """Finish every one, also those after one that fails; then the first failure is raised."""
    results, failure = [], None
    for i, request in enumerate(requests):
        try:
            results.append(request.finish(statuses[i] if statuses is not None else None))
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return results


def _wait_all(requests, call, statuses):
    requests = _own(requests)
    live = _live(requests)
    if live:
        _wait(live[0].comm, live, call)
    return _finish_all(requests, _statuses(requests, statuses))


def _test(requests, call, statuses):
    """The objects of the requests if all are complete, else None."""
    requests = _own(requests)
    live = _live(requests)
    pending = [r for r in live if not r.is_complete()]
    if pending:
        pending[0].comm.me.poll(call, pending)
        if any(not r.is_complete() for r in live):
            return None
    if live:
        me = live[0].comm.me
        me.num_polls = 0
        if me.recorder is not None:
            me.recorder.wait_span(call, me.now, live)
    return _finish_all(requests, statuses)


def _complete(requests) -> list[int]:
    """Indices of active requests that are complete, in order of their completion."""
    done = [(r.done_at, i) for i, r in enumerate(requests) if r.active and r.is_complete()]
    return [i for _, i in sorted(done)]


def _wait_any(requests, call, status):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        _NULL.finish(status)
        return UNDEFINED, None
    me = live[0].comm.me
    start = me.now
    if not _complete(live):
        me.wait_for(live, call, any_of_them=True)
    index = _complete(requests)[0]
    if me.recorder is not None:
        me.recorder.wait_span(call, start, [requests[index]])
    return index, requests[index].finish(status)


def _test_any(requests, call, status):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        _NULL.finish(status)
        return UNDEFINED, True, None
    me = live[0].comm.me
    if not _complete(live):
        me.poll(call, live)
        if not _complete(live):
            return UNDEFINED, False, None
    me.num_polls = 0
    index = _complete(requests)[0]
    if me.recorder is not None:
        me.recorder.wait_span(call, me.now, [requests[index]])
    return index, True, requests[index].finish(status)


def _some(requests, indices, statuses):
    if statuses is not None:
        statuses += [MPI.Status() for _ in range(len(indices) - len(statuses))]
    return indices, _finish_all([requests[index] for index in indices], statuses)


def _wait_some(requests, call, statuses):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        return None, None
    me = live[0].comm.me
    start = me.now
    if not _complete(live):
        me.wait_for(live, call, any_of_them=True)
    indices = sorted(_complete(requests))
    if me.recorder is not None:
        me.recorder.wait_span(call, start, [requests[i] for i in indices])
    return _some(requests, indices, statuses)


def _test_some(requests, call, statuses):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        return None, None
    me = live[0].comm.me
    if not _complete(live):
        me.poll(call, live)
    indices = sorted(_complete(requests))
    if indices:
        me.num_polls = 0
        if me.recorder is not None:
            me.recorder.wait_span(call, me.now, [requests[i] for i in indices])
    return _some(requests, indices, statuses)


def posted_line(request: Request) -> None:
    """Remember the line that started a nonblocking request, and the request until it completes."""
    request.line = cell_line()
    request.comm.me.posted[request.order] = request
