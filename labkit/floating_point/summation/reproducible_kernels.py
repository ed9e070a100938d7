"""Compiled loops of the sum in bins: every term is cut at places that are fixed for the whole format."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from labkit.floating_point.summation.exact_kernels import (
    BLOCK_SIZE,
    INFINITY,
    MAGNITUDE,
    NUM_LANES,
    ROWS,
    add_lanes,
    largest_pattern,
)
from labkit.floating_point.summation.reproducible import BIN_BITS, NUM_FOLDS

LOWEST_EXPONENT = -1074  # bin b counts multiples of 2**(BIN_BITS * b - 1074)
TOP, FIRST = 0, 1  # of a state: the number of its upper bin, then the high and low part of each bin, then specials
SCALE_BITS = 64  # terms of the uppermost bin are scaled down, for sigma would be infinite
LARGEST_BIN = 51
_MASK = (1 << BIN_BITS) - 1


@njit(inline="always")
def cut(term, one, sigma, sigma_2, sigma_3, a, b, c):
    part = (term * one + sigma) - sigma
    rest = term * one - part
    part_2 = (rest * one + sigma_2) - sigma_2
    rest = rest * one - part_2
    return a * one + part, b * one + part_2, c + ((rest * one + sigma_3) - sigma_3)


@njit(cache=True, nogil=True, fastmath={"contract"})
def cut_block(x, one, sigma, sigma_2, sigma_3, lanes):
    """Add the three folds of x to ``lanes``, shape (3, NUM_LANES); see :mod:`.exact_kernels`."""
    upper, middle, lower = lanes[0], lanes[1], lanes[2]
    for i in range(0, x.size, ROWS):
        row = x[i : i + NUM_LANES]
        row_1 = x[i + NUM_LANES : i + 2 * NUM_LANES]
        row_2 = x[i + 2 * NUM_LANES : i + 3 * NUM_LANES]
        row_3 = x[i + 3 * NUM_LANES : i + 4 * NUM_LANES]
        for j in range(NUM_LANES):
            a, b, c = upper[j], middle[j], lower[j]
            a, b, c = cut(row[j], one, sigma, sigma_2, sigma_3, a, b, c)
            a, b, c = cut(row_1[j], one, sigma, sigma_2, sigma_3, a, b, c)
            a, b, c = cut(row_2[j], one, sigma, sigma_2, sigma_3, a, b, c)
            a, b, c = cut(row_3[j], one, sigma, sigma_2, sigma_3, a, b, c)
            upper[j], middle[j], lower[j] = a, b, c


@njit(cache=True, nogil=True)
def raise_top(state, top):
    """Make ``top`` the upper bin; bins that are then too low are given up."""
    moved = min(top - state[TOP], NUM_FOLDS)
    if moved <= 0:
        return
    bins = state[FIRST : FIRST + 2 * NUM_FOLDS]
    for k in range(bins.size - 1, 2 * moved - 1, -1):
        bins[k] = bins[k - 2 * moved]
    bins[: 2 * moved] = 0
    state[TOP] = top


@njit(cache=True, nogil=True)
def take_specials(block, state):
    """Count infinities and NaN, and put zeros in their place."""
    patterns = block.view(np.int64)
    for i in range(block.size):
        if patterns[i] & MAGNITUDE >= INFINITY:
            is_nan = patterns[i] & MAGNITUDE > INFINITY
            state[state.size - 3 + (2 if is_nan else (1 if patterns[i] < 0 else 0))] += 1
            block[i] = 0.0


@njit(cache=True, nogil=True)
def add_block(block, lanes, state):
    """Add a block of a multiple of ROWS terms, which may be changed."""
    largest = largest_pattern(block.view(np.int64))
    if largest >= INFINITY:
        take_specials(block, state)
        largest = largest_pattern(block.view(np.int64))
    # Terms below 2**(exponent + 1) are less than half of what the bin above ``top`` counts: they round to 0 there.
    exponent = max(largest >> 52, 1) - 1023
    raise_top(state, -((-(exponent + 1 - LOWEST_EXPONENT - BIN_BITS + 1)) // BIN_BITS))
    top, scale = state[TOP], 0
    if top > LARGEST_BIN:
        scale = SCALE_BITS
        for i in range(block.size):
            block[i] *= 2.0**-SCALE_BITS
    place = BIN_BITS * top + LOWEST_EXPONENT - scale  # of the upper bin
    lowest = LOWEST_EXPONENT  # below, there is nothing left
    sigma = 1.5 * math.ldexp(1.0, place + 52)
    sigma_2 = 1.5 * math.ldexp(1.0, max(place - BIN_BITS, lowest) + 52)
    sigma_3 = 1.5 * math.ldexp(1.0, max(place - 2 * BIN_BITS, lowest) + 52)
    lanes[:] = 0.0
    cut_block(block, 1.0, sigma, sigma_2, sigma_3, lanes)
    add_lanes(lanes)
    for k in range(NUM_FOLDS):
        at = FIRST + 2 * k
        total = lanes[k, 0]  # a multiple of the bin's unit, below 2**50 of them
        if total != 0.0:
            low = state[at + 1] + np.int64(math.ldexp(total, BIN_BITS * k - place))
            state[at] += low >> BIN_BITS
            state[at + 1] = low & _MASK


@njit(cache=True, nogil=True)
def bin_terms(x, state):
    """Add all terms, float64 or float32."""
    block, lanes = np.empty(BLOCK_SIZE), np.empty((NUM_FOLDS, NUM_LANES))
    for start in range(0, x.size, BLOCK_SIZE):
        terms = x[start : start + BLOCK_SIZE]
        padded = -(-terms.size // ROWS) * ROWS
        for i in range(terms.size):
            block[i] = terms[i]
        block[terms.size : padded] = 0.0
        add_block(block[:padded], lanes, state)


@njit(cache=True, nogil=True)
def bin_shares(start, stop, states, x, share_size):
    """Kernel of a team: shares of the terms, each into a state of its own."""
    for share in range(start, stop):
        bin_terms(x[share * share_size : (share + 1) * share_size], states[share])
