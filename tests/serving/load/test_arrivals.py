"""Arrivals against the theory of their processes, and bad input."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.load.arrivals import bursty, constant, diurnal, from_counts, inhomogeneous, poisson
from labkit.serving.load.dispersion import bursty_dispersion, index_of_dispersion
from labkit.serving.load.trace_file import read_times, write_times

MADE = {
    "poisson": lambda seed: poisson(50, 100, seed), "bursty": lambda seed: bursty(50, 100, seed),
    "diurnal": lambda seed: diurnal(50, 100, seed, period_s=40),
    "inhomogeneous": lambda seed: inhomogeneous(lambda t: t, 100, 100, seed),
    "from_counts": lambda seed: from_counts([30, 0, 50], 33, seed),
}


@pytest.mark.parametrize("name", MADE)
def test_sorted_within_bounds_and_reproducible(name):
    times = MADE[name](7)
    assert times.dtype == np.float64 and len(times) and (np.diff(times) >= 0).all()
    assert 0 <= times[0] and times[-1] < 100
    assert np.array_equal(times, MADE[name](7)) and not np.array_equal(times, MADE[name](8))


@pytest.mark.parametrize(
    ("rate", "duration_s"), [(4, 1), (10, 1), (0.1, 30), (3, 7), (7, 0.1), (1e-3, 5), (1000, 1.0005), (0.3, 10)]
)
def test_constant_has_all_multiples(rate, duration_s):
    expected = []
    while len(expected) / rate < duration_s:
        expected.append(len(expected) / rate)
    assert constant(rate, duration_s).tolist() == expected


def test_poisson_gaps_are_exponential_and_independent():
    rate = 40
    times = poisson(rate, 5000, seed=1)
    assert abs(len(times) - rate * 5000) < 5 * math.sqrt(rate * 5000)
    gaps = np.sort(np.diff(times))
    theory = 1 - np.exp(-rate * gaps)
    distance = np.abs(theory - np.arange(1, len(gaps) + 1) / len(gaps)).max()
    assert distance < 1.95 / math.sqrt(len(gaps))  # Kolmogorov and Smirnov, 0.1 %
    gaps = np.diff(times)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 5 / math.sqrt(len(gaps))


def test_poisson_makes_queues_as_long_as_theory_says():
    """Mean waiting of M/D/1 against rho / (2 mu (1 - rho)); evenly spaced arrivals never wait."""
    service_s, rate = 0.01, 70
    means = {}
    for name, times in {"poisson": poisson(rate, 20000, seed=2), "constant": constant(rate, 2000)}.items():
        slack = np.cumsum(service_s - np.diff(times))
        waits = slack - np.minimum.accumulate(np.minimum(slack, 0))
        means[name] = float(np.concatenate([[0], waits]).mean())
    rho = rate * service_s
    assert means["poisson"] == pytest.approx(rho * service_s / (2 * (1 - rho)), rel=0.03)
    assert means["constant"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("window_s", [0.05, 0.5, 5])
def test_dispersion_of_counts(window_s):
    duration_s = 20000
    spread = 5 * math.sqrt(2 * window_s / duration_s)  # of the estimate for Poisson counts
    assert index_of_dispersion(poisson(30, duration_s, 3), window_s, duration_s) == pytest.approx(1, abs=spread)
    times = bursty(30, duration_s, 3, burstiness=4, burst_s=0.5)
    assert len(times) / duration_s == pytest.approx(30, rel=0.1)
    theory = bursty_dispersion(30, 4, 0.5, window_s)
    assert index_of_dispersion(times, window_s, duration_s) == pytest.approx(theory, rel=0.15)
    even = index_of_dispersion(constant(30, duration_s), window_s, duration_s)
    assert even < 0.6


def test_bursty_dispersion_in_its_limits():
    assert bursty_dispersion(30, 4, 0.5, 1e-9) == pytest.approx(1)
    # a window far longer than bursts: 1 + 2 rate (b - 1) * the mean time of a change
    assert bursty_dispersion(30, 4, 0.5, 1e9) == pytest.approx(1 + 2 * 30 * 3 * (0.5 * 1.5 / 2))
    assert bursty_dispersion(30, 1, 0.5, 10) == 1


def test_bursts_fill_their_share_at_their_rate():
    times = bursty(100, 5000, 5, burstiness=5, burst_s=2)
    counts = np.histogram(times, 50000, (0, 5000))[0]
    silent = np.exp(-100 * 5 * 0.1) + 0.8  # windows of 0.1 s, in silence or without an arrival in a burst
    assert (counts == 0).mean() == pytest.approx(silent, abs=0.05)
    inside = counts[1:-1][(counts[:-2] > 0) & (counts[1:-1] > 0) & (counts[2:] > 0)]
    assert inside.mean() == pytest.approx(50, rel=0.02)
    short = np.array([len(bursty(100, 1, seed, burstiness=5, burst_s=2)) for seed in range(3000)])
    assert short.mean() == pytest.approx(100, rel=0.15)  # begins in its steady state
    assert np.array_equal(bursty(20, 10, 3, burstiness=1), poisson(20, 10, 3))


def test_diurnal_follows_its_rate():
    times = diurnal(200, 300, 9, period_s=100, swing=0.6, peak_at_s=30)
    edges = np.linspace(0, 300, 61)
    counts = np.histogram(times, edges)[0]
    middle = (edges[1:] + edges[:-1]) / 2
    expected = 5 * 200 * (1 + 0.6 * np.cos(2 * np.pi * (middle - 30) / 100))
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 60 + 4.5 * math.sqrt(120)
    assert len(diurnal(200, 100, 1, period_s=100, swing=0)) == pytest.approx(20000, rel=0.04)


def test_thinning_knows_when_its_bound_is_wrong():
    with pytest.raises(UsageError, match="largest value"):
        inhomogeneous(lambda t: 2 * t, 10, 100)
    with pytest.raises(UsageError, match="but is nan"):
        inhomogeneous(lambda t: np.full_like(t, np.nan), 10, 100)
    with pytest.raises(UsageError, match="but is -1"):
        inhomogeneous(lambda t: -1.0, 10, 100)


def test_a_day_of_two_million_requests():
    times = diurnal(2e6 / 86400, 86400, 1)  # a day
    assert len(times) == pytest.approx(2e6, rel=0.005) and (np.diff(times) >= 0).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: constant(0, 1), "rate is a finite number and above 0, not 0"),
        (lambda: poisson(-1, 1), "rate"), (lambda: poisson(math.nan, 1), "rate"), (lambda: poisson("5", 1), "rate"),
        (lambda: poisson(5, math.inf), "duration_s"), (lambda: poisson(True, 1), "rate"),
        (lambda: poisson(1e9, 1e9), "at most 50,000,000"), (lambda: poisson(5, 1, -1), "seed"),
        (lambda: poisson(5, 1, 0.5), "seed"), (lambda: bursty(5, 1, burstiness=0.5), "burstiness"),
        (lambda: bursty(5, 1, burst_s=0), "burst_s"), (lambda: bursty(1e-3, 1e6, burst_s=1e-9), "bursts"),
        (lambda: diurnal(5, 1, swing=1.5), "swing"), (lambda: diurnal(5, 1, period_s=0), "period_s"),
        (lambda: from_counts([1, -1], 60), r"counts\[1\]"), (lambda: from_counts([1.5], 60), r"counts\[0\]"),
        (lambda: index_of_dispersion(np.array([1.0]), 10, 15), "duration_s"),
        (lambda: index_of_dispersion(np.array([]), 1, 15), "no arrival"),
    ],
)
def test_bad_numbers(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_trace_file(tmp_path):
    times = bursty(20, 20, 4)
    assert np.array_equal(read_times(write_times(tmp_path / "trace.csv", times)), times)
    file = tmp_path / "other.csv"
    file.write_text("\ufeffuser,when\r\nana,12.5\r\n\r\nbo,11.25\r\n", encoding="utf-8")
    assert read_times(file, column="when").tolist() == [11.25, 12.5]
    assert read_times(file, column="when", start_at_zero=True).tolist() == [0, 1.25]
    file.write_text("3\n1,x\n2")
    assert read_times(file).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"", {}, "no times"), (b"time_s\n", {}, "no times"), (b"time_s\n1\nlater\n", {}, "line 3: 'later'"),
        (b"1\ninf\n", {}, "line 2"), (b"1\nnan\n", {}, "line 2"), (b"-1\n2\n", {}, "negative time -1"),
        (b"a,b\n1\n", {"column": "b"}, "line 2: ''"), (b"a,b\n1,2\n", {"column": "c"}, "its columns are a, b"),
        (b"1\n2\n", {"column": "c"}, "no line of names"), (b"\xff\xfe\x00\x81", {}, "no text"),
    ],
)
def test_bad_trace_files(tmp_path, content, options, words):
    file = tmp_path / "trace.csv"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_times(file, **options)


def test_no_trace_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_times(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="finite seconds"):
        write_times(tmp_path / "trace.csv", [1, math.nan])
