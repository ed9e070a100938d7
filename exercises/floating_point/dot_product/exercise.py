"""The dot product in twofold precision by its bits: pairs that cancel up to a condition number of 1e32."""

import ast
from fractions import Fraction

import numpy as np

from labkit.floating_point.summation.adversarial import hard_dot
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def product_error(a, b):
    return float(Fraction(a) * Fraction(b) - Fraction(a * b))


def sum_error(a, b):
    return float(Fraction(a) + Fraction(b) - Fraction(a + b))


def by_steps(x, y, *, of_product=product_error, of_sum=sum_error, keep=lambda errors, d, e: errors + (d + e)):
    """The dot product as it must be, errors from fractions; or with other errors, otherwise kept."""
    total = errors = 0.0
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        product = a * b
        errors = keep(errors, of_sum(total, product), of_product(a, b))
        total = total + product
    return total + errors


def nothing(a, b):
    return 0.0


def fast_error(a, b):
    """Of a sum, as if the first operand were the larger one."""
    return b - ((a + b) - a)


def split_error(a, b, factor=2.0**26 + 1):
    """Of a product, with halves that are not short enough."""
    halves = []
    for value in (a, b):
        c = factor * value
        high = c - (c - value)
        halves += [high, value - high]
    high_a, low_a, high_b, low_b = halves
    return low_a * low_b - (((a * b - high_a * high_b) - low_a * high_b) - high_a * low_b)


def exactly(x, y):
    return float(sum((Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)), Fraction(0)))


def case(label, x, y):
    x, y = np.array(x, np.float64), np.array(y, np.float64)
    right = {"return": by_steps(x, y), 0: x.copy(), 1: y.copy()}
    return Case(f"{label}, n = {len(x)}", ((x, y),), (right,), rtol=0.0)


def random_case(n, seed):
    rng = np.random.default_rng([n, seed])
    return case("numbers of all sizes", *(rng.standard_normal((2, n)) * 2.0 ** rng.integers(-30, 30, (2, n))))


def hard_case(n, condition, seed):
    hard = hard_dot(n, condition, seed=seed)
    return case(f"condition number {condition:g}", hard.x, hard.y)


def cases():
    tenth, third = 0.1, 1 / 3
    return [
        case("no error at all", [1.0, 2.0], [3.0, 4.0]),
        case("a product that rounds", [tenth, -(tenth * tenth)], [tenth, 1.0]),
        case("a sum that rounds", [1e16, 1.0, 1e16], [1.0, tenth, -1.0]),
        case("a small product first", [1e-20, 1.0, 1.0], [1.0, third, -third]),
        case("both round", [third, 0.7, -0.2, 1e8], [tenth, third, 0.9, 1e-8]),
        case("no pairs", [], []),
        random_case(5, 1), random_case(100, 2), hard_case(50, 1e10, 3), hard_case(100, 1e18, 4),
        hard_case(200, 1e24, 5),
        hard_case(500, 1e32, 6),
    ]


def _gives(*ways):
    """Whether the result is that of another dot product, ``way(x, y)``."""

    def applies(failure):
        x, y = failure.case.arguments[0]
        return failure.status is Status.INCORRECT and any(float(failure.actual(0)) == way(x, y) for way in ways)

    return applies


def _with(**options):
    return lambda x, y: by_steps(x, y, **options)


def _words(source):
    """Names that are read or called, and signs of products of arrays."""
    nodes = list(ast.walk(ast.parse(source)))
    words = {getattr(node, "attr", getattr(node, "id", "")) for node in nodes}
    return words | {"@" for node in nodes if isinstance(node, ast.MatMult)}


def _subtracts(source):
    return any(isinstance(node, ast.Sub) for node in ast.walk(ast.parse(source)))


exercise = Exercise(
    title="A dot product in twice the precision",
    function="dot_product",
    points=6,
    cases=cases,
    hints=(
        "Write two small functions first: one gives a rounded sum and its error, the other a rounded product and its "
        "error. Try them on 0.1 * 0.1 with fractions.Fraction.",
        "Each pair brings two errors, and neither is added to the total: errors = errors + (sum_error + "
        "product_error). Only the last line adds total and errors.",
        "for a, b in zip(x.tolist(), y.tolist()):\n    product, product_error = two_product(a, b)\n"
        "    total, sum_error = two_sum(total, product)\n    errors = errors + (sum_error + product_error)\n"
        "# two_product: c = 134217729.0 * a, high = c - (c - a), low = a - high, and the same for b: split(a), "
        "split(b)",
    ),
    slips=(
        Slip(
            "The exact result, rounded once, is more accurate and has other bits; and it takes integers of hundreds of "
            "digits. Here it is done in float64 alone: keep what each product and each addition has lost.",
            lambda f: f.status is Status.INCORRECT and bool(
                _words(f.source) & {"Fraction", "fsum", "Decimal", "sumprod"}),
        ),
        Slip(
            "NumPy's dot product keeps no errors. Write the loop.",
            lambda f: f.status is Status.INCORRECT and bool(_words(f.source) & {"@", "dot", "vdot", "inner", "sum"}),
        ),
        Slip(
            "This is the plain dot product: nothing that a product or an addition has lost comes back.",
            lambda f: _gives(_with(of_product=nothing, of_sum=nothing))(f) and not _subtracts(f.source),
        ),
        Slip(
            "The halves are not short enough, so that their products round: split with 2^27 + 1 = 134217729.",
            _gives(_with(of_product=split_error), _with(of_product=lambda a, b: split_error(a, b, 2.0**28 + 1)),
                   _with(of_product=lambda a, b: split_error(a, b, 2.0**27))),
        ),
        Slip(
            "Your error of a sum needs the first operand to be the larger one, and here either may be. Use Knuth's "
            "formula.",
            _gives(_with(of_sum=fast_error)),
        ),
        Slip(
            "The errors of the products are there, those of the additions are missing: total + product is rounded, "
            "too.",
            _gives(_with(of_sum=nothing)),
        ),
        Slip(
            "The errors of the products are missing. a * b - product is always 0, for it rounds in the same way: "
            "split both factors in halves, whose products are exact.",
            _gives(_with(of_product=nothing), _with(of_product=nothing, of_sum=nothing)),
        ),
        Slip(
            "The error of a product has the wrong sign: it is a x b minus the product, so that both add up to a x b.",
            _gives(_with(of_product=lambda a, b: -product_error(a, b))),
        ),
        Slip(
            "Nearly: the two errors of a pair are added to each other first, errors + (sum error + product error).",
            _gives(_with(keep=lambda errors, d, e: (errors + d) + e),
                   _with(keep=lambda errors, d, e: (errors + e) + d)),
        ),
    ),
)
