"""The collectives behind simulated communicators: MPICH's choice among labkit's own algorithms.

:mod:`labkit.comm.simulated.collectives` finds this module by its name. Arguments are flat arrays,
MPI.IN_PLACE or None; what a choice depends on is the same on all ranks.
"""

from __future__ import annotations

import functools

import numpy as np

from labkit.mpi.collectives.arguments import IN_PLACE, block_ends
from labkit.mpi.collectives.gather import gather_flat
from labkit.mpi.collectives.registry import find
from labkit.mpi.collectives.scatter import scatter_flat
from labkit.mpi.library_rules import library_choice

# Where MPICH would run something that labkit does not have.
FALLBACKS = {
    "barrier": "barrier_dissemination", "broadcast": "broadcast_binomial", "scatter": "scatter_binomial",
    "gather": "gather_binomial", "allgather": "allgather_ring", "reduce": "reduce_binomial",
    "reduce_scatter": "reduce_scatter_pairwise", "allreduce": "allreduce_recursive_doubling",
    "alltoall": "alltoall_pairwise", "scan": "scan_recursive_doubling", "exscan": "exscan_recursive_doubling",
}
LIBRARY = "mpich"
ASK_FOR_BUILT_IN = {"reduce", "allreduce"}  # whether the operation is MPI's own, where others ask whether it commutes
TAG = 11


@functools.lru_cache(maxsize=4096)
def chosen(op: str, num_ranks: int, num_bytes: int, commutative: bool = True, num_elements: int | None = None) -> str:
    """The name of the algorithm that runs; see :func:`.library_rules.library_choice` for the arguments.

    Examples
    --------
    >>> chosen("allreduce", 8, 1 << 20, num_elements=1 << 17)
    'allreduce_rabenseifner'
    """
    choice = library_choice(LIBRARY, op, num_ranks, num_bytes, commutative=commutative, num_elements=num_elements)
    name = choice.runs or FALLBACKS[op]
    return name if commutative or find(name).keeps_order else FALLBACKS[op]


def _run(op: str, comm, num_bytes: int, *arguments, reduction=None, num_elements=None, **options) -> None:
    commutative = True
    if reduction is not None:
        commutative = reduction.is_predefined if op in ASK_FOR_BUILT_IN else reduction.Is_commutative()
        options["op"] = reduction
    find(chosen(op, comm.size, num_bytes, commutative, num_elements)).function(comm, *arguments, **options)


def barrier(comm) -> None:
    _run("barrier", comm, 0)


def broadcast(comm, buffer, root) -> None:
    _run("broadcast", comm, buffer.nbytes, buffer, root=root, num_elements=buffer.size)


def scatter(comm, send, recv, root) -> None:
    block = send.nbytes // comm.size if recv is IN_PLACE or recv is None else recv.nbytes
    _run("scatter", comm, block, send if comm.rank == root else None, recv, root=root)


def gather(comm, send, recv, root) -> None:
    block = recv.nbytes // comm.size if send is IN_PLACE else send.nbytes
    _run("gather", comm, block, send, recv if comm.rank == root else None, root=root)


def scatterv(comm, send, counts, displs, recv, root) -> None:
    if comm.rank != root:
        scatter_flat(comm, None, recv, root=root)
        return
    counts = _counts(send, counts, comm.size)
    if displs is None:
        packed = send[: sum(counts)]
    else:
        packed = np.concatenate([send[d : d + count] for d, count in zip(displs, counts, strict=True)])
    own = recv if recv is IN_PLACE else recv[: counts[root]]
    scatter_flat(comm, packed, own, root=root, counts=counts)


def gatherv(comm, send, recv, counts, displs, root) -> None:
    if comm.rank != root:
        gather_flat(comm, send, None, root=root)
        return
    counts = _counts(recv, counts, comm.size)
    places = _places(counts, displs)
    packed = np.empty(sum(counts), recv.dtype)
    own = recv[places[root] : places[root] + counts[root]] if send is IN_PLACE else send
    gather_flat(comm, own, packed, root=root, counts=counts)
    _unpack(packed, recv, counts, places)


def allgather(comm, send, recv) -> None:
    _run("allgather", comm, recv.nbytes // comm.size, send, recv)


def allgatherv(comm, send, recv, counts, displs) -> None:
    counts = _counts(recv, counts, comm.size)
    places = _places(counts, displs)
    packed = np.empty(sum(counts), recv.dtype)
    own = recv[places[comm.rank] : places[comm.rank] + counts[comm.rank]] if send is IN_PLACE else send
    find("allgather_ring").function(comm, own, packed, counts=counts)
    _unpack(packed, recv, counts, places)


def alltoall(comm, send, recv) -> None:
    _run("alltoall", comm, recv.nbytes // comm.size, send, recv)


def alltoallv(comm, send, send_counts, send_displs, recv, recv_counts, recv_displs) -> None:
    rank, size = comm.rank, comm.size
    send_counts, recv_counts = _counts(send, send_counts, size), _counts(recv, recv_counts, size)
    outgoing, places = _places(send_counts, send_displs), _places(recv_counts, recv_displs)
    for step in range(size):
        dest, source = (rank + step) % size, (rank - step) % size
        comm.Sendrecv(
            send[outgoing[dest] : outgoing[dest] + send_counts[dest]], dest, TAG,
            recv[places[source] : places[source] + recv_counts[source]], source, TAG,
        )


def reduce(comm, send, recv, op, root) -> None:
    data = recv if send is IN_PLACE else send
    result = recv if comm.rank == root else None
    _run("reduce", comm, data.nbytes, send, result, root=root, reduction=op, num_elements=data.size)


def allreduce(comm, send, recv, op) -> None:
    _run("allreduce", comm, recv.nbytes, send, recv, reduction=op, num_elements=recv.size)


def reduce_scatter(comm, send, recv, counts, op) -> None:
    data = recv if send is IN_PLACE else send
    if counts is None and send is not IN_PLACE:
        counts = comm.size * [recv.size]
    _run("reduce_scatter", comm, data.nbytes, send, recv, counts=counts, reduction=op, num_elements=data.size)


def scan(comm, send, recv, op) -> None:
    _run("scan", comm, recv.nbytes, send, recv, reduction=op, num_elements=recv.size)


def exscan(comm, send, recv, op) -> None:
    _run("exscan", comm, recv.nbytes, send, recv, reduction=op, num_elements=recv.size)


def _counts(buffer, counts, size: int) -> list[int]:
    """Elements of each rank; by default the buffer cut evenly, as mpi4py does."""
    if counts is not None:
        return list(counts)
    ends = block_ends(buffer.size, size)
    return [b - a for a, b in zip(ends[:-1], ends[1:], strict=True)]


def _places(counts, displs) -> list[int]:
    """Where each rank's block begins."""
    if displs is not None:
        return list(displs)
    places = [0]
    for count in counts[:-1]:
        places.append(places[-1] + count)
    return places


def _unpack(packed, recv, counts, places) -> None:
    """Blocks that lie one behind the other, to their places."""
    start = 0
    for place, count in zip(places, counts, strict=True):
        recv[place : place + count] = packed[start : start + count]
        start += count

