"""Both simulations against plain ones, against formulas, and against what must be conserved."""

import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.cost.dedicated import Autoscaling, Fleet, simulate_dedicated
from labkit.serving.cost.queueing import (
    erlang_b,
    erlang_c,
    mg1_wait,
    mmc_wait,
    mmc_wait_tail,
    occupancy_distribution,
    occupancy_quantile,
)
from labkit.serving.cost.serverless import STRETCH, Function, simulate_serverless
from labkit.serving.cost.times import Times

sys.path.insert(0, str(Path(__file__).parent))
from events import dedicated_events, serverless_events


def seconds(latencies):
    return np.array([np.nan if value is None else value for value in latencies], np.float32)


@pytest.mark.parametrize("seed", range(60))
def test_every_request_as_in_a_plain_simulation(seed):
    draw = np.random.default_rng(seed)
    num = int(draw.integers(1, 250))
    times = np.sort(draw.uniform(0, draw.choice([1, 20, 200]), num))
    durations, colds = draw.exponential(0.5, num), draw.exponential(1, 7)
    keep_alive_s, limit, new = float(draw.choice([0.1, 1, 10])), int(draw.choice([1, 2, 5, 1000])), int(draw.choice([2, 1000]))
    provisioned = int(draw.integers(0, min(limit, 3) + 1))
    function = Function(1, 0, 128, keep_alive_s, limit, provisioned, new)
    run = simulate_serverless(times, function, period_s=300, durations_s=durations, cold_starts_s=colds, num_bins=37)
    latencies, is_cold, lives = serverless_events(times, durations, colds, keep_alive_s, limit, provisioned, new)
    np.testing.assert_allclose(run.latency_s, seconds(latencies), rtol=1e-6)
    assert run.is_cold.tolist() == is_cold
    alive_s = sum(min(end, 300) - min(start, 300) for start, end in lives) + 300 * provisioned
    assert run.environments.sum() * run.bin_s == pytest.approx(alive_s)
    assert run.num_answered + run.num_refused == num == run.num_answered + run.refused.sum()

    max_batch, max_wait_s = int(draw.choice([1, 3, 8])), float(draw.choice([0, 0.05, 1.0]))
    setup_s, num_workers = float(draw.choice([0.0, 0.2])), int(draw.choice([1, 2, 5]))
    max_queue = int(draw.choice([max_batch, 10, 1000]))
    fleet = Fleet("c5.large", 0.1, setup_s, max_batch, max_wait_s, max_queue, num_workers)
    run = simulate_dedicated(times, fleet, durations_s=durations, period_s=300)
    latencies, sizes = dedicated_events(times, durations, setup_s, max_batch, max_wait_s, max_queue, num_workers)
    np.testing.assert_allclose(run.latency_s, seconds(latencies), rtol=1e-5)
    assert run.batches.tolist() == np.bincount(sizes, minlength=max_batch + 1).tolist()
    assert run.num_answered == run.batches @ np.arange(max_batch + 1)


@pytest.mark.parametrize("num_servers, rate", [(1, 0.7), (3, 2.4), (20, 16)])
def test_waiting_is_erlangs(num_servers, rate):
    num = 1_200_000  # more than a stretch
    assert num > 2 * STRETCH
    times = Times(1 / rate).arrivals(num, seed=1)
    durations = Times(1.0).sample(num, seed=2)
    fleet = Fleet("c5.large", 1.0, max_queue=None, num_instances=1, workers=num_servers)
    run = simulate_dedicated(times, fleet, durations_s=durations)
    waits = run.latency_s - durations
    assert waits.mean() == pytest.approx(mmc_wait(rate, 1.0, num_servers), rel=0.05)
    assert np.mean(waits > 1e-4 * times[-1] / num + 1e-3) == pytest.approx(erlang_c(num_servers, rate), rel=0.03)
    long_s = 2 / (num_servers - rate)
    assert np.mean(waits > long_s) == pytest.approx(mmc_wait_tail(rate, 1.0, num_servers, long_s), rel=0.1)
    assert run.utilisation == pytest.approx(rate / num_servers, rel=0.02)
    as_instances = Fleet("c5.large", 1.0, max_queue=None, num_instances=num_servers)
    np.testing.assert_array_equal(simulate_dedicated(times, as_instances, durations_s=durations).latency_s, run.latency_s)


@pytest.mark.parametrize("cv", [0, 0.5, 2])
def test_waiting_is_pollaczeks_and_khinchines(cv):
    times = Times(1.0).arrivals(1_000_000, seed=3)
    run = simulate_dedicated(times, Fleet("c5.large", Times(0.6, cv), max_queue=None), seed=4)
    assert run.mean_latency_s == pytest.approx(0.6 + mg1_wait(1.0, Times(0.6, cv)), rel=0.05)


@pytest.mark.parametrize("cv", [0, 1, 2])
def test_concurrency_is_poissons_whatever_the_durations(cv):
    rate, duration_s = 8.0, 1.5
    times = Times(1 / rate).arrivals(500_000, seed=5)
    run = simulate_serverless(times, Function(Times(duration_s, cv), 0, 128, new_per_10_s=10**9), seed=6, num_bins=100)
    assert run.busy.mean() == pytest.approx(rate * duration_s, rel=0.01)
    lost = simulate_serverless(times, Function(Times(duration_s, cv), 0, 128, concurrency=12, new_per_10_s=10**9), seed=6)
    assert lost.refused_fraction == pytest.approx(erlang_b(12, 12.0), rel=0.03)
    assert lost.most_busy == 12
    assert run.most_busy >= occupancy_quantile(12.0, 0.999)


def test_formulas_against_their_sums():
    from fractions import Fraction
    from math import factorial

    for servers, load in ((1, 0.5), (4, 3.0), (30, 25.0)):
        terms = [Fraction(load) ** k / factorial(k) for k in range(servers + 1)]
        assert erlang_b(servers, load) == pytest.approx(float(terms[-1] / sum(terms)))
        last = terms[-1] * servers / (servers - Fraction(load))
        assert erlang_c(servers, load) == pytest.approx(float(last / (sum(terms[:-1]) + last)))
    assert occupancy_distribution(400.0, 900).sum() == pytest.approx(1)
    assert occupancy_distribution(12.0, 60) @ np.arange(61) == pytest.approx(12)


def test_batching_carries_what_single_requests_cannot():
    rate = 300.0
    times = Times(1 / rate).arrivals(200_000, seed=7)
    single = simulate_dedicated(times, Fleet("c5.large", 0.001, 0.009, 1, max_queue=64))
    batched = simulate_dedicated(times, Fleet("c5.large", 0.001, 0.009, 32, 0.002, 64))
    assert single.refused_fraction == pytest.approx(1 - 100 / rate, abs=0.01)  # 100 a second is all it can
    assert batched.num_refused == 0 and batched.mean_batch > 3 and batched.percentile(99) < 0.05
    assert single.batches[1] == single.num_answered and single.most_waiting == 64


def test_a_fleet_follows_its_load():
    """Ten minutes of 5 requests a second of 0.1 s, an hour of 50, half an hour of 5: 1, then 5 / 0.6 = 9, then 1."""
    times = np.concatenate([np.arange(0, 600, 0.2), np.arange(600, 4200, 0.02), np.arange(4200, 6000, 0.2)])
    scaling = Autoscaling(1, 20, 0.6, start_up_s=90, cool_down_s=180, interval_s=60)
    fleet = Fleet("c5.large", 0.1, max_queue=None, scaling=scaling)
    run = simulate_dedicated(times, fleet, period_s=6000, num_bins=100)
    assert run.instances[:10].tolist() == [1] * 10 and run.instances[69] == 9 and run.instances[-1] == 1
    # utilisation cannot be seen above 1: one interval makes of n at most n / 0.6 (rounded up), ready 90 s later
    now, before = run.instances[1:], run.instances[:-1]
    assert (now <= np.ceil(before / 0.6)).all() and 9 < run.most_instances <= 20  # the queue is worked off at full load
    assert run.num_refused == 0 and run.most_waiting > 40 * (60 + 90)
    fewer = np.flatnonzero(now < before - 0.5)  # (a batch that is still at work leaves a little in the next bin)
    assert fewer.size and (np.diff(fewer) * 60 >= 180).all()  # the cool-down
    fixed = simulate_dedicated(times, Fleet("c5.large", 0.1, num_instances=9), period_s=6000)
    assert fixed.percentile(99) == pytest.approx(0.1, rel=0.01) and run.percentile(99) > 30  # what starting up costs
    assert fixed.instance_s == pytest.approx(9 * 6000) and run.instance_s < fixed.instance_s
    assert fixed.bill().total == 9 * fixed.fleet.instance.usd_per_month


def test_a_fleet_ends_its_batches_before_it_shrinks():
    """Long requests at the end of a busy hour: none is lost, and their instances are paid until they are done."""
    times = np.concatenate([np.linspace(0, 600, 3000), [1800.0]])
    durations = np.concatenate([np.full(2990, 1.0), np.full(10, 400.0), [1.0]])
    scaling = Autoscaling(1, 12, 0.5, start_up_s=0, cool_down_s=0, interval_s=30)
    fleet = Fleet("c5.large", 1.0, max_queue=None, workers=2, scaling=scaling)
    run = simulate_dedicated(times, fleet, durations_s=durations, period_s=1800)
    assert run.num_answered == times.size and (run.latency_s >= durations.astype(np.float32) * 0.999).all()
    assert run.instance_s >= run.busy.sum() * run.bin_s / 2 and run.batches[1] == times.size


def test_bills_and_percentiles():
    times = np.arange(3000) * 0.8
    run = simulate_serverless(times, Function(1.0, 0, 512, keep_alive_s=10), period_s=730 * 3.6)
    assert str(run.bill().total) == "18.74" and run.requests_a_month == pytest.approx(3_000_000)
    latencies = simulate_serverless(times[:200], Function(1.0, 0, 512), durations_s=np.arange(1, 201) / 100)
    for q in (0, 1, 50, 99, 99.5, 100):
        want = np.percentile(np.arange(1, 201) / 100, q, method="inverted_cdf")
        assert latencies.percentile(q) == pytest.approx(want)
    assert latencies.share_within(1.0) == 0.5
    assert simulate_serverless([0, 0, 0, 1.0], Function(0.5, concurrency=1)).share_within(10) == 0.5


def test_progress_and_seeds():
    times, said = Times(0.01).arrivals(STRETCH + 5, seed=1), []
    function = Function(Times(0.02), Times(1.0, 0.3))
    one = simulate_serverless(times, function, seed=9, progress=said.append)
    assert len(said) == 2 and f"{times.size:,} of {times.size:,}" in said[-1]
    again, other = (simulate_serverless(times, function, seed=seed) for seed in (9, 10))
    np.testing.assert_array_equal(one.latency_s, again.latency_s)
    assert (one.latency_s != other.latency_s).any()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: simulate_serverless([], Function(1)), ("at least one",)),
        (lambda: simulate_serverless([1, 0.5], Function(1)), ("sorted", "numpy.sort")),
        (lambda: simulate_serverless([0, np.nan, 1], Function(1)), ("NaN",)),
        (lambda: simulate_serverless([-1, 1], Function(1)), ("not negative",)),
        (lambda: simulate_serverless([0.0], Function(1)), ("period_s",)),
        (lambda: simulate_serverless([5.0], Function(1), period_s=4), ("5 s", "4 s")),
        (lambda: simulate_serverless([1, 2], Function(1), durations_s=[1]), ("2 numbers",)),
        (lambda: simulate_serverless([1, 2], Function(1), durations_s=[1, -1]), ("durations_s",)),
        (lambda: Function(0), ("900",)),
        (lambda: Function(901), ("901",)),
        (lambda: Function(1, memory_mb=64), ("128", "64")),
        (lambda: Function(1, keep_alive_s=0), ("keep_alive_s", "cold")),
        (lambda: Function(1, concurrency=2, provisioned=3), ("3", "2")),
        (lambda: Function("fast"), ("'fast'",)),
        (lambda: Fleet("c5.large", 0), ("more than 0 s",)),
        (lambda: Fleet("c5.large", 1, max_batch=8, max_queue=4), ("queue of 4", "batch of 8")),
        (lambda: Fleet("c5.large", 1, num_instances=0), ("num_instances",)),
        (lambda: Autoscaling(3, 2), ("most >= least",)),
        (lambda: Autoscaling(target_utilisation=0), ("target_utilisation",)),
        (lambda: Autoscaling(interval_s=0), ("interval_s",)),
        (lambda: erlang_c(2, 2), ("without end", "2")),
    ],
)
def test_wrong_numbers(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_nobody_was_answered():
    run = simulate_serverless([1.0, 1.1], Function(1, concurrency=1, provisioned=1), period_s=2)
    assert run.num_cold == 0 and run.num_refused == 1
    none = run.__class__(**{**{k: getattr(run, k) for k in run.__dataclass_fields__}, "latency_s": np.full(2, np.nan), "num_refused": 2})
    with pytest.raises(UsageError, match="refused"):
        none.percentile(99)
