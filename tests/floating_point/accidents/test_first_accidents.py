"""Accidents against the published numbers, exact arithmetic, and NumPy's own arithmetic."""

from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.accidents import muller, patriot, rump, vancouver

# GAO/IMTEC-92-26, appendix II: hours, seconds lost, metres
GAO = [(0, 0, 0), (1, 0.0034, 7), (8, 0.0275, 55), (20, 0.0687, 137), (48, 0.1648, 330), (72, 0.2472, 494), (100, 0.3433, 687)]


@pytest.mark.parametrize(("hours", "lost_s", "shift_m"), GAO)
def test_the_clock_of_the_patriot(hours, lost_s, shift_m):
    (row,) = patriot([hours])
    assert (round(float(row.lost_s), 4), round(row.shift_m)) == (lost_s, shift_m)
    assert row.counted_s + row.lost_s == hours * 3600


def test_the_register_of_the_patriot_is_short_by_what_is_published():
    tenth_lost = patriot([1])[0].lost_s / 36000
    assert round(float(tenth_lost), 9) == 0.000000095
    assert patriot([100], fraction_bits=24)[0].lost_s < patriot([100])[0].lost_s
    assert round(patriot([100], speed_m_per_s=1676)[0].shift_m) == 575


def test_the_index_of_vancouver_step_by_step():
    index = vancouver(3, updates_per_day=2000, seed=4)  # several of the moves end in exactly half a thousandth
    rng = np.random.default_rng(4)
    moves = [Decimal(int(round(move * 1e6))) / 10**6 for move in rng.normal(0.2 / 2000, 0.01, (3, 2000)).ravel()]
    with localcontext(prec=40):
        exact = cut = nearest = Decimal(1000)
        for move in moves:
            exact += move
            cut = (cut + move).quantize(Decimal("0.001"), ROUND_FLOOR)
            nearest = (nearest + move).quantize(Decimal("0.001"), ROUND_HALF_UP)
    for ours, theirs in ((index.exact, exact), (index.truncated, cut), (index.rounded, nearest)):
        assert ours[-1] == pytest.approx(float(theirs), abs=1e-9)


def test_truncation_loses_half_of_the_index_and_rounding_nothing():
    index = vancouver()
    lost = index.exact - index.truncated
    num_updates = 460 * 2800
    assert lost[-1] == pytest.approx(num_updates * 0.0004995, rel=1e-3)
    assert np.abs(index.rounded - index.exact).max() < 5 * 0.001 * np.sqrt(num_updates / 12) and (np.diff(lost) > 0).all()


@pytest.mark.parametrize(("name", "dtype"), [("binary64", np.float64), ("binary32", np.float32), ("binary16", np.float16)])
def test_muller_in_a_format_is_numpys(name, dtype):
    before, last, numbers = dtype(4), dtype(4.25), [4.0, 4.25]
    for _ in range(40):
        before, last = last, dtype(108) - (dtype(815) - dtype(1500) / before) / last
        numbers.append(float(last))
    assert [float(value) for value in muller(40, fmt=name)] == numbers
    assert numbers[-1] == pytest.approx(100)


def test_muller_exactly_is_its_closed_form():
    values = muller(60, fmt=None)
    assert values == [Fraction(3 ** (n + 1) + 5 ** (n + 1), 3**n + 5**n) for n in range(62)]
    assert abs(values[-1] - 5) < 1e-12


def test_muller_ends_where_the_format_does():
    assert len(muller(10, fmt="E4M3")) < 12


@pytest.mark.parametrize(("name", "dtype"), [("binary64", np.float64), ("binary32", np.float32)])
@pytest.mark.parametrize(("a", "b"), [(77617, 33096), (3, 7), (-1000, 999), (779, 114), (1770, 90)])
def test_rump_in_a_format_is_numpys(name, dtype, a, b):
    x, y = dtype(a), dtype(b)
    x2, y2 = x * x, y * y
    y4 = y2 * y2
    y6 = y4 * y2
    inner = dtype(11) * x2 * y2 - y6 - dtype(121) * y4 - dtype(2)
    with np.errstate(over="ignore", invalid="ignore"):
        number = dtype(333.75) * y6 + x2 * inner + dtype(5.5) * (y6 * y2) + x / (dtype(2) * y)
    ours = rump(a, b, fmt=name)
    assert float(ours) == number if np.isfinite(number) else ours is None


def test_rump_exactly():
    a, b = Fraction(77617), Fraction(33096)
    exact = Fraction(33375, 100) * b**6 + a**2 * (11 * a**2 * b**2 - b**6 - 121 * b**4 - 2) + Fraction(55, 10) * b**8 + a / (2 * b)
    assert rump(fmt=None) == exact == -2 + a / (2 * b)
    assert round(float(exact), 15) == -0.827396059946821
    assert abs(rump() - exact) > 1e20  # binary64 has not one digit of it


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: patriot([-1]), "hours run from 0"),
        (lambda: patriot([1], fraction_bits=0), "fraction_bits is a whole number from 1 to 200"),
        (lambda: patriot([float("nan")]), "hours run from 0"),
        (lambda: vancouver(0), "num_days is a whole number"),
        (lambda: vancouver(5, updates_per_day=1.5), "updates_per_day"),
        (lambda: muller(0), "num_steps is a whole number from 1 to 1000"),
        (lambda: muller(5, fmt="double double"), "no format is called"),
        (lambda: rump(1, 0), "b is 0"),
        (lambda: rump(0.5, 1), "a is a whole number"),
    ],
)
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
