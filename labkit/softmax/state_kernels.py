"""States of rows and of their parts, as compiled code.

The *state* of a row, or of a part of it, is ``(n, d)``: the exponentials ``e**x / 2**n`` have the sum ``d``. It is the
state of online softmax (:mod:`.online`) with a power of two in place of ``e**m``: states are merged without rounding
but that of the addition. A part is done in blocks that stay in the first-level cache; of each block the maximum comes
first, then its exponentials, then their sum in float64 (so n fits the block). The exponentials may be kept, with each
block's own n: once the row's state is known, a block lacks a factor that is the same for all its elements.

Rows whose maximum is beyond 200 have no such state; :func:`far_state` subtracts the maximum without rounding error.

Importing this module imports Numba.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from labkit.softmax.compiled import kernel
from labkit.softmax.exp import EXACT, F, exp_near, exp_of_difference, exp_scaled, power_of_two, rounder_of
from labkit.softmax.processor import ask_for, largest, largest_number, part, row, wide_registers

BLOCK = 2048  # elements of a row done at a time: logits and exponentials are 16 or 32 KiB
STEP = 64  # elements between two requests for the next block: four vectors of the widest registers
FEW = 4.0  # terms as large as the largest
LITTLE = 2.0**-6  # of a row's sum: such a block's rounding errors do not count
NEAR = 200.0  # k ln 2 is exact up to here
LOG2E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
FINE, EMPTY, FAR, BROKEN = range(4)  # parts: a state; nothing but -inf; a logit beyond NEAR; NaN or inf


@kernel(fastmath={"reassoc"})
def plain_sum(work):
    """The sum of a block in float64."""
    wide_registers()
    total = 0.0
    for i in range(work.size):
        total += np.float64(work[i])
    return total


@njit(**EXACT)
def high_part(x, rounder):
    """x without the bits below the last place of the rounder."""
    return (x + rounder) - rounder


@njit(**EXACT)
def low_part(x, high):
    return x - high


@kernel(fastmath={"reassoc"})
def split_sum(work, rounder):
    """The sums of high parts, which is exact in any order, and of low parts."""
    total, lost = 0.0, 0.0
    for i in range(work.size):
        high = high_part(work[i], rounder)
        total += high
        lost += low_part(work[i], high)
    return total, lost


@kernel()
def block_sum(work, scale):
    """The sum of at most 4096 numbers from 0 to ``2**(scale + 1)``: (sum, what it lacks)."""
    if work.itemsize == 8:
        # High parts are multiples of 2^(scale - 38): 4096 of them add up to less than 2^53 such units.
        return split_sum(work, 1.5 * power_of_two(scale + 14))
    return plain_sum(work), 0.0


@kernel()
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


@kernel()
def exponentials(x, floor, rounder, out):
    """The exponentials of a block."""
    wide_registers()
    for i in range(x.size):
        out[i] = exp_near(x[i], floor, rounder)


@kernel()
def exponentials_ahead(x, floor, rounder, out):
    """The same of whole steps; as many elements behind x are asked for meanwhile: of the block that comes next."""
    wide_registers()
    for start in range(0, x.size, STEP):
        ask_for(x, x.size + start, STEP)
        block, to = part(x, start, STEP), part(out, start, STEP)
        for i in range(STEP):
            to[i] = exp_near(block[i], floor, rounder)


@kernel(fastmath={"reassoc"})
def lost_in_rounding(x, floor, rounder, found):
    """What the sum of exact exponentials has more than that of those found by :func:`exponentials`."""
    lost = x.dtype.type(0)
    for i in range(x.size):
        close, rest = exp_scaled(x[i], floor, rounder)
        lost += low_part(close, found[i]) + rest
    return np.float64(lost)


@kernel()
def range_of(x, n):
    """What :func:`.exp.exp_near` needs for a block with the exponent n: (floor, rounder)."""
    reach, scale, _, _ = constants(x[0])
    return x.dtype.type(n / LOG2E) - reach, rounder_of(x[0], scale - n)


@kernel()
def differences(x, m, log_f, j, out):
    for i in range(x.size):
        out[i] = exp_of_difference(x[i], m, log_f, j)


@kernel()
def block_exponentials(x, ahead, out):
    """The exponentials ``e**x * 2**(scale - n)`` of a block; the scale is that of :func:`constants`.

    With ``ahead`` as many elements behind x are asked for meanwhile: their maximum is looked for next.
    Returns (kind, maximum, n). If the kind is neither FINE nor EMPTY, ``out`` is not written. A block with NaN may
    seem FINE; then there is a NaN in ``out``.
    """
    top = largest_number(x)
    if not abs(top) <= NEAR:
        if top == -np.inf:
            out[:] = 0
            return EMPTY, top, 0
        return (FAR if abs(top) < np.inf else BROKEN), top, 0
    n = int(np.rint(np.float64(top) * LOG2E))
    floor, rounder = range_of(x, n)
    first = x.size // STEP * STEP if ahead else 0
    exponentials_ahead(part(x, 0, first), floor, rounder, out)
    exponentials(part(x, first, STEP if ahead else x.size), floor, rounder, part(out, first, x.size))
    return FINE, top, n


@kernel()
def block_state(x, ahead, out):
    """The state of a block; its exponentials are in ``out``.

    Returns (kind, maximum, n, ``d * 2**scale``, what that lacks).
    """
    kind, top, n = block_exponentials(x, ahead, out)
    if kind != FINE:
        return kind, top, 0, 0.0, 0.0
    total, lost = block_sum(out, constants(x[0])[1])
    return FINE if total == total else BROKEN, top, n, total, lost


@kernel()
def is_few(x, d):
    """Whether a few terms make the sum: their rounding errors count. Those of many cancel each other."""
    return d < FEW * power_of_two(constants(x[0])[1])


@kernel()
def merge(n, d, lost, other_n, other_d, other_lost):
    """The state of two parts."""
    new = max(n, other_n)
    a, b = power_of_two(n - new), power_of_two(other_n - new)
    total, rest = add(d * a, lost * a, other_d * b)
    return new, total, rest + other_lost * b


@kernel()
def lost_by_few(x, n, d, exponents, sums, kept):
    """What the state (n, d) of a part lacks by the rounding of exponentials, where a few terms make the sum."""
    lost = 0.0
    for b in range(exponents.size):
        factor = power_of_two(exponents[b] - n)
        if sums[b] * factor > LITTLE * d:
            floor, rounder = range_of(x, exponents[b])
            block = part(x, b * BLOCK, BLOCK)
            if kept.size >= x.size:
                found = part(kept, b * BLOCK, BLOCK)
            else:
                found = part(kept, 0, block.size)
                exponentials(block, floor, rounder, found)
            lost += lost_in_rounding(block, floor, rounder, found) * factor
    return lost


@kernel()
def part_state(x, kept, exponents, sums):
    """The state of a part of a row, as :func:`block_state` gives it: one pass over it.

    ``kept`` has room for the exponentials of the part, or of one block. ``exponents`` and ``sums`` get n and d of each
    block; of one with nothing but -inf they are 0.
    """
    kind, top, n, d, lost = EMPTY, -np.inf, 0, 0.0, 0.0
    keeps = kept.size >= x.size
    for b in range(exponents.size):
        block = part(x, b * BLOCK, BLOCK)
        to = part(kept, b * BLOCK if keeps else 0, block.size)
        k, m, other_n, other_d, other_lost = block_state(block, True, to)
        exponents[b], sums[b] = other_n, other_d
        if k == EMPTY:
            continue
        if k == BROKEN:
            return BROKEN, top, n, d, lost
        top = max(top, np.float64(m))
        if k == FAR or kind == FAR:
            kind = FAR
        elif kind == EMPTY:
            kind, n, d, lost = FINE, other_n, other_d, other_lost
        else:
            n, d, lost = merge(n, d, lost, other_n, other_d, other_lost)
    if x.itemsize == 4 and kind == FINE and is_few(x, d):
        lost += lost_by_few(x, n, d, exponents, sums, kept)
    return kind, top, n, d, lost


@kernel()
def block_arrays(size):
    """Room for the exponents and sums of the blocks of a part."""
    num_blocks = (size + BLOCK - 1) // BLOCK
    return np.empty(num_blocks, np.int64), np.empty(num_blocks)


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
        top = largest(part(x, start, BLOCK))
        m = top if not top <= m else m  # a NaN too
        if not m < np.inf:
            return m, np.nan, 0.0
    d, lost = 0.0, 0.0
    if not abs(m) < np.inf:
        return m, np.nan, 0.0
    for start in range(0, x.size, BLOCK):
        block = part(x, start, BLOCK)
        to = part(work, 0, block.size)
        differences(block, m, x.dtype.type(0), 0, to)
        value, rest = block_sum(to, 0)
        d, lost = add(d, lost, value)
        lost += rest
    return m, d, lost


@kernel()
def states_of_rows(start, stop, x, maxima, sums):
    """``maxima[i]`` and ``sums[i]``, the sum of ``exp(x - maxima[i])``, in float64: the state of online softmax.

    A row of nothing but -inf has (-inf, 0), one with NaN or inf a NaN sum.
    """
    work = np.empty(BLOCK, x.dtype)
    exponents, block_sums = block_arrays(x.shape[1])
    for i in range(start, stop):
        kind, top, n, d, lost = part_state(row(x, i), work, exponents, block_sums)
        if kind == EMPTY:
            maxima[i], sums[i] = -np.inf, 0.0
        elif kind == FINE:
            maxima[i] = top
            scale = power_of_two(-constants(x[i, 0])[1])
            sums[i] = (d + lost) * scale * math.exp((n * LN2_HIGH - top) + n * LN2_LOW)
        else:
            m, d, lost = far_state(row(x, i), work)
            maxima[i], sums[i] = m, d + lost
