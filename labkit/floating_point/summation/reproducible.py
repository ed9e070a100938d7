"""Sums whose bits depend on the terms alone: not on their order, not on threads, ranks, or the tree of a reduction.

Two ways lead there. The simplest is the exact sum: whole numbers do not care about order, and what is rounded once at
the end is always the same. It is the first choice here, because it is the accurate one and, on terms of similar
magnitude, as fast; its state has 73 words. The cheap way is that of ReproBLAS: cut every term at places that are
fixed for the format, and keep the upper three bins only. Its cost does not depend on the terms, its state has 10 words
(what small messages, or a state for each of many sums, ask for), and it is as good as a plain sum in about 80 bits.

References
----------
J. Demmel, H. D. Nguyen, Parallel reproducible summation, IEEE Transactions on Computers 64, 2015.
W. Ahrens, J. Demmel, H. D. Nguyen, Algorithms for efficient reproducible floating point summation, ACM TOMS 46, 2020.
"""

from __future__ import annotations

import numpy as np

from labkit.floating_point.summation.accumulator import round_accumulator, round_whole_number
from labkit.floating_point.summation.arguments import check_terms
from labkit.floating_point.summation.exact import SHARES_A_THREAD, SMALLEST_SHARE, accumulate
from labkit.floating_point.teams import ALONE, choose_team

NUM_FOLDS, BIN_BITS = 3, 40
NUM_ENTRIES = 1 + 2 * NUM_FOLDS + 3  # the upper bin's number, two words a bin, specials as in :mod:`.accumulator`


def sum_reproducible(x, *, team=None) -> float:
    """The sum in three bins of 40 bits: the same bits for any order of the terms and any number of threads.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
    team : labkit.openmp.team.Team, optional
        By default one thread a core for long arrays.

    Returns
    -------
    float or numpy.float32
        In the format of the terms; bins are whole numbers. NaN if a term is NaN or terms are infinite with both
        signs; else the infinity, if there is one. A sum of 0 is +0.0.

    Raises
    ------
    UsageError
        More than one dimension, or another type.

    Notes
    -----
    13 flops a term, all packed, whatever the terms are. Error at most u|s| + n 2^-80 max|x|: what lies further below
    the largest term is cut off, by rounding to nearest.

    Examples
    --------
    >>> sum_reproducible([0.1] * 10), sum_reproducible([1.0, 1e16, -1e16]), sum_reproducible([1.0, 1e100, -1e100])
    (1.0, 1.0, 0.0)
    """
    x = check_terms(x, "sum_reproducible")
    return _round_bins(_bins(x, team), x.dtype)


def reproducible_bound(problem) -> float:
    """``u|s| + n 2^-80 sum|x|``, a little more than with the largest term."""
    return problem.u * problem.size + problem.num_terms * 2.0**-80 * problem.magnitude


def allreduce_sum_exact(comm, x, *, team=None) -> float:
    """The correctly rounded sum of the terms of all ranks, on every rank.

    Ranks add their terms to an accumulator each, and accumulators are all-reduced as whole numbers with MPI.SUM: the
    result depends neither on how the terms are spread nor on the algorithm of the library.

    Parameters
    ----------
    comm : communicator
        Of mpi4py, or of simulated ranks.
    x : array_like, shape (n,), float64 or float32
        The rank's terms, of one type on all ranks; n may differ, and be 0.
    team : labkit.openmp.team.Team, optional
        By default the rank's own thread alone: there is a rank a core, as a rule.

    Returns
    -------
    float or numpy.float32
        As of :func:`.sum_exact`, bitwise equal on all ranks.

    Raises
    ------
    UsageError
        More than one dimension, or another type.

    Notes
    -----
    One all-reduce of 73 int64, 584 bytes; for up to 2**31 ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> simulate(3, lambda comm: allreduce_sum_exact(comm, [[1e100], [1.0], [-1e100]][comm.rank])).results
    [1.0, 1.0, 1.0]
    """
    from mpi4py import MPI

    x = check_terms(x, "allreduce_sum_exact")
    own = accumulate(x, ALONE if team is None else team)
    total = np.empty_like(own)
    comm.Allreduce(own, total, op=MPI.SUM)
    return round_accumulator(total, x.dtype)


def allreduce_sum_reproducible(comm, x, *, team=None) -> float:
    """The sum in bins of the terms of all ranks, on every rank: the bits of :func:`sum_reproducible` of all terms.

    Parameters
    ----------
    comm, x, team
        As for :func:`allreduce_sum_exact`.

    Returns
    -------
    float or numpy.float32
        Bitwise equal on all ranks.

    Raises
    ------
    UsageError
        More than one dimension, or another type.

    Notes
    -----
    Two all-reduces: the upper bin by MPI.MAX, 8 bytes, then the bins by MPI.SUM, 80 bytes; for up to 2**20 ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> simulate(2, lambda comm: allreduce_sum_reproducible(comm, [0.1] * 5)).results
    [1.0, 1.0]
    """
    from mpi4py import MPI

    from labkit.floating_point.summation.reproducible_kernels import TOP, raise_top

    x = check_terms(x, "allreduce_sum_reproducible")
    own = _bins(x, ALONE if team is None else team)
    top = np.empty(1, np.int64)
    comm.Allreduce(own[TOP : TOP + 1].copy(), top, op=MPI.MAX)
    raise_top(own, top[0])
    total = np.empty_like(own)
    comm.Allreduce(own, total, op=MPI.SUM)
    total[TOP] = top[0]
    return _round_bins(total, x.dtype)


def _bins(x: np.ndarray, team) -> np.ndarray:
    """The state of checked terms."""
    from labkit.floating_point.summation.reproducible_kernels import TOP, bin_shares, bin_terms, raise_top

    team = choose_team(team, x.size)
    if team is None:
        state = np.zeros(NUM_ENTRIES, np.int64)
        bin_terms(x, state)
        return state
    num_shares = max(1, min(SHARES_A_THREAD * team.num_threads, x.size // SMALLEST_SHARE))
    states = np.zeros((num_shares, NUM_ENTRIES), np.int64)
    team.parallel_for(bin_shares, num_shares, states, x, -(-x.size // num_shares), schedule="dynamic,1")
    top = states[:, TOP].max()
    for state in states:
        raise_top(state, top)
    total = states.sum(axis=0)
    total[TOP] = top
    return total


def _round_bins(state: np.ndarray, dtype):
    """The sum of the bins, rounded once."""
    plus, minus, nan = state[-3:].tolist()
    if nan or plus or minus:
        value = np.nan if nan or (plus and minus) else np.inf if plus else -np.inf
        return value if dtype == np.float64 else np.float32(value)
    top, number = int(state[0]), 0
    for high, low in state[1:-3].reshape(NUM_FOLDS, 2).tolist():
        number = (number << BIN_BITS) + (high << BIN_BITS) + low
    value = round_whole_number(number, BIN_BITS * (top - NUM_FOLDS + 1) - 1074, dtype)
    return value if dtype == np.float64 else np.float32(value)
