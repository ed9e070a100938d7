"""Laws of speed-up and their fits, against searches on a fine grid and against numpy.linalg."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.scaling import (
    LAWS,
    amdahl,
    fit_scaling,
    gustafson,
    karp_flatt,
    speedups_of_times,
    usl,
    usl_peak,
)

THREADS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
NOISE = np.random.default_rng(3).normal(0, 0.15, len(THREADS))


def test_laws_at_their_limits():
    for p in (1, 2, 7, 64):
        assert amdahl(p, 0) == gustafson(p, 0) == usl(p, 0, 0) == p
        assert amdahl(p, 1) == gustafson(p, 1) == pytest.approx(usl(p, 1, 0)) == 1
    assert amdahl(1e12, 0.05) == pytest.approx(20)
    # of time 1 on p threads, f is serial; one thread needs f + (1 - f) p
    assert gustafson(64, 0.1) == pytest.approx(0.1 + 0.9 * 64)


def test_the_peak_of_usl_is_where_it_is_highest():
    for a, b in ((0.05, 0.001), (0.0, 0.01), (0.3, 0.0001)):
        p = np.linspace(1, 500, 4_990_001)
        assert usl_peak(a, b) == pytest.approx(p[np.argmax(usl(p, a, b))], abs=2e-4)
    assert usl_peak(0.1, 0) == math.inf and usl_peak(1, 0) == 1 == usl_peak(0.5, 3)


def test_karp_flatt_is_the_inverse_of_amdahl():
    for f in (0, 0.01, 0.3, 1):
        assert karp_flatt(THREADS[1:], amdahl(THREADS[1:], f)) == pytest.approx(f, abs=1e-12)
    assert np.isnan(karp_flatt(1, 1)) and karp_flatt(2, 4) < 0  # superlinear
    # Karp and Flatt's own example of overhead: their fraction grows with p
    fractions = karp_flatt(THREADS[1:], usl(THREADS[1:], 0.02, 0.004))
    assert (np.diff(fractions) > 0).all()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("values", [(0.0, 0.0), (0.02, 0.0), (0.2, 0.003), (0.9, 0.1), (1e-5, 1e-6), (1.0, 0.5)])
def test_a_law_is_found_again_in_its_own_points(law, values):
    function, names, _ = LAWS[law]
    fit = fit_scaling(law, THREADS, function(THREADS, *values[: len(names)]))
    assert list(fit.parameters.values()) == pytest.approx(values[: len(names)], rel=1e-5, abs=1e-7)
    assert np.abs(fit.residuals).max() < 1e-5 and fit.rms_residual < 1e-5


@pytest.mark.parametrize("truth", [0.03, 0.15, 0.6])
def test_amdahl_is_the_least_of_all_fractions(truth):
    measured = np.maximum(amdahl(THREADS, truth) + NOISE, 0.1)
    grid = np.linspace(0, 1, 200_001)
    squares = ((measured - 1 / (grid[:, None] + (1 - grid[:, None]) / THREADS)) ** 2).sum(axis=1)
    fit = fit_scaling("amdahl", THREADS, measured)
    assert fit.parameters["serial_fraction"] == pytest.approx(grid[squares.argmin()], abs=1e-5)
    assert fit.residuals == pytest.approx(measured - amdahl(THREADS, **fit.parameters))
    assert fit.rms_residual == pytest.approx(math.sqrt(squares.min() / len(THREADS)), rel=1e-6)


def test_gustafson_is_a_straight_line():
    measured = gustafson(THREADS, 0.3) + NOISE
    (slope,), *_ = np.linalg.lstsq((THREADS - 1.0)[:, None], THREADS - measured, rcond=None)
    assert fit_scaling("gustafson", THREADS, measured).parameters["serial_fraction"] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("truth", [(0.05, 0.002), (0.3, 0.0), (0.0, 0.01), (0.01, 0.0)])
def test_usl_is_the_least_of_all_pairs(truth):
    measured = np.maximum(usl(THREADS, *truth) + NOISE, 0.1)
    fit = fit_scaling("usl", THREADS, measured)
    least = np.sum(fit.residuals**2)
    centre, span = np.array([0.5, 0.05]), np.array([0.5, 0.05])
    for _ in range(12):  # finer and finer grids
        a, b = (np.maximum(0, np.linspace(c - s, c + s, 81)) for c, s in zip(centre, span, strict=True))
        squares = ((measured - usl(THREADS, a[:, None, None], b[None, :, None])) ** 2).sum(axis=2)
        i, j = np.unravel_index(squares.argmin(), squares.shape)
        centre, span = np.array([a[i], b[j]]), span / 2.5
    assert least <= squares.min() * (1 + 1e-6)
    assert list(fit.parameters.values()) == pytest.approx(list(centre), abs=2e-4)


def test_superlinear_points_show_in_the_residuals():
    for law in LAWS:
        fit = fit_scaling(law, [1, 2, 4, 8], [1, 2.5, 5, 12])
        assert set(fit.parameters.values()) == {0.0} and fit.residuals == pytest.approx([0, 0.5, 1, 4])


def test_slower_than_one_thread():
    fit = fit_scaling("amdahl", [1, 2, 4], [1, 0.8, 0.5])
    assert fit.parameters["serial_fraction"] == 1
    fit = fit_scaling("usl", [1, 2, 4, 8], [1, 0.8, 0.5, 0.25])
    assert fit.predict(8) == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_scaling("moore", [1, 2], [1, 2]), "one of amdahl, gustafson, usl, not 'moore'"),
        (lambda: fit_scaling("usl", [1, 2, 2], [1, 2, 2]), "2 parameters, so it needs as many different"),
        (lambda: fit_scaling("amdahl", [1], [1]), "1 parameter, so"),
        (lambda: fit_scaling("amdahl", [], []), "at least one"),
        (lambda: fit_scaling("amdahl", [1, 0], [1, 1]), "num_threads: whole numbers, 1 or more"),
        (lambda: fit_scaling("amdahl", [1, -2], [1, 1]), "number 1 of 2 is -2"),
        (lambda: fit_scaling("amdahl", [1, 2.5], [1, 1]), "whole numbers"),
        (lambda: fit_scaling("amdahl", [1, 2], [1, 0]), "more than 0, but number 1 of 2 is 0"),
        (lambda: fit_scaling("amdahl", [1, 2], [1, float("nan")]), "is nan"),
        (lambda: fit_scaling("amdahl", [1, 2], [1]), "there are 1 and 2"),
        (lambda: speedups_of_times([2, 4], [1.0, 2.0]), "no time of one was given"),
        (lambda: speedups_of_times([1, 4], [0.0, 2.0]), "more than 0"),
    ],
)  # fmt: skip
def test_bad_input(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert words in str(caught.value)


def test_speedups_of_times():
    assert speedups_of_times([2, 1, 1, 4], [3.0, 6.0, 5.0, 2.5]).tolist() == pytest.approx([5 / 3, 5 / 6, 1, 2])
