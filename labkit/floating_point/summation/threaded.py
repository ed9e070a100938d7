"""Sums and dot products on a team of threads.

A share of the terms is a block of 2**15, whatever the team: compensated results have the same bits for any number of
threads. The plain reduction of OpenMP has not, which is shown beside.
"""

from __future__ import annotations

import numpy as np

from labkit.floating_point.summation.arguments import as_result, check_pair, check_terms
from labkit.floating_point.teams import choose_team

SHARE_SIZE = 1 << 15


def sum_twofold_threaded(x, *, team=None) -> float:
    """The sum as if in twofold precision, in 32 lanes a thread: as accurate as :func:`.sum_twofold`.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
        An array that is not contiguous is copied.
    team : labkit.openmp.team.Team, optional
        By default one thread a core for long arrays, the calling thread for short ones. The bits are the same.

    Returns
    -------
    float or numpy.float32
        In the format of the terms, as are all accumulators. Where a partial sum overflows or a term is infinite or
        NaN, the plain sum.

    Raises
    ------
    UsageError
        More than one dimension, or another type.

    Notes
    -----
    7 flops a term, all packed: long arrays come from memory about as fast. Error at most
    u|s| + gamma(n - 1)^2 sum|x|. The bits depend on the order of the terms; :func:`.sum_exact`'s do not.

    Examples
    --------
    >>> sum_twofold_threaded([1.0, 1e100, 1.0, -1e100])
    2.0
    """
    from labkit.floating_point.summation import threaded_kernels as kernels

    x = check_terms(x, "sum_twofold_threaded")
    one = x.dtype.type(1)
    total, errors = _shares(x.size, x.dtype, team, kernels.sum_shares, (x, one))
    result = total + errors
    if not np.isfinite(result):
        result = kernels.plain_share(0, x.size, x)
    return as_result(result, x.dtype)


def dot_twofold_threaded(x, y, *, team=None) -> float:
    """The dot product as if in twofold precision, in 32 lanes a thread: as accurate as :func:`.dot_twofold`.

    Parameters
    ----------
    x, y : array_like, shape (n,), both float64 or both float32
    team : labkit.openmp.team.Team, optional
        As for :func:`sum_twofold_threaded`; the bits do not depend on it.

    Returns
    -------
    float or numpy.float32

    Raises
    ------
    UsageError
        Vectors that do not fit, more than one dimension, or another type.

    Notes
    -----
    10 flops a pair. Error at most u|s| + gamma(n)^2 sum|x||y| where no product underflows.

    Examples
    --------
    >>> dot_twofold_threaded([1e100, 1.0, -1e100], [1.0, 0.5, 1.0])
    0.5
    """
    from labkit.floating_point.summation import threaded_kernels as kernels
    from labkit.floating_point.summation.dot import dot_recursive

    x, y = check_pair(x, y, "dot_twofold_threaded")
    total, errors = _shares(x.size, x.dtype, team, kernels.dot_shares, (x, y, x.dtype.type(1)))
    result = total + errors
    return as_result(result, x.dtype) if np.isfinite(result) else dot_recursive(x, y)


def sum_reduction(x, *, team=None) -> float:
    """What ``#pragma omp parallel for reduction(+:total)`` does: a plain sum a thread, then the threads' sums.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
    team : labkit.openmp.team.Team, optional
        One thread a core by default. The bits depend on its number of threads.

    Returns
    -------
    float or numpy.float32

    Raises
    ------
    UsageError
        More than one dimension, or another type.
    NotAvailableError
        This machine has no OpenMP runtime.

    Notes
    -----
    1 flop a term. With p threads the error is at most (n / p + p) u sum|x| to first order.

    Examples
    --------
    >>> sum_reduction([0.5] * 8)
    4.0
    """
    from labkit.floating_point.summation.threaded_kernels import plain_share
    from labkit.openmp.team import Team

    x = check_terms(x, "sum_reduction")
    team = choose_team(team, x.size) or Team(1)
    return as_result(team.parallel_for(plain_share, x.size, x, reduction="+"), x.dtype)


def _shares(num_terms, dtype, team, kernel, arguments):
    """Twofold sums of all shares, combined in their order."""
    from labkit.floating_point.summation.threaded_kernels import combine

    num_shares = max(1, -(-num_terms // SHARE_SIZE))
    totals, errors = np.zeros(num_shares, dtype), np.zeros(num_shares, dtype)
    team = choose_team(team, num_terms)
    if team is None:
        kernel(0, num_shares, *arguments, SHARE_SIZE, totals, errors)
    else:
        schedule = f"dynamic,{max(1, num_shares // (16 * team.num_threads))}"
        team.parallel_for(kernel, num_shares, *arguments, SHARE_SIZE, totals, errors, schedule=schedule)
    return combine(totals, errors)
