"""Checks that all versions share: the array of logits, and the array for the result."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from labkit.errors import UsageError

DTYPES = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def check_rows(name: str, array) -> np.ndarray:
    """``array``: two dimensions, contiguous, float16, float32 or float64; anything else is a UsageError."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        kind = type(array).__name__
        raise UsageError(f"{name} is a NumPy array of floats, rows by columns, not a {kind}: pass such an array.")
    if array.dtype not in DTYPES or not array.dtype.isnative:
        raise UsageError(
            f"{name} has elements of float16, float32 or float64 in this machine's byte order, not {array.dtype!r}: "
            f"pass for example {name}.astype(numpy.float32)."
        )
    if array.ndim != 2:
        hint = f"{name}[None, :]" if array.ndim == 1 else f"{name}.reshape(-1, {name}.shape[-1])"
        raise UsageError(f"{name} has two dimensions, rows by columns, but its shape is {array.shape}: pass {hint}.")
    if not array.flags.c_contiguous:
        raise UsageError(
            f"{name} is contiguous (row after row), but has the strides {array.strides} bytes: "
            f"pass numpy.ascontiguousarray({name})."
        )
    return array


def check_same(name: str, array, other_name: str, other: np.ndarray) -> np.ndarray:
    """``array`` as :func:`check_rows` has it, of the shape and type of ``other``."""
    check_rows(name, array)
    if array.shape != other.shape or array.dtype != other.dtype:
        raise UsageError(
            f"{name} has the shape and type of {other_name}, {other.shape} {other.dtype}, not {array.shape} "
            f"{array.dtype}: pass such an array."
        )
    return array


def result_array(out, *inputs: np.ndarray) -> np.ndarray:
    """Where the result goes: a new array like the first input, or ``out`` if it fits.

    ``out`` may be one of the inputs, but share no part of its memory with one.
    """
    if out is None:
        return np.empty_like(inputs[0], subok=False)
    check_same("out", out, "the input", inputs[0])
    if not out.flags.writeable:
        raise UsageError("out is written to, but it is read-only: pass another array.")
    for array in inputs:
        if np.may_share_memory(out, array) and out.ctypes.data != array.ctypes.data:
            raise UsageError(
                "out is an input itself or shares no memory with it, but here they overlap in part: "
                "pass numpy.empty_like(x)."
            )
    return out


def wide(array: np.ndarray) -> np.ndarray:
    """float16 as float32, others as they are: the type to compute in."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def positive(name: str, value) -> float:
    """A finite number more than 0."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) or not 0 < value < np.inf:
        raise UsageError(f"{name} is a finite number more than 0, not {value!r}: pass such a number.")
    return float(value)


def share(name: str, value) -> float:
    """A number from 0 to 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise UsageError(f"{name} is a number from 0 to 1, not {value!r}: pass such a number.")
    return float(value)


def count(name: str, value, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{name} is a whole number, {least} or more, not {value!r}: pass such a number.")
    return int(value)


def check_targets(targets, num_rows: int, num_columns: int) -> np.ndarray:
    """The classes of rows as int64: whole numbers from 0 to ``num_columns - 1``."""
    array = np.asarray(targets)
    if array.shape != (num_rows,) or (array.dtype.kind not in "iu" and array.size):
        raise UsageError(
            f"targets are whole numbers, one a row, so of the shape ({num_rows},), not {array.dtype} of the shape "
            f"{array.shape}: pass for each row the number of its class."
        )
    wrong = (array < 0) | (array >= num_columns)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(f"targets are from 0 to {num_columns - 1}, but that of row {row} is {array[row]}: correct it.")
    return array.astype(np.int64)
