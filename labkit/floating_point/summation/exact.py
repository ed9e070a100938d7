"""The correctly rounded sum: as if computed without any error, then rounded once."""

from __future__ import annotations

import numpy as np

from labkit.floating_point.summation.accumulator import NUM_ENTRIES, normalise, round_accumulator
from labkit.floating_point.summation.arguments import check_terms
from labkit.floating_point.teams import choose_team

SHARES_A_THREAD = 8  # so that a thread that is held up leaves its last ones to others
SMALLEST_SHARE = 1 << 13


def sum_exact(x, *, team=None) -> float:
    """The exact sum, rounded once to the nearest number, ties to even.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
        An array that is not contiguous is copied.
    team : labkit.openmp.team.Team, optional
        By default one thread a core for long arrays, the calling thread for short ones. The result is the same.

    Returns
    -------
    float or numpy.float32
        In the format of the terms; float32 terms are added exactly, too, and the result is rounded once, to float32.
        NaN if a term is NaN or terms are infinite with both signs; else the infinity, if there is one. An exact sum of
        0 is +0.0, as is that of no terms or of minus zeros. Partial sums cannot overflow.

    Raises
    ------
    UsageError
        More than one dimension, or another type.

    Notes
    -----
    About 10 flops a term for terms whose exponents differ by less than 30 within blocks of 2048, all of them packed;
    about three times that for a wider range; beyond 160 binary places, ten operations on whole numbers a term more.
    Error at most half a unit in the last place; the same bits for any order of the terms and any number of threads.

    References
    ----------
    See :mod:`.accumulator` and :mod:`.exact_kernels`.

    Examples
    --------
    >>> sum_exact([1.0, 1e100, 1.0, -1e100]), sum_exact([1e308, 1e308, -1e308]), sum_exact([0.1] * 10)
    (2.0, 1e+308, 1.0)
    """
    x = check_terms(x, "sum_exact")
    return round_accumulator(accumulate(x, team), x.dtype)


def exact_accumulator(x, *, team=None) -> np.ndarray:
    """The exact sum as an accumulator: whole numbers that can be added to those of other threads and ranks.

    Parameters
    ----------
    x, team
        As for :func:`sum_exact`.

    Returns
    -------
    ndarray of int64, shape (73,)
        In normal form; see :mod:`.accumulator`. :func:`.round_accumulator` rounds it.

    Examples
    --------
    >>> total = exact_accumulator([1e100, 1.0]) + exact_accumulator([1.0, -1e100])
    >>> round_accumulator(total)
    2.0
    """
    return accumulate(check_terms(x, "exact_accumulator"), team)


def accumulate(x: np.ndarray, team) -> np.ndarray:
    """The accumulator of checked terms."""
    from labkit.floating_point.summation import exact_kernels as kernels

    is_wide = x.dtype == np.float64
    team = choose_team(team, x.size)
    if team is None:
        total = np.zeros(NUM_ENTRIES, np.int64)
        (kernels.add_terms if is_wide else kernels.add_single_terms)(x, total)
        return total
    num_shares = max(1, min(SHARES_A_THREAD * team.num_threads, x.size // SMALLEST_SHARE))
    share_size = -(-x.size // num_shares)
    accumulators = np.zeros((num_shares, NUM_ENTRIES), np.int64)
    kernel = kernels.add_shares if is_wide else kernels.add_single_shares
    team.parallel_for(kernel, num_shares, x, share_size, accumulators, schedule="dynamic,1")
    return normalise(accumulators.sum(axis=0))
