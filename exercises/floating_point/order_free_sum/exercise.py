"""A correctly rounded sum over ranks: however its terms are dealt out, and without collecting them."""

import ast
import math
from fractions import Fraction

import numpy as np

from labkit.floating_point.summation.adversarial import hard_sum
from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status


def case(num_ranks, label, terms, *, seed=None, dealt=0, **options):
    """Terms dealt out at random: some ranks get many, some none."""
    terms = np.array(terms, np.float64)
    rng = np.random.default_rng([num_ranks, len(terms), dealt])
    shares = rng.random(num_ranks) ** 3
    owner = rng.choice(num_ranks, len(terms), p=shares / shares.sum())
    own = [terms[owner == rank] for rank in range(num_ranks)]
    total = float(sum(map(Fraction, terms.tolist()), Fraction(0)))
    budget = Budget(max_bytes_received=1500 * (1 + (num_ranks - 1).bit_length()))
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, {label}", lambda rank: (own[rank].copy(),),
        lambda rank: {"return": total, 0: own[rank].copy()}, rtol=0.0, budget=budget, seed=seed, **options,
    )


def hard(num_ranks, n, condition, data_seed, **options):
    return case(num_ranks, f"{n} terms, condition number {condition:g}", hard_sum(n, condition, seed=data_seed).x,
                dealt=data_seed, **options)


def wild(num_ranks, n, data_seed, **options):
    """Terms of all sizes that a float may have; the largest ones cancel."""
    rng = np.random.default_rng([n, data_seed])
    half = rng.integers(0, 2040 << 52, n // 2).astype(np.uint64).view(np.float64) * rng.choice([-1.0, 1.0], n // 2)
    rest = np.ldexp(rng.standard_normal(n - 2 * (n // 2) + 3), rng.integers(-1070, 0))
    return case(num_ranks, f"{n + 3} terms of all sizes", rng.permutation(np.concatenate([half, -half, rest])),
                dealt=data_seed, **options)


def halfway(num_ranks, n, data_seed, **options):
    """1 and half an ulp, in small pieces; and a bit more or less that only an exact sum sees."""
    rng = np.random.default_rng([n, data_seed])
    pieces = np.full(n, 2.0**-53 / n) if n & (n - 1) == 0 else np.array([2.0**-53])
    last = [2.0**-1000] if data_seed % 2 else [-(2.0**-1000)]
    terms = rng.permutation(np.concatenate([[1.0], pieces, last]))
    return case(num_ranks, f"{len(terms)} terms, next to halfway", terms, dealt=data_seed, **options)


def plain(num_ranks, n, data_seed, **options):
    x = np.random.default_rng(data_seed).standard_normal(n)
    return case(num_ranks, f"{n} terms", x, dealt=data_seed, **options)


def cases():
    return [
        case(1, "3 terms", [0.1, 0.2, 0.3]), case(2, "2 small terms", [1e-300, 5e-324]),
        case(2, "3 terms", [1e100, 1.0, -1e100]),
        case(2, "4 terms that cancel", [0.1, 0.3, -0.1, -0.3]), plain(2, 50, 1), halfway(2, 4, 3), wild(2, 20, 2),
        case(3, "no terms", []), plain(3, 2000, 3), hard(4, 100, 1e20, 4, unsafe_sends=True), wild(4, 100, 5),
        plain(5, 3000, 6, seed=1), halfway(5, 64, 8), wild(6, 101, 7, unsafe_sends=True), hard(7, 700, 1e40, 8, seed=2),
        case(7, "3 huge terms", [1.7e308, -1.6e308, 1e308]), plain(8, 5000, 9), wild(9, 400, 10, seed=3),
        halfway(9, 128, 11),
        hard(16, 500, 1e30, 12), wild(33, 600, 13), hard(2, 400, 1e25, 14, real=True), wild(4, 300, 15, real=True),
    ]


def _is_wrong(failure):
    return failure.status is Status.INCORRECT


def _called(source):
    """Names of the functions and methods that are called."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in calls}


def _values(failure):
    return [failure.actual(rank) for rank in range(len(failure.results))]


def _is_sum_of(own_sum):
    """Whether the result is about what the ranks' own float sums give, and not the exact one."""

    def applies(failure):
        partial = [own_sum(arguments[0].tolist()) for arguments in failure.case.arguments]
        found = float(failure.actual(0))
        forwards, backwards = sum(partial), sum(reversed(partial))
        return _is_wrong(failure) and found in (forwards, backwards, math.fsum(partial))

    return applies


exercise = Exercise(
    title="The same bits on any number of ranks",
    function="order_free_sum",
    points=6,
    points_over_budget=2,
    cases=cases,
    hints=(
        "Rounding happens when a sum is put into a float. Keep the sums in something wider: as whole numbers of the "
        "smallest unit that a float can have, 2^-1074.",
        "(0.1).as_integer_ratio() gives a numerator and a denominator that is a power of two, at most 2^1074. So a "
        "term is numerator x (2^1074 / denominator) units. Python's ints have no end, and comm.allreduce adds them.",
        "own = 0\nfor term in x.tolist():\n    numerator, denominator = term.as_integer_ratio()\n"
        "    own += numerator * (2**1074 // denominator)\ntotal = comm.allreduce(own)\n# total / 2**1074 rounds once",
    ),
    slips=(
        Slip(
            "The result is missing on some ranks: reduce gives it to the root alone. Take allreduce.",
            lambda f: _is_wrong(f) and 0 < sum(value is None for value in _values(f)) < len(_values(f)),
        ),
        Slip(
            "The whole number is too large for a float. Divide the two ints, total / 2**1074: Python rounds the "
            "quotient, once, and not the number before.",
            lambda f: f.status is Status.CRASHED and "int too large" in f.message,
        ),
        Slip(
            "All terms travel to one place, or to all. Let each rank add up its own terms first, exactly, and send "
            "the sum.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
        Slip(
            "Each rank rounds its own sum to a float, and the sum of those is rounded again: even math.fsum on every "
            "rank does not help. What travels has to be exact.",
            lambda f: _is_wrong(f) and "fsum" in _called(f.source),
        ),
        Slip(
            "A fixed number of binary places is not enough: terms may be as small as 5e-324 and as large as 1e300. "
            "Count in units of 2^-1074, in Python's ints.",
            lambda f: f.status in (Status.INCORRECT, Status.CRASHED) and bool(
                _called(f.source) & {"round", "rint", "astype", "int64", "trunc"}),
        ),
        Slip(
            "The whole number is cut off before it is rounded: >> and // round down. Divide the ints with /, which "
            "rounds to nearest.",
            lambda f: _is_wrong(f) and any(
                isinstance(node, ast.RShift) for node in ast.walk(ast.parse(f.source))),
        ),
        Slip(
            "Each rank divides, and so rounds, its own sum before the ranks are added up. Add the whole numbers, and "
            "divide the total.",
            lambda f: _is_wrong(f) and bool(_called(f.source) & {"as_integer_ratio", "Fraction"}),
        ),
        Slip(
            "Floats are rounded at every addition, on each rank and between the ranks, so the result depends on who "
            "has which terms. Add up whole numbers instead.",
            lambda f: _is_wrong(f) and (
                _is_sum_of(sum)(f) or bool(_called(f.source) & {"sum", "Allreduce", "allreduce"})),
        ),
    ),
)
