"""The seam between algorithms and machines: what of mpi4py's ``Comm`` an algorithm may use.

``mpi4py.MPI.COMM_WORLD`` satisfies :class:`Communicator`, and so do the interruptible communicator of
a ``%%mpi`` cell and the simulated one. Names, order of arguments and defaults are mpi4py's, and so is
their meaning; ``tests/comm/conformance`` runs one body over all of them.

The wait and test families belong to the class of a request: say ``type(request).Waitall(requests)``
or :func:`labkit.mpi.requests.wait_all` in a text that is to run on every machine. (In a ``%%mpi``
cell and on simulated ranks ``MPI.Request.Waitall`` means the right class.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from mpi4py import MPI
from mpi4py.MPI import ANY_SOURCE, ANY_TAG, INFO_NULL, SUM, Status


@runtime_checkable
class Request(Protocol):
    """A communication that has been started and must be completed by a wait or a successful test."""

    def Wait(self, status: Status | None = None) -> bool:
        """Return True once it is complete."""

    def Test(self, status: Status | None = None) -> bool:
        """Whether it is complete."""

    def wait(self, status: Status | None = None) -> Any:
        """Return the object that has arrived, once it is complete."""

    def test(self, status: Status | None = None) -> tuple[bool, Any]:
        """(Whether it is complete, the object that has arrived)."""

    def Get_status(self, status: Status | None = None) -> bool:
        """Whether it is complete; it stays as it is."""

    def Cancel(self) -> None:
        """Give up a receive that no message has matched; it must still be completed."""

    def Free(self) -> None:
        """Forget it; what it has started goes on."""

    @classmethod
    def Waitall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> bool:
        """Return True once all are complete."""

    @classmethod
    def Waitany(cls, requests: Sequence[Request], status: Status | None = None) -> int:
        """Complete one; return its index, or MPI.UNDEFINED if none was active."""

    @classmethod
    def Waitsome(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> list[int] | None:
        """Complete at least one; return their indices, or None if none was active."""

    @classmethod
    def Testall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> bool:
        """Whether all are complete; completes all or none."""

    @classmethod
    def Testany(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, bool]:
        """(Index of one that is complete or MPI.UNDEFINED, whether one is complete or none was active)."""

    @classmethod
    def Testsome(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> list[int] | None:
        """Indices of those that are complete, None if none was active."""

    @classmethod
    def waitall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> list:
        """The objects that have arrived, once all are complete."""

    @classmethod
    def waitany(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, Any]:
        """(Index of one that is complete, its object)."""

    @classmethod
    def waitsome(
        cls, requests: Sequence[Request], statuses: list[Status] | None = None
    ) -> tuple[list[int] | None, list | None]:
        """(Indices of those that are complete, their objects)."""

    @classmethod
    def testall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> tuple[bool, list | None]:
        """(Whether all are complete, their objects)."""

    @classmethod
    def testany(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, bool, Any]:
        """(Index, whether one is complete, its object)."""

    @classmethod
    def testsome(
        cls, requests: Sequence[Request], statuses: list[Status] | None = None
    ) -> tuple[list[int] | None, list | None]:
        """(Indices of those that are complete, their objects)."""


@runtime_checkable
class Communicator(Protocol):
    """A group of ranks that communicate: the part of ``mpi4py.MPI.Intracomm`` that runs on every machine.

    Buffers are contiguous NumPy arrays, CPU torch tensors or mpi4py's ``[data, count, datatype]``.

    Examples
    --------
    >>> isinstance(MPI.COMM_WORLD, Communicator)
    True
    """

    @property
    def rank(self) -> int:
        """Number of this rank, from 0."""

    @property
    def size(self) -> int:
        """Number of ranks."""

    def Get_rank(self) -> int:
        """Number of this rank, from 0."""

    def Get_size(self) -> int:
        """Number of ranks."""

    # -- point to point, buffers ----------------------------------------------------------------

    def Send(self, buf: Any, dest: int, tag: int = 0) -> None:
        """Send; may wait for the receive, and does for a large message."""

    def Ssend(self, buf: Any, dest: int, tag: int = 0) -> None:
        """Send, and wait until the receive has started."""

    def Rsend(self, buf: Any, dest: int, tag: int = 0) -> None:
        """Send to a receive that has started already."""

    def Recv(self, buf: Any, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> None:
        """Receive into ``buf``, which may be larger than the message."""

    def Sendrecv(
        self, sendbuf: Any, dest: int, sendtag: int = 0, recvbuf: Any = None, source: int = ANY_SOURCE,
        recvtag: int = ANY_TAG, status: Status | None = None,
    ) -> None:
        """Send and receive at once."""

    def Sendrecv_replace(
        self, buf: Any, dest: int, sendtag: int = 0, source: int = ANY_SOURCE, recvtag: int = ANY_TAG,
        status: Status | None = None,
    ) -> None:
        """Send ``buf``, and receive into it."""

    def Isend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """Start a Send; ``buf`` must not change before the request is complete."""

    def Issend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """Start an Ssend."""

    def Irsend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """Start an Rsend."""

    def Irecv(self, buf: Any, source: int = ANY_SOURCE, tag: int = ANY_TAG) -> Request:
        """Start a Recv; ``buf`` is filled when the request is complete."""

    def Send_init(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """A persistent Isend: ``Start`` it as often as needed."""

    def Ssend_init(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """A persistent Issend."""

    def Recv_init(self, buf: Any, source: int = ANY_SOURCE, tag: int = ANY_TAG) -> Request:
        """A persistent Irecv."""

    # -- point to point, objects ----------------------------------------------------------------

    def send(self, obj: Any, dest: int, tag: int = 0) -> None:
        """Send a pickled object."""

    def ssend(self, obj: Any, dest: int, tag: int = 0) -> None:
        """Send a pickled object, and wait until its receive has started."""

    def recv(
        self, buf: Any = None, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None
    ) -> Any:
        """Receive an object."""

    def sendrecv(
        self, sendobj: Any, dest: int, sendtag: int = 0, recvbuf: Any = None, source: int = ANY_SOURCE,
        recvtag: int = ANY_TAG, status: Status | None = None,
    ) -> Any:
        """Send and receive objects at once."""

    def isend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """Start to send a pickled object."""

    def issend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """Start to send a pickled object; complete when its receive has started."""

    def irecv(self, buf: Any = None, source: int = ANY_SOURCE, tag: int = ANY_TAG) -> Request:
        """Start to receive an object; ``wait`` returns it."""

    # -- probes ---------------------------------------------------------------------------------

    def Probe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> bool:
        """Wait for a message without receiving it; ``status`` says which."""

    def Iprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> bool:
        """Whether a message is there."""

    def Mprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Any:
        """Wait for a message; return it, to be received with its ``Recv`` and by nobody else."""

    def Improbe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Any:
        """A message that is there, as ``Mprobe`` returns it; or None."""

    def probe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> bool:
        """Wait for an object without receiving it."""

    def iprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> bool:
        """Whether an object is there."""

    def mprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Any:
        """Wait for an object; return it as a message, to be received with its ``recv``."""

    def improbe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Any:
        """An object that is there, as ``mprobe`` returns it; or None."""

    # -- collectives, buffers: all members call them, in the same order ---------------------------

    def Barrier(self) -> None:
        """Wait until all have come."""

    def Bcast(self, buf: Any, root: int = 0) -> None:
        """Root's ``buf`` to everybody's."""

    def Scatter(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Block i of root's ``sendbuf`` to rank i."""

    def Scatterv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Scatter with ``[data, counts, displacements, datatype]``."""

    def Gather(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Rank i's ``sendbuf`` to block i of root's ``recvbuf``."""

    def Gatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Gather with ``[data, counts, displacements, datatype]``."""

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> None:
        """Gather to all."""

    def Allgatherv(self, sendbuf: Any, recvbuf: Any) -> None:
        """Gatherv to all."""

    def Alltoall(self, sendbuf: Any, recvbuf: Any) -> None:
        """Block j of rank i to block i of rank j."""

    def Alltoallv(self, sendbuf: Any, recvbuf: Any) -> None:
        """Alltoall with counts and displacements on both sides."""

    def Reduce(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM, root: int = 0) -> None:
        """Combine element by element, in rank order, at root."""

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> None:
        """Reduce to all."""

    def Reduce_scatter(
        self, sendbuf: Any, recvbuf: Any, recvcounts: Sequence[int] | None = None, op: MPI.Op = SUM
    ) -> None:
        """Reduce, and block i to rank i."""

    def Reduce_scatter_block(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> None:
        """Reduce_scatter with equal blocks."""

    def Scan(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> None:
        """Combine ranks 0 to this one."""

    def Exscan(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> None:
        """Combine the ranks below this one; rank 0's ``recvbuf`` stays as it is."""

    # -- collectives, nonblocking ---------------------------------------------------------------

    def Ibarrier(self) -> Request:
        """Start a Barrier."""

    def Ibcast(self, buf: Any, root: int = 0) -> Request:
        """Start a Bcast."""

    def Iscatter(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Start a Scatter."""

    def Iscatterv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Start a Scatterv."""

    def Igather(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Start a Gather."""

    def Igatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Start a Gatherv."""

    def Iallgather(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Start an Allgather."""

    def Iallgatherv(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Start an Allgatherv."""

    def Ialltoall(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Start an Alltoall."""

    def Ialltoallv(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Start an Alltoallv."""

    def Ireduce(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM, root: int = 0) -> Request:
        """Start a Reduce."""

    def Iallreduce(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> Request:
        """Start an Allreduce."""

    def Ireduce_scatter(
        self, sendbuf: Any, recvbuf: Any, recvcounts: Sequence[int] | None = None, op: MPI.Op = SUM
    ) -> Request:
        """Start a Reduce_scatter."""

    def Ireduce_scatter_block(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> Request:
        """Start a Reduce_scatter_block."""

    def Iscan(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> Request:
        """Start a Scan."""

    def Iexscan(self, sendbuf: Any, recvbuf: Any, op: MPI.Op = SUM) -> Request:
        """Start an Exscan."""

    # -- collectives, objects -------------------------------------------------------------------

    def barrier(self) -> None:
        """Wait until all have come."""

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Root's object."""

    def scatter(self, sendobj: Sequence[Any] | None, root: int = 0) -> Any:
        """Item i of root's sequence at rank i."""

    def gather(self, sendobj: Any, root: int = 0) -> list | None:
        """All objects in rank order at root, None elsewhere."""

    def allgather(self, sendobj: Any) -> list:
        """All objects in rank order."""

    def alltoall(self, sendobj: Sequence[Any]) -> list:
        """Item i of every rank's sequence at rank i."""

    def reduce(self, sendobj: Any, op: Any = SUM, root: int = 0) -> Any:
        """All objects combined in rank order at root, None elsewhere."""

    def allreduce(self, sendobj: Any, op: Any = SUM) -> Any:
        """All objects combined in rank order."""

    def scan(self, sendobj: Any, op: Any = SUM) -> Any:
        """The objects of ranks 0 to this one combined."""

    def exscan(self, sendobj: Any, op: Any = SUM) -> Any:
        """The objects of the ranks below combined; None at rank 0."""

    # -- making communicators: collective -------------------------------------------------------

    def Dup(self, info: Any = None) -> Communicator:
        """The same ranks; messages of one communicator never meet those of another."""

    def Split(self, color: int = 0, key: int = 0) -> Communicator:
        """One communicator for each color, its ranks in the order of their keys."""

    def Split_type(self, split_type: int, key: int = 0, info: Any = INFO_NULL) -> Communicator:
        """One communicator for each node, with ``MPI.COMM_TYPE_SHARED``."""

    def Create_cart(
        self, dims: Sequence[int], periods: Sequence[bool] | None = None, reorder: bool = False
    ) -> Communicator:
        """The ranks on a grid, row by row, with ``Shift``, ``Sub``, ``Get_coords``, ``Get_cart_rank``."""

    def Free(self) -> None:
        """Give the communicator back."""

    def Abort(self, errorcode: int = 0) -> None:
        """End all ranks."""
