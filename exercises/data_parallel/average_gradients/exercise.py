"""Gradients averaged over the samples of all ranks: one all-reduce, uneven shards."""

import ast
import functools

import numpy as np
from mpi4py import MPI

from labkit.comm.simulated.run import simulate
from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

RTOL, ATOL = 1e-11, 1e-13
SHAPES = ((3,), (2, 4), (0, 3), (1, 1, 5))


@functools.cache
def budget(num_ranks, num_elements):
    """What one all-reduce of so many float64 costs."""

    def program(comm):
        comm.Allreduce(np.zeros(num_elements), np.empty(num_elements), op=MPI.SUM)

    counts = simulate(num_ranks, program).counts
    return Budget(num_messages=counts.num_messages, num_bytes=counts.num_bytes, num_rounds=counts.num_rounds)


def case(nums_samples, shapes=SHAPES, *, values=None, data_seed=0, **options):
    """``nums_samples[rank]`` samples; ``values[rank]`` fills all arrays if given."""
    num_ranks, rng = len(nums_samples), np.random.default_rng([len(nums_samples), sum(nums_samples), data_seed])
    own = [
        [rng.standard_normal(shape) if values is None else np.full(shape, values[rank]) for shape in shapes]
        for rank in range(num_ranks)
    ]
    mean = [
        sum(n * arrays[k] for n, arrays in zip(nums_samples, own, strict=True)) / sum(nums_samples)
        for k in range(len(shapes))
    ]
    for n, arrays in zip(nums_samples, own, strict=True):
        for array in arrays:
            if n == 0:
                array[...] = np.nan
    counts = nums_samples[0] if len(set(nums_samples)) == 1 else _short(nums_samples)
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", f"samples {counts}", f"{len(shapes)} arrays"]
    num_elements = 1 + sum(array.size for array in mean)
    return mpi_case(
        num_ranks, ", ".join(words + ["real ranks"] * bool(options.get("real"))),
        lambda rank: ([array.copy() for array in own[rank]], nums_samples[rank]), lambda rank: {0: mean},
        rtol=RTOL, atol=ATOL, budget=None if options.get("real") else budget(num_ranks, num_elements), **options,
    )


def _short(counts):
    return f"[{', '.join(map(str, counts[:8]))}{', ...' if len(counts) > 8 else ''}]"


def uneven(num_ranks, most, seed):
    """Numbers of samples from 0 to ``most``; the first rank has some."""
    return [most, *np.random.default_rng(seed).integers(0, most + 1, num_ranks - 1).tolist()]


def cases():
    return [
        case([1]), case([3, 1], [(1,), (2,)], values=[2.0, 6.0]), case([4, 4]), case([5, 3], unsafe_sends=True),
        case([2, 1, 4], seed=1), case([3, 0]), case([0, 2, 3], unsafe_sends=True), case([7, 6, 6, 1]),
        case([0, 0, 5, 0], seed=2), case([1, 2, 3, 4, 5]), case(uneven(6, 9, 1), [(40, 3), (3,), (3, 7), (7,)]),
        case(uneven(7, 2, 2), unsafe_sends=True), case([8] * 8, [(1,)] * 30), case(uneven(9, 30, 3), seed=3),
        case(uneven(16, 5, 4)), case(uneven(33, 1, 5), [(2,), (3,)]),
        case([3, 2], real=True), case([0, 4, 1], [(50, 20), (20,)], real=True),
    ]


def _arrays(failure):
    """By rank: (numbers of samples, what the rank had, what it has now), flat, of rank 0 first."""
    had = [np.concatenate([a.ravel() for a in arguments[0]]) for arguments in failure.case.arguments]
    has = [np.concatenate([np.ravel(a) for a in failure.actual(rank, 0)]) for rank in range(failure.case.num_ranks)]
    return np.array([arguments[1] for arguments in failure.case.arguments]), np.array(had), np.array(has)


def _gives(variant):
    """Whether all ranks have ``variant(samples by rank, gradients by rank)``: one row, or a row a rank."""

    def applies(failure):
        if failure.status is not Status.INCORRECT or failure.case.num_ranks < 2:
            return False
        samples, had, has = _arrays(failure)
        return np.allclose(has, variant(samples, np.nan_to_num(had)), rtol=1e-9, atol=1e-12)

    return applies


def _weighted(samples, had):
    return samples @ had


def _last_is_old(failure):
    """All but the last array that has elements are right."""
    if failure.status is not Status.INCORRECT:
        return False
    for rank, (arguments, expected) in enumerate(zip(failure.case.arguments, failure.case.expected, strict=True)):
        *right, last = failure.actual(rank, 0)
        if not all(np.allclose(a, b, rtol=1e-9) for a, b in zip(right, expected[0], strict=False)):
            return False
        if not np.array_equal(last, arguments[0][-1], equal_nan=True):
            return False
    return True


def _unchanged(failure):
    if failure.status is not Status.INCORRECT:
        return False
    _, had, has = _arrays(failure)
    return np.array_equal(had, has, equal_nan=True)


def _calls(source, name):
    """How often a method is called, a call in a loop counting as many."""
    tree, count = ast.parse(source), 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
            count += 1
        if isinstance(node, ast.For | ast.ListComp | ast.While):
            inside = [n for n in ast.walk(node) if isinstance(n, ast.Call) and getattr(n.func, "attr", "") == name]
            count += 100 * len(inside)
    return count


exercise = Exercise(
    title="The mean gradient, in one message",
    function="average_gradients",
    points=6,
    points_over_budget=3,
    cases=cases,
    hints=(
        "The average over all samples is a sum divided by a number. Which sum does a rank know, and which number? Both "
        "can be added up over ranks.",
        "num_samples times its average is a rank's sum. Put the sums of all arrays into one vector, append "
        "num_samples, "
        "and add these vectors up over ranks. The last element of the result is what to divide by.",
        "flat = np.concatenate([*(num_samples * g.ravel() for g in gradients), [float(num_samples)]])\n"
        "# without samples, zeros instead\n"
        "comm.Allreduce(flat, total, op=MPI.SUM)\n"
        "total[:-1] /= total[-1]\n"
        "gradient[...] = total[start : start + gradient.size].reshape(gradient.shape)",
    ),
    slips=(
        Slip(
            "The arrays have not changed: gradient = ... names another array. gradient[...] = ... writes into the "
            "one that "
            "the optimizer will read.",
            _unchanged,
        ),
        Slip(
            "The averages of the ranks count alike, but a rank with three samples has to count three times as much "
            "as a rank "
            "with one: multiply by num_samples, and divide by the number of all samples.",
            _gives(lambda n, g: g.mean(axis=0)),
        ),
        Slip(
            "The averages of the ranks were added up and never divided: the more ranks, the longer the step of the "
            "optimizer. Weigh them by their samples, and divide by the number of all samples.",
            _gives(lambda n, g: g.sum(axis=0)),
        ),
        Slip(
            "This is the sum over all samples. The average needs their number, over all ranks, too.",
            _gives(_weighted),
        ),
        Slip(
            "The sum is right, and each rank has divided it by its own number of samples: the replicas would drift "
            "apart. "
            "The number of all samples has to be added up over ranks like the gradients.",
            _gives(lambda n, g: _weighted(n, g) / np.maximum(n, 1)[:, None]),
        ),
        Slip(
            "The sum over samples was divided by the number of ranks: divide by the number of samples of all of them.",
            _gives(lambda n, g: _weighted(n, g) / len(n)),
        ),
        Slip(
            "NaN: a rank without samples has the mean of nothing, and 0 times NaN is NaN. It contributes zeros.",
            lambda f: f.status is Status.INCORRECT and np.isnan(_arrays(f)[2]).any(),
        ),
        Slip(
            "All is right but the last array: it was never averaged, as the last bucket of many a trainer that is not "
            "quite full.",
            _last_is_old,
        ),
        Slip(
            "A rank without samples takes part in the all-reduce as well: the others wait for it.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
        Slip(
            "Lower-case calls pickle what they send. comm.Allreduce, with a capital A, sends the bytes of the "
            "array alone.",
            lambda f: f.status is Status.OVER_BUDGET
            and any(_calls(f.source, name) for name in ("allreduce", "allgather", "gather", "reduce", "bcast")),
        ),
        Slip(
            "You make an all-reduce for each array. Most of them are short, and each costs its latency: put all "
            "into one "
            "vector.",
            lambda f: f.status is Status.OVER_BUDGET and _calls(f.source, "Allreduce") > 10,
        ),
        Slip(
            "The number of samples has a message of its own: append it to the vector of the gradients.",
            lambda f: f.status is Status.OVER_BUDGET and _calls(f.source, "Allreduce") > 1,
        ),
        Slip(
            "One all-reduce of all elements and one number is enough: comm.Allreduce on one vector.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
