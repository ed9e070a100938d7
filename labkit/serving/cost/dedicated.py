"""Simulation of instances: a common queue, batches, and a fleet that is fixed or follows its utilisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.prices import InstancePrice, find_instance
from labkit.serving.cost.run import DedicatedRun
from labkit.serving.cost.serverless import STRETCH, given_times, period_of
from labkit.serving.cost.times import Times, as_times


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """A fleet that follows its utilisation (target tracking).

    At the end of every interval: the work of that interval, spread over as many instances as keep ``target_utilisation``.
    More are launched at once, and serve after ``start_up_s``; fewer only if the last change is ``cool_down_s`` ago, the
    newest first, each after its last batch.

    Attributes
    ----------
    least, most : int
        Instances.
    target_utilisation : float
    start_up_s, cool_down_s, interval_s : float
    """

    least: int = 1
    most: int = 10
    target_utilisation: float = 0.6
    start_up_s: float = 90.0
    cool_down_s: float = 300.0
    interval_s: float = 60.0

    def __post_init__(self):
        if checks.whole("most", self.most, 1) < checks.whole("least", self.least, 1):
            raise UsageError(f"a fleet has at least {self.least} and at most {self.most} instances: pass most >= least.")
        if not 0 < checks.number("target_utilisation", self.target_utilisation) <= 1:
            raise UsageError(
                f"target_utilisation is more than 0 and at most 1, not {self.target_utilisation!r}: pass for example 0.6."
            )
        checks.not_negative("start_up_s", self.start_up_s)
        checks.not_negative("cool_down_s", self.cool_down_s)
        checks.positive("interval_s", self.interval_s)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Instances as the simulation knows them.

    Attributes
    ----------
    instance : str or InstancePrice
    duration : float or Times
        What a request adds to its batch, in s.
    batch_setup_s : float
        What a batch takes in addition, whatever its size: what batching saves.
    max_batch : int
    max_wait_s : float
        How long a request waits at most for others to share its batch.
    max_queue : int or None
        Waiting requests; one beyond is refused (429). None: no limit.
    num_instances : int
        Of a fixed fleet.
    workers : int
        Of an instance, each with a batch of its own.
    scaling : Autoscaling or None
        Instead of a fixed fleet.
    overhead_s : float
        On the way there and back, in addition, of every request.

    Examples
    --------
    >>> fleet = Fleet("c5.large", duration=0.001, batch_setup_s=0.009, max_batch=32)
    >>> round(fleet.batch_s(1), 3), round(fleet.batch_s(32), 3), round(fleet.requests_per_s)
    (0.01, 0.041, 780)
    """

    instance: InstancePrice
    duration: Times
    batch_setup_s: float = 0.0
    max_batch: int = 1
    max_wait_s: float = 0.0
    max_queue: int | None = 256
    num_instances: int = 1
    workers: int = 1
    scaling: Autoscaling | None = None
    overhead_s: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "instance", find_instance(self.instance))
        object.__setattr__(self, "duration", as_times("duration", self.duration))
        for name in ("max_batch", "num_instances", "workers"):
            checks.whole(name, getattr(self, name), 1)
        for name in ("batch_setup_s", "max_wait_s", "overhead_s"):
            checks.not_negative(name, getattr(self, name))
        if self.max_queue is not None and checks.whole("max_queue", self.max_queue, 1) < self.max_batch:
            raise UsageError(
                f"a queue of {self.max_queue} never holds a batch of {self.max_batch}: pass max_queue >= max_batch, or None for "
                "no limit."
            )
        if self.batch_s(1) <= 0:
            raise UsageError("a request takes more than 0 s: pass a duration, or batch_setup_s.")

    def batch_s(self, size: int) -> float:
        """Mean time of a batch."""
        return self.batch_setup_s + size * self.duration.mean_s

    @property
    def requests_per_s(self) -> float:
        """That one instance can answer at most, in full batches."""
        return self.workers * self.max_batch / self.batch_s(self.max_batch)

    @property
    def batching_speed_up(self) -> float:
        """Full batches against batches of one."""
        return self.max_batch * self.batch_s(1) / self.batch_s(self.max_batch)

    @property
    def least_and_most(self) -> tuple[int, int]:
        """Instances."""
        return (self.scaling.least, self.scaling.most) if self.scaling else (self.num_instances, self.num_instances)


def simulate_dedicated(
    times_s, fleet: Fleet, *, period_s: float | None = None, durations_s=None, seed: int = 0, num_bins: int = 288,
    progress: Callable[[str], None] | None = None,
) -> DedicatedRun:  # fmt: skip
    """Every request of a trace through a fleet's queue.

    Parameters
    ----------
    times_s, period_s, durations_s, seed, num_bins, progress
        See :func:`labkit.serving.cost.serverless.simulate_serverless`; ``durations_s`` are what each adds to its batch.
    fleet : Fleet

    Returns
    -------
    DedicatedRun

    Notes
    -----
    First come, first served, one queue for all workers: a load balancer that knows who is free. A batch begins as soon
    as a worker is free and it is full, or its oldest request has waited ``max_wait_s``. At one instant, the fleet is
    changed first, then batches begin, then requests arrive. Cost: about 0.2 microseconds a request.

    Examples
    --------
    Two requests at once, one worker:

    >>> run = simulate_dedicated([1.0, 1.0, 5.0], Fleet("c5.large", 0.5), period_s=10)
    >>> run.latency_s.tolist(), run.bill().total
    ([0.5, 1.0, 0.5], Decimal('62.05'))
    """
    from labkit.serving.cost import kernels

    times = checks.arrival_times(times_s)
    period = period_of(times, period_s)
    given = given_times("durations_s", durations_s, times.size)
    num_bins = checks.whole("num_bins", num_bins, 1)
    draw, width = np.random.default_rng(seed), period / num_bins
    least, most = fleet.least_and_most
    scaling = fleet.scaling or Autoscaling(least, most)
    num_ticks = int(period / scaling.interval_s) if fleet.scaling else 0
    most_waiting = times.size if fleet.max_queue is None else fleet.max_queue
    ring = min(most_waiting, times.size)
    free_at, who = np.zeros(most * fleet.workers + 1), np.full(most * fleet.workers + 1, -1, np.int64)
    launched, ready = np.full(most, -1.0), np.zeros(most)
    launched[:least] = 0.0
    who[: least * fleet.workers] = np.repeat(np.arange(least), fleet.workers)
    queue, work = np.empty(ring, np.int64), np.empty(ring)
    clock, counts = np.zeros(1), np.array([0, 0, least, 1, 0, 0, least], np.int64)
    latency, batches = np.empty(times.size, np.float32), np.zeros(fleet.max_batch + 1, np.int64)
    ticks = np.zeros(num_ticks)
    busy, paid, longest, refusals = (np.zeros(num_bins) for _ in range(4))
    for first in range(0, times.size, STRETCH):
        stop = min(first + STRETCH, times.size)
        part = fleet.duration.sample(stop - first, seed=draw) if given is None else given[first:stop]
        kernels.dedicated_kernel(
            times, first, stop, stop == times.size, part, fleet.batch_setup_s, fleet.max_batch, fleet.max_wait_s,
            most_waiting, fleet.workers, least, most, scaling.target_utilisation, scaling.start_up_s, scaling.cool_down_s,
            scaling.interval_s, free_at, who, launched, ready, queue, clock, counts, work, latency, ticks, batches,
            width, busy, paid, longest, refusals,
        )  # fmt: skip
        if progress:
            progress(f"dedicated: {stop:,} of {times.size:,} requests, {counts[2]} instances, {counts[4]:,} refused")
    kernels.dedicated_end(period, launched, width, paid)
    if fleet.overhead_s:
        latency += np.float32(fleet.overhead_s)
    return DedicatedRun(
        period, latency, int(counts[4]), width, busy / width, refusals.astype(np.int64), fleet, paid / width,
        longest.astype(np.int64), batches, float(paid.sum()), int(counts[6]), int(counts[5]),
    )  # fmt: skip
