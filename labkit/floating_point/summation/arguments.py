"""What all sums take, checked in one place."""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError

DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


def check_terms(x, call: str) -> np.ndarray:
    """Terms as a contiguous array of float64 or float32, shape (n,).

    Arrays that are not contiguous, or whose bytes are swapped, are copied. A list or tuple of Python floats counts as
    float64.

    Raises
    ------
    UsageError
        Another number of dimensions, or another type: whole numbers would have to be rounded first, and half
        precision, long doubles and objects have no kernels here.
    """
    if isinstance(x, (list, tuple)) and all(type(value) is float for value in x):
        x = np.array(x, np.float64)
    array = np.asarray(x)
    native = array.dtype.newbyteorder("=")
    if array.dtype.kind in "iub":
        raise UsageError(
            f"{call}: the terms are floating-point numbers, not {array.dtype}: for whole numbers x.sum() is exact as "
            f"long as it fits; or pass x.astype(np.float64), which rounds those beyond 2**53."
        )
    if native not in DTYPES:
        raise UsageError(f"{call}: the terms are float64 or float32, not {array.dtype}: pass x.astype(np.float64).")
    if array.ndim != 1:
        raise UsageError(f"{call}: the terms have one dimension, but their shape is {array.shape}: pass x.ravel().")
    return np.ascontiguousarray(array, native)


def check_pair(x, y, call: str) -> tuple[np.ndarray, np.ndarray]:
    """The two vectors of a dot product: as :func:`check_terms`, and of one length and type."""
    x, y = check_terms(x, call), check_terms(y, call)
    if x.shape != y.shape or x.dtype != y.dtype:
        raise UsageError(
            f"{call}: both vectors have one length and type, but they are {x.size} of {x.dtype} and {y.size} of "
            f"{y.dtype}: pass vectors that fit."
        )
    return x, y


def unit_roundoff(dtype) -> float:
    """Half the spacing at 1: 2**-53 for float64, 2**-24 for float32."""
    return float(np.finfo(dtype).eps) / 2


def as_result(value, dtype):
    """A Python float for float64, a NumPy float32 for float32."""
    return float(value) if dtype == np.float64 else np.float32(value)


def check_count(call: str, name: str, value, least: int, most: int) -> int:
    """A whole number in a range, or a UsageError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise UsageError(
            f"{call}: {name} is a whole number from {least} to {most}, not {value!r}: pass such a number."
        )
    return int(value)
