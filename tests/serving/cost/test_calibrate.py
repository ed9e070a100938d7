"""Parameters from measurements whose truth is known, and predictions beside them."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.cost.calibrate import (
    batching_from_throughput,
    fit_batching,
    measure_function,
    measured_times,
    predict,
    with_overhead,
)
from labkit.serving.cost.dedicated import Fleet, simulate_dedicated
from labkit.serving.cost.serverless import Function, simulate_serverless
from labkit.serving.cost.times import Times
from labkit.serving.load.outcome import Outcome
from labkit.serving.load.result import LoadResult
from labkit.serving.serverless.records import InvocationRecord


def records_of(times, run, cold_start_s):
    """Records as the local service writes them, of a simulated run."""
    records = []
    for k, (at, latency, cold) in enumerate(zip(times, run.latency_s, run.is_cold, strict=True)):
        start = at + cold_start_s * cold
        phases = {"process": 0.25 * cold_start_s, "model": 0.75 * cold_start_s} if cold else {}
        records.append(InvocationRecord(
            str(k), 1, bool(cold), at, start, at + latency, phases, 0.0, 1000 * (at + latency - start), 1, 50.0, "ok",
        ))  # fmt: skip
    return records


def load_of(times, latencies, kind="open"):
    ok = ~np.isnan(latencies)
    return LoadResult(
        "http://127.0.0.1:1/", kind, times, times, times, np.where(ok, times + latencies, np.nan),
        np.where(ok, 200, 429).astype(np.int16), np.full(times.size, Outcome.ANSWERED, np.uint8), 30.0, float(times[-1]) + 1, 0.1,
        times.size,
    )  # fmt: skip


def test_a_function_is_found_again():
    truth = Function(Times(0.08, 0.5), 0.9, 256, keep_alive_s=2.0)
    times = Times(0.8).arrivals(4000, seed=1)
    run = simulate_serverless(times, truth, seed=2)
    records = records_of(times, run, 0.9)
    broken = InvocationRecord("x", 1, False, 0, 0, 9, {}, 0, 9000, 9000, 50, "error")
    found = measure_function([*records, broken])
    assert found.num_left_out == 1 and found.num_cold == run.num_cold > 200
    assert found.warm.mean_s == pytest.approx(0.08, rel=0.05) and found.warm.cv == pytest.approx(0.5, rel=0.05)
    assert found.cold_start.mean_s == pytest.approx(0.9, rel=0.02)
    assert found.phases_s == pytest.approx({"process": 0.225, "model": 0.675})
    model = with_overhead(found.function(256, keep_alive_s=2.0), load_of(times, run.latency_s + 0.004), records)
    assert model.overhead_s == pytest.approx(0.004, abs=1e-6)
    table = predict(load_of(times, run.latency_s + 0.004), model, records=records, seed=5)
    assert [row.name for row in table.rows] == ["mean, s", "p50, s", "p90, s", "p95, s", "p99, s", "failed share", "cold share"]
    for name in ("mean, s", "p50, s", "cold share", "p99, s"):
        assert table[name].ratio == pytest.approx(1, abs=0.12), str(table)
    assert table["failed share"].measured == 0 == table["failed share"].predicted and table["failed share"].ratio == 1
    assert len(str(table).splitlines()) == 8
    # another keep-alive is another prediction: the comparison is not true by itself
    other = predict(load_of(times, run.latency_s), found.function(256, keep_alive_s=20.0), records=records)
    assert other["cold share"].ratio < 0.2


def test_a_fleet_is_predicted():
    truth = Fleet("c5.large", Times(0.0005), 0.004, 16, 0.002, 64)
    times = Times(1 / 600).arrivals(20_000, seed=3)
    run = simulate_dedicated(times, truth, seed=4)
    found = fit_batching([1, 4, 16], [truth.batch_s(1), truth.batch_s(4), truth.batch_s(16)])
    model = Fleet("c5.large", Times(found.per_request_s), found.setup_s, 16, 0.002, 64)
    table = predict(load_of(times, run.latency_s), model)
    assert table["p50, s"].ratio == pytest.approx(1, abs=0.1) and table["p99, s"].ratio == pytest.approx(1, abs=0.15)
    crowded = simulate_dedicated(times / 4, truth, seed=4)
    assert crowded.num_refused
    table = predict(load_of(times / 4, crowded.latency_s), model)
    assert table["failed share"].ratio == pytest.approx(1, abs=0.1)


def test_batching_is_a_line():
    draw = np.random.default_rng(1)
    sizes = draw.integers(1, 33, 500)
    found = fit_batching(sizes, 0.005 + 0.0002 * sizes + draw.normal(0, 1e-4, 500))
    assert (found.setup_s, found.per_request_s) == (pytest.approx(0.005, rel=0.02), pytest.approx(0.0002, rel=0.03))
    for setup, per in ((0.009, 0.001), (0.0, 0.002), (0.01, 0.0)):
        one, many = 1 / (setup + per), 20 / (setup + 20 * per)
        found = batching_from_throughput(one, many, 20)
        assert (found.setup_s, found.per_request_s) == (pytest.approx(setup, abs=1e-9), pytest.approx(per, abs=1e-9))
    assert batching_from_throughput(100, 80, 8).setup_s == 0  # it made it slower
    assert fit_batching([1, 2], [0.2, 0.1]).per_request_s == 0 and fit_batching([1, 10], [0.001, 0.1]).setup_s == 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: measure_function([]), ("0 records", "once more")),
        (lambda: measured_times([]), ("at least one",)),
        (lambda: measured_times([1, np.nan]), ("finite",)),
        (lambda: fit_batching([4, 4], [1, 1]), ("two sizes",)),
        (lambda: fit_batching([1, 2], [1, -1]), ("more than 0 s",)),
        (lambda: batching_from_throughput(1, 2, 1), ("batch", "1")),
        (lambda: batching_from_throughput(0, 2, 4), ("unbatched_per_s",)),
        (lambda: predict(load_of(np.arange(3.0), np.ones(3), "closed"), Function(1)), ("closed loop", "run_load")),
        (lambda: predict(load_of(np.arange(3.0), np.full(3, np.nan)), Function(1)), ("result.errors",)),
        (lambda: predict(load_of(np.arange(3.0), np.ones(3)), 5), ("Function or a Fleet", "5")),
        (lambda: with_overhead(Function(1), load_of(np.arange(3.0), np.full(3, np.nan))), ("light load",)),
    ],
)
def test_wrong_values(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
