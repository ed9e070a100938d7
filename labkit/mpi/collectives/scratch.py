"""Room to work in, kept from call to call.

Fresh memory is not free: the system clears and maps it page by page, which for megabytes takes longer
than combining them. So large scratch arrays come from a store of this process and go back to it when
nobody refers to them any more. Small ones are ordinary.
"""

from __future__ import annotations

import weakref

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import LINE_BYTES

SMALL_BYTES = 1 << 16  # below, NumPy's and the C library's own stores are quick
KEPT_BYTES = 1 << 27  # at most so much is kept for later

# By size, a power of two. Each step on it is one operation of Python's: several threads may communicate.
_free: dict[int, list[memoryview]] = {}
_loans: dict[int, _Loan] = {}  # by the id of the loan: references to arrays do not hash


class _Loan(weakref.ref):
    """A reference to an array that has been given out, with the memory that it is in."""

    __slots__ = ("memory",)


def scratch(num_elements: int, dtype) -> np.ndarray:
    """An array of ``num_elements`` with anything in it, as from ``np.empty``; on a GPU if the type says so.

    Examples
    --------
    >>> scratch(3, np.float32).shape
    (3,)
    """
    if not isinstance(dtype, (np.dtype, type)) and hasattr(dtype, "empty"):  # the type of a TensorArray
        return dtype.empty(num_elements)
    dtype = np.dtype(dtype)
    num_bytes = num_elements * dtype.itemsize
    if num_bytes < SMALL_BYTES:
        return np.empty(num_elements, dtype)
    size = 1 << (num_bytes - 1).bit_length()
    try:
        memory = _free[size].pop()
    except (KeyError, IndexError):
        memory = _fresh(size)
    array = np.frombuffer(memory, dtype, num_elements)  # slices of it keep it alive, not only its memory
    loan = _Loan(array, _take_back)
    loan.memory = memory
    _loans[id(loan)] = loan
    return array


def _fresh(size: int) -> memoryview:
    """New memory that begins a cache line."""
    memory = np.empty(size + LINE_BYTES, np.uint8)
    start = -MPI.Get_address(memory) % LINE_BYTES
    return memory[start : start + size].data


def scratch_like(array: np.ndarray) -> np.ndarray:
    """Room of the size and type of a flat array."""
    return scratch(array.size, array.dtype)


def scratch_copy(array: np.ndarray) -> np.ndarray:
    """A copy of a flat array."""
    room = scratch(array.size, array.dtype)
    room[...] = array
    return room


def _take_back(loan: _Loan) -> None:
    """Nobody refers to the array any more."""
    memory = _loans.pop(id(loan)).memory
    if sum(size * len(memories) for size, memories in list(_free.items())) + memory.nbytes > KEPT_BYTES:
        _free.clear()  # of sizes that may never be asked for again
    if memory.nbytes <= KEPT_BYTES:
        _free.setdefault(memory.nbytes, []).append(memory)
