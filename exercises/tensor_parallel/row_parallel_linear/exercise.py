"""A matrix product whose matrix is divided by rows: one all-reduce, the bias once."""

import ast
import functools

import numpy as np
from mpi4py import MPI

from labkit.comm.simulated.run import simulate
from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

RTOL, ATOL = 1e-9, 1e-11


@functools.cache
def budget(num_ranks, num_elements):
    """What one all-reduce of so many float64 costs."""

    def program(comm):
        comm.Allreduce(np.zeros(num_elements), np.empty(num_elements), op=MPI.SUM)

    counts = simulate(num_ranks, program).counts
    return Budget(num_messages=counts.num_messages, num_bytes=counts.num_bytes, num_rounds=counts.num_rounds)


def case(label, x, a, bias, sizes, **options):
    """``sizes[rank]`` of the inputs are the rank's."""
    num_ranks, ends = len(sizes), np.cumsum([0, *sizes])
    y = x @ a + bias
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", label, *["real ranks"] * bool(options.get("real"))]
    parts = [(x[:, i:j].copy(), a[i:j].copy(), bias.copy()) for i, j in zip(ends[:-1], ends[1:], strict=True)]
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: tuple(array.copy() for array in parts[rank]),
        lambda rank: {"return": y, **dict(enumerate(array.copy() for array in parts[rank]))}, rtol=RTOL, atol=ATOL,
        budget=None if options.get("real") else budget(num_ranks, y.size), **options,
    )


def random_case(sizes, n, m, *, data_seed=0, **options):
    """Random matrices; ``sizes[rank]`` inputs a rank."""
    rng = np.random.default_rng([len(sizes), n, m, data_seed])
    inputs = sum(sizes)
    x, a, bias = rng.standard_normal((n, inputs)), rng.standard_normal((inputs, m)), 3 + rng.standard_normal(m)
    shown = f"[{', '.join(map(str, sizes[:8]))}{', ...' if len(sizes) > 8 else ''}]"
    return case(f"inputs {shown}, {n} x {m} outputs", x, a, bias, sizes, **options)


def uneven(num_ranks, most, seed):
    """Numbers of inputs from 0 to ``most``; the first rank has some."""
    return [most, *np.random.default_rng(seed).integers(0, most + 1, num_ranks - 1).tolist()]


def cases():
    example = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0], [1.0], [2.0]]), np.array([10.0])
    return [
        random_case([5], 3, 2), case("the example", *example, [2, 1]), random_case([4, 4], 3, 2),
        random_case([5, 2], 4, 3, unsafe_sends=True), random_case([3, 3, 3], 1, 1), random_case([4, 0], 2, 5, seed=1),
        random_case([0, 7, 2], 2, 2, unsafe_sends=True), random_case([2, 2, 1, 9], 6, 4),
        random_case([0, 0, 3, 0], 1, 3, seed=2), random_case(uneven(5, 6, 1), 3, 3),
        random_case(uneven(6, 9, 2), 2, 8), random_case(uneven(7, 4, 3), 4, 4, unsafe_sends=True),
        random_case([4] * 8, 5, 2), random_case(uneven(9, 5, 4), 2, 2, seed=3), random_case(uneven(16, 3, 5), 3, 4),
        random_case(uneven(33, 2, 6), 2, 2), random_case([6, 3], 3, 4, real=True),
        random_case([0, 50, 20], 30, 17, real=True),
    ]


def _is(variant):
    """Whether rank r has ``variant(arguments of all ranks, r)``, and not what is right."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        arguments = failure.case.arguments
        right = failure.case.expected[0]["return"]
        found = [np.asarray(failure.actual(rank)) for rank in range(failure.case.num_ranks)]
        wrong = [variant(arguments, rank) for rank in range(failure.case.num_ranks)]
        return all(np.allclose(f, w, rtol=1e-7, atol=1e-9) for f, w in zip(found, wrong, strict=True)) and not all(
            np.allclose(w, right, rtol=1e-7, atol=1e-9) for w in wrong
        )

    return applies


def _sum(arguments):
    return sum(x @ a for x, a, _ in arguments)


def _calls(source, name):
    """How often a method is called in the text."""
    return sum(
        isinstance(node, ast.Call) and getattr(node.func, "attr", "") == name for node in ast.walk(ast.parse(source))
    )


exercise = Exercise(
    title="A product divided by rows",
    function="row_parallel_linear",
    points=6,
    points_over_budget=3,
    cases=cases,
    hints=(
        "A sum over all inputs is a sum over ranks of sums over their inputs. What belongs to no rank's share?",
        "Each rank multiplies its columns with its rows: a partial product of the full shape (n, m). One all-reduce "
        "adds them up. The bias is added afterwards, or by one rank only.",
        "total = np.empty((x.shape[0], a.shape[1]))\n"
        "comm.Allreduce(np.ascontiguousarray(x @ a), total, op=MPI.SUM)\n"
        "return total + bias",
    ),
    slips=(
        Slip(
            "The bias is in the sum once for every rank: add it after the all-reduce.",
            _is(lambda arguments, rank: _sum(arguments) + len(arguments) * arguments[rank][2]),
        ),
        Slip(
            "This is the rank's own partial product. The other inputs are on the other ranks: add up over ranks.",
            _is(lambda arguments, rank: arguments[rank][0] @ arguments[rank][1] + arguments[rank][2]),
        ),
        Slip("The sum is right, and the bias is missing.", _is(lambda arguments, rank: _sum(arguments))),
        Slip(
            "The partial products were averaged. Each is a part of the sum over inputs: add them up.",
            _is(lambda arguments, rank: _sum(arguments) / len(arguments) + arguments[rank][2]),
        ),
        Slip(
            "Rank 0 has the result, and the others have something else: all of them go on with it. Use an "
            "all-reduce, not a reduce.",
            lambda f: f.status is Status.INCORRECT and f.case.num_ranks > 1
            and np.allclose(f.actual(0), f.case.expected[0]["return"], rtol=1e-7)
            and not np.allclose(f.actual(1), f.case.expected[1]["return"], rtol=1e-7),
        ),
        Slip(
            "A rank without inputs takes part in the all-reduce: the others wait for it.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
        Slip(
            "Lower-case calls pickle what they send. comm.Allreduce, with a capital A, sends the bytes of the array "
            "alone.",
            lambda f: f.status is Status.OVER_BUDGET and _calls(f.source, "allreduce") > 0,
        ),
        Slip(
            "More was sent than is needed: the partial products, n m numbers in one all-reduce, are all that has to "
            "travel. The inputs and the matrix stay where they are.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
