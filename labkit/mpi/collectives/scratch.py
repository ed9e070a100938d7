"""Room to work in, kept from call to call.

Fresh memory is not free: the system clears and maps it page by page, which for megabytes takes longer
than combining them. So large scratch arrays come from a store of this process and go back to it when
nobody refers to them any more. Small ones are ordinary.
"""

from __future__ import annotations

import weakref

import numpy as np

SMALL_BYTES = 1 << 16  # below, NumPy's and the C library's own stores are quick
KEPT_BYTES = 1 << 27  # at most so much is kept for later

_free: list[np.ndarray] = []
_lent: dict[int, tuple[weakref.ref, np.ndarray]] = {}  # by the reference's id: references to arrays do not hash


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
    fitting = [index for index, memory in enumerate(_free) if memory.nbytes >= num_bytes]
    if fitting:
        memory = _free.pop(min(fitting, key=lambda index: _free[index].nbytes))
    else:
        memory = np.empty(num_bytes, np.uint8)
    array = np.frombuffer(memory.data, dtype, num_elements)  # slices of it keep it alive, not only its memory
    reference = weakref.ref(array, _take_back)
    _lent[id(reference)] = reference, memory
    return array


def scratch_like(array: np.ndarray) -> np.ndarray:
    """Room of the size and type of a flat array."""
    return scratch(array.size, array.dtype)


def scratch_copy(array: np.ndarray) -> np.ndarray:
    """A copy of a flat array."""
    room = scratch(array.size, array.dtype)
    room[...] = array
    return room


def _take_back(reference: weakref.ref) -> None:
    """Nobody refers to the array any more."""
    _free.append(_lent.pop(id(reference))[1])
    while sum(memory.nbytes for memory in _free) > KEPT_BYTES:
        _free.pop(0)
