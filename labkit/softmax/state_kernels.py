"""States of rows and of their parts, as compiled code.

The *state* of a row, or of a part of it, is ``(n, d)``: the exponentials ``e**x / 2**n`` have the sum ``d``. It is the
state of online softmax (:mod:`.online`) with a power of two in place of ``e**m``: states are merged without rounding
but that of the addition. A part is done in blocks that stay in the first-level cache; of each block the maximum comes
first, then its exponentials, then their sum in float64 (so n fits the block).

Rows whose maximum is beyond 200 have no such state; :func:`far_state` subtracts the maximum without rounding error.

Importing this module imports Numba.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from labkit.softmax.compiled import kernel
from labkit.softmax.exp import EXACT, F, exp_of_difference, exp_scaled, power_of_two, rounder_of
from labkit.softmax.processor import from_key, order_key

BLOCK = 4096  # elements of a row done at a time: 16 or 32 KiB
FEW = 4.0  # terms as large as the largest
NEAR = 200.0  # k ln 2 is exact up to here
LOG2E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
FINE, EMPTY, FAR, BROKEN = range(4)  # parts: a state; nothing but -inf; a logit beyond NEAR; NaN or inf


@kernel(forceinline=True)
def block_max(x):
    """The largest element of a block that is not empty; NaN if there is a positive NaN.

    Integers are compared: a maximum of floats is vectorised only with leave to ignore NaN.
    """
    largest = order_key(x[0])
    for i in range(x.size):
        largest = max(largest, order_key(x[i]))
    return from_key(largest)


@kernel(fastmath={"reassoc"}, forceinline=True)
def tree_sum(a, b, c, d):
    """The sum of four arrays of one length, in float64."""
    total = 0.0
    for i in range(a.size):
        total += (np.float64(a[i]) + np.float64(b[i])) + (np.float64(c[i]) + np.float64(d[i]))
    return total


@njit(**EXACT)
def high_part(x, rounder):
    """x without the bits below the last place of the rounder."""
    return (x + rounder) - rounder


@njit(**EXACT)
def low_part(x, high):
    return x - high


@kernel(fastmath={"reassoc"}, forceinline=True)
def split_sum(work, rounder):
    """The sums of high parts, which is exact in any order, and of low parts."""
    total, lost = 0.0, 0.0
    for i in range(work.size):
        high = high_part(work[i], rounder)
        total += high
        lost += low_part(work[i], high)
    return total, lost


@kernel(forceinline=True)
def block_sum(work, scale):
    """The sum of at most 4096 numbers from 0 to ``2**(scale + 1)``: (sum, what it lacks)."""
    if work.itemsize == 8:
        # High parts are multiples of 2^(scale - 38): 4096 of them add up to less than 2^53 such units.
        return split_sum(work, 1.5 * power_of_two(scale + 14))
    q = work.size // 4
    total = tree_sum(work[:q], work[q : 2 * q], work[2 * q : 3 * q], work[3 * q : 4 * q])
    for i in range(4 * q, work.size):
        total += np.float64(work[i])
    return total, 0.0


@kernel(forceinline=True)
def add(total, lost, value):
    """``total + lost + value`` as such a pair (Neumaier)."""
    new = total + value
    lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
    return new, lost


def constants(x):
    """Of the type of a logit: how far below the maximum logits count; log2 of what the sum, and what quotients are
    scaled by until they are written; and the inverse of the latter."""
    raise NotImplementedError("for compiled code")


@overload(constants)
def _constants(x):
    if x == types.float32:
        return lambda x: (F(126.0), 60, 100, F(2.0**-100))
    return lambda x: (800.0, 200, 400, 2.0**-400)


@kernel(forceinline=True)
def exponentials(x, floor, rounder, out):
    """The exponentials of a block."""
    for i in range(x.size):
        out[i], _ = exp_scaled(x[i], floor, rounder)


@kernel(fastmath={"reassoc"})
def lost_in_rounding(x, floor, rounder):
    """The sum of what the rounding of the exponentials has taken away."""
    lost = x.dtype.type(0)
    for i in range(x.size):
        _, rest = exp_scaled(x[i], floor, rounder)
        lost += rest
    return np.float64(lost)


@kernel()
def differences(x, m, log_f, j, out):
    for i in range(x.size):
        out[i] = exp_of_difference(x[i], m, log_f, j)


@kernel()
def only_minus_inf(x):
    """Whether a block whose maximum seems to be -inf has no NaN (a negative one is below -inf by its bits)."""
    for i in range(x.size):
        if not x[i] < 0:
            return False
    return True


@kernel(forceinline=True)
def block_state(x, work):
    """The state of a block; its exponentials, ``e**x * 2**(scale - n)``, are in ``work``.

    Returns (kind, maximum, n, ``d * 2**scale``, what that lacks). The scale is that of :func:`constants`.
    """
    largest = block_max(x)
    if not abs(largest) <= NEAR:
        if largest == -np.inf and only_minus_inf(x):
            return EMPTY, largest, 0, 0.0, 0.0
        return (FAR if abs(largest) < np.inf else BROKEN), largest, 0, 0.0, 0.0
    reach, scale, _, _ = constants(x[0])
    n = int(np.rint(np.float64(largest) * LOG2E))
    exponentials(x, largest - reach, rounder_of(x[0], scale - n), work[: x.size])
    total, lost = block_sum(work[: x.size], scale)
    # Of many terms of like size the roundings cancel each other. Where a few make the sum, theirs are added to it.
    if x.itemsize == 4 and total < FEW * power_of_two(scale):
        lost += lost_in_rounding(x, largest - reach, rounder_of(x[0], scale - n))
    return FINE, largest, n, total, lost


@kernel()
def merge(n, d, lost, other_n, other_d, other_lost):
    """The state of two parts."""
    new = max(n, other_n)
    a, b = power_of_two(n - new), power_of_two(other_n - new)
    total, rest = add(d * a, lost * a, other_d * b)
    return new, total, rest + other_lost * b


@kernel()
def part_state(x, work):
    """The state of a part of a row, as :func:`block_state` gives it: one pass over it."""
    kind, largest, n, d, lost = EMPTY, -np.inf, 0, 0.0, 0.0
    for start in range(0, x.size, BLOCK):
        k, m, other_n, other_d, other_lost = block_state(x[start : start + BLOCK], work)
        if k == EMPTY:
            continue
        if k != FINE:
            kind = max(kind, k)
            if k == BROKEN:
                break
            largest = max(largest, np.float64(m))
        elif kind == EMPTY:
            kind, largest, n, d, lost = FINE, np.float64(m), other_n, other_d, other_lost
        else:
            largest = max(largest, np.float64(m))
            n, d, lost = merge(n, d, lost, other_n, other_d, other_lost)
    return kind, largest, n, d, lost


@kernel()
def split(d, lost):
    """``d + lost = exp(log_f) * 2**j`` with ``|log_f| <= 0.35``: (log_f, j)."""
    f, j = math.frexp(d)
    if f < 0.7071067811865476:
        f, j = 2 * f, j - 1
    return math.log(f) + lost / d, j


@kernel()
def far_state(x, work):
    """(m, d, what it lacks) of a whole row with numbers of any size: three passes. NaN, or inf, gives d = NaN."""
    m = x[0]
    for start in range(0, x.size, BLOCK):
        largest = block_max(x[start : start + BLOCK])
        m = largest if not largest <= m else m  # a NaN too
    d, lost = 0.0, 0.0
    if not abs(m) < np.inf:
        return m, np.nan, 0.0
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        differences(part, m, x.dtype.type(0), 0, work[: part.size])
        value, rest = block_sum(work[: part.size], 0)
        d, lost = add(d, lost, value)
        lost += rest
    return m, d, lost


@kernel()
def states_of_rows(start, stop, x, maxima, sums):
    """``maxima[i]`` and ``sums[i]``, the sum of ``exp(x - maxima[i])``, in float64: the state of online softmax.

    A row of nothing but -inf has (-inf, 0), one with NaN or inf a NaN sum.
    """
    work = np.empty(BLOCK, x.dtype)
    for i in range(start, stop):
        kind, largest, n, d, lost = part_state(x[i], work)
        if kind == EMPTY:
            maxima[i], sums[i] = -np.inf, 0.0
        elif kind == FINE:
            maxima[i] = largest
            scale = power_of_two(-constants(x[i, 0])[1])
            sums[i] = (d + lost) * scale * math.exp((n * LN2_HIGH - largest) + n * LN2_LOW)
        else:
            m, d, lost = far_state(x[i], work)
            maxima[i], sums[i] = m, d + lost
