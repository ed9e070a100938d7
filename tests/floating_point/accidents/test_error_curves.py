"""Error curves against NumPy's own types, mpmath and the standard library, and what theory says of them."""

import statistics
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.accidents import (
    archimedes,
    differentiate,
    exact_variance,
    needle_triangles,
    quadratic_sweep,
    solve_quadratic,
    triangle_area,
    variance,
    variance_sweep,
)  # fmt: skip
from labkit.floating_point.accidents.arguments import relative_error
from labkit.floating_point.accidents.quadratic import METHODS as QUADRATIC_METHODS
from labkit.floating_point.accidents.variances import METHODS as VARIANCE_METHODS
from labkit.floating_point.formats import Format

TYPES = {"binary64": np.float64, "binary32": np.float32, "binary16": np.float16}


@pytest.mark.parametrize(("name", "dtype"), TYPES.items())
def test_archimedes_is_the_types_own_arithmetic(name, dtype):
    curves = archimedes(12, fmt=name)
    t = s = dtype(1) / np.sqrt(dtype(3))
    assert name == "binary16" or np.isfinite(curves["with the difference"].values).all()
    for i in range(13):
        sides = dtype(6 * 2**i)
        assert np.array_equal(curves["with the difference"].values[i], float(sides * t), equal_nan=True)
        assert curves["with the sum"].values[i] == float(sides * s)
        with np.errstate(all="ignore"):
            t = (np.sqrt(t * t + dtype(1)) - dtype(1)) / t
        s = s / (np.sqrt(s * s + dtype(1)) + dtype(1))


def test_the_stable_recurrence_is_only_as_wrong_as_the_polygon():
    for name, num in (("binary64", 40), ("binary32", 20), ("bfloat16", 8), (Format("E11M40", 11, 40), 20)):
        curves = archimedes(num, fmt=name)
        u = float(curves.fmt.epsilon / 2)
        polygons = curves.bounds[0][1]
        assert (np.abs(curves["with the sum"].errors - polygons) < 4 * u * np.arange(2, num + 3)).all()
    curves = archimedes(40)
    assert curves["with the difference"].errors[20] > 1e6 * curves["with the sum"].errors[20]
    assert np.isnan(curves["with the difference"].values[-1])  # 0 / 0
    with mpmath.workprec(300):
        assert polygons[3] == pytest.approx(float(48 * mpmath.tan(mpmath.pi / 48) / mpmath.pi - 1), rel=1e-12)


@pytest.mark.parametrize(("name", "dtype"), TYPES.items())
@pytest.mark.parametrize("abc", [(1, -3.5, 2), (2, 100, 1), (1, -200, 1), (-1, 7, 3), (3, 5, 0), (5e-3, 60, 7)])
def test_quadratic_roots_by_the_types_own_arithmetic(name, dtype, abc):
    a, b, c = map(dtype, abc)
    root = np.sqrt(b * b - dtype(4) * a * c)
    pair = sorted(((-b + root) / (dtype(2) * a), (-b - root) / (dtype(2) * a)), key=abs)
    textbook = solve_quadratic(*abc, fmt=name)
    assert (textbook.small, textbook.large) == (float(pair[0]), float(pair[1]))
    q = -(b + (root if b >= 0 else -root)) / dtype(2)
    stable = solve_quadratic(*abc, fmt=name, method="stable")
    assert (stable.small, stable.large) == (float(c / q), float(q / a))
    scaled, exact = (solve_quadratic(*abc, fmt=name, method=method) for method in ("stable and scaled", "exact"))
    for ours, right in ((stable.small, exact.small), (scaled.small, exact.small), (scaled.large, exact.large)):
        assert relative_error(ours, right) < 8 * float(np.finfo(dtype).eps)


def test_exact_roots_solve_the_equation():
    for a, b, c in ((1, -3, 1), (7, 1000, -3), (1, 3, 0)):
        roots = solve_quadratic(a, b, c, method="exact")
        for root in (roots.small, roots.large):
            assert abs(a * root**2 + b * root + c) < Fraction(1, 10**300) * (abs(b * root) + 1)
        assert abs(roots.small) <= abs(roots.large)


@pytest.mark.parametrize("abc", [("1e10", "1e200", "-1e-100"), ("1e300", "3e300", "1e300"), ("1e-200", "-5e-200", "1e-200"), ("1e-100", "1e200", "1e308")])
def test_scaling_saves_what_can_be_saved(abc):
    exact = solve_quadratic(*abc, method="exact")
    assert not relative_error(solve_quadratic(*abc).small, exact.small) < 0.1  # b*b does not fit
    scaled = solve_quadratic(*abc, method="stable and scaled")
    assert relative_error(scaled.small, exact.small) < 1e-15 and relative_error(scaled.large, exact.large) < 1e-15


@pytest.mark.parametrize("name", ["binary16", "binary32", "binary64", "bfloat16"])
def test_what_the_quadratic_formula_loses(name):
    curves = quadratic_sweep(fmt=name)
    u = float(curves.fmt.epsilon / 2)
    bound = curves.bounds[0][1]
    known = np.isfinite(bound)
    assert (curves["textbook"].errors[known] <= 2 * bound[known] + 6 * u).all()
    lost = curves.x > 4 / np.sqrt(u)
    assert lost.any() and not (curves["textbook"].errors[lost] < 1).any()
    fits = curves.x < float(curves.fmt.max) ** 0.5
    assert (curves["stable"].errors[fits] < 6 * u).all() and (curves["stable"].errors[~fits] == 1).all()
    small_is_normal = 1 / curves.x > float(curves.fmt.min_normal)
    assert (curves["stable and scaled"].errors[small_is_normal] < 6 * u).all()


@pytest.mark.parametrize(("name", "dtype"), TYPES.items())
def test_differentiating_the_reciprocal_is_the_types_own_arithmetic(name, dtype):
    """1/x is the one function that NumPy rounds correctly in every type."""
    curves = differentiate("1/x", 1.5, fmt=name, num_halvings=10)
    x, one = dtype(1.5), dtype(1)
    for h, forward, central in zip(curves.x, curves["forward"].values, curves["central"].values, strict=True):
        h = dtype(h)
        assert forward == float((one / (x + h) - one / x) / h)
        assert central == float((one / (x + h) - one / (x - h)) / (dtype(2) * h))


@pytest.mark.parametrize(("function", "x", "derivative"), [("exp", 1.0, np.e), ("sin", 0.5, np.cos(0.5)), ("1/x", 1.7, -1 / 1.7**2), ("sqrt", 2.0, 0.5**1.5), ("exp/sqrt(sin^3+cos^3)", 1.5, 4.053427893898621)])
def test_errors_of_quotients_follow_theory(function, x, derivative):
    curves = differentiate(function, x)
    assert curves.exact[0] == pytest.approx(derivative, rel=1e-13)
    u = 2.0**-53
    best = {name: curves[name].errors.min() for name in ("forward", "central", "complex step")}
    assert u < best["forward"] < 1e-6 and best["central"] < best["forward"] / 30
    assert curves["complex step"].errors[-1] < 4 * u
    for name, (_, bound) in zip(("forward", "central"), curves.bounds, strict=True):
        small = curves.x < 2.0**-8  # where the next term of the series is out of sight
        moves = curves.x > 2.0**-50
        assert (curves[name].errors[small & moves] < 1.3 * bound[small & moves] + 2 * u).all()
        at = curves.x[np.argmin(bound)]
        step = dict(curves.optima)[name]
        assert at / 2 <= step <= at * 2
    assert curves["forward"].errors[-1] == 1  # x + h is x


def test_the_best_steps_are_the_square_and_the_cube_root():
    for name in ("binary32", "binary64"):
        curves = differentiate("exp", 1.0, fmt=name)
        u = float(curves.fmt.epsilon / 2)
        best = dict(curves.optima)
        assert best["forward"] == pytest.approx(2 * u**0.5) and best["central"] == pytest.approx((3 * u) ** (1 / 3))


@pytest.mark.parametrize(("name", "dtype"), TYPES.items())
def test_variances_by_the_types_own_arithmetic(name, dtype):
    x = (np.random.default_rng(3).uniform(-1, 1, 20) + 4).astype(dtype)
    total = squares = dtype(0)
    mean, welford = x[0], dtype(0)
    for k, value in enumerate(x):
        total, squares = total + value, squares + value * value
        if k:
            delta = value - mean
            mean = mean + delta / dtype(k + 1)
            welford = welford + delta * (value - mean)
    two = dtype(0)
    for value in x:
        two = two + (value - total / dtype(20)) * (value - total / dtype(20))
    expected = {"textbook": squares - total * total / dtype(20), "Welford": welford, "two passes": two}
    for method, number in expected.items():
        assert variance(x.astype(float), method=method, fmt=name) == float(number / dtype(19))


def test_exact_variance_is_the_standard_librarys():
    x = np.random.default_rng(4).normal(1e6, 1, 30).tolist()
    assert exact_variance(x) == statistics.variance(map(Fraction, x))
    columns = np.array([x, x[::-1]]).T
    for method in VARIANCE_METHODS:
        assert variance(columns, method=method).tolist() == [variance(x, method=method), variance(x[::-1], method=method)]


@pytest.mark.parametrize("name", ["binary64", "binary32", "binary16", "TF32"])
def test_moved_data(name):
    curves = variance_sweep(fmt=name)
    u, kappa2 = float(curves.fmt.epsilon / 2), curves.bounds[0][1]
    assert (curves["textbook"].errors < 3 * kappa2).all()
    kappa = np.sqrt(kappa2 / (50 * u))
    assert (curves["Welford"].errors < 3 * 50 * u * kappa).all()  # Chan, Golub, LeVeque: n u kappa
    assert (curves["two passes"].errors < 50 * u + (50 * u * kappa) ** 2 * 3).all()
    assert (curves["shifted"].errors < 2 * 50 * u).all()
    assert curves["textbook"].errors[-2:].max() > 5 * curves["Welford"].errors[-2:].max()


@pytest.mark.parametrize(("name", "dtype"), [("binary64", np.float64), ("binary32", np.float32)])
def test_areas_by_the_types_own_arithmetic(name, dtype):
    for sides in ((3, 4, 5), (1.1, 0.7, 0.5), (1, 1, 1e-4), (9, 5, 4.001)):
        a, b, c = sorted(map(dtype, sides), reverse=True)
        s = (a + b + c) / dtype(2)
        assert triangle_area(*sides, fmt=name) == float(np.sqrt(s * (s - a) * (s - b) * (s - c)))
        kahan = np.sqrt((a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c))) / dtype(4)
        assert triangle_area(*sides, fmt=name, method="Kahan") == float(kahan)
    assert triangle_area(3, 4, 5, method="exact") == 6


@pytest.mark.parametrize("name", ["binary64", "binary32", "binary16", "TF32", "bfloat16"])
def test_needles(name):
    curves = needle_triangles(fmt=name)
    (_, heron), (_, kahan) = curves.bounds
    assert (curves["Heron"].errors <= heron + kahan).all() and (curves["Kahan"].errors <= kahan).all()
    if name in ("binary32", "binary64"):
        assert curves["Heron"].errors.max() > 0.01


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: archimedes(0), "num_doublings is a whole number from 1 to 200"),
        (lambda: archimedes(3, fmt="double"[:3]), "no format is called"),
        (lambda: solve_quadratic(0, 1, 1), "a is 0"),
        (lambda: solve_quadratic(1, 1, 1), "two real roots where"),
        (lambda: solve_quadratic(1, 5, 1, method="fast"), "method is one of textbook, stable"),
        (lambda: solve_quadratic(1, 1e6, 1, fmt="binary16"), "b is 1000000.0 and no finite number of binary16"),
        (lambda: solve_quadratic(1, "five", 1), "is no number"),
        (lambda: quadratic_sweep(largest_power=1), "largest_power is a whole number from 2 to 1022"),
        (lambda: differentiate("tan"), "there is no function 'tan'"),
        (lambda: differentiate("exp", -1), "x is a number from 0.01 to 10"),
        (lambda: differentiate("exp", float("nan")), "x is a number from 0.01 to 10"),
        (lambda: differentiate("exp/sqrt(sin^3+cos^3)", 3.0), "not real at x=3"),
        (lambda: differentiate("exp", 1, num_halvings=1), "num_halvings"),
        (lambda: variance([1.0]), "2 to 10000 numbers"),
        (lambda: variance([1.0, 2.0], method="three passes"), "method is one of textbook"),
        (lambda: variance_sweep(1), "num_values is a whole number from 2"),
        (lambda: variance_sweep(fmt="E2M1"), "too few digits"),
        (lambda: triangle_area(1, 1, 3), "shorter than the two others together"),
        (lambda: triangle_area(1, 1, 0), "shorter than the two others together"),
        (lambda: triangle_area(1, 1, 1, method="Euler"), "method is Heron, Kahan or exact"),
        (lambda: needle_triangles(fmt="E5M2"), "too few digits"),
        (lambda: archimedes(3)["fast"], "the methods are 'with the difference', 'with the sum'"),
    ],
)
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_every_method_of_the_quadratic_agrees_where_nothing_is_lost():
    for method in QUADRATIC_METHODS:
        roots = solve_quadratic(1, -3, 2, method=method)
        assert (roots.small, roots.large) == (1, 2)
