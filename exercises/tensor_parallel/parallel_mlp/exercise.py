"""Two products of which each rank has some hidden values: one all-reduce forward, one backward."""

import ast
import functools

import numpy as np
from mpi4py import MPI

from labkit.comm.simulated.run import simulate
from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

RTOL, ATOL = 1e-9, 1e-11
Y, OF_X, OF_A, OF_B = range(4)


@functools.cache
def budget(num_ranks, num_elements):
    """What two all-reduces of so many float64 cost."""

    def program(comm):
        for _ in range(2):
            comm.Allreduce(np.zeros(num_elements), np.empty(num_elements), op=MPI.SUM)

    counts = simulate(num_ranks, program).counts
    return Budget(num_messages=counts.num_messages, num_bytes=counts.num_bytes, num_rounds=counts.num_rounds)


def solve(x, a, b, gradient):
    """(y, gradient by x, by a, by b) of the whole."""
    hidden = np.maximum(x @ a, 0)
    of_hidden = (gradient @ b.T) * (hidden > 0)
    return hidden @ b, of_hidden @ a.T, x.T @ of_hidden, hidden.T @ gradient


def case(label, x, a, b, gradient, sizes, **options):
    """``sizes[rank]`` of the hidden values are the rank's."""
    num_ranks, ends = len(sizes), np.cumsum([0, *sizes])
    y, of_x, of_a, of_b = solve(x, a, b, gradient)
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", label, *["real ranks"] * bool(options.get("real"))]
    spans = list(zip(ends[:-1], ends[1:], strict=True))

    def arguments(rank):
        i, j = spans[rank]
        return x.copy(), a[:, i:j].copy(), b[i:j].copy(), gradient.copy()

    def expected(rank):
        i, j = spans[rank]
        return {"return": (y, of_x, of_a[:, i:j], of_b[i:j]), **dict(enumerate(arguments(rank)))}

    return mpi_case(
        num_ranks, ", ".join(words), arguments, expected, rtol=RTOL, atol=ATOL,
        budget=None if options.get("real") else budget(num_ranks, x.size), **options,
    )


def random_case(sizes, n, width, *, data_seed=0, **options):
    """Random matrices; ``sizes[rank]`` hidden values a rank."""
    rng = np.random.default_rng([len(sizes), n, width, data_seed])
    hidden = sum(sizes)
    x, gradient = rng.standard_normal((2, n, width))
    a, b = rng.standard_normal((width, hidden)), rng.standard_normal((hidden, width))
    shown = f"[{', '.join(map(str, sizes[:8]))}{', ...' if len(sizes) > 8 else ''}]"
    return case(f"hidden {shown}, x is {n} x {width}", x, a, b, gradient, sizes, **options)


def uneven(num_ranks, most, seed):
    """Numbers of hidden values from 0 to ``most``; the first rank has some."""
    return [most, *np.random.default_rng(seed).integers(0, most + 1, num_ranks - 1).tolist()]


def cases():
    one = np.array([[1.0]])
    return [
        random_case([5], 3, 2), case("the example", one, np.array([[2.0, -3.0]]), np.array([[5.0], [7.0]]), one, [1, 1]),
        random_case([4, 4], 3, 2), random_case([5, 2], 4, 3, unsafe_sends=True), random_case([3, 3, 3], 1, 1),
        random_case([4, 0], 2, 5, seed=1), random_case([0, 7, 2], 2, 2, unsafe_sends=True),
        random_case([2, 2, 1, 9], 6, 4), random_case([0, 0, 3, 0], 1, 3, seed=2), random_case(uneven(5, 6, 1), 3, 3),
        random_case(uneven(6, 9, 2), 2, 8), random_case(uneven(7, 4, 3), 4, 4, unsafe_sends=True),
        random_case([4] * 8, 5, 2), random_case(uneven(9, 5, 4), 2, 2, seed=3), random_case(uneven(16, 3, 5), 3, 4),
        random_case(uneven(33, 2, 6), 2, 2), random_case([6, 3], 3, 4, real=True),
        random_case([0, 50, 20], 20, 17, real=True),
    ]


def _is(which, variant):
    """Whether the ranks have ``variant(arguments of all ranks, rank)`` as one of the results, and not what is right."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        arguments, ranks = failure.case.arguments, range(failure.case.num_ranks)
        found = [np.asarray(failure.actual(rank)[which]) for rank in ranks]
        wrong = [variant(arguments, rank) for rank in ranks]
        right = [failure.case.expected[rank]["return"][which] for rank in ranks]

        def same(one, other):
            return all(
                np.shape(p) == np.shape(q) and np.allclose(p, q, rtol=1e-7, atol=1e-9)
                for p, q in zip(one, other, strict=True)
            )

        return same(found, wrong) and not same(wrong, right)

    return applies


def _whole(arguments):
    x, _, _, gradient = arguments[0]
    return x, np.concatenate([part[1] for part in arguments], 1), np.concatenate([part[2] for part in arguments]), gradient


def _late_relu(arguments, rank):
    x, a, b, _ = _whole(arguments)
    return np.maximum(x @ a @ b, 0)


def _no_mask(which):
    def variant(arguments, rank):
        x, a, b, gradient = _whole(arguments)
        if which == OF_X:
            return gradient @ b.T @ a.T
        return x.T @ (gradient @ arguments[rank][2].T)

    return variant


def _calls(source, name):
    """How often a method is called in the text."""
    return sum(
        isinstance(node, ast.Call) and getattr(node.func, "attr", "") == name for node in ast.walk(ast.parse(source))
    )


exercise = Exercise(
    title="Two products, forward and backward",
    function="parallel_mlp",
    points=8,
    points_over_budget=4,
    cases=cases,
    hints=(
        "Which of the five matrices (h, y, of_h, of_x and the gradients of a and b) can a rank compute from what it "
        "has? Those that are sums over all hidden values need the others.",
        "h, of_b, of_h and of_a are the rank's own. y and of_x are sums over ranks: one all-reduce each. relu is "
        "taken of a rank's own hidden values, which are complete: their sum runs over w.",
        "hidden = np.maximum(x @ a, 0)\n"
        "comm.Allreduce(np.ascontiguousarray(hidden @ b), y, op=MPI.SUM)\n"
        "of_hidden = (gradient @ b.T) * (hidden > 0)\n"
        "comm.Allreduce(np.ascontiguousarray(of_hidden @ a.T), of_x, op=MPI.SUM)",
    ),
    slips=(
        Slip(
            "y is the rank's own part of the sum over hidden values: the others have theirs. Add up over ranks.",
            _is(Y, lambda arguments, rank: np.maximum(arguments[rank][0] @ arguments[rank][1], 0) @ arguments[rank][2]),
        ),
        Slip("relu comes between the two products, and not after them: it is taken of hidden values.", _is(Y, _late_relu)),
        Slip(
            "y is right, and of_x is the rank's own part: every rank has used x, so its gradient is a sum over the "
            "ranks. This is the all-reduce of the backward pass.",
            _is(OF_X, lambda arguments, rank: solve(*arguments[rank])[1]),
        ),
        Slip(
            "of_x goes through hidden values that are not active: where h is 0, its gradient is 0.",
            _is(OF_X, _no_mask(OF_X)),
        ),
        Slip("of_a goes through hidden values that are not active: where h is 0, its gradient is 0.", _is(OF_A, _no_mask(OF_A))),
        Slip(
            "of_x is p times too large: all ranks have the whole gradient already. Add up what comes out of the "
            "backward pass, not what goes into it.",
            _is(OF_X, lambda arguments, rank: len(arguments) * solve(*_whole(arguments))[1]),
        ),
        Slip(
            "of_b is p times too large: all ranks have the whole gradient already, and of_b is the rank's own.",
            _is(OF_B, lambda arguments, rank: len(arguments) * solve(*arguments[rank])[3]),
        ),
        Slip(
            "A rank without hidden values takes part in both all-reduces: the others wait for it.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
        Slip(
            "Lower-case calls pickle what they send. comm.Allreduce, with a capital A, sends the bytes of the array "
            "alone.",
            lambda f: f.status is Status.OVER_BUDGET and _calls(f.source, "allreduce") > 0,
        ),
        Slip(
            "More was sent than is needed: one all-reduce of y and one of of_x. Hidden values and their gradients "
            "stay on their rank, that is why the first matrix is divided by columns and the second by rows.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
