"""Dot products: plain, as if in twofold precision, and correctly rounded.

All take two vectors of shape (n,), both float64 or both float32, and raise UsageError for vectors that do not fit, more
than one dimension, or another type. Vectors that are not contiguous are copied.

References
----------
T. Ogita, S. M. Rump, S. Oishi, Accurate sum and dot product, SIAM Journal on Scientific Computing 26, 2005.
"""

from __future__ import annotations

import numpy as np

from labkit.floating_point.summation.accumulator import NUM_DOT_LIMBS, normalise, round_accumulator
from labkit.floating_point.summation.arguments import as_result, check_pair
from labkit.floating_point.summation.exact import SHARES_A_THREAD, SMALLEST_SHARE
from labkit.floating_point.teams import choose_team


def dot_recursive(x, y) -> float:
    """The dot product by the loop everybody writes.

    Parameters
    ----------
    x, y : array_like, shape (n,), both float64 or both float32

    Returns
    -------
    float or numpy.float32
        In the format of the vectors, as is the accumulator. 0.0 for n = 0.

    Notes
    -----
    2 flops a pair. Error at most n u sum|x||y| to first order.

    Examples
    --------
    >>> dot_recursive([1e100, 1.0, -1e100], [1.0, 0.5, 1.0])
    0.0
    """
    from labkit.floating_point.summation.dot_kernels import dot

    x, y = check_pair(x, y, "dot_recursive")
    return as_result(dot(x, y), x.dtype)


def dot_twofold(x, y) -> float:
    """The dot product as if in twofold precision: Dot2 of Ogita, Rump and Oishi, with fused multiply-adds.

    Parameters
    ----------
    x, y : array_like, shape (n,), both float64 or both float32

    Returns
    -------
    float or numpy.float32
        In the format of the vectors, as are both accumulators. Where something overflows, is infinite or NaN, the
        plain dot product.

    Notes
    -----
    10 flops a pair. Error at most u|s| + gamma(n)^2 sum|x||y|, and 5 n times the smallest positive number where
    products underflow (Proposition 5.5).

    Examples
    --------
    >>> dot_twofold([1e100, 1.0, -1e100], [1.0, 0.5, 1.0])
    0.5
    """
    from labkit.floating_point.summation import dot_kernels as kernels

    x, y = check_pair(x, y, "dot_twofold")
    total, errors = kernels.dot_twofold(x, y)
    result = total + errors
    return as_result(result if np.isfinite(result) else kernels.dot(x, y), x.dtype)


def dot_exact(x, y, *, team=None) -> float:
    """The exact dot product, rounded once to the nearest number, ties to even.

    Parameters
    ----------
    x, y : array_like, shape (n,), both float64 or both float32
    team : labkit.openmp.team.Team, optional
        By default one thread a core for long vectors. The result is the same.

    Returns
    -------
    float or numpy.float32
        In the format of the vectors, rounded once. NaN if a product is NaN or products are infinite with both signs;
        else the infinity, if there is one. Products and partial sums can neither overflow nor underflow.

    Notes
    -----
    About 25 flops a pair, packed; where a product lies outside of 2**-960 to 2**1023, its block is multiplied in whole
    numbers, about 60 operations a pair. The same bits for any order and any number of threads.

    Examples
    --------
    >>> dot_exact([1e300, 3.0, -1e300], [1e300, 0.1, 1e300]), dot_exact([2.0**-600], [2.0**-400])
    (0.30000000000000004, 9.332636185032189e-302)
    """
    x, y = check_pair(x, y, "dot_exact")
    return round_accumulator(_accumulate_products(x, y, team), x.dtype)


def _accumulate_products(x, y, team) -> np.ndarray:
    from labkit.floating_point.summation import dot_kernels as kernels

    is_wide = x.dtype == np.float64
    team = choose_team(team, x.size)
    num_entries = NUM_DOT_LIMBS + 3
    if team is None:
        total = np.zeros(num_entries, np.int64)
        (kernels.add_products if is_wide else kernels.add_single_products)(x, y, total)
        return total
    num_shares = max(1, min(SHARES_A_THREAD * team.num_threads, x.size // SMALLEST_SHARE))
    share_size = -(-x.size // num_shares)
    accumulators = np.zeros((num_shares, num_entries), np.int64)
    kernel = kernels.add_product_shares if is_wide else kernels.add_single_product_shares
    team.parallel_for(kernel, num_shares, x, y, share_size, accumulators, schedule="dynamic,1")
    return normalise(accumulators.sum(axis=0))
