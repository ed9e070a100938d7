"""Checkpoint intervals and costs, against simulated jobs and against arithmetic by hand."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.training.spot import (
    Prices,
    best_interval,
    cost_curve,
    cost_of_run,
    daly_interval,
    expected_time,
    interval_curve,
    measured_rate,
    simulate_runs,
    young_interval,
)


@pytest.mark.parametrize(("write_s", "restart_s", "mtbf_s"), [(5, 10, 1000), (60, 30, 600), (50, 400, 300), (0.5, 0, 50)])
def test_expected_time_is_that_of_simulated_jobs(write_s, restart_s, mtbf_s):
    best = best_interval(write_s, mtbf_s)
    for factor in (0.3, 1.0, 3.0):
        interval = factor * best
        work = 40 * interval
        runs = simulate_runs(work, interval, write_s, restart_s, mtbf_s, num_runs=400, seed=int(factor * 10))
        expected = expected_time(work, interval, write_s, restart_s, mtbf_s)
        assert abs(runs.mean_s - expected) < 5 * runs.standard_error_s
        assert runs.standard_error_s < 0.06 * expected  # or the line above would say nothing
        # Daly's equation 13, written out.
        daly = mtbf_s * math.exp(restart_s / mtbf_s) * (math.exp((interval + write_s) / mtbf_s) - 1) * work / interval
        assert expected == pytest.approx(daly, rel=1e-12)


def test_the_simulation_confirms_the_optimum():
    write_s, restart_s, mtbf_s, work_s = 60.0, 60.0, 1200.0, 20_000.0
    best = best_interval(write_s, mtbf_s)
    mean = {f: simulate_runs(work_s, f * best, write_s, restart_s, mtbf_s, num_runs=3000, seed=1).mean_s for f in (0.25, 1, 4)}
    assert mean[1] < 0.9 * mean[0.25] and mean[1] < 0.9 * mean[4]
    grid = best * np.linspace(0.5, 2, 3001)
    times = expected_time(work_s, grid, write_s, restart_s, mtbf_s)
    assert grid[times.argmin()] == pytest.approx(best, rel=1e-3)


def test_the_orders_of_young_and_daly():
    for write_s, mtbf_s in ((1, 1e6), (10, 1e5), (60, 3600), (300, 3600)):
        best = best_interval(write_s, mtbf_s)
        young, daly = young_interval(write_s, mtbf_s), daly_interval(write_s, mtbf_s)
        assert abs(daly - best) <= abs(young - best) and daly == pytest.approx(best, rel=0.02)
        assert young == math.sqrt(2 * write_s * mtbf_s)
    assert daly_interval(100, 50) == 50 and best_interval(0, 100) == pytest.approx(0, abs=1e-6)
    intervals, times = interval_curve(10, 20, 1e4, 1e5)
    assert times.min() == pytest.approx(expected_time(1e5, best_interval(10, 1e4), 10, 20, 1e4), rel=1e-3) and len(intervals) == 121


def test_failures_with_notice():
    write_s, restart_s, mtbf_s, interval = 20.0, 100.0, 900.0, 300.0
    work = 30 * interval
    last = math.inf
    for share in (0.0, 0.5, 1.0):
        expected = expected_time(work, interval, write_s, restart_s, mtbf_s, notice_share=share)
        runs = simulate_runs(work, interval, write_s, restart_s, mtbf_s, notice_share=share, num_runs=1500, seed=3)
        assert expected < last
        last = expected
        assert runs.mean_s < expected + 5 * runs.standard_error_s  # what a notice saves of later failures is not credited
        assert runs.mean_s > 0.85 * expected
        if share == 1:
            assert runs.lost_s.max() == 0
    assert last == pytest.approx((work + 30 * write_s) * (1 + (write_s + restart_s) / mtbf_s))


def test_costs():
    job = {"work_s": 36_000.0, "num_machines": 10, "write_s": 30.0, "restart_s": 300.0}
    free = Prices(on_demand=2.0, spot=0.5, interruptions_per_hour=0.0, failures_per_hour=0.0)
    for spot, price in ((False, 2.0), (True, 0.5)):
        run = cost_of_run(free, spot=spot, **job)
        assert run.cost == pytest.approx(10 * price * (36_000 + 30) / 3600) and run.mtbf_s == math.inf
    pairs = cost_curve(Prices(on_demand=3, spot=1), [0.001, 0.01, 0.1, 1.0, 10.0], **job)
    costs = [spot.cost for _, spot in pairs]
    assert costs == sorted(costs) and costs[0] < pairs[0][0].cost < costs[-1]  # it pays, until it does not
    assert pairs[2][1].mtbf_s == pytest.approx(3600 / (10 * (0.1 + 1e-4)))
    announced = Prices(interruptions_per_hour=0.5, notice_share=1.0, failures_per_hour=0.0)
    sudden = Prices(interruptions_per_hour=0.5, notice_share=0.0, failures_per_hour=0.0)
    assert cost_of_run(announced, spot=True, **job).cost < cost_of_run(sudden, spot=True, **job).cost


def test_measured_rates():
    assert measured_rate(0, 100)[:2] == (0.0, 0.0) and measured_rate(0, 100)[2] == pytest.approx(-math.log(0.025) / 100)
    # Garwood's table: 10 events, 95 %: 4.795 to 18.39.
    assert measured_rate(10, 1)[1:] == pytest.approx((4.795, 18.39), rel=1e-3)
    rng = np.random.default_rng(0)
    inside = [low <= 0.05 <= high for count in rng.poisson(5, 300) for _, low, high in [measured_rate(int(count), 100)]]
    assert np.mean(inside) > 0.93


def test_bad_input():
    for call in (
        lambda: young_interval(-1, 10), lambda: best_interval(1, 0), lambda: expected_time(10, 0, 1, 1, 10),
        lambda: expected_time(10, 1, 1, 1, 10, notice_share=2), lambda: simulate_runs(10, float("nan"), 1, 1, 10),
        lambda: measured_rate(-1, 10), lambda: measured_rate(1, 0),
        lambda: cost_of_run(Prices(), spot=True, work_s=1, num_machines=0, write_s=1, restart_s=1),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            call()
    assert expected_time(1e6, 1e6, 1, 1, 10) == math.inf
