"""Simulation of a function: environments that start cold, serve one request at a time, wait, and end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.prices import LAMBDA, ServerlessPrices
from labkit.serving.cost.run import ServerlessRun
from labkit.serving.cost.times import Times, as_times

STRETCH = 500_000  # requests between two reports of progress
NUM_COLD_STARTS = 4096  # drawn once, then taken in turn
MOST_SECONDS = 900.0
ACCOUNT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the simulation knows it.

    Attributes
    ----------
    duration : float or Times
        Of a request in a warm environment, in s.
    cold_start : float or Times
        That a cold one waits for in addition, in s.
    memory_mb : int
    keep_alive_s : float
        How long an idle environment stays. (AWS does not promise a time; minutes have been seen.)
    concurrency : int
        Most environments at once; a request beyond is refused (429). AWS gives an account 1000 at first.
    provisioned : int
        Environments that are always there; used first. They count in ``concurrency``.
    new_per_10_s : int
        How many may start within ten seconds (AWS: 1000); requests beyond are refused.
    overhead_s : float
        On the way there and back, in addition, of every request.
    prices : ServerlessPrices

    Examples
    --------
    >>> Function(duration=0.1, cold_start=Times(1.5, cv=0.2), memory_mb=1024, concurrency=100).keep_alive_s
    300.0
    """

    duration: Times
    cold_start: Times = Times(0.0, 0.0)
    memory_mb: int = 512
    keep_alive_s: float = 300.0
    concurrency: int = ACCOUNT_LIMIT
    provisioned: int = 0
    new_per_10_s: int = 1000
    overhead_s: float = 0.0
    prices: ServerlessPrices = LAMBDA

    def __post_init__(self):
        for name in ("duration", "cold_start"):
            object.__setattr__(self, name, as_times(name, getattr(self, name)))
        if not 0 < self.duration.mean_s <= MOST_SECONDS:
            raise UsageError(
                f"a request of a function takes more than 0 and at most {MOST_SECONDS:.0f} s, not {self.duration.mean_s!r}: "
                "pass the seconds of a warm one."
            )
        checks.memory(self.memory_mb)
        checks.keep_alive(self.keep_alive_s)
        checks.whole("concurrency", self.concurrency, 1)
        checks.whole("provisioned", self.provisioned)
        checks.whole("new_per_10_s", self.new_per_10_s, 1)
        checks.not_negative("overhead_s", self.overhead_s)
        if self.provisioned > self.concurrency:
            raise UsageError(
                f"environments kept ready count in the concurrency, but {self.provisioned} are more than {self.concurrency}: "
                "raise concurrency, or provision fewer."
            )


def simulate_serverless(
    times_s, function: Function, *, period_s: float | None = None, durations_s=None, cold_starts_s=None, seed: int = 0,
    num_bins: int = 288, progress: Callable[[str], None] | None = None,
) -> ServerlessRun:  # fmt: skip
    """Every request of a trace through a function's environments.

    Parameters
    ----------
    times_s : array, (requests,)
        When they arrive, in s, sorted. See :mod:`labkit.serving.load.arrivals`, or ``Times(...).arrivals(...)``.
    function : Function
    period_s : float, optional
        How long the trace is; its last arrival by default. The bill is scaled from it to a month.
    durations_s : array, optional
        Of each request, instead of drawing them from ``function.duration``.
    cold_starts_s : array, optional
        Taken in turn, instead of drawing them.
    seed : int
    num_bins : int
        Of the arrays over time.
    progress : callable, optional
        Gets a sentence now and then.

    Returns
    -------
    ServerlessRun

    Notes
    -----
    An environment that has waited exactly the keep-alive is still there. At one instant, environments become free
    before a request looks for one. Cost: about 0.2 microseconds a request, and 13 bytes.

    Examples
    --------
    Three requests a minute apart, an environment that waits for 90 s, then a pause:

    >>> run = simulate_serverless([0, 60, 120, 300], Function(0.2, cold_start=1.0, keep_alive_s=90))
    >>> run.is_cold.tolist()
    [True, False, False, True]
    >>> run.latency_s.round(3).tolist(), run.most_busy
    ([1.2000000476837158, 0.20000000298023224, 0.20000000298023224, 1.2000000476837158], 1)
    """
    from labkit.serving.cost import kernels

    times = checks.arrival_times(times_s)
    period = period_of(times, period_s)
    given = given_times("durations_s", durations_s, times.size)
    num_bins = checks.whole("num_bins", num_bins, 1)
    draw = np.random.default_rng(seed)
    if cold_starts_s is None:
        table = function.cold_start.sample(NUM_COLD_STARTS, seed=draw)
    else:
        table = given_times("cold_starts_s", cold_starts_s, None)
    limit, width = function.concurrency, period / num_bins
    size = min(limit, times.size)
    ends, starts = np.empty(size + 1), np.empty(size + 1)
    idle = np.empty(2 * size + 2), np.empty(2 * size + 2)
    now = np.array([float(function.new_per_10_s), 0.0])
    counts = np.zeros(9, np.int64)
    counts[3] = function.provisioned
    latency, is_cold = np.empty(times.size, np.float32), np.zeros(times.size, np.bool_)
    busy, alive, peak, colds, refusals = (np.zeros(num_bins) for _ in range(5))
    for first in range(0, times.size, STRETCH):
        stop = min(first + STRETCH, times.size)
        part = function.duration.sample(stop - first, seed=draw) if given is None else given[first:stop]
        kernels.serverless_kernel(
            times, first, stop, part, table, function.keep_alive_s, limit, function.provisioned,
            float(function.new_per_10_s), function.prices.step_ms, float(function.prices.bills_init),
            ends, starts, *idle, now, counts, latency, is_cold, width, busy, alive, peak, colds, refusals,
        )  # fmt: skip
        if progress:
            progress(f"serverless: {stop:,} of {times.size:,} requests, {counts[4]:,} cold, {counts[5]:,} refused")
    kernels.serverless_end(function.keep_alive_s, ends, starts, *idle, counts, width, alive)
    if function.overhead_s:
        latency += np.float32(function.overhead_s)
    return ServerlessRun(
        period, latency, int(counts[5]), width, busy / width, refusals.astype(np.int64), function, is_cold,
        alive / width + function.provisioned, peak.astype(np.int64), colds.astype(np.int64), int(counts[6]), int(counts[7]),
        int(counts[8]),
    )  # fmt: skip


def period_of(times: np.ndarray, period_s: float | None) -> float:
    """The period, at least as long as the last arrival."""
    last = float(times[-1])
    if period_s is None:
        if last == 0:
            raise UsageError("all requests arrive at 0 s, and how long the trace is cannot be seen: pass period_s.")
        return last
    if checks.positive("period_s", period_s) < last:
        raise UsageError(f"the last request arrives at {last:g} s, after the period of {period_s:g} s: pass a longer period_s.")
    return float(period_s)


def given_times(name: str, values, num: int | None) -> np.ndarray | None:
    """Durations that the caller gives, one a request."""
    if values is None:
        return None
    values = np.ascontiguousarray(values, np.float64)
    if values.ndim != 1 or not values.size or num is not None and values.size != num:
        wanted = "at least one number" if num is None else f"{num} numbers, one a request"
        raise UsageError(f"{name} is one row of {wanted}, not an array of shape {values.shape}: pass such a row.")
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise UsageError(f"{name} are finite and not negative: take the others out.")
    return values
