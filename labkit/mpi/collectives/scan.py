"""Prefix reductions: rank k gets the vectors of ranks 0 to k combined (scan), or 0 to k - 1 (exscan).

``sendbuf`` may be MPI.IN_PLACE. Operations need not commute. After an exscan, ``recvbuf`` of rank 0 is
what it was.

References
----------
Hillis, Steele: Data parallel algorithms, CACM 29(12), 1986.
"""

from __future__ import annotations

from mpi4py import MPI

from labkit.comm.reduction import reduce_local
from labkit.mpi.collectives.arguments import IN_PLACE, check_op, check_pair, flat
from labkit.mpi.collectives.messages import exchange, receive
from labkit.mpi.collectives.scratch import scratch_copy, scratch_like

TAG = 10


def scan_linear(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """Each rank waits for the result of the one before it, adds its own, and passes it on.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, n elements, or MPI.IN_PLACE
    recvbuf : array, n elements
    op : mpi4py.MPI.Op

    Raises
    ------
    UsageError
        Sizes or types differ, a buffer is no contiguous array, or ``op`` is not defined for the type.

    Notes
    -----
    p - 1 rounds of n bytes, n (p - 1) combined one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     x = np.array([comm.rank + 1])
    ...     scan_linear(comm, MPI.IN_PLACE, x)
    ...     return int(x[0])
    >>> simulate(4, program).results
    [1, 3, 6, 10]
    """
    own, result = _prepared(comm, "scan_linear", sendbuf, recvbuf, op)
    _linear(comm, own, result, op, inclusive=True)


def exscan_linear(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """As :func:`scan_linear`, without the own vector in the result.

    Notes
    -----
    p - 1 rounds of n bytes, n (p - 2) combined one after the other.
    """
    own, result = _prepared(comm, "exscan_linear", sendbuf, recvbuf, op)
    _linear(comm, own, result, op, inclusive=False)


def _linear(comm, own, result, op, *, inclusive: bool) -> None:
    is_last = comm.rank == comm.size - 1
    total, before = own, None
    if comm.rank > 0:
        before = scratch_like(own) if inclusive else result
        receive(comm, before, comm.rank - 1, TAG)
        if inclusive or not is_last:
            total = result if inclusive else scratch_like(own)
            reduce_local(comm, before, own, op, total)
    if not is_last:
        comm.Send(total, comm.rank + 1, TAG)
    if inclusive and total is not result:
        result[...] = total


def scan_recursive_doubling(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """In round k, get the sum over the 2^k ranks that end 2^k before you.

    Parameters and errors as :func:`scan_linear`.

    Notes
    -----
    ceil(lg p) rounds of n bytes, n ceil(lg p) combined.
    """
    own, result = _prepared(comm, "scan_recursive_doubling", sendbuf, recvbuf, op)
    _doubling(comm, own, result, op, inclusive=True)


def exscan_recursive_doubling(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """As :func:`scan_recursive_doubling`, without the own vector in the result.

    Notes
    -----
    ceil(lg p) rounds of n bytes, n (2 ceil(lg p) - 1) combined.
    """
    own, result = _prepared(comm, "exscan_recursive_doubling", sendbuf, recvbuf, op)
    _doubling(comm, own, result, op, inclusive=False)


def _doubling(comm, own, result, op, *, inclusive: bool) -> None:
    rank, size = comm.rank, comm.size
    total = own  # of the ranks from here back, twice as many after each round
    room = result if inclusive else scratch_like(own)
    arriving = scratch_like(own)
    have_before = inclusive  # whether ``result`` has the same without the own vector
    distance = 1
    while distance < size:
        dest = rank + distance if rank + distance < size else MPI.PROC_NULL
        source = rank - distance if rank >= distance else MPI.PROC_NULL
        theirs = arriving if have_before else result
        exchange(comm, total, dest, theirs, source, TAG)
        if source != MPI.PROC_NULL:
            if not inclusive and have_before:
                reduce_local(comm, theirs, result, op)
            reduce_local(comm, theirs, total, op, room)
            total, have_before = room, True
        distance *= 2
    if inclusive and total is not result:
        result[...] = total


def _prepared(comm, call, sendbuf, recvbuf, op):
    """The own vector and where the result goes."""
    result = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
    check_op(comm, call, op, result)
    if sendbuf is IN_PLACE:
        return scratch_copy(result), result
    own = flat(comm, call, sendbuf, "sendbuf")
    check_pair(comm, call, "sendbuf", own, "recvbuf", result)
    return own, result
