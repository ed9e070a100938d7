"""Compiled loops of compensated sums and dot products in lanes.

A compensated sum waits for its own last addition; 32 of them side by side do not wait for each other, and the compiler
packs them. Four rows at once save loads and stores of the accumulators. What ``one`` is for, see
:mod:`.exact_kernels`.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from labkit.floating_point.summation.kernels import two_sum

NUM_LANES = 32
ROWS = 4 * NUM_LANES


@intrinsic
def fused_multiply_add(typing_context, a, b, c):
    """``a * b + c``, rounded once: an instruction, or where the processor has none, a call of the C library."""
    if not (a == b == c and isinstance(a, types.Float)):
        return None

    def generate(context, builder, signature, arguments):
        kind = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.fma", [kind], ir.FunctionType(kind, [kind] * 3))
        return builder.call(function, arguments)

    return a(a, b, c), generate


@njit(inline="always")
def two_product(a, b):
    """The rounded product and its error, exactly unless it underflows or overflows: 2 flops."""
    product = a * b
    return product, fused_multiply_add(a, b, -product)


@njit(inline="always")
def add(term, one, total, errors):
    """One step of Sum2; the products change nothing."""
    new = total * one + term
    part = new - total
    return new, errors * one + ((total - (new - part)) * one + (term - part))


@njit(inline="always")
def add_product(a, b, one, total, errors):
    """One step of Dot2."""
    product, error = two_product(a, b)
    total, errors = add(product, one, total, errors)
    return total, errors + error


@njit(cache=True, nogil=True, fastmath={"contract"})
def add_rows(x, one, totals, errors):
    """Add a multiple of ROWS terms to lanes of Sum2."""
    for i in range(0, x.size, ROWS):
        row = x[i : i + NUM_LANES]
        row_1 = x[i + NUM_LANES : i + 2 * NUM_LANES]
        row_2 = x[i + 2 * NUM_LANES : i + 3 * NUM_LANES]
        row_3 = x[i + 3 * NUM_LANES : i + 4 * NUM_LANES]
        for j in range(NUM_LANES):
            a, b = totals[j], errors[j]
            a, b = add(row[j], one, a, b)
            a, b = add(row_1[j], one, a, b)
            a, b = add(row_2[j], one, a, b)
            a, b = add(row_3[j], one, a, b)
            totals[j], errors[j] = a, b


@njit(cache=True, nogil=True)
def add_product_rows(x, y, one, totals, errors):
    """Add a multiple of NUM_LANES products to lanes of Dot2. Not fused: a product must be rounded for its error."""
    for i in range(0, x.size, NUM_LANES):
        row, other = x[i : i + NUM_LANES], y[i : i + NUM_LANES]
        for j in range(NUM_LANES):
            totals[j], errors[j] = add_product(row[j], other[j], one, totals[j], errors[j])


@njit(cache=True, nogil=True)
def combine(totals, errors):
    """The sum of twofold numbers, twofold."""
    total, error = totals[0], errors[0]
    for j in range(1, totals.size):
        total, rest = two_sum(total, totals[j])
        error += rest + errors[j]
    return total, error


@njit(cache=True, nogil=True)
def twofold_in_lanes(x, one):
    totals, errors = np.zeros(NUM_LANES, x.dtype), np.zeros(NUM_LANES, x.dtype)
    whole = x.size // ROWS * ROWS
    add_rows(x[:whole], one, totals, errors)
    for i in range(whole, x.size):
        totals[i % NUM_LANES], rest = two_sum(totals[i % NUM_LANES], x[i])
        errors[i % NUM_LANES] += rest
    return combine(totals, errors)


@njit(cache=True, nogil=True)
def dot_in_lanes(x, y, one):
    totals, errors = np.zeros(NUM_LANES, x.dtype), np.zeros(NUM_LANES, x.dtype)
    whole = x.size // NUM_LANES * NUM_LANES
    add_product_rows(x[:whole], y[:whole], one, totals, errors)
    for i in range(whole, x.size):
        j = i % NUM_LANES
        totals[j], errors[j] = add_product(x[i], y[i], one, totals[j], errors[j])
    return combine(totals, errors)


@njit(cache=True, nogil=True)
def sum_shares(start, stop, x, one, share_size, totals, errors):
    """Kernel of a team: a twofold sum for each share of the terms."""
    for share in range(start, stop):
        terms = x[share * share_size : (share + 1) * share_size]
        totals[share], errors[share] = twofold_in_lanes(terms, one)


@njit(cache=True, nogil=True)
def dot_shares(start, stop, x, y, one, share_size, totals, errors):
    for share in range(start, stop):
        first, last = share * share_size, (share + 1) * share_size
        totals[share], errors[share] = dot_in_lanes(x[first:last], y[first:last], one)


@njit(cache=True, nogil=True)
def plain_share(start, stop, x):
    """Kernel of a team: the plain sum of some iterations, for a reduction."""
    terms = x[start:stop]
    total = x.dtype.type(0)
    for i in range(terms.size):
        total += terms[i]
    return total
