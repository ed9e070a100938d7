"""Compiled loops of dot products: plain, twofold, exact.

Exact: a product of two numbers is the sum of two numbers, the rounded product and its error, unless it leaves the range
of the format; these go to the accumulator of the exact sum block by block. Blocks with a product out of range are
multiplied in whole numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.floating_point.summation.accumulator import DOT_SHIFT
from labkit.floating_point.summation.exact_kernels import (
    BLOCK_SIZE,
    INFINITY,
    MAGNITUDE,
    ROWS,
    TRAILING,
    deposit_block,
    deposit_whole,
    finish,
    make_room,
)
from labkit.floating_point.summation.kernels import two_sum
from labkit.floating_point.summation.threaded_kernels import fused_multiply_add, two_product

SMALLEST_PRODUCT = (1023 - 960) << 52  # the pattern of 2**-960: the error of a larger product is a float64
HALF = 27  # significands are multiplied by halves
_PRODUCT_BIT = 14  # where the unit of products, 2**-2148, lies in the accumulator


@njit(cache=True, nogil=True)
def dot(x, y):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True)
def dot_twofold(x, y):
    """The plain dot product, and the sum of the errors of its products and additions."""
    total, errors = x.dtype.type(0), x.dtype.type(0)
    for i in range(x.size):
        product, product_error = two_product(x[i], y[i])
        total, error = two_sum(total, product)
        errors += product_error + error
    return total, errors


@njit(cache=True, nogil=True)
def products(x, y, product, error):
    """Products and their errors; says whether all are exact."""
    for i in range(x.size):
        product[i] = x[i] * y[i]
        error[i] = fused_multiply_add(x[i], y[i], -product[i])
    patterns, largest, smallest = product.view(np.int64), np.int64(0), np.int64(INFINITY)
    for i in range(x.size):
        magnitude = patterns[i] & MAGNITUDE
        largest = max(largest, magnitude)
        smallest = min(smallest, INFINITY if x[i] == 0.0 or y[i] == 0.0 else magnitude)
    return largest < INFINITY and smallest >= SMALLEST_PRODUCT


@njit(cache=True, nogil=True)
def significand_of(pattern):
    """A finite number as a whole number, and how many places that stands above 2**-1074."""
    biased = (pattern >> 52) & 2047
    if biased == 0:
        return pattern & TRAILING, biased
    return pattern & TRAILING | 1 << 52, biased - 1


@njit(cache=True, nogil=True)
def deposit_product(a, b, accumulator):
    """Add a product of two float64, given by their bits, in whole numbers."""
    if a & MAGNITUDE >= INFINITY or b & MAGNITUDE >= INFINITY:
        is_nan = a & MAGNITUDE > INFINITY or b & MAGNITUDE > INFINITY
        is_nan = is_nan or a & MAGNITUDE == 0 or b & MAGNITUDE == 0  # infinity times zero
        accumulator[accumulator.size - 3 + (2 if is_nan else (1 if a ^ b < 0 else 0))] += 1
        return
    m, k = significand_of(a)
    n, j = significand_of(b)
    bit, is_negative = k + j + _PRODUCT_BIT, a ^ b < 0
    m_high, m_low = m >> HALF, m & ((1 << HALF) - 1)
    n_high, n_low = n >> HALF, n & ((1 << HALF) - 1)
    deposit_whole(m_low * n_low, bit, is_negative, accumulator)
    deposit_whole(m_low * n_high + m_high * n_low, bit + HALF, is_negative, accumulator)
    deposit_whole(m_high * n_high, bit + 2 * HALF, is_negative, accumulator)


@njit(cache=True, nogil=True)
def add_products(x, y, accumulator):
    """Add the products of two arrays of float64 to an accumulator of a dot product."""
    product, error, room = np.empty(BLOCK_SIZE), np.empty(BLOCK_SIZE), make_room()
    for start in range(0, x.size, BLOCK_SIZE):
        a, b = x[start : start + BLOCK_SIZE], y[start : start + BLOCK_SIZE]
        if products(a, b, product[: a.size], error[: a.size]):
            padded = -(-a.size // ROWS) * ROWS
            product[a.size : padded] = 0.0
            error[a.size : padded] = 0.0
            deposit_block(product[:padded], room, accumulator, DOT_SHIFT)
            deposit_block(error[:padded], room, accumulator, DOT_SHIFT)
        else:
            patterns, others = a.view(np.int64), b.view(np.int64)
            for i in range(a.size):
                deposit_product(patterns[i], others[i], accumulator)
    finish(room, accumulator, DOT_SHIFT)


@njit(cache=True, nogil=True)
def add_single_products(x, y, accumulator):
    """The same for arrays of float32: every product is a float64, exactly."""
    product, room = np.empty(BLOCK_SIZE), make_room()
    for start in range(0, x.size, BLOCK_SIZE):
        a, b = x[start : start + BLOCK_SIZE], y[start : start + BLOCK_SIZE]
        for i in range(a.size):
            product[i] = np.float64(a[i]) * np.float64(b[i])
        padded = -(-a.size // ROWS) * ROWS
        product[a.size : padded] = 0.0
        deposit_block(product[:padded], room, accumulator, DOT_SHIFT)
    finish(room, accumulator, DOT_SHIFT)


@njit(cache=True, nogil=True)
def add_product_shares(start, stop, x, y, share_size, accumulators):
    """Kernel of a team: shares of the products, each into an accumulator of its own."""
    for share in range(start, stop):
        first, last = share * share_size, (share + 1) * share_size
        add_products(x[first:last], y[first:last], accumulators[share])


@njit(cache=True, nogil=True)
def add_single_product_shares(start, stop, x, y, share_size, accumulators):
    for share in range(start, stop):
        first, last = share * share_size, (share + 1) * share_size
        add_single_products(x[first:last], y[first:last], accumulators[share])
