"""All-reduces that know where ranks are: by nodes, and in the shared memory of one node.

References
----------
Jain, Kaleem, Balmana, Langer, Durnov, Sannikov, Garzaran: Framework for scalable intra-node collective
operations using shared memory, SC 2018. MPI 4.1, section 12.2.3 (MPI_WIN_ALLOCATE_SHARED).
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import reduce_local
from labkit.mpi.arguments import check_count, usage_error
from labkit.mpi.collectives.allreduce import allreduce_rabenseifner
from labkit.mpi.collectives.arguments import IN_PLACE, block_ends, check_op, flat, own_copy
from labkit.mpi.collectives.broadcast import broadcast_binomial
from labkit.mpi.collectives.fused import TYPES, sum_into_all
from labkit.mpi.collectives.reduce import reduce_binomial


def allreduce_hierarchical(
    comm, sendbuf, recvbuf, *, op=MPI.SUM, ranks_per_node: int | None = None, node_comm=None, leader_comm=None
) -> None:
    """Reduce inside each node to its first rank, all-reduce among those, broadcast inside each node.

    The choice where a node's ranks talk to each other much faster than to other nodes: only one rank of a
    node uses the network. Parameters and errors as :func:`.allreduce.allreduce_reduce_broadcast`; the
    operation must commute.

    Parameters
    ----------
    ranks_per_node : int, optional
        Treat so many consecutive ranks as a node; by default those that can share memory.
    node_comm, leader_comm : communicator, optional
        From :func:`node_communicators`: making them takes longer than using them, so keep them.

    Notes
    -----
    With q ranks on each of N nodes: 2 ceil(lg q) rounds of n bytes inside, and Rabenseifner's 2 lg N rounds
    and 2 n (N - 1) / N bytes between nodes. Bitwise equal on all ranks.
    """
    call = "allreduce_hierarchical"
    data = own_copy(comm, call, sendbuf, recvbuf, op, must_commute=True)
    mine = node_comm is None
    if mine:
        node_comm, leader_comm = node_communicators(comm, ranks_per_node)
    reduce_binomial(node_comm, IN_PLACE if node_comm.rank == 0 else data, data, op=op)
    if node_comm.rank == 0:
        allreduce_rabenseifner(leader_comm, IN_PLACE, data, op=op)
    broadcast_binomial(node_comm, data)
    if mine:
        if leader_comm != MPI.COMM_NULL:
            leader_comm.Free()
        node_comm.Free()


def node_communicators(comm, ranks_per_node: int | None = None):
    """Collective: (communicator of this rank's node, communicator of the first ranks of all nodes).

    The second is MPI.COMM_NULL on all other ranks. Free both when they are not needed any more.
    """
    if ranks_per_node is None:
        node_comm = comm.Split_type(MPI.COMM_TYPE_SHARED)
    else:
        ranks_per_node = check_count(comm, "node_communicators", "ranks_per_node", ranks_per_node, 1)
        node_comm = comm.Split(comm.rank // ranks_per_node, comm.rank)
    leader_comm = comm.Split(0 if node_comm.rank == 0 else MPI.UNDEFINED, comm.rank)
    return node_comm, leader_comm


class SharedVectors:
    """Vectors of all ranks of one node in memory that all of them can read and write.

    Making it is collective and takes a while; then :meth:`allreduce` needs no messages: each rank combines
    its slice of all vectors and writes the result into all of them.

    Parameters
    ----------
    comm : communicator
        All of its ranks must be on one node.
    num_elements : int
    dtype : numpy dtype

    Attributes
    ----------
    own : numpy.ndarray
        This rank's vector: fill it, call ``allreduce``, read the result.

    Raises
    ------
    UsageError
        The ranks are on several nodes, or disagree about the size.
    """

    def __init__(self, comm, num_elements: int, dtype=np.float64):
        call = "SharedVectors"
        num_elements = check_count(comm, call, "num_elements", num_elements)
        flat(comm, call, np.empty(0, dtype), "a vector")  # a type that MPI knows
        node_comm = comm.Split_type(MPI.COMM_TYPE_SHARED)
        node_size = node_comm.size
        node_comm.Free()
        if node_size != comm.size:
            raise usage_error(
                comm, call, f"only {node_size} of {comm.size} ranks are on this node. "
                "Use allreduce_hierarchical across nodes.",
            )
        sizes = comm.allgather((num_elements, np.dtype(dtype).str))
        if len(set(sizes)) > 1:
            raise usage_error(comm, call, f"the ranks ask for {sizes}. All pass the same num_elements and dtype.")
        self.comm, self.dtype = comm, np.dtype(dtype)
        # Each vector begins a cache line of its own.
        padded = -(-max(num_elements, 1) * self.dtype.itemsize // 64) * 64
        self.window = MPI.Win.Allocate_shared(padded, 1, comm=comm)
        self.vectors = []
        for rank in range(comm.size):
            memory, _ = self.window.Shared_query(rank)
            self.vectors.append(np.frombuffer(memory, self.dtype, num_elements))
        self.own = self.vectors[comm.rank]
        ends = block_ends(num_elements, comm.size)
        self.slice = slice(ends[comm.rank], ends[comm.rank + 1])
        self.window.Lock_all(MPI.MODE_NOCHECK)

    def allreduce(self, op=MPI.SUM) -> None:
        """Every rank's vector becomes the combination of all. Collective.

        Notes
        -----
        Two barriers; each rank reads p slices and writes p. Bitwise equal on all ranks, and in rank order, so
        the operation need not commute: each element is computed once, from left to right.
        """
        check_op(self.comm, "SharedVectors.allreduce", op, self.own)
        self._meet()  # all vectors are filled
        if self.slice.stop > self.slice.start:
            self._combine(op)
        self._meet()  # all slices are written

    def _combine(self, op) -> None:
        mine = [vector[self.slice] for vector in self.vectors]
        if op == MPI.SUM and self.dtype in TYPES:
            sum_into_all(mine)
            return
        total, *others = mine
        for vector in others:
            reduce_local(self.comm, total, vector, op, total)
        for vector in others:
            vector[...] = total

    def _meet(self) -> None:
        """A barrier after which the memory of the others is what they have written."""
        self.window.Sync()
        self.comm.Barrier()
        self.window.Sync()

    def free(self) -> None:
        """Give the memory back. Collective."""
        self.own, self.vectors = None, []
        self.window.Unlock_all()
        self.window.Free()


def allreduce_shared_memory(comm, sendbuf, recvbuf, *, op=MPI.SUM, shared: SharedVectors | None = None) -> None:
    """All-reduce through the shared memory of a node: no messages at all.

    The fastest way on one node. Fastest when the data live in a :class:`SharedVectors` from the start: then
    call its ``allreduce``. This function copies in and out, and keeps ``shared`` between calls if given.
    Parameters and errors as :func:`.allreduce.allreduce_reduce_broadcast`; the operation need not commute.

    Notes
    -----
    Bitwise equal on all ranks.
    """
    call = "allreduce_shared_memory"
    recv = own_copy(comm, call, sendbuf, recvbuf, op)
    vectors = shared or SharedVectors(comm, recv.size, recv.dtype)
    if vectors.own.size != recv.size or vectors.dtype != recv.dtype:
        raise usage_error(
            comm, call, f"recvbuf has {recv.size} elements of {recv.dtype}, but shared {vectors.own.size} of "
            f"{vectors.dtype}. Make a SharedVectors of the same size and type.",
        )
    vectors.own[...] = recv
    vectors.allreduce(op)
    recv[...] = vectors.own
    if shared is None:
        vectors.free()
    # Others write into this rank's vector only after its next call: the result is safe until then.
