"""Alpha and beta of a measured ping-pong, by least squares of the relative errors."""

from fractions import Fraction

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def minimum(sizes, times, power=2):
    """(alpha, beta) by the normal equations in exact arithmetic, with weights ``1 / t ** power``."""
    sizes = [Fraction(int(n)) for n in sizes]
    times = [Fraction(float(t)) for t in times]
    weights = [1 / t**power for t in times]
    w, wn, wnn, wt, wnt = (
        sum(weight * n**i * t**j for weight, n, t in zip(weights, sizes, times, strict=True))
        for i, j in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1))
    )
    determinant = w * wnn - wn * wn
    return float((wnn * wt - wn * wnt) / determinant), float((w * wnt - wn * wt) / determinant)


def fit_case(label, sizes, alpha_s, beta_s_per_byte, noise=0.0, dtype="int64", *, data_seed=0):
    """Times of a network, each wrong by up to ``noise`` times itself."""
    sizes = np.array(sizes, dtype)
    random = np.random.default_rng([data_seed, len(sizes)])
    times = (alpha_s + beta_s_per_byte * sizes.astype(float)) * (1 + noise * random.uniform(-1, 1, len(sizes)))
    return Case(
        label, ((sizes, times),), ({"return": minimum(sizes, times), 0: sizes, 1: times},), rtol=1e-8,
    )


POWERS = [0, *(2**k for k in range(21))]


def cases():
    return [
        fit_case("2 sizes on a line", [0, 1000], 2e-6, 1e-9),
        fit_case("3 sizes on a line", [0, 1000, 1_000_000], 2e-6, 1e-9),
        fit_case("3 sizes with 20 % noise", [0, 1000, 1_000_000], 1.5e-6, 0.8e-9, 0.2),
        fit_case("22 sizes from 0 to 1 MiB with 10 % noise", POWERS, 22.5e-6, 0.855e-9, 0.1),
        fit_case("22 sizes as int32 with 5 % noise", POWERS, 0.3e-6, 0.125e-9, 0.05, "int32"),
        fit_case("8 sizes in no order with 30 % noise", [4096, 8, 65536, 8, 0, 4096, 99999, 1], 1e-6, 2e-9, 0.3),
        fit_case("5 sizes up to 4 GiB with 5 % noise", [1, 2**10, 2**20, 2**30, 2**32], 5e-6, 1e-10, 0.05),
        fit_case("4 large sizes with 1 % noise", [10**6 * k for k in (1, 2, 3, 4)], 1e-3, 1e-9, 0.01, "uint32"),
    ]


def _found(failure):
    value = failure.actual(0)
    return [float(number) for number in value]


def _is(failure, alpha, beta):
    return failure.status is Status.INCORRECT and np.allclose(_found(failure), [alpha, beta], rtol=1e-6, atol=0)


def _least_squares(failure, power):
    return _is(failure, *minimum(*failure.case.arguments[0], power))


def _of_wrapped_squares(failure):
    """Right for floats, wrong where products of integers do not fit."""
    sizes = failure.case.arguments[0][0]
    square = int(sizes.max()) ** 2 * len(sizes)
    return failure.status is Status.INCORRECT and square > np.iinfo(sizes.dtype).max


def _expected(failure):
    return failure.case.expected[0]["return"]


def _through_ends(failure):
    sizes, times = failure.case.arguments[0]
    first, last = int(sizes.argmin()), int(sizes.argmax())
    beta = (times[last] - times[first]) / float(int(sizes[last]) - int(sizes[first]))
    return times[first] - beta * float(sizes[first]), beta


exercise = Exercise(
    title="Latency and bandwidth from a measurement",
    function="fit_latency_bandwidth",
    points=2,
    cases=cases,
    hints=(
        "Each measurement is an equation alpha * 1 + beta * n = t. Least squares makes the errors of the right "
        "sides small. By what do you divide an equation so that its error becomes relative?",
        "After the division by t every equation reads alpha * (1/t) + beta * (n/t) = 1. These are k linear "
        "equations for two unknowns: np.linalg.lstsq. Convert the sizes to float first.",
        "n = sizes_bytes.astype(float); matrix = np.column_stack([1 / times_s, n / times_s]); scale = "
        "np.linalg.norm(matrix, axis=0); found = np.linalg.lstsq(matrix / scale, np.ones(len(n)), rcond=None)[0] / "
        "scale. Return float(found[0]), float(found[1]).",
    ),
    slips=(
        Slip(
            "alpha and beta are in the wrong order. np.polyfit gives the slope first; return alpha first.",
            lambda f: _is(f, _expected(f)[1], _expected(f)[0]),
        ),
        Slip(
            "the second number is the bandwidth in bytes per s. beta is its inverse, in s per byte.",
            lambda f: _is(f, _expected(f)[0], 1 / _expected(f)[1]),
        ),
        Slip(
            "this is the minimum of the absolute errors. Divide each equation by its time first.",
            lambda f: _least_squares(f, 0),
        ),
        Slip(
            "the errors are weighted by 1/sqrt(t): lstsq and polyfit square the weight, so the weight itself is 1/t.",
            lambda f: _least_squares(f, 1),
        ),
        Slip(
            "the errors are weighted by 1/t**2: the weight is squared once more by polyfit, so w=1/t is right.",
            lambda f: _least_squares(f, 4),
        ),
        Slip(
            "this line goes through the smallest and the largest message only. All measurements count.",
            lambda f: f.status is Status.INCORRECT and _is(f, *_through_ends(f)),
        ),
        Slip(
            "products of the sizes overflow their integer dtype. Convert the sizes to float first.",
            _of_wrapped_squares,
        ),
    ),
)
