"""Room to work in, kept from call to call.

Fresh memory is not free: the system clears and maps it page by page, which for megabytes takes longer
than combining them. So this process keeps large scratch arrays, and lends one again to which nothing else
refers any more. Small ones are ordinary.
"""

from __future__ import annotations

import sys
from collections import defaultdict, deque

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import LINE_BYTES

SMALL_BYTES = 1 << 16  # below, NumPy's and the C library's own stores are quick
KEPT_BYTES = 1 << 27  # at most so much is kept

# By number of elements and type. An array is taken out while its references are counted: several threads may ask.
_kept: defaultdict[tuple[int, np.dtype], deque[np.ndarray]] = defaultdict(deque)


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
    if num_elements * dtype.itemsize < SMALL_BYTES:
        return np.empty(num_elements, dtype)
    arrays = _kept[num_elements, dtype]
    array = _unused(arrays)
    if array is None:
        array = _fresh(num_elements, dtype)
        if not _make_room(array.nbytes):
            return array
        arrays = _kept[num_elements, dtype]
    arrays.append(array)
    return array


def _fresh(num_elements: int, dtype: np.dtype) -> np.ndarray:
    """A new array that begins a cache line. Slices of it refer to its base, all of its memory."""
    num_bytes = num_elements * dtype.itemsize
    memory = np.empty(num_bytes + LINE_BYTES, np.uint8)
    start = -MPI.Get_address(memory) % LINE_BYTES
    return memory[start : start + num_bytes].view(dtype)


def _references(array: np.ndarray) -> tuple[int, int]:
    """To an array and to its memory."""
    return sys.getrefcount(array), sys.getrefcount(array.base)


def _references_of_variable() -> tuple[int, int]:
    """What :func:`_references` gives if one variable refers to the array, and nothing to a slice."""
    array = _fresh(1, np.dtype(np.uint8))
    return _references(array)


UNUSED = _references_of_variable()


def _unused(arrays: deque[np.ndarray]) -> np.ndarray | None:
    """An array that nobody has, nor a slice of it; it is in the store no more."""
    for _ in range(len(arrays)):
        try:
            array = arrays.pop()
        except IndexError:  # other threads have taken them
            return None
        if _references(array) == UNUSED:
            return array
        arrays.appendleft(array)
    return None


def _make_room(num_bytes: int) -> bool:
    """Forget all arrays if there would be too many, of sizes never asked for again. False: this one is too long."""
    if sum(array.nbytes for arrays in list(_kept.values()) for array in list(arrays)) + num_bytes > KEPT_BYTES:
        _kept.clear()
    return num_bytes <= KEPT_BYTES


def scratch_like(array: np.ndarray) -> np.ndarray:
    """Room of the size and type of a flat array."""
    return scratch(array.size, array.dtype)


def scratch_copy(array: np.ndarray) -> np.ndarray:
    """A copy of a flat array."""
    room = scratch(array.size, array.dtype)
    room[...] = array
    return room
