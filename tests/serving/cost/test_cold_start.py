"""Probabilities of cold starts: closed forms against matrix exponentials and against the simulation."""

import math

import numpy as np
import pytest
from scipy.linalg import expm

from labkit.errors import UsageError
from labkit.serving.cost.cold_start import (
    cold_probability,
    cold_probability_one,
    cold_probability_renewal,
    one_environment,
    passage_tails,
    refused_probability,
)
from labkit.serving.cost.serverless import Function, simulate_serverless
from labkit.serving.cost.times import Times

NUM = 400_000


def tail_by_matrix(rate, duration_s, n, time_s):
    """P(from n to n + 1 takes longer) of the birth-death process on 0..n."""
    q = np.zeros((n + 1, n + 1))
    for k in range(n + 1):
        q[k, k] = -(rate + k / duration_s)
        if k < n:
            q[k, k + 1] = rate
        if k:
            q[k, k - 1] = k / duration_s
    return expm(q * time_s)[n].sum()


@pytest.mark.parametrize("rate, duration_s, time_s", [(0.003, 0.2, 600), (5, 1, 0.3), (5, 1, 3), (2, 3, 10), (40, 0.5, 1)])
def test_passages_are_those_of_the_matrix(rate, duration_s, time_s):
    want = [tail_by_matrix(rate, duration_s, n, time_s) for n in range(20)]
    np.testing.assert_allclose(passage_tails(rate, duration_s, 19, np.array([time_s, 1.0]))[0], want, atol=1e-9)


def simulated(times, duration, keep_alive_s, cold_start=0.0, concurrency=1000):
    function = Function(duration, cold_start, 128, keep_alive_s, concurrency, new_per_10_s=10**9)
    return simulate_serverless(times, function, seed=2)


@pytest.mark.parametrize("rate, duration_s, keep_alive_s", [(1 / 300, 0.2, 600), (0.5, 1, 3), (5, 1, 1), (5, 1, 10), (40, 0.5, 2)])
@pytest.mark.parametrize("concurrency", [None, 4])
def test_many_environments_against_the_simulation(rate, duration_s, keep_alive_s, concurrency):
    times = Times(1 / rate).arrivals(NUM, seed=1)
    run = simulated(times, Times(duration_s), keep_alive_s, concurrency=concurrency or 1000)
    want = cold_probability(rate, keep_alive_s, duration_s, concurrency=concurrency)
    # the simulation begins with no environment at all: some of its first requests are cold beyond the formula
    beginning = (1 + min(4 if concurrency else 60, 2 * rate * duration_s)) / run.num_answered
    assert run.cold_fraction == pytest.approx(want, abs=5 * math.sqrt(want / run.num_answered) + beginning)
    refused = refused_probability(rate, duration_s, concurrency or 1000)
    assert run.refused_fraction == pytest.approx(refused, abs=0.006)


def test_the_duration_matters_little_for_how_it_varies():
    want = cold_probability(5, 3, 1)
    for cv in (0, 0.5, 2):
        run = simulated(Times(0.2).arrivals(NUM, seed=3), Times(1, cv), 3)
        assert run.cold_fraction == pytest.approx(want, rel=0.6)


@pytest.mark.parametrize("cv", [0, 1, 3])
def test_one_environment_that_refuses(cv):
    rate, keep_alive_s, duration_s, cold_start_s = 1.0, 1.5, 0.7, 2.0
    shares = one_environment(rate, keep_alive_s, duration_s, cold_start_s)
    run = simulated(Times(1 / rate).arrivals(NUM, seed=4), Times(duration_s, cv), keep_alive_s, cold_start_s, 1)
    assert run.num_cold / run.num_requests == pytest.approx(shares.cold, rel=0.03)
    assert run.refused_fraction == pytest.approx(shares.busy, rel=0.02)
    assert run.cold_fraction == pytest.approx(cold_probability_one(rate, keep_alive_s), rel=0.02)  # whatever the duration
    assert shares.warm + shares.cold + shares.busy == pytest.approx(1)


def test_one_environment_that_lets_wait():
    """A plain simulation: Lindley's recursion with a longer first service after a long wait."""
    rate, keep_alive_s, duration_s, cold_start_s = 1.0, 1.0, 0.5, 0.8
    gaps, work = Times(1 / rate).sample(NUM, seed=5), Times(duration_s, 2).sample(NUM, seed=6)
    free, now, num_cold, num_busy = -math.inf, 0.0, 0, 0
    for gap, one in zip(gaps.tolist(), work.tolist(), strict=True):
        now += gap
        is_cold = now - free > keep_alive_s
        num_cold += is_cold
        num_busy += free > now
        free = max(free, now) + one + cold_start_s * is_cold
    shares = one_environment(rate, keep_alive_s, duration_s, cold_start_s, waits=True)
    assert num_cold / NUM == pytest.approx(shares.cold, rel=0.03)
    assert num_busy / NUM == pytest.approx(shares.busy, rel=0.03)


@pytest.mark.parametrize("cv", [0.3, 0.7, 1, 2, 4])
def test_renewal_gaps(cv):
    gaps = Times(400, cv)
    times, duration_s = gaps.arrivals(NUM, seed=7), 0.05
    want = cold_probability_renewal(gaps, 600, duration_s)
    assert simulated(times, duration_s, 600).cold_fraction == pytest.approx(want, rel=0.02, abs=1e-3)
    sample = gaps.sample(NUM, seed=8)
    assert sample.mean() == pytest.approx(400, rel=0.03) and sample.std() / 400 == pytest.approx(cv, rel=0.04)
    for at in (50, 400, 2000):
        assert np.mean(sample > at) == pytest.approx(gaps.survival(at), abs=0.004)


def test_limits_of_the_formula():
    assert cold_probability(0.01, 60, 0) == pytest.approx(math.exp(-0.6))
    assert cold_probability(1e-6, 60, 1) == pytest.approx(1, abs=1e-4)
    many = cold_probability(2.0, np.array([1.0, 10.0, 100.0]), 1.0)
    assert many.shape == (3,) and (np.diff(many) < 0).all() and many[1] == pytest.approx(cold_probability(2.0, 10, 1))
    assert cold_probability(1e4, 60, 1.0) < 1e-3  # ten thousand levels
    assert cold_probability(1e4, 60, 1.0, concurrency=3) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: cold_probability_one(0, 60), ("rate_per_s", "0")),
        (lambda: cold_probability_one(-1, 60), ("rate_per_s", "-1")),
        (lambda: cold_probability_one(1, 0), ("keep_alive_s", "every", "300")),
        (lambda: cold_probability(1, float("nan"), 1), ("keep_alive_s", "nan")),
        (lambda: cold_probability(1, 60, -1), ("duration_s", "-1")),
        (lambda: cold_probability(1, 60, 1, concurrency=0), ("concurrency", "0")),
        (lambda: one_environment(1, 1, 1, waits=True), ("load", "below 1")),
        (lambda: cold_probability_renewal(Times(1), 60, 0.5), ("overlap", "simulate_serverless")),
        (lambda: cold_probability_renewal(Times(1, 0), 60, 2), ("overlap",)),
        (lambda: Times(1, -1), ("cv", "-1")),
        (lambda: Times(float("inf")), ("mean_s", "inf")),
        (lambda: Times(0, 1), ("cv=0",)),
        (lambda: Times(1).survival(float("nan")), ("NaN",)),
    ],
)
def test_wrong_numbers(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
