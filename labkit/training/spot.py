"""How often to take a checkpoint, and whether machines that may be taken away are worth their lower price.

The model: failures come at random, independent of each other (a Poisson process), with a mean time between failures
of ``mtbf_s`` for the whole job: that of one machine divided by their number. Work is cut into intervals of
``interval_s``; a checkpoint of ``write_s`` ends each of them. A failure costs what was done since the last
checkpoint and ``restart_s``, during which another failure may come.

References
----------
.. [1] J. W. Young, "A first order approximation to the optimum checkpoint interval", Communications of the ACM 17(9),
   1974.
.. [2] J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation
   Computer Systems 22(3), 2006: equations 13 (time) and 37 (interval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError

HOUR_S = 3600.0
OVERFLOW = 700.0  # exponents beyond this are infinite in double precision


def young_interval(write_s: float, mtbf_s: float) -> float:
    """Young's interval: ``sqrt(2 write_s mtbf_s)``, in s.

    Examples
    --------
    A checkpoint takes a minute, and something fails once a day:

    >>> round(young_interval(60, 86400) / 60)
    54
    """
    _check(write_s=write_s, mtbf_s=mtbf_s)
    return math.sqrt(2 * write_s * mtbf_s)


def daly_interval(write_s: float, mtbf_s: float) -> float:
    """Daly's interval, of higher order, in s: for ``write_s < 2 mtbf_s``, and ``mtbf_s`` beyond.

    Examples
    --------
    >>> round(daly_interval(60, 86400) / 60, 1)
    53.0
    """
    _check(write_s=write_s, mtbf_s=mtbf_s)
    if write_s >= 2 * mtbf_s:
        return mtbf_s
    ratio = write_s / (2 * mtbf_s)
    return math.sqrt(2 * write_s * mtbf_s) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - write_s


def best_interval(write_s: float, mtbf_s: float) -> float:
    """The interval at which :func:`expected_time` is least, in s, by bisection of its derivative.

    It is zero where ``(x - 1) exp(x) + exp(-d) = 0`` with ``x = interval / mtbf`` and ``d = write / mtbf``; neither the
    work nor the restart matters.

    Examples
    --------
    >>> round(best_interval(60, 86400) / 60, 1)
    53.0
    """
    _check(write_s=write_s, mtbf_s=mtbf_s)
    low, high, d = 0.0, 1.0, write_s / mtbf_s
    for _ in range(200):
        middle = (low + high) / 2
        if (middle - 1) * math.exp(middle) + math.exp(-d) < 0:
            low = middle
        else:
            high = middle
    return mtbf_s * (low + high) / 2


def expected_time(
    work_s: float, interval_s, write_s: float, restart_s: float, mtbf_s: float, *, notice_share: float = 0.0
):
    """Expected time of a job, in s; infinite where it is beyond all numbers.

    Parameters
    ----------
    work_s : float
        Of computing, without failures and checkpoints.
    interval_s : float or array
        Of work between two checkpoints.
    write_s, restart_s, mtbf_s : float
    notice_share : float
        Share of the failures that are announced early enough for a checkpoint. One costs ``write_s + restart_s`` and
        no work. (What its checkpoint would save of a later failure in the same interval is not counted, so that a
        mixture is estimated a little too slow; with 0 and 1 the value is exact.)

    Notes
    -----
    A segment of w = interval + write, with failures without notice at rate s and with notice at rate a, each of the
    latter a pause of h = write + restart: it succeeds with probability P = exp(-w (s + a (1 - exp(-s h)))), and takes
    (1 - P) / P exp(s restart) / s. For a = 0 this is Daly's equation 13.

    Examples
    --------
    An hour of work on a machine that fails every hour:

    >>> [round(expected_time(3600, interval, 60, 120, 3600) / 60) for interval in (3600, 600)]
    [109, 75]
    """
    _check(work_s=work_s, write_s=write_s, restart_s=restart_s, mtbf_s=mtbf_s)
    interval = np.asarray(interval_s, np.float64)
    if not (interval > 0).all() or not 0 <= notice_share <= 1:
        raise UsageError(f"intervals are more than 0 s and notice_share is from 0 to 1, not {interval_s!r}, {notice_share!r}.")
    with_notice, without = notice_share / mtbf_s, (1 - notice_share) / mtbf_s
    pause = write_s + restart_s
    segment = interval + write_s
    if without == 0:
        one = segment * (1 + with_notice * pause)
    else:
        rate = without - with_notice * math.expm1(-without * pause)
        exponent = np.minimum(segment * rate, OVERFLOW)
        with np.errstate(over="ignore"):  # beyond the largest number: infinity is what it is
            one = np.expm1(exponent) * math.exp(min(without * restart_s, OVERFLOW)) / without
        one = np.where(segment * rate > OVERFLOW, np.inf, one)
    total = one * (work_s / interval)
    return float(total) if total.ndim == 0 else total


@dataclass(frozen=True, slots=True)
class Runs:
    """Simulated runs: arrays (runs,). ``times_s`` all in all, ``lost_s`` of work done twice, ``num_failures``."""

    times_s: np.ndarray
    lost_s: np.ndarray
    num_failures: np.ndarray

    @property
    def mean_s(self) -> float:
        return float(self.times_s.mean())

    @property
    def standard_error_s(self) -> float:
        return float(self.times_s.std(ddof=1) / math.sqrt(len(self.times_s)))


def simulate_runs(
    work_s: float, interval_s: float, write_s: float, restart_s: float, mtbf_s: float, *, notice_share: float = 0.0,
    num_runs: int = 400, seed: int = 0,
) -> Runs:  # fmt: skip
    """Play jobs event by event, without any formula: the check of :func:`expected_time`.

    A failure with notice takes a checkpoint and restarts, and the interval begins anew. No failure comes during its
    pause. The last interval may be shorter.

    Raises
    ------
    UsageError
        Values that make no sense, or a job that would need more than a million failures.
    """
    _check(work_s=work_s, interval_s=interval_s, write_s=write_s, restart_s=restart_s, mtbf_s=mtbf_s)
    rng = np.random.default_rng(seed)
    rows = [_one_run(rng, work_s, interval_s, write_s, restart_s, mtbf_s, notice_share) for _ in range(num_runs)]
    times, lost, failures = map(np.array, zip(*rows, strict=True))
    return Runs(times, lost, failures)


def _one_run(rng, work_s, interval_s, write_s, restart_s, mtbf_s, notice_share) -> tuple[float, float, int]:
    now = saved = lost = 0.0
    failures = 0
    next_failure = rng.exponential(mtbf_s)
    while saved < work_s:
        if failures > 1_000_000:
            raise UsageError("the job never ends: more than a million failures. Take shorter intervals or fewer machines.")
        part = min(interval_s, work_s - saved)
        if now + part + write_s <= next_failure:
            now, saved = now + part + write_s, saved + part
            continue
        failures += 1
        done = min(next_failure - now, part)
        now = next_failure
        if rng.random() < notice_share:
            saved = min(saved + done, work_s)
            now += write_s + restart_s
            next_failure = now + rng.exponential(mtbf_s)
            continue
        lost += done
        next_failure = now + rng.exponential(mtbf_s)
        while next_failure < now + restart_s:  # fails again while it restarts
            failures += 1
            now = next_failure
            next_failure = now + rng.exponential(mtbf_s)
        now += restart_s
    return now, lost, failures


@dataclass(frozen=True, slots=True)
class Prices:
    """What machines cost and how often they are taken away: inputs, to be replaced by your provider's.

    Attributes
    ----------
    on_demand, spot : float
        Of one machine and hour, in any currency.
    interruptions_per_hour : float
        Of one spot machine.
    failures_per_hour : float
        Of any machine, for other reasons.
    notice_share : float
        Share of the interruptions that are announced early enough for a checkpoint.
    """

    on_demand: float = 3.0
    spot: float = 1.0
    interruptions_per_hour: float = 0.05
    failures_per_hour: float = 1e-4
    notice_share: float = 0.0


@dataclass(frozen=True, slots=True)
class CostOfRun:
    """Expected time and cost of a job, with the checkpoint interval that makes them least."""

    time_s: float
    cost: float
    interval_s: float
    mtbf_s: float


def cost_of_run(
    prices: Prices, *, work_s: float, num_machines: int, write_s: float, restart_s: float, spot: bool,
    interval_s: float | None = None,
) -> CostOfRun:  # fmt: skip
    """Expected cost of a job: machines times hours times price.

    All machines are paid while the job restarts; ``restart_s`` includes the wait for a replacement. ``work_s`` is the
    time on these machines without failures. The interval is the best one for the failures without notice, if not given.

    Examples
    --------
    >>> job = dict(work_s=36000, num_machines=8, write_s=30, restart_s=300)
    >>> [round(cost_of_run(Prices(), spot=spot, **job).cost) for spot in (False, True)]
    [241, 90]
    """
    if num_machines < 1 or not 0 <= prices.notice_share <= 1:
        raise UsageError(f"num_machines is 1 or more and notice_share from 0 to 1, not {num_machines}, {prices.notice_share}.")
    rate = prices.failures_per_hour + (prices.interruptions_per_hour if spot else 0.0)
    share = prices.notice_share * prices.interruptions_per_hour / rate if spot and rate else 0.0
    mtbf_s = HOUR_S / (num_machines * rate) if rate else math.inf
    if math.isinf(mtbf_s):
        interval_s = interval_s or work_s
        time_s = work_s + write_s * work_s / interval_s
    else:
        unannounced = mtbf_s / (1 - share) if share < 1 else math.inf
        if interval_s is None:
            interval_s = min(best_interval(write_s, unannounced), work_s) if math.isfinite(unannounced) else work_s
        time_s = expected_time(work_s, interval_s, write_s, restart_s, mtbf_s, notice_share=share)
    price = prices.spot if spot else prices.on_demand
    return CostOfRun(time_s, num_machines * price * time_s / HOUR_S, interval_s, mtbf_s)


def measured_rate(num_interruptions: int, machine_hours: float, confidence: float = 0.95) -> tuple[float, float, float]:
    """A rate an hour from counted interruptions, with the exact interval of the Poisson distribution.

    Returns
    -------
    rate, low, high : float

    References
    ----------
    F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 1936.

    Examples
    --------
    >>> [round(value, 4) for value in measured_rate(3, 100)]
    [0.03, 0.0062, 0.0877]
    """
    if num_interruptions < 0 or not machine_hours > 0 or not 0 < confidence < 1:
        raise UsageError(
            f"counted interruptions from 0, hours and a confidence between 0 and 1, not {num_interruptions}, "
            f"{machine_hours}, {confidence}."
        )
    tail = (1 - confidence) / 2
    high = _solve(lambda mean: _at_most(num_interruptions, mean) - tail, num_interruptions)
    low = _solve(lambda mean: tail - 1 + _at_most(num_interruptions - 1, mean), num_interruptions) if num_interruptions else 0.0
    return num_interruptions / machine_hours, low / machine_hours, high / machine_hours


def _at_most(count: int, mean: float) -> float:
    """The probability of ``count`` events or fewer."""
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) if mean else float(k == 0) for k in range(count + 1))


def _solve(falling, count: int) -> float:
    low, high = 0.0, 10.0 + 4 * count
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return low


def _check(**values: float) -> None:
    for name, value in values.items():
        least_is_fine = name in ("write_s", "restart_s")
        if not (value > 0 or (least_is_fine and value == 0)) or math.isinf(value):
            raise UsageError(f"{name} is a time in seconds, {'from 0' if least_is_fine else 'more than 0'}, not {value!r}.")


def interval_curve(
    write_s: float, restart_s: float, mtbf_s: float, work_s: float, *, num_points: int = 121
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals around the best one, a hundredth of it to a hundred times, and expected times, both in s."""
    best = best_interval(write_s, mtbf_s) if write_s > 0 else mtbf_s / 100
    intervals = best * np.logspace(-2, 2, num_points)
    return intervals, expected_time(work_s, intervals, write_s, restart_s, mtbf_s)


def cost_curve(prices: Prices, rates_per_hour: Sequence[float], **job) -> list[tuple[CostOfRun, CostOfRun]]:
    """(On demand, spot) for each rate of interruptions of a machine and hour."""
    from dataclasses import replace

    plain = cost_of_run(prices, spot=False, **job)
    return [
        (plain, cost_of_run(replace(prices, interruptions_per_hour=float(rate)), spot=True, **job)) for rate in rates_per_hour
    ]
