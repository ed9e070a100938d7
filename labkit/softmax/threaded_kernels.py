"""What the threads of :mod:`.threaded` run: the probabilities of rows, and gradients.

Short rows, of one block, keep their exponentials and multiply them by ``1/d``. Long rows compute them again, with
``d`` inside (:func:`.exp.exp_divided`): that is faster than to read them from the second-level cache or beyond, and
rounds once. What a state is, is said in :mod:`.state_kernels`.

Importing this module imports Numba.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from labkit.softmax.compiled import kernel
from labkit.softmax.exp import F, exp_divided, exp_of_difference, power_of_two, rounder_of
from labkit.softmax.processor import fence, stream_block
from labkit.softmax.state_kernels import (
    BLOCK,
    EMPTY,
    FEW,
    FINE,
    LOG2E,
    block_state,
    constants,
    differences,
    far_state,
    merge,
    part_state,
    split,
)

SUM_BLOCK = 512  # elements of a sum of products that are added in one go


@kernel()
def quotients(x, log_f, floor, rounder, unscale, out):
    for i in range(x.size):
        out[i] = exp_divided(x[i], log_f, floor, rounder, unscale)


@kernel(fastmath={"contract"}, forceinline=True)
def multiply(a, high, low, out):
    """``a * (high + low)``; with fused multiply-add ``d * (1 / d)`` is 1."""
    for i in range(a.size):
        out[i] = a[i] * high + a[i] * low


@kernel()
def at_most_one(y):
    one = y.dtype.type(1)
    for i in range(y.size):
        y[i] = one if y[i] > one else y[i]


@kernel()
def write_quotients(x, n, d, lost, streaming, work, out):
    """``e**x / (2**n d)`` for a part of a row whose state is fine."""
    reach, kept_scale, scale, unscale = constants(x[0])
    log_f, j = split(d, lost)
    j -= kept_scale
    floor = x.dtype.type(n / LOG2E) - reach
    rounder = rounder_of(x[0], scale - n - j)
    for start in range(0, x.size, BLOCK):
        part, to = x[start : start + BLOCK], out[start : start + BLOCK]
        if streaming:
            quotients(part, x.dtype.type(log_f), floor, rounder, unscale, work[: part.size])
            stream_block(work[: part.size], to)
        else:
            quotients(part, x.dtype.type(log_f), floor, rounder, unscale, to)


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


@kernel(forceinline=True)
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


@kernel(forceinline=True)
def short_row(x, streaming, work, out):
    """A row of one block: its exponentials are kept."""
    kind, _, _, d, lost = block_state(x, work)
    if kind != FINE or not d > 0:
        far_row(x, work, out)
        return
    high, low = factors(x[0], d, lost)
    to = work[: x.size] if streaming else out
    multiply(work[: x.size], high, low, to)
    if x.size == 1 or d < FEW * power_of_two(constants(x[0])[1]):
        at_most_one(to)  # the rounding of the largest exponential is not in d
        if x.size == 1:
            to[0] = 1
    if streaming:
        stream_block(to, out)


@kernel()
def long_row(x, streaming, work, out):
    """A row of several blocks: its exponentials are computed twice."""
    kind, _, n, d, lost = part_state(x, work)
    if kind != FINE or not d > 0:
        far_row(x, work, out)
        return
    write_quotients(x, n, d, lost, streaming, work, out)


@kernel()
def softmax_rows(start, stop, x, streaming, out):
    """Rows start to stop - 1 of softmax: the kernel of a loop over rows."""
    work = np.empty(BLOCK, x.dtype)
    for i in range(start, stop):
        if x.shape[1] <= BLOCK:
            short_row(x[i], streaming, work, out[i])
        else:
            long_row(x[i], streaming, work, out[i])
    if streaming:
        fence()


@kernel()
def state_of_parts(start, stop, x, part_size, num_parts, kinds, states):
    """The states of parts of rows: the kernel of a loop over ``rows * num_parts``; states is (..., 4) float64."""
    work = np.empty(BLOCK, x.dtype)
    for i in range(start, stop):
        row, first = i // num_parts, i % num_parts * part_size
        kind, largest, n, d, lost = part_state(x[row, first : first + part_size], work)
        kinds[i] = kind
        states[i, 0], states[i, 1], states[i, 2], states[i, 3] = largest, n, d, lost


@kernel()
def merge_parts(num_parts, kinds, states):
    """The states of rows from those of their parts; they take the place of each row's first."""
    for row in range(kinds.size // num_parts):
        first = row * num_parts
        kind, largest = EMPTY, -np.inf
        n, d, lost = 0, 0.0, 0.0
        for i in range(first, first + num_parts):
            if kinds[i] == EMPTY:
                continue
            largest = max(largest, states[i, 0])
            other = int(states[i, 1])
            if kind == EMPTY:
                kind, n, d, lost = kinds[i], other, states[i, 2], states[i, 3]
            else:
                kind = max(kind, kinds[i]) if kind != FINE or kinds[i] != FINE else FINE
                n, d, lost = merge(n, d, lost, other, states[i, 2], states[i, 3])
        kinds[first] = kind
        states[first, 0], states[first, 1], states[first, 2], states[first, 3] = largest, n, d, lost


@kernel()
def write_parts(start, stop, x, part_size, num_parts, kinds, states, streaming, out):
    """The probabilities of parts of rows, once the states of the rows are known."""
    work = np.empty(BLOCK, x.dtype)
    for i in range(start, stop):
        row, first = i // num_parts, i % num_parts * part_size
        of_row = row * num_parts
        if kinds[of_row] == FINE and states[of_row, 2] > 0:
            write_quotients(
                x[row, first : first + part_size], int(states[of_row, 1]), states[of_row, 2], states[of_row, 3],
                streaming, work, out[row, first : first + part_size],
            )
        elif first == 0:
            far_row(x[row], work, out[row])
    if streaming:
        fence()


@kernel()
def dot(a, b):
    total = 0.0
    for start in range(0, a.size, SUM_BLOCK):
        total += block_dot(a[start : start + SUM_BLOCK], b[start : start + SUM_BLOCK])
    return total


@kernel(fastmath={"reassoc", "contract"})
def block_dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@kernel()
def backward_row(y, gradient, mean, out):
    for i in range(y.size):
        out[i] = y[i] * (gradient[i] - mean)


@kernel()
def backward_rows(start, stop, y, gradient, out):
    """``y * (gradient - sum(y * gradient))`` for rows start to stop - 1."""
    for i in range(start, stop):
        backward_row(y[i], gradient[i], y.dtype.type(dot(y[i], gradient[i])), out[i])


@kernel()
def scaled_differences(x, m, log_f, j, scale, out):
    for i in range(x.size):
        out[i] = exp_of_difference(x[i], m, log_f, j) * scale


@kernel()
def probabilities_of_rows(start, stop, x, maxima, sums, scales, out):
    """``exp(x - maxima[i]) / sums[i] * scales[i]``: rows or parts of rows whose states are known."""
    for i in range(start, stop):
        if not sums[i] > 0:
            out[i, :] = np.nan
            continue
        log_f, j = split(sums[i], 0.0)
        kind = x.dtype.type
        scaled_differences(x[i], kind(maxima[i]), kind(log_f), j, kind(scales[i]), out[i])
