"""Prefix sums in two passes: block sums, a barrier, then each block from the sum of those before."""

import numpy as np

from labkit.grading.exercise import Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.grading.threads import common_slips, threads_case


def case(num_threads, n, *, data_seed=0, **options):
    """Sums of whole numbers, which are exact in any order."""
    x = np.random.default_rng([num_threads, n, data_seed]).integers(1, 100, n).astype(np.float64)
    limits = {
        "num_path_accesses": 6 * -(-n // num_threads) + 6 * num_threads + 10, "num_criticals": num_threads,
        "num_barriers": 3,
    }
    return threads_case(
        num_threads, f"{n} element{'s' * (n != 1)}", (x, np.full(n, -7.0)), {1: np.cumsum(x), 0: x.copy()},
        limits=limits,
        **options,
    )


def cases():
    return [
        case(2, 4), case(1, 3), case(2, 40, seed=1), case(3, 2, seed=2), case(4, 0), case(4, 9, seed=3),
        case(5, 100, seed=4),
        case(7, 50, seed=5), case(16, 800, seed=6), case(64, 1300, seed=7), case(2, 1001, compiled=True),
        case(4, 3, compiled=True),
    ]


def _bounds(failure):
    """Where the blocks of the threads begin and end."""
    n, p = failure.case.arguments[0][0].size, failure.case.team.num_threads
    sizes = [n // p + (k < n % p) for k in range(p)]
    return [(sum(sizes[:k]), sum(sizes[: k + 1])) for k in range(p)]


def _gives(offset_of):
    """Whether the result is what a wrong offset gives: ``offset_of(block sums, thread)`` instead of the sum before."""

    def applies(failure):
        x, found = failure.case.arguments[0][0], failure.actual(0, 1)
        bounds = _bounds(failure)
        sums = [x[a:b].sum() for a, b in bounds]
        wrong = np.concatenate([np.cumsum(x[a:b]) + offset_of(sums, k) for k, (a, b) in enumerate(bounds)])
        return failure.status is Status.INCORRECT and len(bounds) > 1 and np.array_equal(found, wrong)

    return applies


exercise = Exercise(
    title="Prefix sums in two passes",
    function="prefix_sum",
    points=6,
    points_over_budget=2,
    cases=cases,
    time_limit_s=30.0,
    hints=(
        "A thread cannot begin its block before it knows the sum of all blocks before it. For that it need not know "
        "their prefix sums: their plain sums are enough, and those can be calculated by all threads at the same "
        "time.",
        "First pass: each thread adds up its block and writes sums[thread_num()]. Barrier. Second pass: each thread "
        "adds up sums[0] to sums[thread_num() - 1], and from there goes through its block and fills out.",
        "start, stop = static_block(x.size)\nmine = 0.0\nfor i in range(start, stop):\n    mine += "
        "x[i]\nsums[thread_num()] = mine\nbarrier(team)\nso_far = 0.0\nfor k in range(thread_num()):\n    so_far += "
        "sums[k]\nfor i in range(start, stop):\n    so_far += x[i]\n    out[i] = so_far",
    ),
    slips=(
        *common_slips(),
        Slip(
            "Every block begins with zero: add the sum of all blocks before it.", _gives(lambda sums, k: 0.0),
        ),
        Slip(
            "The own block is in the offset, too: begin with the sum of the blocks before this one.",
            _gives(lambda sums, k: sum(sums[: k + 1])),
        ),
        Slip(
            "Only the block just before is in the offset: all blocks before this one belong to it.",
            _gives(lambda sums, k: sums[k - 1] if k else 0.0),
        ),
        Slip(
            "These are exclusive sums: out[i] has to contain x[i].",
            lambda f: f.status is Status.INCORRECT and f.actual(0, 1)[0] == 0.0
            and np.array_equal(f.actual(0, 1)[1:], np.cumsum(f.case.arguments[0][0])[:-1]),
        ),
    ),
)
