"""Compiled loops of the exact sum: fast error-free extraction for blocks of like numbers, whole numbers for the rest.

A block of 2048 terms stays in the first-level cache. With sigma = 1.5 * 2**p, far above the terms, (x + sigma) - sigma
is x rounded to a multiple of 2**(p - 52), and what is left over is exact. Such multiples are added up without rounding
as long as they stay below 2**(p + 1). Two of these folds take what lies in the upper 82 bits below the largest term
of the block; what is still left goes round again, and after MOST_ROUNDS, term by term into a table with a sum for each
exponent (:func:`scatter`), which goes to the limbs in the end.

The loops over lanes are independent additions, so the compiler packs them; four rows at once save loads and stores.
A product with ``one``, which is 1.0 and unknown to the compiler, changes no bit; fused with the addition that follows
(``contract`` allows that and nothing else) it runs in units that multiply and would otherwise have nothing to do.

References
----------
S. M. Rump, T. Ogita, S. Oishi, Accurate floating-point summation part I: faithful rounding, SIAM Journal on
Scientific Computing 31, 2008 (ExtractVector). J. Demmel, H. D. Nguyen, Parallel reproducible summation, IEEE
Transactions on Computers 64, 2015.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.floating_point.summation.accumulator import LIMB_BITS
from labkit.openmp.prefetch import prefetch_lines

BLOCK_BITS = 11
BLOCK_SIZE = 1 << BLOCK_BITS
NUM_LANES = 32
ROWS = 4 * NUM_LANES
FOLD_BITS = 42  # from one fold's sigma to the next: 52 less the bits that room for a block's sum takes
MOST_ROUNDS = 2
LARGEST_EXPONENT = 1023 - BLOCK_BITS - 3  # sigma must be finite
_MASK = (1 << LIMB_BITS) - 1
MAGNITUDE = 0x7FFFFFFFFFFFFFFF
INFINITY = 0x7FF0000000000000
TRAILING = (1 << 52) - 1


@njit(inline="always")
def extract(term, one, sigma, sigma_2, total, total_2, left):
    part = (term * one + sigma) - sigma
    rest = term * one - part
    part_2 = (rest * one + sigma_2) - sigma_2
    return total * one + part, total_2 * one + part_2, left + abs(rest - part_2)


@njit(cache=True, nogil=True, fastmath={"contract"})
def extract_block(x, one, sigma, sigma_2, lanes):
    """Add both folds of x to ``lanes``, shape (3, NUM_LANES), and to its last row the magnitudes of what is left."""
    totals, totals_2, left = lanes[0], lanes[1], lanes[2]
    next_block = x.ctypes.data + 8 * BLOCK_SIZE
    for i in range(0, x.size, ROWS):
        prefetch_lines(next_block + 8 * i, 8 * ROWS)
        row = x[i : i + NUM_LANES]
        row_1 = x[i + NUM_LANES : i + 2 * NUM_LANES]
        row_2 = x[i + 2 * NUM_LANES : i + 3 * NUM_LANES]
        row_3 = x[i + 3 * NUM_LANES : i + 4 * NUM_LANES]
        for j in range(NUM_LANES):
            a, b, c = totals[j], totals_2[j], left[j]
            a, b, c = extract(row[j], one, sigma, sigma_2, a, b, c)
            a, b, c = extract(row_1[j], one, sigma, sigma_2, a, b, c)
            a, b, c = extract(row_2[j], one, sigma, sigma_2, a, b, c)
            a, b, c = extract(row_3[j], one, sigma, sigma_2, a, b, c)
            totals[j], totals_2[j], left[j] = a, b, c


@njit(cache=True, nogil=True)
def add_lanes(lanes):
    """Add each row into its first entry, by halves."""
    half = NUM_LANES // 2
    while half:
        for row in range(lanes.shape[0]):
            for j in range(half):
                lanes[row, j] += lanes[row, j + half]
        half //= 2


@njit(cache=True, nogil=True)
def leave_rest(x, sigma, sigma_2, rest):
    for i in range(x.size):
        part = x[i] - ((x[i] + sigma) - sigma)
        rest[i] = part - ((part + sigma_2) - sigma_2)


@njit(cache=True, nogil=True)
def largest_pattern(patterns):
    """The largest magnitude of a block, as the whole number that its bits are."""
    largest = np.int64(0)
    for i in range(patterns.size):
        largest = max(largest, patterns[i] & MAGNITUDE)
    return largest


@njit(cache=True, nogil=True)
def deposit_whole(number, bit, is_negative, accumulator):
    """Add a whole number below 2**62, or subtract it, with its last place at a bit of the accumulator."""
    limb, shift = bit >> 5, bit & 31
    low = (number << shift) & _MASK
    high = number >> (LIMB_BITS - shift)
    if is_negative:
        accumulator[limb] -= low
        accumulator[limb + 1] -= high & _MASK
        accumulator[limb + 2] -= high >> LIMB_BITS
    else:
        accumulator[limb] += low
        accumulator[limb + 1] += high & _MASK
        accumulator[limb + 2] += high >> LIMB_BITS


@njit(cache=True, nogil=True)
def deposit(pattern, accumulator, first):
    """Add the float64 with these bits to the limbs from ``first`` on, or count it if it is infinite or NaN."""
    biased = (pattern >> 52) & 2047
    significand = pattern & TRAILING
    if biased == 2047:
        specials = accumulator[accumulator.size - 3 :]
        specials[2 if significand else (1 if pattern < 0 else 0)] += 1
        return
    if biased:
        significand |= 1 << 52
        biased -= 1
    deposit_whole(significand, 32 * first + biased, pattern < 0, accumulator)


@njit(cache=True, nogil=True)
def scatter(patterns, table):
    """Add finite float64, given by their bits, to the sums of significands by biased exponent, shape (2048, 2).

    In halves of 32 bits, so that 2**31 terms fit; the lower half of a negative one counts upwards, too.
    """
    for i in range(patterns.size):
        pattern = patterns[i]
        biased = (pattern >> 52) & 2047
        significand = pattern & TRAILING | np.int64(biased != 0) << 52
        sign = pattern >> 63  # 0 or -1
        significand = (significand ^ sign) - sign
        table[biased, 0] += significand & _MASK
        table[biased, 1] += significand >> LIMB_BITS


@njit(cache=True, nogil=True)
def gather(table, accumulator, first):
    """Move the sums of a table to the limbs."""
    for biased in range(2047):
        bit = 32 * first + max(biased - 1, 0)
        low, high = table[biased, 0], table[biased, 1]
        if low | high:
            deposit_whole(low, bit, False, accumulator)
            deposit_whole(abs(high), bit + LIMB_BITS, high < 0, accumulator)


@njit(cache=True, nogil=True)
def carry(accumulator):
    """Normal form of the limbs."""
    for k in range(accumulator.size - 4):
        moved = accumulator[k] >> LIMB_BITS
        accumulator[k] &= _MASK
        accumulator[k + 1] += moved


@njit(cache=True, nogil=True)
def make_room():
    """What :func:`deposit_block` works in: a block, lanes, two sums, a table, and whether that is in use."""
    table, in_use = np.zeros((2048, 2), np.int64), np.zeros(1, np.bool_)
    return np.empty(BLOCK_SIZE), np.empty((3, NUM_LANES)), np.empty(2), table, in_use


@njit(cache=True, nogil=True)
def finish(room, accumulator, first):
    """The last step: what is in the table, then normal form."""
    if room[4][0]:
        gather(room[3], accumulator, first)
    carry(accumulator)


@njit(cache=True, nogil=True)
def deposit_block(block, room, accumulator, first):
    """Add a block of a multiple of ROWS terms, BLOCK_SIZE at most."""
    work, lanes, sums, table, in_use = room
    for _ in range(MOST_ROUNDS):
        largest = largest_pattern(block.view(np.int64))
        if largest == 0:
            return
        biased = largest >> 52
        if biased > LARGEST_EXPONENT + 1023:
            break
        patterns = sums.view(np.int64)
        patterns[0] = (biased + BLOCK_BITS + 1) << 52 | 1 << 51  # 1.5 * 2**(exponent + 12)
        sigma = sums[0]
        sigma_2 = sigma * 2.0**-FOLD_BITS
        lanes[:] = 0.0
        extract_block(block, 1.0, sigma, sigma_2, lanes)
        add_lanes(lanes)
        sums[0], sums[1] = lanes[0, 0], lanes[1, 0]
        deposit(patterns[0], accumulator, first)
        deposit(patterns[1], accumulator, first)
        if lanes[2, 0] == 0.0:
            return
        leave_rest(block, sigma, sigma_2, work[: block.size])
        block = work[: block.size]
    patterns = block.view(np.int64)
    if largest_pattern(patterns) < INFINITY:
        scatter(patterns, table)
        in_use[0] = True
        return
    for i in range(patterns.size):
        deposit(patterns[i], accumulator, first)


@njit(cache=True, nogil=True)
def add_terms(x, accumulator):
    """Add all terms of an array of float64, and bring the accumulator to normal form."""
    room = make_room()
    whole = x.size // ROWS * ROWS
    for start in range(0, whole, BLOCK_SIZE):
        deposit_block(x[start : min(start + BLOCK_SIZE, whole)], room, accumulator, 0)
    if whole < x.size:
        row = np.zeros(ROWS)
        row[: x.size - whole] = x[whole:]
        deposit_block(row, room, accumulator, 0)
    finish(room, accumulator, 0)


@njit(cache=True, nogil=True)
def add_single_terms(x, accumulator):
    """The same for an array of float32: block by block widened to float64, which is exact."""
    room = make_room()
    block = np.empty(BLOCK_SIZE)
    for start in range(0, x.size, BLOCK_SIZE):
        terms = x[start : start + BLOCK_SIZE]
        padded = -(-terms.size // ROWS) * ROWS
        for i in range(terms.size):
            block[i] = terms[i]
        block[terms.size : padded] = 0.0
        deposit_block(block[:padded], room, accumulator, 0)
    finish(room, accumulator, 0)


@njit(cache=True, nogil=True)
def add_shares(start, stop, x, share_size, accumulators):
    """Kernel of a team: shares ``start`` to ``stop - 1`` of the terms, each into an accumulator of its own."""
    for share in range(start, stop):
        add_terms(x[share * share_size : (share + 1) * share_size], accumulators[share])


@njit(cache=True, nogil=True)
def add_single_shares(start, stop, x, share_size, accumulators):
    for share in range(start, stop):
        add_single_terms(x[share * share_size : (share + 1) * share_size], accumulators[share])
