"""Compiled loops of the matrix product: exact sums of a chunk, and one rounding to the accumulator's format.

Importing this module imports Numba; :mod:`labkit.floating_point.mixed_precision.product` does so when it multiplies.
"""

from __future__ import annotations

import numpy as np
from numba import njit

EXPONENT_BITS = np.int64(0x7FF)


@njit(cache=True, nogil=True, inline="always")
def two_sum(x, y):
    """The rounded sum and what the rounding lost, exactly (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


@njit(cache=True, nogil=True, inline="always")
def power_of_two(exponent):
    """``2.0**exponent`` for a normal or subnormal number."""
    if exponent < -1022:
        return np.int64(np.int64(1) << (exponent + 1074)).view(np.float64)
    return np.int64(np.int64(exponent + 1023) << 52).view(np.float64)


@njit(cache=True, nogil=True)
def round_sum(high, low, target, toward_zero):
    """The number of a format nearest to ``high + low``, or the next one toward zero.

    Parameters
    ----------
    high, low : float64
        ``high`` is the binary64 number nearest to the sum, and ``low`` the rest.
    target : tuple of (int, int, float, float)
        Width of the trailing significand, smallest exponent, largest number, what larger numbers become.
    toward_zero : bool
    """
    width, min_exponent, largest, overflow = target
    if high == 0 or not np.isfinite(high) or (width == 52 and not toward_zero):
        return high
    biased = (np.float64(high).view(np.int64) >> 52) & EXPONENT_BITS
    exponent = max(biased - 1023, min_exponent) if biased else min_exponent
    unit = power_of_two(exponent - width)
    # Exact: times a power of 2, and the result is below 2**53.
    places = high * power_of_two(width - exponent) if width - exponent < 1024 else high / unit
    if toward_zero:
        kept = np.trunc(places)
        if kept == places and low != 0 and (low > 0) != (high > 0):
            # The sum lies just below a number; the numbers below a power of 2 lie twice as close.
            is_power = abs(kept) == 2.0**width and exponent > min_exponent
            kept -= np.copysign(0.5 if is_power else 1.0, high)
    else:
        kept = np.rint(places)
        if abs(places - np.trunc(places)) == 0.5 and low != 0:  # no tie: low decides
            kept = np.floor(places) + (1.0 if low > 0 else 0.0)
    found = kept * unit
    if abs(found) > largest:
        return np.copysign(largest, high) if toward_zero else np.copysign(overflow, high)
    return np.copysign(found, high)


@njit(cache=True, nogil=True)
def multiply(a, b, chunk_size, target, toward_zero, out):
    """``out = a @ b``: chunks of products summed in about 106 bits, each sum added to the accumulator and rounded once.

    Parameters
    ----------
    a : float64 array, shape (m, k)
    b : float64 array, shape (n, k)
        The columns of the second factor as rows. Products of the elements are binary64 numbers.
    chunk_size : int
    target, toward_zero
        As for :func:`round_sum`; of the accumulator.
    out : float64 array, shape (m, n)
    """
    m, k = a.shape
    for i in range(m):
        for j in range(b.shape[0]):
            total = 0.0
            for start in range(0, k, chunk_size):
                if chunk_size == 1:
                    high, low = two_sum(total, a[i, start] * b[j, start])
                    total = round_sum(high, low, target, toward_zero) if np.isfinite(high) else high
                    continue
                high, low, plain = total, 0.0, total
                for l in range(start, min(start + chunk_size, k)):  # noqa: E741
                    product = a[i, l] * b[j, l]
                    plain += product
                    high, rest = two_sum(high, product)
                    high, low = two_sum(high, low + rest)
                if not np.isfinite(high):
                    total = plain  # infinities and NaN as IEEE 754 adds them
                else:
                    total = round_sum(high, low, target, toward_zero)
            out[i, j] = total
