"""A rank without the others: one process does what a rank of many does, and its messages take no time.

So the real trainer with the real strategy shows on one process what a rank computes, and which collectives it calls
with how many bytes. The numbers that come out are wrong, for nobody adds anything up; their times are right.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from labkit.training.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Collective:
    """A call that would have gone to other ranks.

    Attributes
    ----------
    axis : str
        ``"dp"``, ``"pp"``, ``"tp"``, or ``"world"`` for all ranks.
    kind : str
        ``"allreduce"``, ``"allgather"``, ``"broadcast"`` or ``"reduce_scatter"``.
    num_bytes : int
        Of the vector that is added up or sent; of an all-gather the part of one rank.
    time_ns : int
        When it was called.
    """

    axis: str
    kind: str
    num_bytes: int
    time_ns: int = 0


class Pretended:
    """Rank 0 of a communicator of ``size`` ranks that do not exist: others have what it has.

    Examples
    --------
    >>> comm = Pretended(4, "dp")
    >>> rows = np.empty((4, 2))
    >>> comm.Allgather(np.array([1.0, 2.0]), rows)
    >>> rows[3].tolist(), comm.log[0].kind, comm.log[0].num_bytes
    ([1.0, 2.0], 'allgather', 16)
    """

    rank = 0

    def __init__(self, size: int, axis: str = "world", log: list | None = None):
        self.size, self.axis, self.log = size, axis, [] if log is None else log

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return self.size

    def _note(self, kind: str, buffer) -> None:
        self.log.append(Collective(self.axis, kind, int(buffer.nbytes), time.perf_counter_ns()))

    def Allgather(self, sendbuf, recvbuf):
        self._note("allgather", sendbuf)
        recvbuf.reshape(self.size, -1)[:] = sendbuf.reshape(-1)

    def Allgatherv(self, sendbuf, recvbuf):
        self._note("allgather", sendbuf)
        room = recvbuf[0].reshape(-1)
        room[:] = np.resize(sendbuf.reshape(-1), room.size)

    def Allreduce(self, sendbuf, recvbuf, op=None):
        self._note("allreduce", recvbuf)
        if isinstance(sendbuf, np.ndarray):  # else in place
            recvbuf[...] = sendbuf

    def Reduce_scatter_block(self, sendbuf, recvbuf, op=None):
        self._note("reduce_scatter", sendbuf)
        recvbuf.reshape(-1)[:] = sendbuf.reshape(-1)[: recvbuf.size]

    def Reduce_scatter(self, sendbuf, recvbuf, recvcounts=None, op=None):
        self.Reduce_scatter_block(sendbuf, recvbuf)

    def Bcast(self, buf, root=0):
        self._note("broadcast", buf)

    def Barrier(self):
        pass

    def allgather(self, obj):
        return [obj] * self.size

    def allreduce(self, obj, op=None):
        return obj

    def bcast(self, obj, root=0):
        return obj

    def Dup(self, info=None):
        return self

    def Split(self, color=0, key=0):
        return self

    def Free(self):
        pass


class PretendedMesh(Mesh):
    """A mesh of which one process stands at the origin of all axes; along ``pp`` it is every stage in turn."""

    def check(self, world_size: int) -> None:
        """Any world will do."""

    def communicators(self, comm) -> dict[str, Pretended]:
        sizes = self.shape | {"pp": 1}
        return {axis: Pretended(size, axis, comm.log) for axis, size in sizes.items()}
