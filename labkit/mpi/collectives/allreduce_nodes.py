"""All-reduces that know where ranks are: by nodes, and in the shared memory of one node.

References
----------
Jain, Kaleem, Balmana, Langer, Durnov, Sannikov, Garzaran: Framework for scalable intra-node collective
operations using shared memory, SC 2018.
"""

from __future__ import annotations

from mpi4py import MPI

from labkit.mpi.arguments import check_count, usage_error
from labkit.mpi.collectives.allreduce import allreduce_rabenseifner
from labkit.mpi.collectives.arguments import IN_PLACE, block_ends, own_copy
from labkit.mpi.collectives.broadcast import broadcast_binomial
from labkit.mpi.collectives.reduce import reduce_binomial
from labkit.mpi.collectives.shared_vectors import ROOM_BYTES, Passage, SharedVectors, room_of


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


def allreduce_shared_memory(comm, sendbuf, recvbuf, *, op=MPI.SUM, shared: SharedVectors | None = None) -> None:
    """All-reduce through the shared memory of a node: no messages at all.

    A rank's own slice never leaves its buffer: it copies the others' slices into shared memory, combines its own slice
    of all ranks there, and copies back what the others have made of theirs. Fastest when the data live in a
    :class:`.SharedVectors` from the start: then call its ``allreduce``. Parameters and errors as
    :func:`.allreduce.allreduce_reduce_broadcast`; the operation need not commute.

    Parameters
    ----------
    shared : SharedVectors, optional
        To pass through, of the size and type of the buffer; what it holds is lost. By default a room of 4 MiB a rank,
        kept with the communicator, through which longer vectors pass in pieces.

    Notes
    -----
    Two barriers a piece; each rank copies n (p - 1) / p bytes in and as many out. Bitwise equal on all ranks, and in
    rank order.
    """
    call = "allreduce_shared_memory"
    recv = own_copy(comm, call, sendbuf, recvbuf, op)
    if shared is not None:
        if shared.own.size != recv.size or shared.dtype != recv.dtype:
            raise usage_error(
                comm, call, f"recvbuf has {recv.size} elements of {recv.dtype}, but shared {shared.own.size} of "
                f"{shared.dtype}. Make a SharedVectors of the same size and type.",
            )
        passage = Passage(shared, shared.vectors)
        passage.copy_in(recv)
        shared.meet(comm)
        passage.combine(recv, op)
        shared.meet(comm)
        passage.copy_out(recv)
        return
    room = room_of(comm, call)
    room.enter(comm)
    room.say(recv)
    length = ROOM_BYTES // recv.itemsize
    for start in range(0, max(recv.size, 1), length):
        piece = recv[start : start + length]
        passage = room.passage(piece.size, recv.dtype)
        passage.copy_in(piece)
        room.shared.meet(comm)
        room.check(comm, call)
        passage.combine(piece, op)
        room.shared.meet(comm)
        passage.copy_out(piece)
