"""What the threads of :mod:`.threaded` run: the probabilities of rows.

Rows keep their exponentials, in the array of the result, and multiply them by ``1/d``. Rows that are longer than the
caches, that share their memory with the result, or whose results go past the caches compute them again, with ``d``
inside (:func:`.exp.exp_divided`). What a state is, is said in :mod:`.state_kernels`.

Importing this module imports Numba.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from labkit.softmax.compiled import kernel
from labkit.softmax.exp import F, exp_divided, exp_of_difference, power_of_two, rounder_of
from labkit.softmax.processor import fence, largest_number, part, row, stream_block, wide_registers
from labkit.softmax.state_kernels import (
    BLOCK,
    EMPTY,
    FINE,
    LOG2E,
    block_arrays,
    block_exponentials,
    block_state,
    block_sum,
    constants,
    differences,
    far_state,
    is_few,
    lost_in_rounding,
    merge,
    part_state,
    range_of,
    split,
)

KEPT = 2**20  # columns of the longest rows whose exponentials are kept
ALONE = 1024  # columns from which on a row is a block of its own: two of 1024 at once took a tenth longer
LEAST_SHIFT = -20  # log2: exponentials further below those of a row of its own are not used, lest they underflow


@kernel()
def quotients(x, log_f, floor, rounder, unscale, out):
    wide_registers()
    for i in range(x.size):
        out[i] = exp_divided(x[i], log_f, floor, rounder, unscale)


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
def write_quotients(x, n, d, lost, streaming, work, out):
    """``e**x / (2**n d)`` for a part of a row whose state is fine."""
    _, kept_scale, scale, unscale = constants(x[0])
    log_f, j = split(d, lost)
    j -= kept_scale
    floor, _ = range_of(x, n)
    rounder = rounder_of(x[0], scale - n - j)
    for start in range(0, x.size, BLOCK):
        block, to = part(x, start, BLOCK), part(out, start, BLOCK)
        if streaming:
            quotients(block, x.dtype.type(log_f), floor, rounder, unscale, part(work, 0, block.size))
            stream_block(part(work, 0, block.size), to)
        else:
            quotients(block, x.dtype.type(log_f), floor, rounder, unscale, to)


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
def row_alone(x, keeps, streaming, work, out):
    """The probabilities of a row of at most one block, with a maximum of its own."""
    found = out if keeps else part(work, BLOCK, x.size)
    kind, _, n, d, lost = block_state(x, False, found)
    if kind != FINE or not finish_row(x, n, d, lost, keeps, streaming, found, out):
        far_row(x, part(work, BLOCK, BLOCK), out)


@kernel()
def block_of_rows(x, size, keeps, streaming, work, sums, out):
    """Rows of a size that are together one block, with the maximum of them all; rows far below it get their own.

    With ``keeps`` the exponentials go where the result will be. While they are computed the processor gets those lines
    of memory; it would wait for them if exponentials went to ``work`` and a fast loop of products wrote all results.
    All rows are summed before the first is finished: a sum is known long after its last addition is begun.
    """
    found = out if keeps else part(work, 0, x.size)
    kind, _, n = block_exponentials(x, True, found)
    num_rows = x.size // size if kind == FINE else 0
    for i in range(num_rows):
        sums[i], sums[BLOCK + i] = block_sum(part(found, i * size, size), constants(x[0])[1])
    for i in range(x.size // size):
        logits, to = part(x, i * size, size), part(out, i * size, size)
        if i >= num_rows or not finish_row(
            logits, n, sums[i], sums[BLOCK + i], keeps, streaming, part(found, i * size, size), to
        ):
            row_alone(logits, keeps, streaming, work, to)


@kernel()
def scale_blocks(x, n, d, lost, exponents, sums, work, out):
    """Blocks of exponentials, each with its own exponent, become probabilities of a row with the state (n, d)."""
    kind = x.dtype.type
    few = is_few(x, d)
    high, low = factors(x[0], d, lost)
    for b in range(exponents.size):
        start = b * BLOCK
        to = part(out, start, BLOCK)
        if sums[b] > 0:
            if exponents[b] - n >= LEAST_SHIFT:
                factor = kind(power_of_two(exponents[b] - n))
                multiply_in_place(to, kind(high * factor), kind(low * factor))
            else:
                write_quotients(part(x, start, BLOCK), n, d, lost, False, work, to)
            if few:
                at_most_one(to)


@kernel()
def long_row(x, keeps, streaming, work, exponents, sums, out):
    """A row of several blocks."""
    kind, _, n, d, lost = part_state(x, out if keeps else work, exponents, sums)
    if kind != FINE or not d > 0:
        far_row(x, work, out)
    elif keeps:
        scale_blocks(x, n, d, lost, exponents, sums, work, out)
    else:
        write_quotients(x, n, d, lost, streaming, work, out)


@kernel()
def softmax_rows(start, stop, x, keeps, streaming, out):
    """Rows start to stop - 1 of softmax: the kernel of a loop over rows. With ``keeps`` out is not x."""
    work, sums = np.empty(2 * BLOCK, x.dtype), np.empty(2 * BLOCK)
    if x.shape[1] <= BLOCK:
        # Sums of float64 are split at a bit that depends on n, so there a row has the n of its own.
        size = x.shape[1]
        num_rows = BLOCK // size if x.itemsize == 4 and size < ALONE else 1
        for i in range(start, stop, num_rows):
            first, num_elements = i * size, min(num_rows, stop - i) * size
            logits, to = part(x, first, num_elements), part(out, first, num_elements)
            block_of_rows(logits, size, keeps, streaming, part(work, 0, work.size), part(sums, 0, sums.size), to)
    else:
        exponents, sums = block_arrays(x.shape[1])
        for i in range(start, stop):
            long_row(row(x, i), keeps, streaming, part(work, 0, BLOCK), exponents, sums, row(out, i))
    if streaming:
        fence()


@kernel()
def state_of_parts(start, stop, x, part_size, num_parts, kinds, states):
    """The states of parts of rows: the kernel of a loop over ``rows * num_parts``; states is (..., 4) float64."""
    work = np.empty(BLOCK, x.dtype)
    for i in range(start, stop):
        logits = part(row(x, i // num_parts), i % num_parts * part_size, part_size)
        exponents, sums = block_arrays(logits.size)
        kind, top, n, d, lost = part_state(logits, work, exponents, sums)
        kinds[i] = kind
        states[i, 0], states[i, 1], states[i, 2], states[i, 3] = top, n, d, lost


@kernel()
def merge_parts(num_parts, kinds, states):
    """The states of rows from those of their parts; they take the place of each row's first."""
    for first in range(0, kinds.size, num_parts):
        kind, top = EMPTY, -np.inf
        n, d, lost = 0, 0.0, 0.0
        for i in range(first, first + num_parts):
            if kinds[i] == EMPTY:
                continue
            top = max(top, states[i, 0])
            other = int(states[i, 1])
            if kind == EMPTY:
                kind, n, d, lost = kinds[i], other, states[i, 2], states[i, 3]
            else:
                kind = max(kind, kinds[i]) if kind != FINE or kinds[i] != FINE else FINE
                n, d, lost = merge(n, d, lost, other, states[i, 2], states[i, 3])
        kinds[first] = kind
        states[first, 0], states[first, 1], states[first, 2], states[first, 3] = top, n, d, lost


@kernel()
def write_parts(start, stop, x, part_size, num_parts, kinds, states, streaming, out):
    """The probabilities of parts of rows, once the states of the rows are known."""
    work = np.empty(BLOCK, x.dtype)
    for i in range(start, stop):
        first, of_row = i % num_parts * part_size, i // num_parts * num_parts
        logits, to = row(x, i // num_parts), row(out, i // num_parts)
        if kinds[of_row] == FINE and states[of_row, 2] > 0:
            write_quotients(
                part(logits, first, part_size), int(states[of_row, 1]), states[of_row, 2], states[of_row, 3],
                streaming, work, part(to, first, part_size),
            )
        elif first == 0:
            far_row(logits, work, to)
    if streaming:
        fence()


@kernel()
def scaled_differences(x, m, log_f, j, scale, out):
    for i in range(x.size):
        out[i] = exp_of_difference(x[i], m, log_f, j) * scale


@kernel()
def probabilities_of_rows(start, stop, x, maxima, sums, scales, out):
    """``exp(x - maxima[i]) / sums[i] * scales[i]``: rows or parts of rows whose states are known."""
    for i in range(start, stop):
        if not sums[i] > 0:
            row(out, i)[:] = np.nan
            continue
        log_f, j = split(sums[i], 0.0)
        kind = x.dtype.type
        scaled_differences(row(x, i), kind(maxima[i]), kind(log_f), j, kind(scales[i]), row(out, i))
