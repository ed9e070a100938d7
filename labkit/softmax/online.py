"""Online softmax: maximum and sum in one pass, and states that can be merged.

The *state* of some logits is ``(m, d)``: their maximum, and the sum of ``exp(x - m)``. States of parts merge to the
state of the whole, in any grouping: with ``(-inf, 0)``, the state of nothing, they are a commutative monoid (up to
rounding). So parts may be elements one by one, blocks, threads, or ranks.

References
----------
Milakov, Gimelshein: Online normalizer calculation for softmax, 2018 (arXiv 1805.02867), algorithm 3 and section 3.1.
"""

from __future__ import annotations

import math

import numpy as np

from labkit.softmax.arguments import check_rows, result_array, wide

NOTHING = (-math.inf, 0.0)


def merge(first: tuple, second: tuple) -> tuple:
    """The state of two parts together.

    Parameters
    ----------
    first, second : (m, d)
        Numbers, or arrays of one shape.

    Returns
    -------
    (m, d)
        NaN in m or d stays; a maximum of +inf gives a d of NaN.

    Examples
    --------
    >>> merge((0.0, 1.0), (math.log(2), 3.0))
    (0.6931471805599453, 3.5)
    >>> merge(NOTHING, (5.0, 2.0))
    (5.0, 2.0)
    """
    (m1, d1), (m2, d2) = first, second
    with np.errstate(all="ignore"):
        m = np.maximum(m1, m2)
        if np.ndim(m) == 0:
            return float(m), float(_scaled(d1, m1, m) + _scaled(d2, m2, m))
        return m, _scaled(d1, m1, m) + _scaled(d2, m2, m)


def _scaled(d, m, new):
    """d as it counts below another maximum; nothing stays nothing, though ``-inf - -inf`` is NaN."""
    return np.where((m == -np.inf) & (d == 0), d, d * np.exp(m - new))


def state(x) -> tuple[float, float]:
    """The state of some logits, one by one.

    Examples
    --------
    >>> state([1000.0, 1000.0]), state([]) == NOTHING
    ((1000.0, 2.0), True)
    """
    found = NOTHING
    for value in x:
        found = merge(found, (float(value), 1.0 if value != -math.inf else 0.0))
    return found


def merge_tree(states: list) -> list[list]:
    """All levels of merging neighbours in pairs: the states, those of pairs, ..., the state of all.

    Examples
    --------
    >>> [len(level) for level in merge_tree([(0.0, 1.0)] * 5)], merge_tree([(0.0, 1.0)] * 5)[-1]
    ([5, 3, 2, 1], [(0.0, 5.0)])
    """
    levels = [list(states) or [NOTHING]]
    while len(levels[-1]) > 1:
        last = levels[-1]
        levels.append([merge(*last[i : i + 2]) if i + 1 < len(last) else last[i] for i in range(0, len(last), 2)])
    return levels


def softmax_online(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The probabilities of rows of logits, with maximum and sum found in one pass.

    Parameters, result and errors as :func:`.naive.softmax_naive`.

    Notes
    -----
    Two passes over memory: reads 2 and writes 1 number an element, where :func:`.shifted.softmax_shifted` reads 3. When
    a new maximum comes, the sum, in float64, is scaled.

    Examples
    --------
    >>> softmax_online(np.array([[1000.0, 1000.0]])).tolist()
    [[0.5, 0.5]]
    """
    result = result_array(out, check_rows("x", x))
    if x.dtype == np.float16:
        result[...] = softmax_online(wide(x))
    elif x.size:
        from labkit.softmax.online_kernel import online_rows  # compiled: in Python an element would take a microsecond

        online_rows(x, result)
    return result
