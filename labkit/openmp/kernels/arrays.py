"""The arrays that kernels take, checked: each function gives the array, or a UsageError that says the rule.

What fits is told by a few comparisons. After a loop over large arrays nothing of Python is left in the caches, and every
line of it costs as much as hundreds of elements.
"""

from __future__ import annotations

import math

import numpy as np

from labkit.errors import UsageError

FLOAT64 = np.dtype(np.float64)


def plain(name: str, array, words: str) -> np.ndarray:
    """An array without the ways of a subclass: of a mapped file, for example. A mask would be lost, and is refused."""
    if type(array) is np.ndarray:
        return array
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise UsageError(f"{name} is a NumPy array {words}, not {type(array).__name__}: pass np.array(...).")
    return array.view(np.ndarray)


def dense(name: str, array, num_dims: int, dtype=FLOAT64, shape: tuple | None = None) -> np.ndarray:
    """A contiguous array with ``num_dims`` dimensions of ``dtype``, of a shape if one is given."""
    if type(array) is np.ndarray and array.dtype is dtype and array.flags.carray and array.ndim == num_dims:
        if shape is None or array.shape == shape:
            return array
    dtype = np.dtype(dtype)
    array = plain(name, array, f"of {dtype}")
    if array.dtype != dtype:
        raise UsageError(f"{name} is an array of {dtype}, not {array.dtype}: pass {name}.astype('{dtype}').")
    if array.ndim != num_dims:
        words = f"{num_dims} dimension{'s' * (num_dims > 1)}"
        raise UsageError(f"{name} has {words}, but its shape is {array.shape}: reshape it.")
    if shape is not None and array.shape != shape:
        raise UsageError(f"{name} has shape {shape} to fit the others, not {array.shape}: pass such an array.")
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise UsageError(f"{name} lies contiguous and aligned in memory, and this one does not: pass {name}.copy().")
    return array


def vector(name: str, array, size: int | None = None, dtype=FLOAT64) -> np.ndarray:
    """One dimension, contiguous, of a size if one is given."""
    return dense(name, array, 1, dtype, None if size is None else (size,))


def matrix(name: str, array, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Two dimensions, float64, rows one after the other."""
    return dense(name, array, 2, FLOAT64, shape)


def output(out: np.ndarray | None, shape: tuple, dtype, *inputs: np.ndarray) -> np.ndarray:
    """Where a result goes: a new array, or ``out``, which fits and shares no memory with the inputs."""
    if out is None:
        return np.empty(shape, dtype)
    out = dense("out", out, len(shape), dtype, shape)
    if not out.flags.writeable:
        raise UsageError("out cannot be written to: pass an array that can, or leave out away.")
    for array in inputs:
        if np.may_share_memory(out, array):
            raise UsageError("out shares memory with an input, which would change while it is read: pass another array.")
    return out


def finite_number(name: str, value) -> float:
    """A real number that is not NaN or infinite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{name} is a finite number, not {value!r:.60}: pass such a number.")
    return number
