"""Reductions to one rank. Every rank has n elements; at the root, ``recvbuf`` gets them combined.

``sendbuf`` may be MPI.IN_PLACE at the root: its contribution stands in ``recvbuf``. An operation that
does not commute is applied in the order of the ranks.

References
----------
Thakur, Rabenseifner, Gropp 2005, section 4.5. Rabenseifner: Optimization of collective reduction
operations, ICCS 2004.
"""

from __future__ import annotations

from mpi4py import MPI

from labkit.comm.reduction import reduce_local
from labkit.mpi.arguments import usage_error
from labkit.mpi.collectives.arguments import (
    IN_PLACE,
    Fold,
    block_ends,
    check_op,
    check_pair,
    check_root,
    flat,
)
from labkit.mpi.collectives.messages import receive
from labkit.mpi.collectives.reduce_scatter import reduce_scatter_blocks_halving
from labkit.mpi.collectives.scratch import scratch_like

TAG = 6


def reduce_flat(comm, sendbuf, recvbuf, *, op=MPI.SUM, root: int = 0) -> None:
    """The root receives every vector and combines them in the order of the ranks.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, n elements, or MPI.IN_PLACE at the root
    recvbuf : array, n elements
        At the root; None elsewhere.
    op : mpi4py.MPI.Op
    root : int

    Raises
    ------
    UsageError
        Sizes or types do not fit together, ``root`` is no rank, a buffer is no contiguous array, or
        ``op`` is not defined for the type.

    Notes
    -----
    p - 1 rounds of n bytes, all combined at the root. The result is that of the loop
    ``x[0] op x[1] op ...`` from left to right.

    Examples
    --------
    >>> import numpy as np
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     total = np.empty(1) if comm.rank == 0 else None
    ...     reduce_flat(comm, np.array([1.0 + comm.rank]), total)
    ...     return total
    >>> simulate(4, program).results[0]
    array([10.])
    """
    call = "reduce_flat"
    own, result = _prepared(comm, call, sendbuf, recvbuf, op, root)
    if comm.rank != root:
        comm.Send(own, root, TAG)
        return
    total = room = None
    for rank in range(comm.size):
        theirs = own
        if rank != root:
            theirs = room = scratch_like(own) if room is None or room is total else room
            receive(comm, theirs, rank, TAG)
        if total is None:
            total = theirs
        else:  # a contribution that stands in recvbuf is read before anything is written there
            into = result if own is not result or rank >= root else total
            reduce_local(comm, total, theirs, op, into)
            total = into
    if total is not result:  # there is one rank only
        result[...] = total


def reduce_binomial(comm, sendbuf, recvbuf, *, op=MPI.SUM, root: int = 0) -> None:
    """Pairs combine their vectors, then pairs of pairs, up to the root.

    The choice for short vectors. Parameters and errors as :func:`reduce_flat`.

    Notes
    -----
    ceil(lg p) rounds of n bytes, n ceil(lg p) combined. One round more for an operation that does not
    commute and a root other than 0: the tree then stands on rank 0.
    """
    own, result = _prepared(comm, "reduce_binomial", sendbuf, recvbuf, op, root)
    size = comm.size
    top = root if op.Is_commutative() else 0  # of the tree
    me = (comm.rank - top) % size
    total = own  # until something is combined with it
    theirs = room = None
    mask = 1
    while mask < size and not me & mask:
        if me + mask < size:
            if theirs is None:
                theirs, room = scratch_like(own), result if comm.rank == root == top else scratch_like(own)
            receive(comm, theirs, (me + mask + top) % size, TAG)
            reduce_local(comm, total, theirs, op, room)
            total = room
        mask *= 2
    if me:
        comm.Send(total, (me - mask + top) % size, TAG)
    elif top != root:
        comm.Send(total, root, TAG)
    if comm.rank == root:
        if top != root:
            receive(comm, result, top, TAG)
        elif total is not result:
            result[...] = total


def reduce_rabenseifner(comm, sendbuf, recvbuf, *, op=MPI.SUM, root: int = 0) -> None:
    """Reduce-scatter by recursive halving, then gather the blocks at the root.

    The choice for long vectors: every rank combines its share only. For p that is no power of two the
    first ranks pair up before. Parameters and errors as :func:`reduce_flat`; the operation must commute.

    Notes
    -----
    2 lg p rounds, 2 n (p - 1) / p bytes, n (p - 1) / p combined; one more round of n bytes if p is no
    power of two.
    """
    call = "reduce_rabenseifner"
    own, result = _prepared(comm, call, sendbuf, recvbuf, op, root, must_commute=True)
    size = comm.size
    me = (comm.rank - root) % size  # ranks are counted from the root, which always acts
    fold = Fold(size, me)

    def rank_of(number):
        return (fold.rank_of(number) + root) % size

    if not fold.acts:
        comm.Send(own, (fold.partner + root) % size, TAG)
        return
    total, theirs = scratch_like(own) if result is None else result, scratch_like(own)
    if fold.is_folded:
        receive(comm, theirs, (fold.partner + root) % size, TAG)
        reduce_local(comm, own, theirs, op, total)
        own = total
    ends = block_ends(own.size, fold.num_acting)
    reduce_scatter_blocks_halving(comm, own, total, theirs, ends, fold.number, fold.num_acting, rank_of, op)
    mask = 1  # gather: the blocks of a binomial tree come together
    while mask < fold.num_acting and not fold.number & mask:
        other = fold.number + mask
        receive(comm, total[ends[other] : ends[other + mask]], rank_of(other), TAG)
        mask *= 2
    if fold.number:
        comm.Send(total[ends[fold.number] : ends[fold.number + mask]], rank_of(fold.number - mask), TAG)
    elif fold.num_acting == 1 and own is not total:
        total[...] = own


def _prepared(comm, call, sendbuf, recvbuf, op, root, *, must_commute=False):
    """The own contribution and, at the root, where the result goes."""
    check_root(comm, call, root)
    result = None
    if comm.rank == root:
        if recvbuf is None:
            raise usage_error(comm, call, "recvbuf is None at the root. Pass the buffer for the result.")
        result = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
    elif sendbuf is IN_PLACE:
        raise usage_error(comm, call, "sendbuf is MPI.IN_PLACE, which only the root may pass. Pass the vector.")
    own = result if sendbuf is IN_PLACE else flat(comm, call, sendbuf, "sendbuf")
    check_op(comm, call, op, own, must_commute=must_commute)
    if result is not None and sendbuf is not IN_PLACE:
        check_pair(comm, call, "sendbuf", own, "recvbuf", result)
    return own, result
