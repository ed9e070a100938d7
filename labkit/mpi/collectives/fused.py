"""One pass over several vectors: add them up and write the sum into all of them.

NumPy needs a pass for each operation; compiled, every element is read once and written once. The kernels
are written out for two, three and four vectors, which a compiler turns into vector instructions; for more,
pieces that stay in the cache are added with NumPy.
"""

from __future__ import annotations

import functools

import numpy as np

PIECE = 8192  # elements: of each vector, what stays in the second-level cache
TYPES = frozenset(np.dtype(char) for char in "ilqfd")


@functools.cache
def kernels() -> dict:
    """The compiled kernels by the number of vectors; made at the first call."""
    from numba import njit

    @njit(cache=True, nogil=True)
    def sum_into_two(a, b):
        for i in range(a.size):
            a[i] = b[i] = a[i] + b[i]

    @njit(cache=True, nogil=True)
    def sum_into_three(a, b, c):
        for i in range(a.size):
            a[i] = b[i] = c[i] = (a[i] + b[i]) + c[i]

    @njit(cache=True, nogil=True)
    def sum_into_four(a, b, c, d):
        for i in range(a.size):
            a[i] = b[i] = c[i] = d[i] = ((a[i] + b[i]) + c[i]) + d[i]

    return {2: sum_into_two, 3: sum_into_three, 4: sum_into_four}


def sum_into_all(vectors) -> None:
    """Every vector becomes the sum of all, element by element, from left to right.

    Examples
    --------
    >>> a, b, c = np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([100.0, 200.0])
    >>> sum_into_all([a, b, c])
    >>> a.tolist(), c.tolist()
    ([111.0, 222.0], [111.0, 222.0])
    """
    kernel = kernels().get(len(vectors))
    if kernel is not None:
        kernel(*vectors)
        return
    for start in range(0, vectors[0].size, PIECE):
        first, *others = (vector[start : start + PIECE] for vector in vectors)
        for other in others:
            np.add(first, other, out=first)
        for other in others:
            other[...] = first
