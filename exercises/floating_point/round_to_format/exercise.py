"""Rounding: ties and their neighbours, overflow from the midpoint on, subnormal numbers, signs of zero."""

import math
import random
from fractions import Fraction

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def nearest(value, e, m):
    """The nearest number of the format, from fractions."""
    if value == 0 or not math.isfinite(value):
        return value
    bias, exact = 2 ** (e - 1) - 1, abs(Fraction(value))
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    exponent -= exact < Fraction(2) ** exponent
    spacing = Fraction(2) ** (max(exponent, 1 - bias) - m)
    rounded = round(exact / spacing) * spacing  # of a Fraction: ties to even
    found = float(rounded) if rounded < Fraction(2) ** (bias + 1) else math.inf
    return math.copysign(found, value)


def same(one, other):
    """Equal as numbers, with the sign of zero; all NaN are equal."""
    if not isinstance(other, (int, float)) or isinstance(other, bool):
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other and math.copysign(1, one) == math.copysign(1, other)


def case(label, values, e, m):
    """Some values for a format of 1 + e + m bits."""
    values = [float(value) for value in values]

    def judge(results):
        found = results[0]["return"]
        if not isinstance(found, (list, tuple)) or len(found) != len(values):
            what = f"{len(found)} values" if isinstance(found, (list, tuple)) else f"a {type(found).__name__}"
            return f"{what} came back: return a list of {len(values)} floats"
        for value, rounded in zip(values, found, strict=True):
            if not same(nearest(value, e, m), rounded):
                return f"{value!r} becomes {rounded!r}, but it should become {nearest(value, e, m)!r}"
        return ""

    return Case(f"1 + {e} + {m} bits, {label}", ((values, e, m),), judge=judge)


def ties(e, m, seed):
    """Halfway between numbers of the format, and just beside, in the whole range; below the smallest number, too."""
    rng, bias, found = random.Random(seed), 2 ** (e - 1) - 1, []
    for exponent in sorted({1 - bias, 2 - bias, -1, 0, 1, bias}):
        for _ in range(4):
            tie = math.ldexp(2 ** (m + 1) + 2 * rng.randrange(2**m) + 1, exponent - m - 1)
            found += [tie, math.nextafter(tie, 0), -math.nextafter(tie, math.inf)]
    smallest = math.ldexp(1.0, 1 - bias - m)
    found += [tie * smallest / 2 for tie in (1, 3, 5, 2**m - 1, 2**m + 1)]
    return found + [math.nextafter(smallest / 2, 1), math.nextafter(smallest / 2, 0), -smallest / 2]


def overflow(e, m):
    """Both sides of the point from which on everything is infinity."""
    bias = 2 ** (e - 1) - 1
    largest, limit = (2 - 2.0**-m) * 2.0**bias, (2 - 2.0 ** -(m + 1)) * 2.0**bias
    beside = [math.nextafter(largest, math.inf), math.nextafter(limit, 0)]
    return [largest, *beside, limit, -limit, 2.0 ** (bias + 1), 1e300]


def subnormals(e, m, seed):
    """Of the format, and between zero and its smallest number."""
    rng, smallest = random.Random(seed), math.ldexp(1.0, 2 - 2 ** (e - 1) - m)
    found = [rng.uniform(-(2**m), 2**m) * smallest for _ in range(60)]
    return found + [smallest, 0.3 * smallest, -0.4 * smallest, 5e-324]


def anything(e, m, seed):
    """Random values of the format's whole range, and a bit beyond."""
    rng, bias = random.Random(seed), 2 ** (e - 1) - 1
    return [rng.choice((-1, 1)) * rng.uniform(1, 2) * 2.0 ** rng.randint(-bias - m - 2, bias + 1) for _ in range(200)]


def cases():
    return [
        case("numbers between 1 and 2", [1.0, 1.3, 1.7], 5, 10),
        case("any numbers", [0.1, 1 / 3, 3.14159, 1000.7, -2.6], 5, 10),
        case("ties", [2049.0, 2051.0, 1 + 2.0**-11, 1 + 3 * 2.0**-11, -2049.0], 5, 10),
        case("zeros, infinities, NaN", [0.0, -0.0, math.inf, -math.inf, math.nan], 5, 10),
        case("overflow", [65504.0, 65519.9, 65520.0, -1e30], 5, 10),
        case("subnormal numbers", [3.1e-5, 1e-5, 3e-7, -6e-8, 3.1e-8], 5, 10),
        case("close to zero", [2.9e-8, -2.9e-8, -1e-30, 5e-324], 5, 10),
        case("next to ties", ties(5, 10, 1), 5, 10), case("ties", ties(8, 7, 2), 8, 7),
        case("overflow", overflow(8, 7), 8, 7), case("ties", ties(4, 3, 3), 4, 3), case("overflow", overflow(4, 3),
        4, 3),
        case("ties", ties(8, 23, 4), 8, 23), case("overflow", overflow(8, 23), 8, 23),
        case("subnormal numbers", subnormals(8, 23, 5), 8, 23), case("any numbers", anything(2, 1, 6), 2, 1),
        case("no values", [], 5, 10),
    ]


def _first_wrong(failure):
    """(value, e, m, right, found) of the first wrong value."""
    values, e, m = failure.case.arguments[0]
    for value, found in zip(values, failure.actual(0), strict=True):
        if not same(nearest(value, e, m), found):
            return value, e, m, nearest(value, e, m), found
    raise LookupError


def _when(is_so):
    """A slip shown by ``is_so(value, e, m, right, found)`` at the first wrong value."""
    return lambda failure: failure.status is Status.INCORRECT and is_so(*_first_wrong(failure))


def _is_tie(value, e, m):
    return math.isfinite(value) and nearest(value, e, m + 1) == value and nearest(value, e, m) != value


def _below_normal(value, e):
    return 0 < abs(value) < 2.0 ** (2 - 2 ** (e - 1))


exercise = Exercise(
    title="To the nearest number of a format",
    function="round_to_format",
    points=5,
    cases=cases,
    hints=(
        "Between two powers of two the numbers of a format are equally spaced. Find the spacing where the value lies, "
        "and count in units of it: then you have to round to a whole number.",
        "frexp of the math module gives the exponent: 2^k <= |x| < 2^(k+1) for k = frexp(x)[1] - 1. The spacing is "
        "2^(k - m), where k is at least 1 - b. Python's round takes ties to even. Look for overflow after rounding.",
        "exponent = max(math.frexp(value)[1] - 1, 1 - bias)\nspacing = math.ldexp(1.0, exponent - significand_bits)\n"
        "rounded = math.copysign(round(value / spacing) * spacing, value)\n"
        "# then: infinity, if abs(rounded) is more than (2 - 2.0**-m) * 2.0**bias",
    ),
    slips=(
        Slip(
            "The sign of zero is lost: a small negative number becomes -0.0. round() gives the whole number 0, which "
            "has no sign: math.copysign puts it back.",
            _when(lambda value, e, m, right, found: right == 0 == found),
        ),
        Slip(
            "Infinities and NaN stay as they are: look for them first.",
            lambda f: f.status is Status.CRASHED and ("infinity" in f.message or "NaN" in f.message),
        ),
        Slip(
            "The value is rounded twice, first to float32 and then to the format: the first rounding may end on a tie "
            "that was none. Round once, from the value itself.",
            _when(lambda value, e, m, right, found: not _is_tie(value, e, m) and m < 23 and found == nearest(
                nearest(value, 8, 23), e, m)),
        ),
        Slip(
            "Infinity comes too early: numbers a little above the largest one are still rounded down to it. Round "
            "first, then compare.",
            _when(lambda value, e, m, right, found: math.isfinite(right) and math.isinf(found)),
        ),
        Slip(
            "What is too large becomes infinity, not the largest number.",
            _when(lambda value, e, m, right, found: math.isinf(right) and math.isfinite(found)),
        ),
        Slip(
            "The subnormal numbers are there: below the smallest normal number the format goes on, with the spacing "
            "2^(1 - b - m), down to zero.",
            _when(lambda value, e, m, right, found: right != 0 == found and _below_normal(value, e)),
        ),
        Slip(
            "Below the smallest normal number the spacing stays 2^(1 - b - m): there are no smaller exponents. Take "
            "the exponent 1 - b at least.",
            _when(lambda value, e, m, right, found: _below_normal(value, e)),
        ),
        Slip(
            "Ties go to even: exactly halfway, take the multiple whose last bit is 0. floor(q + 0.5) always goes up; "
            "Python's round does what is needed.",
            _when(lambda value, e, m, right, found: _is_tie(value, e, m)),
        ),
        Slip(
            "That is not the nearest: the bits behind the last place are cut off.",
            _when(lambda value, e, m, right, found: abs(found) < abs(right)),
        ),
    ),
)
