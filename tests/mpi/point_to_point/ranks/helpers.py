"""Communicators that watch, and what the checks compare with."""

import time

import numpy as np
from mpi4py import MPI

from labkit.errors import UsageError


def equal(actual, expected, what):
    """Same values; arrays also in dtype and shape, and bit by bit."""
    if isinstance(expected, np.ndarray):
        same = (actual.dtype, actual.shape, actual.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    else:
        same = actual == expected
    assert same, f"{what}: {actual!r} is not {expected!r}"


def refused(call, *words):
    """``call`` raises UsageError with these words in its message."""
    try:
        call()
    except UsageError as error:
        missing = [word for word in words if word not in str(error)]
        assert not missing, f"{missing} not in: {error}"
    else:
        raise AssertionError(f"not refused; expected {words}")


class Watched:
    """A communicator that notes every call: ``calls`` has (name, bytes, peer, tag)."""

    def __init__(self, comm):
        self._comm, self.calls = comm, []

    def __getattr__(self, name):
        value = getattr(self._comm, name)
        if not callable(value):
            return value

        def method(*args, **keywords):
            buffer = args[0] if args and isinstance(args[0], np.ndarray) else None
            self.calls.append((name, None if buffer is None else buffer.nbytes, *args[1:3]))
            self.last_buffer = buffer
            return value(*args, **keywords)

        return method

    def count(self, name):
        return sum(call[0] == name for call in self.calls)


class Stuck(Exception):
    """A blocking call did not return in time."""


class Synchronous:
    """A communicator on which no message is eager, and on which waiting ends with Stuck after a while.

    A program is safe if it completes with every send synchronous (MPI standard, section 3.5).
    """

    def __init__(self, comm, patience_s, eager=False):
        self.comm, self.patience_s, self.eager = comm, patience_s, eager
        self.rank, self.size = comm.rank, comm.size
        self.sends, self.receives = [], []
        Synchronous.Waiting.owner = self

    class Waiting:
        """A request whose class method Waitall is the one that gives up."""

        owner = None

        def __init__(self, request, persistent=False):
            self.request, self.persistent = request, persistent

        def Start(self):
            self.request.Start()

        def Free(self):
            self.request.Free()

        @classmethod
        def Waitall(cls, requests):
            cls.owner.wait([request.request for request in requests])

    def wait(self, requests):
        end = time.perf_counter() + self.patience_s
        while not all([request.Test() for request in requests]):
            if time.perf_counter() > end:
                raise Stuck
            time.sleep(0)

    def start_send(self, buf, dest, tag):
        request = (self.comm.Isend if self.eager else self.comm.Issend)(buf, dest, tag)
        self.sends.append(request)
        return request

    def start_receive(self, buf, source, tag):
        request = self.comm.Irecv(buf, source, tag)
        self.receives.append(request)
        return request

    def Send(self, buf, dest, tag=0):
        self.wait([self.start_send(buf, dest, tag)])

    def Recv(self, buf, source, tag):
        self.wait([self.start_receive(buf, source, tag)])

    def Sendrecv(self, sendbuf, dest, sendtag, recvbuf, source, recvtag):
        self.wait([self.start_receive(recvbuf, source, recvtag), self.start_send(sendbuf, dest, sendtag)])

    def Isend(self, buf, dest, tag=0):
        return self.Waiting(self.start_send(buf, dest, tag))

    def Irecv(self, buf, source, tag):
        return self.Waiting(self.start_receive(buf, source, tag))

    def Send_init(self, buf, dest, tag=0):
        return self.Waiting(self.comm.Ssend_init(buf, dest, tag), True)

    def Recv_init(self, buf, source, tag):
        return self.Waiting(self.comm.Recv_init(buf, source, tag), True)

    def clear(self):
        """After a stuck pattern: give up the receives, then take every message that is still under way."""
        for request in self.receives:
            if not request.Test():
                request.Cancel()
                request.Wait()
        self.comm.Barrier()
        all_sent = False
        while not all_sent:
            status = MPI.Status()
            while self.comm.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status):
                room = np.empty(status.Get_count(MPI.BYTE), np.uint8)
                self.comm.Recv(room, status.source, status.tag)
            all_sent = self.comm.allreduce(all([request.Test() for request in self.sends]), MPI.LAND)
