"""The probability that a request meets a cold environment, from how requests arrive.

An environment serves one request at a time. When it becomes free it waits for ``keep_alive_s`` and then ends. A request
goes to the free environment that was used most recently; if there is none, a new one is started: the request is cold.

**One environment.** Between two requests it must not wait longer than the keep-alive. For Poisson arrivals the wait from
the end of a request to the next arrival is exponential whatever the request's duration was, for the process has no
memory: ``exp(-rate * keep_alive)``. Durations change how many requests are *first* after a wait at all: the others find
it busy, and are refused or wait. For other gaps the duration counts, since the wait is a gap less a duration.

**Many environments.** Let n requests be in work. The next arrival makes it n + 1; the environment that it takes became
free when it last fell from n + 1 to n, for freeing puts on a stack what taking takes from it. So the request is cold
exactly if the number in work stayed at n or below for longer than the keep-alive. With Poisson arrivals and exponential
durations that is a first passage of a birth-death process, and its distribution has a closed Laplace transform. The
start itself is taken to be short here: it lengthens only the few cold requests. The simulation leaves that out too
if ``cold_start`` is 0, and otherwise shows what it changes.

References
----------
.. [1] J. Keilson, "Markov Chain Models: Rarity and Exponentiality", Springer, 1979: chapter 5 (first passages).
.. [2] J. Abate, W. Whitt, "A unified framework for numerically inverting Laplace transforms", INFORMS Journal on
   Computing 18(4), 2006: the Euler algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.queueing import erlang_b, occupancy_distribution, offered_load
from labkit.serving.cost.times import Times, as_times

EULER_TERMS = 15  # 30 + 1 values of the transform: about nine digits


def cold_probability_one(rate_per_s: float, keep_alive_s: float) -> float:
    """Of one environment and Poisson arrivals: ``exp(-rate * keep_alive)``, of the requests that it starts afresh for.

    Parameters
    ----------
    rate_per_s : float
        Requests a second.
    keep_alive_s : float
        How long an idle environment stays.

    Examples
    --------
    A request every five minutes on average, environments that stay for ten:

    >>> round(cold_probability_one(1 / 300, 600), 4)
    0.1353
    """
    return math.exp(-checks.positive("rate_per_s", rate_per_s) * checks.keep_alive(keep_alive_s))


@dataclass(frozen=True, slots=True)
class OneEnvironment:
    """Where the requests of a single environment go; shares of all of them, their sum is 1.

    Attributes
    ----------
    warm, cold, busy : float
        ``busy``: found it at work, and were refused or waited, as asked for.
    """

    warm: float
    cold: float
    busy: float


def one_environment(
    rate_per_s: float, keep_alive_s: float, duration_s: float, cold_start_s: float = 0.0, *, waits: bool = False
) -> OneEnvironment:
    """What a duration changes for one environment (a reserved concurrency of 1) and Poisson arrivals.

    Parameters
    ----------
    rate_per_s, keep_alive_s : float
    duration_s, cold_start_s : float
        Means; their distribution does not matter.
    waits : bool
        Whether a request that finds the environment busy waits for it (M/G/1), or is refused (M/G/1/1).

    Notes
    -----
    With e = exp(-rate * keep_alive), a request that finds the environment free is cold with probability e. Refused:
    free and work alternate, a free time lasts 1 / rate and work ``duration + e * cold_start``, so that by PASTA
    (Poisson arrivals see time averages) a share 1 / (1 + rate * work) of the requests finds it free. Waiting: a busy
    period begins with an e-th of a cold start; it is free for (1 - rate * duration) / (1 + rate * e * cold_start).

    Examples
    --------
    >>> shares = one_environment(1.0, 1.0, 0.5)
    >>> round(shares.cold, 4), round(shares.busy, 4)
    (0.2453, 0.3333)
    """
    rare = cold_probability_one(rate_per_s, keep_alive_s)
    load = offered_load(rate_per_s, duration_s)
    extra = rate_per_s * rare * checks.not_negative("cold_start_s", cold_start_s)
    if not waits:
        free = 1 / (1 + load + extra)
    elif load < 1:
        free = (1 - load) / (1 + extra)
    else:
        raise UsageError(
            f"one environment cannot follow: {rate_per_s:.6g} requests a second of {duration_s:.6g} s are a load of {load:.4g}, "
            "which must be below 1: shorten them, or give the function more environments."
        )
    return OneEnvironment(free * (1 - rare), free * rare, 1 - free)


def cold_probability_renewal(gaps: Times, keep_alive_s: float, duration_s: float = 0.0) -> float:
    """Of independent gaps between arrivals, as long as requests do not overlap.

    A request is cold if the gap before it is longer than the request before it and the keep-alive together.

    Parameters
    ----------
    gaps : Times
        Between arrivals; bursts have a ``cv`` above 1.
    keep_alive_s, duration_s : float

    Raises
    ------
    UsageError
        More than one in a hundred requests arrives while another is in work: that needs several environments, and
        :func:`cold_probability` or the simulation.

    Examples
    --------
    Always every 400 s: the environment is always there, or never.

    >>> cold_probability_renewal(Times(400, 0), 600), cold_probability_renewal(Times(400, 0), 300)
    (0.0, 1.0)

    The same mean in bursts:

    >>> round(cold_probability_renewal(Times(400, 1), 600), 3), round(cold_probability_renewal(Times(400, 3), 600), 3)
    (0.223, 0.1)
    """
    gaps = as_times("gaps", gaps)
    checks.positive("the mean gap", gaps.mean_s)
    keep_alive_s, duration_s = checks.keep_alive(keep_alive_s), checks.not_negative("duration_s", duration_s)
    overlapping = 1 - gaps.survival(duration_s) if duration_s else 0.0
    if gaps.cv and overlapping > 0.01 or not gaps.cv and duration_s > gaps.mean_s:
        raise UsageError(
            f"requests overlap: {max(overlapping, 0):.1%} of the gaps are shorter than a request of {duration_s:.6g} s, and this "
            "formula is for one environment: take cold_probability or simulate_serverless."
        )
    return float(gaps.survival(keep_alive_s + duration_s))


def cold_probability(
    rate_per_s: float, keep_alive_s, duration_s: float, *, concurrency: int | None = None
):
    """Of a function with as many environments as it needs: Poisson arrivals, exponential durations, exact.

    Parameters
    ----------
    rate_per_s : float
    keep_alive_s : float or array
    duration_s : float
        Mean; exponential. (Other durations of this mean change little: see the simulation.)
    concurrency : int, optional
        Most environments at once; requests beyond are refused. None: no limit.

    Returns
    -------
    float or ndarray
        The share of cold ones among the requests that are answered; an array for an array of keep-alives.

    Notes
    -----
    n in work has Poisson's distribution (with a limit: truncated, Erlang's). A request that finds n is cold if the
    passage from n to n + 1 took longer than the keep-alive, see the head of this module. The transform of that time is
    f_n(s) = rate / (rate + s + n / duration * (1 - f_{n-1}(s))), which is inverted numerically for all n at once.
    Cost: about 31 complex operations a level; levels that are hardly ever reached are left out.

    Examples
    --------
    >>> round(cold_probability(1 / 300, 600, 0.2), 4)       # few requests: hardly more than one environment
    0.1359
    >>> round(cold_probability(100.0, 600, 0.2), 7)         # many: only the topmost levels are ever cold
    2.44e-05
    """
    load = offered_load(rate_per_s, duration_s)
    keep_alives = np.array([checks.keep_alive(float(value)) for value in np.ravel(keep_alive_s)])
    most = int(load + 12 * math.sqrt(load) + 30) if load else 0
    if concurrency is not None:
        most = min(most, checks.whole("concurrency", concurrency, 1, advice="pass None for no limit") - 1)
    found = occupancy_distribution(load, most) if load else np.ones(1)
    if concurrency is not None:
        found = _scaled_to_one(found)
    cold = np.minimum(1.0, passage_tails(rate_per_s, duration_s, most, keep_alives) @ found)
    return float(cold[0]) if np.ndim(keep_alive_s) == 0 else cold.reshape(np.shape(keep_alive_s))


def _scaled_to_one(weights: np.ndarray) -> np.ndarray:
    total = weights.sum()
    if total == 0:  # a load far beyond the limit: all but the highest level is never seen
        weights = np.zeros_like(weights)
        weights[-1] = total = 1.0
    return weights / total


def refused_probability(rate_per_s: float, duration_s: float, concurrency: int) -> float:
    """Share of requests that find all environments busy and are refused: Erlang B; any durations.

    Examples
    --------
    >>> round(refused_probability(100, 0.2, 30), 4)
    0.0085
    """
    num = checks.whole("concurrency", concurrency, 1)
    return erlang_b(num, offered_load(rate_per_s, duration_s))


def passage_tails(rate_per_s: float, duration_s: float, most: int, times_s: np.ndarray) -> np.ndarray:
    """For n = 0 to ``most``: the probability that n in work need longer than a time to become n + 1; (times, most + 1)."""
    times = np.atleast_1d(np.asarray(times_s, np.float64))
    finish = 1 / duration_s if most else 0.0

    def transforms(s: np.ndarray) -> np.ndarray:
        """Of the tails, for all n: (1 - f_n(s)) / s, in a last axis."""
        values, before = np.empty((most + 1, *s.shape), np.complex128), np.ones(s.shape, np.complex128)
        for n in range(most + 1):
            # 1 - f_n, without the cancellation of 1 - (nearly 1)
            before = (s + n * finish * before) / (rate_per_s + s + n * finish * before)
            values[n] = before
        return np.moveaxis(values / s, 0, -1)

    tails = np.clip(invert_laplace(transforms, times), 0.0, 1.0)
    tails[:, 0] = np.exp(-rate_per_s * times)
    return tails


def invert_laplace(transform: Callable[[np.ndarray], np.ndarray], times: np.ndarray) -> np.ndarray:
    """The function at ``times`` whose Laplace transform this is, by Abate's and Whitt's Euler summation.

    Parameters
    ----------
    transform : callable
        Takes complex numbers (m, times), returns values (m, times, ...).
    times : ndarray, (times,)

    Examples
    --------
    >>> invert_laplace(lambda s: 1 / (s + 1), np.array([2.0, 0.1])).round(8).tolist(), round(math.exp(-2), 8)
    ([0.13533528, 0.90483742], 0.13533528)
    """
    terms = EULER_TERMS
    weights = np.ones(2 * terms + 1)
    weights[0], weights[-1] = 0.5, 2.0**-terms
    for k in range(1, terms):
        weights[2 * terms - k] = weights[2 * terms - k + 1] + 2.0**-terms * math.comb(terms, k)
    weights[1::2] *= -1
    points = (terms * math.log(10) / 3 + 1j * math.pi * np.arange(2 * terms + 1))[:, None] / times
    values = np.tensordot(weights, transform(points).real, axes=1)
    return 10 ** (terms / 3) * (values.T / times).T
