"""Compiled loops of the textbook sums: one accumulator, in the order of the array, in the format of the terms.

Importing this module imports Numba. Nothing here is compiled with ``fastmath``: a compiler that may reorder additions
removes every compensation.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(inline="always")
def two_sum(a, b):
    """The rounded sum and its error, exactly (Knuth): 6 flops, no matter which is larger."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@njit(cache=True, nogil=True)
def recursive(x):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


@njit(cache=True, nogil=True)
def recursive_running(x):
    """The sum, and the sum of the magnitudes of all partial sums in float64."""
    total, running = x.dtype.type(0), 0.0
    for i in range(x.size):
        total += x[i]
        if i:
            running += abs(np.float64(total))
    return total, running


@njit(cache=True, nogil=True)
def pairwise(x, levels, block_size, is_running):
    """The sum, and the sum of the magnitudes of all sums but single terms where ``is_running``.

    A stack instead of recursion: ``levels`` holds one waiting sum for each level of the tree. The tree: blocks of
    ``block_size``, then neighbours, level by level; what is left over at the end is added from the right.
    """
    running, num_blocks = 0.0, 0
    for start in range(0, x.size, block_size):
        block = x[start : start + block_size]
        total = block[0]
        for i in range(1, block.size):
            total += block[i]
            if is_running:
                running += abs(np.float64(total))
        num_blocks += 1
        level, left = 0, num_blocks
        while left & 1 == 0:  # the neighbour to the left is complete
            total = levels[level] + total
            if is_running:
                running += abs(np.float64(total))
            level, left = level + 1, left >> 1
        levels[level] = total
    total, is_first = x.dtype.type(0), True
    for level in range(levels.size):
        if num_blocks >> level & 1:
            if is_first:
                total, is_first = levels[level], False
            else:
                total = levels[level] + total
                if is_running:
                    running += abs(np.float64(total))
    return total, running


@njit(cache=True, nogil=True)
def kahan(x):
    total = x.dtype.type(0)
    compensation = x.dtype.type(0)
    for i in range(x.size):
        term = x[i] - compensation
        new = total + term
        compensation = (new - total) - term  # what of the term the sum has swallowed too much
        total = new
    return total


@njit(cache=True, nogil=True)
def neumaier(x):
    total = x.dtype.type(0)
    errors = x.dtype.type(0)
    for i in range(x.size):
        new = total + x[i]
        if abs(total) >= abs(x[i]):
            errors += (total - new) + x[i]
        else:
            errors += (x[i] - new) + total
        total = new
    return total, errors


@njit(cache=True, nogil=True)
def twofold(x):
    """The plain sum, the sum of its rounding errors, and in float64 the sum of their magnitudes."""
    total, errors, magnitudes = x.dtype.type(0), x.dtype.type(0), 0.0
    for i in range(x.size):
        total, error = two_sum(total, x[i])
        errors += error
        magnitudes += abs(np.float64(error))
    return total, errors, magnitudes


@njit(cache=True, nogil=True)
def distill(x):
    """Replace x by the errors of its partial sums, and the last one by the sum: the exact sum stays the same."""
    for i in range(1, x.size):
        x[i], x[i - 1] = two_sum(x[i], x[i - 1])
