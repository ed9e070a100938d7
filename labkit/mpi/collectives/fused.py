"""One pass over several vectors: add them up and write the sum into all of them.

NumPy needs a pass for each operation; compiled, every element is read once and written once. The kernels
are written out for two, three and four vectors, which a compiler turns into vector instructions; for more,
pieces that stay in the cache are added with NumPy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

PIECE = 8192  # elements: of each vector, what stays in the second-level cache
TYPES = frozenset(np.dtype(char) for char in "ilqfd")


@functools.cache
def kernels() -> dict:
    """The compiled kernels by the number of vectors; made at the first call. They get the pieces' starts as a range."""
    from numba import njit

    @njit(cache=True, nogil=True)
    def sum_into_two(first, stop, step, a, b):
        for start in range(first, stop, step):
            x, y = a[start : start + PIECE], b[start : start + PIECE]
            for i in range(x.size):
                x[i] = y[i] = x[i] + y[i]

    @njit(cache=True, nogil=True)
    def sum_into_three(first, stop, step, a, b, c):
        for start in range(first, stop, step):
            x, y, z = a[start : start + PIECE], b[start : start + PIECE], c[start : start + PIECE]
            for i in range(x.size):
                x[i] = y[i] = z[i] = (x[i] + y[i]) + z[i]

    @njit(cache=True, nogil=True)
    def sum_into_four(first, stop, step, a, b, c, d):
        for start in range(first, stop, step):
            x, y = a[start : start + PIECE], b[start : start + PIECE]
            z, w = c[start : start + PIECE], d[start : start + PIECE]
            for i in range(x.size):
                x[i] = y[i] = z[i] = w[i] = ((x[i] + y[i]) + z[i]) + w[i]

    return {2: sum_into_two, 3: sum_into_three, 4: sum_into_four}


def sum_into_all(vectors, *, backwards: bool = False) -> None:
    """Every vector becomes the sum of all, element by element, from left to right.

    ``backwards`` begins with the last pieces of the vectors; the sum is the same.

    Examples
    --------
    >>> a, b, c = np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([100.0, 200.0])
    >>> sum_into_all([a, b, c])
    >>> a.tolist(), c.tolist()
    ([111.0, 222.0], [111.0, 222.0])
    """
    _way(vectors, backwards)()


def to_and_fro(vectors) -> tuple[Callable[[], None], Callable[[], None]]:
    """Two calls that do what :func:`sum_into_all` does, from the first piece to the last and back.

    Who adds up the same vectors again and again takes them in turn: each begins with what the other has left in the
    cache.
    """
    return _way(vectors, False), _way(vectors, True)


def _way(vectors, backwards: bool) -> Callable[[], None]:
    starts = range(0, vectors[0].size, PIECE)
    if backwards:
        starts = starts[::-1]
    kernel = kernels().get(len(vectors))
    if kernel is not None:
        return functools.partial(kernel, starts.start, starts.stop, starts.step, *vectors)
    return functools.partial(_by_pieces, starts, vectors)


def _by_pieces(starts: range, vectors) -> None:
    for start in starts:
        first, *others = (vector[start : start + PIECE] for vector in vectors)
        for other in others:
            np.add(first, other, out=first)
        for other in others:
            other[...] = first
