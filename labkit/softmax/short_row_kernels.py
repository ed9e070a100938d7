"""Rows of at most one block: their exponentials are kept, and multiplied by the inverse of their sum.

Rows of float32 that are shorter than a block are done together, as many as fit into it. Each step is a loop over all
of them: so none waits for a sum, or an inverse, of its own.

Importing this module imports Numba.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from labkit.softmax.compiled import kernel
from labkit.softmax.exp import F, power_of_two
from labkit.softmax.processor import largest_number, part, stream_block, wide_registers
from labkit.softmax.state_kernels import (
    BLOCK,
    FINE,
    LOG2E,
    block_exponentials,
    block_state,
    constants,
    differences,
    far_state,
    is_few,
    lost_in_rounding,
    range_of,
    split,
)

LEAST_SHIFT = -20  # log2: exponentials further below those of a row of its own are not used, lest they underflow
LATER = 1  # in place of the factor of a row that needs more than that; factors are at most 2^-62


@kernel(fastmath={"contract"})
def multiply(a, high, low, out):
    """``a * (high + low)``; with fused multiply-add ``d * (1 / d)`` is 1."""
    wide_registers()
    for i in range(a.size):
        out[i] = a[i] * high + a[i] * low


@kernel(fastmath={"contract"})
def multiply_in_place(a, high, low):
    """The same; a loop with two names of one array is not vectorised."""
    wide_registers()
    for i in range(a.size):
        a[i] = a[i] * high + a[i] * low


@kernel()
def at_most_one(y):
    one = y.dtype.type(1)
    for i in range(y.size):
        y[i] = one if y[i] > one else y[i]


@kernel()
def far_row(x, work, out):
    """A row with numbers of any size."""
    m, d, lost = far_state(x, work)
    if not d > 0:
        out[:] = np.nan
        return
    log_f, j = split(d, lost)
    differences(x, m, x.dtype.type(log_f), j, out)


def factors(x, d, lost):
    """``1 / (d + lost)`` as the sum of two numbers of the type of ``x``."""
    raise NotImplementedError("for compiled code")


@kernel()
def _factors32(d, lost):
    exact = 1.0 / (d + lost)
    return F(exact), F(exact - np.float64(F(exact)))


@kernel()
def _factors64(d, lost):
    high = 1.0 / d
    a, b = 134217729.0 * d, 134217729.0 * high  # Dekker's product: what d * high lacks
    d1, h1 = a - (a - d), b - (b - high)
    d2, h2 = d - d1, high - h1
    product = d * high
    error = ((d1 * h1 - product) + d1 * h2 + d2 * h1) + d2 * h2
    return high, ((1.0 - product) - error - lost * high) * high


@overload(factors)
def _factors(x, d, lost):
    if x == types.float32:
        return lambda x, d, lost: _factors32(d, lost)
    return lambda x, d, lost: _factors64(d, lost)


@kernel()
def finish_row(x, n, d, lost, keeps, streaming, work, out):
    """The probabilities of a row whose exponentials, in ``work``, have the sum d; False if they are too small for that.

    With ``keeps`` work is out. In float32 the exponent n may be that of other rows too: the result is the same for
    every n, as all depends on it by factors that are powers of two.
    """
    if not d >= power_of_two(constants(x[0])[1] + LEAST_SHIFT):
        return False
    few = is_few(x, d)
    if few:  # with a smaller n, which fits this row alone, d would be larger
        few = is_few(x, d * power_of_two(n - int(np.rint(np.float64(largest_number(x)) * LOG2E))))
    if few and x.itemsize == 4:
        floor, rounder = range_of(x, n)
        lost += lost_in_rounding(x, floor, rounder, work)
    high, low = factors(x[0], d, lost)
    to = work if streaming else out
    if keeps or streaming:
        multiply_in_place(to, high, low)
    else:
        multiply(work, high, low, to)
    if few:
        at_most_one(to)  # the rounding of the largest exponential is not in d
        if x.size == 1:
            to[0] = 1
    if streaming:
        stream_block(to, out)
    return True


@kernel()
def row_alone(x, ahead, keeps, streaming, work, out):
    """The probabilities of a row of at most one block, with a maximum of its own. What ``ahead`` is, is said in
    :func:`.state_kernels.block_exponentials`, and ``keeps`` in :func:`block_of_rows`; work has room for two blocks."""
    found = out if keeps else part(work, BLOCK, x.size)
    kind, _, n, d, lost = block_state(x, ahead, found)
    if kind != FINE or not finish_row(x, n, d, lost, keeps, streaming, found, out):
        far_row(x, part(work, BLOCK, BLOCK), out)


@kernel(fastmath={"reassoc"})
def sum_rows(x, sums):
    """The sums of rows, as many as sums has, in float64."""
    wide_registers()
    size = x.size // sums.size
    for i in range(sums.size):
        terms, total = part(x, i * size, size), 0.0
        for k in range(terms.size):
            total += np.float64(terms[k])
        sums[i] = total


@kernel(fastmath={"contract"})
def multiply_rows(x, highs, lows):
    """:func:`multiply_in_place` of rows, as many as there are factors."""
    wide_registers()
    size = x.size // highs.size
    for i in range(highs.size):
        a, high, low = part(x, i * size, size), highs[i], lows[i]
        for k in range(a.size):
            a[k] = a[k] * high + a[k] * low


@kernel()
def row_factors(sums, highs, lows):
    """The factors of rows with many terms; of the others LATER. Returns how many rows have many."""
    num_done = 0
    for i in range(sums.size):
        if sums[i] < np.inf and not is_few(highs, sums[i]):
            highs[i], lows[i] = factors(highs[0], sums[i], 0.0)
            num_done += 1
        else:
            highs[i], lows[i] = LATER, 0
    return num_done


@kernel()
def block_of_rows(x, keeps, streaming, work, sums, highs, lows, out):
    """The probabilities of rows of float32, as many as sums has, with one maximum; rows far below it get their own.

    With ``keeps`` the exponentials go where the result will be. While they are computed the processor gets those lines
    of memory; it would wait for them if exponentials went to ``work`` and a fast loop of products wrote all results.
    """
    found = out if keeps else part(work, 0, x.size)
    kind, _, n = block_exponentials(x, True, found)
    num_done = 0
    if kind == FINE:
        sum_rows(found, sums)
        if keeps:
            num_done = row_factors(sums, highs, lows)
            if num_done:
                multiply_rows(found, highs, lows)
    if num_done == sums.size:
        return
    size = x.size // sums.size
    for i in range(sums.size):
        logits, to = part(x, i * size, size), part(out, i * size, size)
        if num_done and highs[i] != LATER:
            continue
        if kind != FINE or not finish_row(
            logits, n, sums[i], 0.0, keeps, streaming, part(found, i * size, size), to
        ):
            row_alone(logits, False, keeps, streaming, work, to)


@kernel()
def short_rows(start, stop, x, keeps, streaming, out):
    """Rows start to stop - 1 of softmax, each of at most a block.

    What is called for them gets views that count no references to their array: the locked instructions of counting
    wait until all that was stored before has reached the cache.
    """
    size = x.shape[1]
    # Sums of float64 are split at a bit that depends on n, so there a row has the n of its own.
    at_once = BLOCK // size if x.itemsize == 4 else 1
    of_block, of_sums, of_factors = np.empty(2 * BLOCK, x.dtype), np.empty(at_once), np.empty(2 * at_once, x.dtype)
    for i in range(start, stop, at_once):
        num_rows = min(at_once, stop - i)
        logits, to = part(x, i * size, num_rows * size), part(out, i * size, num_rows * size)
        work = part(of_block, 0, 2 * BLOCK)  # in the loop: an array lives as long as something may still ask for it
        if x.itemsize == 4:
            sums = part(of_sums, 0, num_rows)
            highs, lows = part(of_factors, 0, num_rows), part(of_factors, at_once, num_rows)
            block_of_rows(logits, keeps, streaming, work, sums, highs, lows, to)
        else:
            row_alone(logits, True, keeps, streaming, work, to)
