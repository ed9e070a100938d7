"""Compensated sums: the rounding error of every addition is computed, and added in the end or on the way.

All take and give float64 or float32, accumulators in the same format, and raise UsageError for more than one dimension
or another type. An array that is not contiguous is copied. Where a partial sum overflows, or a term is infinite or NaN,
errors are infinity minus infinity: the result is then that of the plain sum.

References
----------
W. Kahan, Further remarks on reducing truncation errors, CACM 8, 1965. A. Neumaier, Rundungsfehleranalyse einiger
Verfahren zur Summation endlicher Summen, ZAMM 54, 1974. T. Ogita, S. M. Rump, S. Oishi, Accurate sum and dot product,
SIAM Journal on Scientific Computing 26, 2005.
"""

from __future__ import annotations

import numpy as np

from labkit.floating_point.summation.arguments import as_result, check_count, check_terms


def sum_kahan(x) -> float:
    """The sum with Kahan's compensation: what an addition cut off is added to the next term.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32

    Returns
    -------
    float or numpy.float32

    Notes
    -----
    4 flops a term. Error at most (2 u + O(n u^2)) sum|x|: independent of n, but not of the condition number, because a
    compensation is lost where a term is much larger than the sum (the second example).

    Examples
    --------
    >>> sum_kahan([0.1] * 10), sum_kahan([1.0, 1e100, 1.0, -1e100])
    (1.0, 0.0)
    """
    from labkit.floating_point.summation.kernels import kahan, recursive

    x = check_terms(x, "sum_kahan")
    return _or_plain(kahan(x), x, recursive)


def sum_neumaier(x) -> float:
    """The sum with Kahan's and Babuska's compensation: errors are summed beside, whichever addend is larger.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32

    Returns
    -------
    float or numpy.float32

    Notes
    -----
    4 flops and a comparison a term. Gives the same bits as :func:`sum_twofold`. Error at most u|s| + (n u)^2 sum|x| to
    first order: as if computed in twice the precision, then rounded.

    Examples
    --------
    >>> sum_neumaier([0.1] * 10), sum_neumaier([1.0, 1e100, 1.0, -1e100])
    (1.0, 2.0)
    """
    from labkit.floating_point.summation.kernels import neumaier, recursive

    x = check_terms(x, "sum_neumaier")
    total, errors = neumaier(x)
    return _or_plain(total + errors, x, recursive)


def sum_twofold(x) -> float:
    """The sum as if in twofold precision: Sum2 of Ogita, Rump and Oishi.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32

    Returns
    -------
    float or numpy.float32

    Notes
    -----
    7 flops a term and no branch, so it vectorises in lanes (:mod:`.threaded`). Error at most
    u|s| + gamma(n - 1)^2 sum|x|, gamma(k) = k u / (1 - k u) (Proposition 4.5).

    Examples
    --------
    >>> sum_twofold([1.0, 1e100, 1.0, -1e100])
    2.0
    """
    from labkit.floating_point.summation.kernels import recursive, twofold

    x = check_terms(x, "sum_twofold")
    total, errors, _ = twofold(x)
    return _or_plain(total + errors, x, recursive)


def sum_kfold(x, *, num_folds: int = 3) -> float:
    """The sum as if in K-fold precision: SumK of Ogita, Rump and Oishi.

    The terms are replaced by the errors of their partial sums, K - 1 times over; then they are well conditioned, and
    a plain sum does.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
        It is copied, because it is worked on.
    num_folds : int
        K, 1 to 64; 1 is the plain sum.

    Returns
    -------
    float or numpy.float32

    Raises
    ------
    UsageError
        Also for another number of folds.

    Notes
    -----
    6 (K - 1) + 1 flops a term, K passes over memory. Error at most (u + 3 gamma(n - 1)^2)|s| +
    gamma(2 n - 2)^K sum|x| (Proposition 4.10).

    Examples
    --------
    >>> x = [1e60, 1e30, 1.0, -1e30, -1e60]
    >>> [sum_kfold(x, num_folds=k) for k in (1, 2, 3, 4)]
    [0.0, 0.0, 1.0, 1.0]
    """
    from labkit.floating_point.summation.kernels import distill, recursive

    x = check_terms(x, "sum_kfold")
    num_folds = check_count("sum_kfold", "num_folds", num_folds, 1, 64)
    work = x.copy()
    for _ in range(num_folds - 1):
        distill(work)
    return _or_plain(recursive(work), x, recursive)


def _or_plain(total, x: np.ndarray, plain):
    """The compensated sum, or the plain one where there was an infinity on the way."""
    return as_result(total if np.isfinite(total) else plain(x), x.dtype)
