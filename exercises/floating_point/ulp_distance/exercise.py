"""Distances in ulp: across binades, signs and zeros, to the largest distance there is."""

import math

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

LARGEST = math.ldexp(2 - 2.0**-52, 1023)


def position(x):
    """How many steps a number is from zero, with its sign: from exponent and significand, not from the bits."""
    x = float(x)
    if math.isinf(x):
        return (1 if x > 0 else -1) * (2047 << 52)
    significand, exponent = math.frexp(abs(x))
    if x == 0:
        return 0
    exponent = max(exponent, -1021)
    units = int(math.ldexp(abs(x), 1074)) if exponent == -1021 else int(significand * 2**53)
    steps = units + ((exponent + 1021) << 52)
    return steps if x > 0 else -steps


def case(label, a, b):
    a, b = np.array(a, np.float64), np.array(b, np.float64)
    right = [abs(int(position(x)) - int(position(y))) for x, y in zip(a, b, strict=True)]

    def judge(results):
        found = results[0]["return"]
        found = found.tolist() if isinstance(found, np.ndarray) else found
        if not isinstance(found, (list, tuple)) or len(found) != len(right):
            return f"a list of {len(right)} ints should come back, not {found!r:.80}"
        for x, y, wanted, steps in zip(a.tolist(), b.tolist(), right, found, strict=True):
            if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
                return f"from {x!r} to {y!r} it is {steps!r}: return whole numbers"
            if int(steps) != wanted:
                return f"from {x!r} to {y!r} it is {int(steps)}, but it should be {wanted}"
        return ""

    return Case(label, ((a, b),), judge=judge)


def walks(seed, number=100):
    """Numbers of all sizes, and others a few steps up or down."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 2047 << 52, number).astype(np.uint64).view(np.float64) * rng.choice([-1.0, 1.0], number)
    b = a.copy()
    for k in range(number):
        for _ in range(rng.integers(0, 6)):
            b[k] = np.nextafter(b[k], rng.choice([-np.inf, np.inf]))
    return a, b


def pairs(seed, number=100):
    """Any two numbers, of any sign."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2047 << 52, (2, number)).astype(np.uint64)
    return codes.view(np.float64) * rng.choice([-1.0, 1.0], (2, number))


def cases():
    up, down = np.nextafter, lambda x: np.nextafter(x, -np.inf)
    return [
        case("the same number", [1.0, -2.5, 0.0], [1.0, -2.5, 0.0]),
        case("neighbours", [1.0, 1.5, 1.0], [up(1.0, 2), up(1.5, 0), 1.25]),
        case("across a power of two", [1.0, 2.0, 4.0, 1.5], [down(1.0), down(2.0), up(4.0, 5), 2.5]),
        case("negative numbers", [-1.0, -2.0, -3.0], [down(-1.0), -1.0, -2.5]),
        case("subnormal numbers", [5e-324, 1e-310, 2.0**-1022], [1e-323, 1.5e-310, down(2.0**-1022)]),
        case("both zeros", [0.0, -0.0, -0.0], [-0.0, 0.0, 5e-324]),
        case("across zero", [5e-324, -1.0, 1e-310], [-5e-324, 1.0, -1e-310]),
        case("the ends of the range", [LARGEST, -LARGEST], [math.inf, -math.inf]),
        case("from end to end", [LARGEST, math.inf], [-LARGEST, -math.inf]),
        case("far apart", [1.0, 1e-300, 0.0], [1e300, 1.0, 1.0]),
        case("a few steps", *walks(1)), case("any two numbers", *pairs(2)), case("no numbers", [], []),
    ]


def _first_wrong(failure):
    for x, y, steps in zip(*(array.tolist() for array in failure.case.arguments[0]), failure.actual(0), strict=True):
        right = abs(int(position(x)) - int(position(y)))
        if right != steps:
            return x, y, right, steps
    raise LookupError


def _when(is_so):
    """A slip shown by ``is_so(x, y, right, found)`` at the first wrong pair."""
    return lambda failure: failure.status is Status.INCORRECT and is_so(*_first_wrong(failure))


exercise = Exercise(
    title="How many numbers apart",
    function="ulp_distance",
    points=4,
    cases=cases,
    time_limit_s=3.0,
    hints=(
        "Give every number a place on a line: how many steps it is from zero. Then the distance is a difference. What "
        "do the bits of 1.0 and of its neighbour look like as whole numbers?",
        "The codes of positive numbers, read as whole numbers, are in the order of the numbers, without a gap: the "
        "code is the place. A negative number has the place of its magnitude with a minus; so both zeros have the "
        "place 0.",
        'code = struct.unpack("<Q", struct.pack("<d", x))[0]\nmagnitude = code & (2**63 - 1)\n'
        "place = -magnitude if code >> 63 else magnitude\n"
        "# the distance is abs(place of x - place of y), in Python ints",
    ),
    slips=(
        Slip(
            "Do not count the steps one by one: the codes, read as whole numbers, already do.",
            lambda f: f.status is Status.TIMED_OUT,
        ),
        Slip(
            "A distance has no sign: take the absolute value.",
            _when(lambda x, y, right, found: found == -right),
        ),
        Slip(
            "The distance is too large for an int64 and has wrapped around. Python's own ints have no end: use "
            "tolist().",
            _when(lambda x, y, right, found: (found - right) % 2**64 == 0 or (found + right) % 2**64 == 0),
        ),
        Slip(
            "The codes have become floats, which keep 53 bits of them, and they have 63. Keep them as ints.",
            lambda f: f.status is Status.INCORRECT and "float" in f.source and _when(
                lambda x, y, right, found: abs(found - right) <= 2048)(f),
        ),
        Slip(
            "The spacing changes at every power of two, so dividing by the spacing at one of the numbers does not "
            "count the steps on the way. Compare the codes.",
            lambda f: f.status is Status.INCORRECT and any(word in f.source for word in ("spacing", "ulp(", "eps")),
        ),
        Slip(
            "Steps are counted, not the numbers in between: neighbours are 1 apart.",
            _when(lambda x, y, right, found: right > 0 and found == right - 1 and x * y >= 0),
        ),
        Slip(
            "0.0 and -0.0 are one number and have one place on the line: the place of a negative number is minus its "
            "magnitude, so that minus zero is at 0.",
            _when(lambda x, y, right, found: found == right + 1 and (x <= 0 or y <= 0)),
        ),
        Slip(
            "The codes of negative numbers grow away from zero and begin with a 1: as they are, they are in no order "
            "with the positive ones. Take the magnitude, and minus for negative numbers.",
            _when(lambda x, y, right, found: (math.copysign(1, x) != math.copysign(1, y))),
        ),
    ),
)
