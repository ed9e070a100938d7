"""Calling any collective algorithm of the registry in one way: buffers made once, then ready to be called.

Every operation takes its own buffers: a barrier none, a scatter one at the root and a block elsewhere.
Here they follow from one number, the n elements of the whole buffer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from labkit.errors import UsageError
from labkit.mpi.collectives.registry import Algorithm

EQUAL_BLOCKS = ("scatter", "gather", "allgather", "reduce_scatter", "alltoall")  # n is a multiple of p
REDUCES = ("reduce", "reduce_scatter", "allreduce", "scan", "exscan")
ROOTED = ("broadcast", "scatter", "gather", "reduce")


def num_elements_for(operation: str, num_ranks: int, num_bytes: float, itemsize: int = 8) -> int:
    """Elements of the whole buffer for about ``num_bytes``, at least one, rounded up to equal blocks where they must be.

    Examples
    --------
    >>> num_elements_for("allreduce", 6, 80), num_elements_for("allgather", 6, 80), num_elements_for("barrier", 6, 80)
    (10, 12, 0)
    """
    if operation == "barrier":
        return 0
    unit = itemsize * (num_ranks if operation in EQUAL_BLOCKS else 1)
    return max(1, -(-int(num_bytes) // unit)) * unit // itemsize


def own_size(operation: str, num_ranks: int, num_elements: int) -> int:
    """Elements that a rank contributes: a block to a gather or an all-gather, else the whole buffer."""
    return num_elements // num_ranks if operation in ("gather", "allgather") else num_elements


def prepare(
    comm, algorithm: Algorithm, own: np.ndarray, *, root: int = 0, op=MPI.SUM, **options
) -> tuple[Callable[[], None], np.ndarray | None]:
    """A call of the algorithm that needs no arguments, and the buffer in which its result will be.

    Parameters
    ----------
    comm : communicator
    algorithm : Algorithm
    own : array
        What this rank contributes, :func:`own_size` elements. Read by a scatter or broadcast at the root only.
    root : int
        Of the operations that have one.
    op : mpi4py.MPI.Op
        Of the operations that reduce.
    **options
        Handed to the algorithm, for example ``segment_bytes``.

    Returns
    -------
    call : callable
    result : array or None
        None on ranks that get none, and for a barrier. Filled with -1 until the call.

    Raises
    ------
    UsageError
        A buffer that has to be equal blocks is not.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.mpi.collectives.registry import find
    >>> def program(comm):
    ...     call, result = prepare(comm, find("reduce_scatter_ring"), np.arange(3) + comm.rank)
    ...     call()
    ...     return result.tolist()
    >>> simulate(3, program).results
    [[3], [6], [9]]
    """
    operation, size = algorithm.operation, comm.size
    at_root = comm.rank == root
    whole = own.size * size if operation in ("gather", "allgather") else own.size
    if operation in EQUAL_BLOCKS and whole % size:
        raise UsageError(f"{algorithm.name}: {whole} elements do not divide into {size} equal blocks.")
    if operation in ROOTED:
        options["root"] = root
    if operation in REDUCES:
        options["op"] = op

    def room(num_elements: int) -> np.ndarray:
        return np.full(num_elements, -1, own.dtype)

    if operation == "barrier":
        buffers, result = (), None
    elif operation == "broadcast":
        result = own.copy() if at_root else room(whole)
        buffers = (result,)
    elif operation == "scatter":
        result = room(whole // size)
        buffers = (own if at_root else None, result)
    else:
        has_result = at_root or operation not in ROOTED
        result = room(whole // size if operation == "reduce_scatter" else whole) if has_result else None
        buffers = (own, result)
    return (lambda: algorithm.function(comm, *buffers, **options)), result
