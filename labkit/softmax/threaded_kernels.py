"""What the threads of :mod:`.threaded` run: the probabilities of rows.

Rows keep their exponentials, in the array of the result, and multiply them by ``1/d``: those of at most one block in
:mod:`.short_row_kernels`, longer ones here. Rows that are longer than the caches, that share their memory with the
result, or whose results go past the caches compute them again, with ``d`` inside (:func:`.exp.exp_divided`). What a
state is, is said in :mod:`.state_kernels`.

Importing this module imports Numba.
"""

from __future__ import annotations

import numpy as np

from labkit.softmax.compiled import kernel
from labkit.softmax.exp import exp_divided, exp_of_difference, power_of_two, rounder_of
from labkit.softmax.processor import fence, part, row, stream_block, wide_registers
from labkit.softmax.short_row_kernels import (
    LEAST_SHIFT,
    at_most_one,
    factors,
    far_row,
    multiply_in_place,
    short_rows,
)
from labkit.softmax.state_kernels import (
    BLOCK,
    EMPTY,
    FINE,
    block_arrays,
    constants,
    is_few,
    merge,
    part_state,
    range_of,
    split,
)

KEPT = 2**20  # columns of the longest rows whose exponentials are kept


@kernel()
def quotients(x, log_f, floor, rounder, unscale, out):
    wide_registers()
    for i in range(x.size):
        out[i] = exp_divided(x[i], log_f, floor, rounder, unscale)


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
    if x.shape[1] <= BLOCK:
        short_rows(start, stop, x, keeps, streaming, out)
    else:
        work = np.empty(BLOCK, x.dtype)
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
