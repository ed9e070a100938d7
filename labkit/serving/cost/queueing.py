"""Formulas of queueing: what simulations are checked against, and what a back of an envelope needs.

``M/M/c`` names the gaps between arrivals, the durations and the number of servers: M is exponential, D constant,
G any.

References
----------
.. [1] A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
   exchanges", 1917.
.. [2] L. Kleinrock, "Queueing Systems, volume 1: Theory", Wiley, 1975: chapters 3 and 5.
.. [3] L. Takacs, "Introduction to the Theory of Queues", Oxford, 1962: chapter 3 (servers without limit).
"""

from __future__ import annotations

import math

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.times import Times, as_times


def offered_load(rate_per_s: float, duration_s: float) -> float:
    """Mean number of requests in work if none ever waits: rate times duration (Little's law)."""
    return checks.positive("rate_per_s", rate_per_s) * checks.not_negative("duration_s", duration_s)


def erlang_b(num_servers: int, load: float) -> float:
    """Probability that all of ``num_servers`` are busy, where requests that find them so are refused (M/G/c/c).

    Examples
    --------
    >>> erlang_b(2, 1.0)
    0.2
    """
    num, load = checks.whole("num_servers", num_servers), checks.not_negative("load", load)
    value = 1.0
    for servers in range(1, num + 1):
        value = load * value / (servers + load * value)
    return value


def _is_stable(num: int, load: float) -> None:
    if load >= num:
        raise UsageError(
            f"the queue grows without end: a load of {load:.6g} needs more than {num} server{'s' * (num > 1)}: take more "
            "servers, shorter requests, or fewer of them."
        )


def erlang_c(num_servers: int, load: float) -> float:
    """Probability that a request waits, where it waits for a free server (M/M/c).

    Examples
    --------
    >>> round(erlang_c(2, 1.0), 4)
    0.3333
    """
    num = checks.whole("num_servers", num_servers, 1)
    _is_stable(num, load)
    blocked = erlang_b(num, load)
    return blocked / (1 - load / num * (1 - blocked))


def mmc_wait(rate_per_s: float, duration_s: float, num_servers: int) -> float:
    """Mean time that a request waits before its work begins (M/M/c), in s.

    Examples
    --------
    >>> round(mmc_wait(5, 0.1, 1), 6)      # one server, half busy: as long as the work itself
    0.1
    """
    load = offered_load(rate_per_s, duration_s)
    return erlang_c(num_servers, load) * duration_s / (num_servers - load)


def mmc_wait_tail(rate_per_s: float, duration_s: float, num_servers: int, wait_s: float) -> float:
    """Probability that a request waits longer than ``wait_s`` (M/M/c, first come first served)."""
    load = offered_load(rate_per_s, duration_s)
    checks.not_negative("wait_s", wait_s)
    return erlang_c(num_servers, load) * math.exp(-(num_servers - load) * wait_s / duration_s)


def mg1_wait(rate_per_s: float, duration: float | Times) -> float:
    """Mean waiting time before one server, in s (M/G/1): Pollaczek's and Khinchine's formula.

    Constant durations (M/D/1) wait half as long as exponential ones.

    Examples
    --------
    >>> round(mg1_wait(5, 0.1), 6), round(mg1_wait(5, Times(0.1, cv=1)), 6)
    (0.05, 0.1)
    """
    times = as_times("duration", duration)
    load = offered_load(rate_per_s, times.mean_s)
    _is_stable(1, load)
    return rate_per_s * times.second_moment_s2 / (2 * (1 - load))


def occupancy_distribution(load: float, most: int) -> np.ndarray:
    """Probabilities of 0 to ``most`` requests in work where none ever waits (M/G/infinity): Poisson's distribution.

    It depends on the mean duration alone, whatever the durations' distribution is.

    Examples
    --------
    >>> occupancy_distribution(1.0, 2).round(4).tolist()
    [0.3679, 0.3679, 0.1839]
    """
    load = checks.positive("load", load)
    counts = np.arange(checks.whole("most", most) + 1)
    logs = counts * math.log(load) - load - np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    return np.exp(logs)


def occupancy_quantile(load: float, q: float) -> int:
    """The smallest number of servers that is enough for a share ``q`` of the time (M/G/infinity).

    Examples
    --------
    >>> occupancy_quantile(10.0, 0.99)
    18
    """
    if not 0 <= checks.number("q", q) < 1:
        raise UsageError(f"q is a share below 1, not {q!r}: pass for example 0.99.")
    most = int(load + 40 * math.sqrt(load) + 40)
    return int(np.searchsorted(np.cumsum(occupancy_distribution(load, most)), q))
