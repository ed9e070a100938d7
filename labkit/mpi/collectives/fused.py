"""One pass over several vectors: add them up and write the sum into all of them.

NumPy needs a pass for each operation. Compiled, a block of each vector is read once, added up in the
first-level cache, and written once.
"""

from __future__ import annotations

import functools

import numpy as np

BLOCK = 1024  # elements: stays in the first-level cache
TYPES = frozenset(np.dtype(char) for char in "ilqfd")


@functools.cache
def sum_kernel():
    """The compiled kernel ``(vectors)``: a tuple of equally long arrays; made at the first call."""
    from numba import njit

    @njit(cache=True)
    def sum_into_all(vectors):
        size = vectors[0].size
        total = np.empty(BLOCK, vectors[0].dtype)
        for start in range(0, size, BLOCK):
            end = min(start + BLOCK, size)
            part = total[: end - start]
            part[:] = vectors[0][start:end]
            for vector in vectors[1:]:  # from left to right: the order of the ranks
                part += vector[start:end]
            for vector in vectors:
                vector[start:end] = part

    return sum_into_all


@functools.cache
def pair_kernel():
    """The same for two vectors, which need no room between."""
    from numba import njit

    @njit(cache=True)
    def sum_into_both(left, right):
        for i in range(left.size):
            total = left[i] + right[i]
            left[i] = total
            right[i] = total

    return sum_into_both


def sum_into_all(vectors) -> None:
    """Every vector becomes the sum of all, element by element, from left to right.

    Examples
    --------
    >>> a, b, c = np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([100.0, 200.0])
    >>> sum_into_all([a, b, c])
    >>> a.tolist(), c.tolist()
    ([111.0, 222.0], [111.0, 222.0])
    """
    if len(vectors) == 2:
        pair_kernel()(*vectors)
    elif len(vectors) > 2:
        sum_kernel()(tuple(vectors))
