"""Synchronised batch norm: mean and variance over the samples of all ranks, two all-reduces."""

import functools
import math
import warnings

import numpy as np
from mpi4py import MPI

from labkit.comm.simulated.run import simulate
from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

RTOL, ATOL = 1e-9, 1e-12


@functools.cache
def budget(num_ranks, num_channels):
    """What all-reduces of C + 1 and C float64 cost."""

    def program(comm):
        for count in (num_channels + 1, num_channels):
            comm.Allreduce(np.zeros(count), np.empty(count), op=MPI.SUM)

    counts = simulate(num_ranks, program).counts
    return Budget(num_messages=counts.num_messages, num_bytes=counts.num_bytes, num_rounds=counts.num_rounds)


def exact(x):
    """(mean, variance) of each channel, from sums without rounding."""
    mean = np.array([math.fsum(column) / len(x) for column in x.T])
    return mean, np.array([math.fsum((column - m) ** 2) / len(x) for column, m in zip(x.T, mean, strict=True)])


def case(label, parts, **options):
    """``parts[rank]``: the samples of each rank."""
    num_ranks, num_channels = len(parts), parts[0].shape[1]
    found = exact(np.concatenate(parts))
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", label, *["real ranks"] * bool(options.get("real"))]
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: (parts[rank].copy(),),
        lambda rank: {"return": found, 0: parts[rank].copy()}, rtol=RTOL, atol=ATOL,
        budget=None if options.get("real") else budget(num_ranks, num_channels), **options,
    )


def random_case(sizes, num_channels, *, offset=0.0, data_seed=0, **options):
    """Samples around a mean of their own on each rank, all of them around ``offset``."""
    rng = np.random.default_rng([len(sizes), num_channels, data_seed])
    parts = [
        offset + 2 * rng.standard_normal((1, num_channels)) + rng.standard_normal((size, num_channels))
        for size in sizes
    ]
    shown = f"[{', '.join(map(str, sizes[:8]))}{', ...' if len(sizes) > 8 else ''}]"
    label = f"samples {shown}, {num_channels} channels" + f", around {offset:g}" * bool(offset)
    return case(label, parts, **options)


def column(*values):
    return np.array(values, dtype=np.float64).reshape(-1, 1)


def uneven(num_ranks, most, seed):
    """Numbers of samples from 0 to ``most``; the first rank has some."""
    return [most, *np.random.default_rng(seed).integers(0, most + 1, num_ranks - 1).tolist()]


def cases():
    return [
        random_case([6], 3), case("the example", [column(0, 0, 0), column(4)]), random_case([4, 4], 2),
        random_case([5, 2], 3, unsafe_sends=True), random_case([3, 3, 3], 1), random_case([4, 0], 2, seed=1),
        random_case([8, 5], 2, offset=1e6), random_case([0, 7, 2], 2, unsafe_sends=True), random_case([2, 2, 1, 9], 4),
        random_case([0, 0, 3, 0], 1, seed=2), random_case(uneven(5, 6, 1), 3),
        random_case(uneven(6, 9, 2), 2, offset=-3e6),
        random_case(uneven(7, 4, 3), 16, unsafe_sends=True), random_case([4] * 8, 8),
        random_case(uneven(9, 5, 4), 2, seed=3),
        random_case(uneven(16, 3, 5), 4), random_case(uneven(33, 2, 6), 2),
        random_case([6, 3], 3, real=True), random_case([0, 50, 20], 5, offset=1e5, real=True),
    ]


def _found(failure, which):
    """Means (0) or variances (1) of all ranks."""
    return np.array([failure.actual(rank)[which] for rank in range(failure.case.num_ranks)])


def _is(which, variant):
    """Whether the ranks have ``variant(parts)`` as mean (0) or variance (1), and not what is right."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = variant([arguments[0] for arguments in failure.case.arguments])
        found, right = _found(failure, which), failure.case.expected[0]["return"][which]
        return np.allclose(found, wrong, rtol=1e-7, atol=1e-10) and not np.allclose(found, right, rtol=1e-7, atol=1e-10)

    return applies


def _own_means(parts):
    return np.array([part.mean(axis=0) if len(part) else np.zeros(part.shape[1]) for part in parts])


def _within(parts):
    """The variance about each rank's own mean."""
    squares = [((part - m) ** 2).sum(axis=0) for part, m in zip(parts, _own_means(parts), strict=True)]
    return sum(squares) / sum(map(len, parts))


def _variance(parts):
    return exact(np.concatenate(parts))[1]


def _count(parts):
    return sum(map(len, parts))


def _inexact(failure):
    """The mean is right, and the variance is wrong where the mean is large."""
    mean, variance = failure.case.expected[0]["return"]
    return (
        failure.status is Status.INCORRECT and np.allclose(_found(failure, 0), mean, rtol=1e-9)
        and bool((np.abs(mean) > 1e3 * np.sqrt(variance)).any())
    )


exercise = Exercise(
    title="Statistics of a batch over ranks",
    function="batch_statistics",
    points=7,
    points_over_budget=3,
    cases=cases,
    hints=(
        "What can be added up over ranks? Not means, and not variances. Sums can, and so can numbers of samples.",
        "First add up the sums of the channels and, in the same message, the number of samples: their quotient is "
        "the mean of "
        "all. Then each rank can sum up the squared distances from this mean, and these are added up.",
        "comm.Allreduce(np.append(x.sum(axis=0), float(len(x))), totals, op=MPI.SUM)\n"
        "mean = totals[:-1] / totals[-1]\n"
        "comm.Allreduce(((x - mean) ** 2).sum(axis=0), squares, op=MPI.SUM)",
    ),
    slips=(
        Slip(
            "NaN: the mean of no samples. A rank without any contributes sums of 0: use x.sum(axis=0).",
            lambda f: f.status is Status.INCORRECT and np.isnan(_found(f, 0)).any(),
        ),
        Slip(
            "These are the statistics of the own samples only, and each rank would normalise with others. Add up "
            "over ranks.",
            _is(0, _own_means),
        ),
        Slip(
            "The means of the ranks count alike, however many samples they have. Add up sums and numbers of "
            "samples, and divide "
            "then.",
            lambda f: _is(0, lambda parts: _own_means(parts).mean(axis=0))(f)
            or _is(0, lambda parts: _own_means(parts).sum(axis=0) / sum(1 for part in parts if len(part)))(f),
        ),
        Slip(
            "The mean is right. The distances were taken from the rank's own mean, so how far the ranks are from "
            "each other is "
            "missing: subtract the mean of all.",
            _is(1, _within),
        ),
        Slip(
            "The mean is right. The variance was divided by n - 1: batch norm divides by n.",
            _is(1, lambda parts: _variance(parts) * _count(parts) / max(_count(parts) - 1, 1)),
        ),
        Slip(
            "This is the square root of the variance: leave it to the caller.",
            _is(1, lambda parts: np.sqrt(_variance(parts))),
        ),
        Slip(
            "The mean is right, and where it is large the variance is not: squares of large numbers cancel. "
            "Subtract the mean "
            "of all first, then square, then add up.",
            _inexact,
        ),
        Slip(
            "A rank without samples takes part in both all-reduces: the others wait for it.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
        Slip(
            "More was sent than is needed: 2 C + 1 numbers a rank in two all-reduces are enough, however many "
            "samples there "
            "are. The number of samples travels with the sums.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
