"""Requests of simulated ranks, which complete in virtual time."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError, truncation_problem
from labkit.comm.simulated.buffers import put
from labkit.comm.simulated.request_lists import (
    MPIRequest, lengthened, fill_empty, fill_status, test_all, test_any, test_some, wait, wait_all, wait_any, wait_some,
)
from labkit.comm.source_lines import cell_line
from labkit.comm.waits import Operation

WORDS = {
    "peer": {MPI.ANY_SOURCE: "ANY_SOURCE", MPI.PROC_NULL: "PROC_NULL"},
    "tag": {MPI.ANY_TAG: "ANY_TAG"},
}


class Request:
    """A communication that has been started, like ``mpi4py.MPI.Request``.

    Attributes
    ----------
    done_at : float or None
        The virtual time at which it will be complete, in s, once that is known.
    """

    __slots__ = (  # every message has one
        "kind", "call", "comm", "peer", "tag", "buffer", "num_bytes", "posted_at", "order", "done_at", "message", "data",
        "line", "mark", "sequence", "overhead_s", "awaited", "cancelled", "pickled", "active", "is_synchronous",
    )

    def __init__(self, kind, call, comm, peer, tag, buffer=None, num_bytes=0):
        self.kind, self.call, self.comm, self.peer, self.tag = kind, call, comm, peer, tag
        self.buffer, self.num_bytes = buffer, num_bytes
        self.done_at = self.message = self.data = self.line = self.mark = self.sequence = None
        self.overhead_s = 0  # what the processor has to do for it yet, once it is complete
        self.awaited = self.cancelled = self.pickled = False
        self.active = True
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
        wait(self.comm, [self], "Wait")
        self.finish(status)
        return True

    def wait(self, status=None):
        wait(self.comm, [self], "wait")
        return self.finish(status)

    def Test(self, status=None):
        return test_all([self], "Test", [status] if status is not None else None) is not None

    def test(self, status=None):
        results = test_all([self], "test", [status] if status is not None else None)
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
        wait_all(requests, "Waitall", statuses)
        return True

    @classmethod
    def waitall(cls, requests, statuses=None):
        return wait_all(requests, "waitall", statuses)

    @classmethod
    def Testall(cls, requests, statuses=None):
        return test_all(requests, "Testall", lengthened(requests, statuses)) is not None

    @classmethod
    def testall(cls, requests, statuses=None):
        results = test_all(requests, "testall", lengthened(requests, statuses))
        return results is not None, results

    @classmethod
    def Waitany(cls, requests, status=None):
        return wait_any(requests, "Waitany", status)[0]

    @classmethod
    def waitany(cls, requests, status=None):
        return wait_any(requests, "waitany", status)

    @classmethod
    def Testany(cls, requests, status=None):
        index, done, _ = test_any(requests, "Testany", status)
        return index, done

    @classmethod
    def testany(cls, requests, status=None):
        return test_any(requests, "testany", status)

    @classmethod
    def Waitsome(cls, requests, statuses=None):
        indices, _ = wait_some(requests, "Waitsome", statuses)
        return indices

    @classmethod
    def waitsome(cls, requests, statuses=None):
        return wait_some(requests, "waitsome", statuses)

    @classmethod
    def Testsome(cls, requests, statuses=None):
        return test_some(requests, "Testsome", statuses)[0]

    @classmethod
    def testsome(cls, requests, statuses=None):
        return test_some(requests, "testsome", statuses)


class Prequest(Request):
    """A persistent request: ``Start`` begins its communication, any number of times."""

    __slots__ = ()

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

    __slots__ = ()

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


def posted_line(request: Request) -> None:
    """Remember the line that started a nonblocking request, and the request until it completes."""
    request.line = cell_line()
    request.comm.me.posted[request.order] = request
