"""A communicator that counts what goes through it."""

from __future__ import annotations

import threading

from labkit.training.recording import Traffic


class CountingComm:
    """Another communicator with books: what its owner sends, and the calls of the library's collectives.

    Messages of our algorithms are counted one by one. What the library sends inside a collective is not known; it is
    counted as a ring's: 2 (p - 1) messages and 2 n (p - 1) / p bytes of an all-reduce of n bytes.
    """

    def __init__(self, comm):
        self.comm, self.rank, self.size = comm, comm.rank, comm.size
        self.lock = threading.Lock()
        self.total = Traffic()

    def __getattr__(self, name: str):
        return getattr(self.comm, name)

    def add(self, num_calls: int, num_messages: int, sent_bytes: int) -> None:
        """To the books."""
        with self.lock:
            self.total += Traffic(num_calls, num_messages, sent_bytes)

    def Send(self, buf, dest, tag=0):
        self.add(0, 1, _num_bytes(buf))
        self.comm.Send(buf, dest, tag)

    def Isend(self, buf, dest, tag=0):
        self.add(0, 1, _num_bytes(buf))
        return self.comm.Isend(buf, dest, tag)

    def Sendrecv(self, sendbuf, dest, sendtag=0, recvbuf=None, source=-1, recvtag=-1, status=None):
        self.add(0, 1, _num_bytes(sendbuf))
        self.comm.Sendrecv(sendbuf, dest, sendtag, recvbuf, source, recvtag, status)

    def Allreduce(self, sendbuf, recvbuf, op=None):
        steps = 2 * (self.size - 1)
        self.add(0, steps, _num_bytes(recvbuf) * steps // self.size)
        if op is None:
            self.comm.Allreduce(sendbuf, recvbuf)
        else:
            self.comm.Allreduce(sendbuf, recvbuf, op)

    def Allgather(self, sendbuf, recvbuf):
        self.add(0, self.size - 1, _num_bytes(sendbuf) * (self.size - 1))
        self.comm.Allgather(sendbuf, recvbuf)

    def Allgatherv(self, sendbuf, recvbuf):
        self.add(0, self.size - 1, _num_bytes(sendbuf) * (self.size - 1))
        self.comm.Allgatherv(sendbuf, recvbuf)

    def Alltoallv(self, sendbuf, recvbuf):
        data, counts = sendbuf[0], sendbuf[1]
        counts = counts[0] if isinstance(counts, tuple) else counts
        self.add(0, self.size - 1, (sum(counts) - counts[self.rank]) * data.itemsize)
        self.comm.Alltoallv(sendbuf, recvbuf)

    def Bcast(self, buf, root=0):
        if self.rank == root:
            self.add(0, self.size - 1, _num_bytes(buf) * (self.size - 1))
        self.comm.Bcast(buf, root)


def _num_bytes(buf) -> int:
    if isinstance(buf, (list, tuple)):
        buf = buf[0]
    if hasattr(buf, "element_size"):
        return buf.numel() * buf.element_size()
    return getattr(buf, "nbytes", 0)
