"""The model's parameters from measurements, and the model's prediction beside a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.dedicated import Fleet, simulate_dedicated
from labkit.serving.cost.run import Run
from labkit.serving.cost.serverless import Function, simulate_serverless
from labkit.serving.cost.times import Times

if TYPE_CHECKING:
    from labkit.serving.load.result import LoadResult
    from labkit.serving.serverless.records import InvocationRecord

MOST_CV = 100.0


def measured_times(seconds) -> Times:
    """Mean and coefficient of variation of measured times.

    Examples
    --------
    >>> measured_times([1.0, 3.0])
    Times(mean_s=2.0, cv=0.5)
    """
    seconds = np.asarray(seconds, np.float64)
    if seconds.ndim != 1 or not seconds.size or not np.isfinite(seconds).all() or (seconds < 0).any():
        raise UsageError(
            f"measured times are one row of at least one finite number of 0 or more, not {seconds!r}: leave failed requests out."
        )
    mean = float(seconds.mean())
    return Times(mean, min(float(seconds.std()) / mean, MOST_CV) if mean else 0.0)


@dataclass(frozen=True, slots=True)
class FunctionMeasurement:
    """What records of a function say.

    Attributes
    ----------
    warm : Times
        Duration of a warm call.
    cold_start : Times
        What a cold call took in addition, from its arrival to its answer.
    phases_s : dict of str to float
        Mean of each phase of a cold start.
    num_warm, num_cold, num_left_out : int
        Left out: calls that did not end well.
    """

    warm: Times
    cold_start: Times
    phases_s: dict[str, float]
    num_warm: int
    num_cold: int
    num_left_out: int

    def function(self, memory_mb: int = 512, **others) -> Function:
        """As the simulation takes it; ``others`` are further arguments of Function."""
        return Function(self.warm, self.cold_start, memory_mb, **others)


def measure_function(records: Sequence[InvocationRecord]) -> FunctionMeasurement:
    """Durations and cold starts from the records of a function.

    Parameters
    ----------
    records : sequence of InvocationRecord
        Of :attr:`labkit.serving.serverless.LocalLambda.records`: at least one warm call that ended well. Without a cold
        one the cold start is 0.
    """
    good = [record for record in records if record.outcome == "ok"]
    warm = [record.duration_ms / 1000 for record in good if not record.is_cold]
    if not warm:
        raise UsageError(
            f"of {len(records)} records {len(good)} ended well and none of them was warm: call the function once more while its "
            "environment is there."
        )
    cold = [record for record in good if record.is_cold]
    extra = [max(0.0, record.ended_s - record.arrived_s - float(np.mean(warm))) for record in cold]
    names = list(dict.fromkeys(name for record in cold for name in record.phases_s))
    phases = {name: float(np.mean([record.phases_s.get(name, 0.0) for record in cold])) for name in names}
    start = measured_times(extra) if extra else Times(0.0, 0.0)
    return FunctionMeasurement(measured_times(warm), start, phases, len(warm), len(cold), len(records) - len(good))


@dataclass(frozen=True, slots=True)
class Batching:
    """What a batch takes: ``setup_s + size * per_request_s``.

    Attributes
    ----------
    setup_s, per_request_s : float
    """

    setup_s: float
    per_request_s: float

    def batch_s(self, size: int) -> float:
        return self.setup_s + size * self.per_request_s

    def speed_up(self, size: int) -> float:
        """Requests a second with batches of ``size``, over those with batches of one."""
        return size * self.batch_s(1) / self.batch_s(size)


def fit_batching(sizes, seconds) -> Batching:
    """Least squares over measured batches; neither part is negative.

    Examples
    --------
    >>> found = fit_batching([1, 8, 32], [0.010, 0.017, 0.041])
    >>> round(found.setup_s, 6), round(found.per_request_s, 6), round(found.speed_up(32), 2)
    (0.009, 0.001, 7.8)
    """
    sizes, seconds = np.asarray(sizes, np.float64), np.asarray(seconds, np.float64)
    if sizes.ndim != 1 or sizes.shape != seconds.shape or len(set(sizes.tolist())) < 2:
        raise UsageError(
            f"batches of at least two sizes, and seconds of each, are needed, not {sizes.tolist()} and {seconds.tolist()}: measure "
            "batches of 1 and of many."
        )
    if not (np.isfinite(seconds).all() and (seconds > 0).all() and (sizes >= 1).all()):
        raise UsageError("batches have a size of at least 1 and take more than 0 s: take the others out.")
    slope, setup = np.polyfit(sizes, seconds, 1)
    if slope < 0:
        return Batching(float(seconds.mean()), 0.0)
    if setup < 0:
        return Batching(0.0, float(sizes @ seconds / (sizes @ sizes)))
    return Batching(float(setup), float(slope))


def batching_from_throughput(unbatched_per_s: float, batched_per_s: float, batch: float) -> Batching:
    """From two runs at full load: without batches, and with batches of ``batch`` requests on average.

    Parameters
    ----------
    unbatched_per_s, batched_per_s : float
        Answers a second of one worker, as ``LoadResult.throughput`` of closed loops says.
    batch : float
        Above 1.

    Examples
    --------
    >>> found = batching_from_throughput(100, 780.49, 32)
    >>> round(found.setup_s, 5), round(found.per_request_s, 5)
    (0.009, 0.001)
    """
    one = 1 / checks.positive("unbatched_per_s", unbatched_per_s)
    many = 1 / checks.positive("batched_per_s", batched_per_s)
    if checks.number("batch", batch) <= 1:
        raise UsageError(f"batch is more than 1 request on average, not {batch!r}: at full load batches are larger.")
    setup = (one - many) / (1 - 1 / batch)
    if setup < 0:  # batching made it slower: nothing is saved
        return Batching(0.0, many)
    return Batching(min(setup, one), max(one - setup, 0.0))


@dataclass(frozen=True, slots=True)
class Row:
    """One number, predicted and measured; ``ratio`` is predicted / measured."""

    name: str
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        if self.predicted == self.measured:
            return 1.0
        return self.predicted / self.measured if self.measured else math.inf


@dataclass(frozen=True, slots=True)
class Comparison:
    """The prediction beside the measurement, as a table.

    Attributes
    ----------
    rows : tuple of Row
    run : Run
        The simulation.
    """

    rows: tuple[Row, ...]
    run: Run

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise UsageError(f"the comparison has {', '.join(row.name for row in self.rows)}, not {name!r}: take one of these.")

    def __str__(self) -> str:
        lines = [f"{'':16}{'predicted':>12}{'measured':>12}{'ratio':>8}"]
        return "\n".join(lines + [f"{r.name:16}{r.predicted:12.5g}{r.measured:12.5g}{r.ratio:8.2f}" for r in self.rows])


def predict(
    result: LoadResult, model: Function | Fleet, *, records: Sequence[InvocationRecord] | None = None, seed: int = 0
) -> Comparison:
    """The model under the very arrivals of a measured run, beside what was measured.

    Parameters
    ----------
    result : LoadResult
        Of an open loop: its requests were due at ``scheduled_s`` whatever the server did.
    model : Function or Fleet
        See :func:`measure_function`, :func:`fit_batching`, and :func:`with_overhead`.
    records : sequence of InvocationRecord, optional
        Of the same run: how many were cold.
    seed : int

    Raises
    ------
    UsageError
        A closed loop, no successful answer, or a model of another kind.
    """
    if result.kind != "open":
        raise UsageError(
            "a closed loop sends when its answers allow, so its arrivals are no input of a model: measure with run_load."
        )
    if not isinstance(model, (Function, Fleet)):
        raise UsageError(f"a model is a Function or a Fleet, not {model!r}: see measure_function.")
    if not result.num_ok:
        raise UsageError("no request of this run was answered well, and there is nothing to compare: look at result.errors.")
    times = result.scheduled_s - min(0.0, float(result.scheduled_s[0]))
    simulate = simulate_serverless if isinstance(model, Function) else simulate_dedicated
    run = simulate(times, model, period_s=max(float(result.elapsed_s), float(times[-1])), seed=seed)
    measured = np.sort(result.latency_s[result.is_ok])
    rows = [Row("mean, s", run.mean_latency_s, float(measured.mean()))]
    for q in (50, 90, 95, 99):
        place = max(0, math.ceil(q / 100 * measured.size - 1e-9) - 1)
        rows.append(Row(f"p{q}, s", run.percentile(q), float(measured[place])))
    rows.append(Row("failed share", run.refused_fraction, 1 - result.num_ok / len(result)))
    if isinstance(model, Function) and records is not None:
        answered = [record for record in records if record.outcome == "ok"]
        cold = sum(record.is_cold for record in answered) / max(len(answered), 1)
        rows.append(Row("cold share", run.cold_fraction, cold))
    return Comparison(tuple(rows), run)


def with_overhead(model: Function | Fleet, result: LoadResult, records: Sequence[InvocationRecord] | None = None):
    """The model with the time that requests of a quiet run spent on the way: not in the function, nor in a batch.

    The median of the latencies less that of the times inside (of ``records``, else the model's mean); 0 if that is negative.
    """
    latencies = result.latency_s[result.is_ok]
    if not latencies.size:
        raise UsageError("no request of this run was answered well: measure again under a light load.")
    if isinstance(model, Function):
        inside = [record.ended_s - record.arrived_s for record in records or () if record.outcome == "ok"]
        work = float(np.median(inside)) if inside else model.duration.mean_s
    else:
        work = model.batch_s(1) + (model.max_wait_s if model.max_batch > 1 else 0.0)
    return replace(model, overhead_s=max(0.0, float(np.median(latencies)) - work))
