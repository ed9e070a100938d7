"""A sum whose bits do not depend on the number of threads: the order of the additions is fixed by n alone."""

import numpy as np

from labkit.grading.exercise import Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.grading.threads import common_slips, threads_case

BLOCK = 64


def block_sums(x):
    """The sum of each block, from left to right."""
    found = []
    for start in range(0, len(x), BLOCK):
        total = 0.0
        for value in x[start : start + BLOCK].tolist():
            total += value
        found.append(total)
    return found


def in_order(values):
    """Their sum from left to right."""
    total = 0.0
    for value in values:
        total += value
    return total


def case(num_threads, n, *, data_seed=0, **options):
    """Numbers of very different sizes, so that the last bits tell the order."""
    rng = np.random.default_rng([num_threads, n, data_seed])
    x = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4, n)
    num_blocks = -(-n // BLOCK)
    limits = {
        "num_path_accesses": 2 * BLOCK * -(-num_blocks // num_threads) + 5 * num_blocks + 20, "num_atomics": num_blocks,
        "num_criticals": num_blocks,
    }
    return threads_case(
        num_threads, f"{n} element{'s' * (n != 1)}", (x,), {"return": in_order(block_sums(x)), 0: x.copy()},
        limits=limits,
        rtol=0.0, **options,
    )


def cases():
    return [
        case(2, 300), case(1, 100), case(2, 64, seed=1), case(3, 65, seed=2), case(4, 0), case(4, 1, seed=3),
        case(3, 900, seed=4), case(8, 3000, seed=5), case(16, 2100, seed=6), case(64, 1500, seed=7),
        case(2, 5000, compiled=True), case(4, 3001, compiled=True),
    ]


def _gives(sum_of):
    """Whether the result is that of another order, ``sum_of(x, number of threads)``."""

    def applies(failure):
        x, p = failure.case.arguments[0][0], failure.case.team.num_threads
        return failure.status is Status.INCORRECT and float(failure.actual(0)) == float(sum_of(x, p))

    return applies


def _by_threads(x, p):
    sizes = [len(x) // p + (k < len(x) % p) for k in range(p)]
    ends = np.cumsum([0, *sizes])
    return in_order(in_order(x[a:b].tolist()) for a, b in zip(ends, ends[1:], strict=False))


def _is_wrong_value(failure):
    return failure.status is Status.INCORRECT and not failure.message.startswith("race")


exercise = Exercise(
    title="A sum with the same bits",
    function="reproducible_sum",
    points=5,
    points_over_budget=1,
    cases=cases,
    time_limit_s=30.0,
    hints=(
        "Additions of floats are rounded, so their order counts. What may the order depend on, and on what not? Not "
        "on who comes first, and not on how many threads there are.",
        "Cut x into blocks of 64 elements, the last one shorter. The threads share out the blocks, not the elements: "
        "static_block(number of blocks). Each block has a place for its sum. Afterwards one thread adds them in order.",
        "first, last = static_block(sums.size)\nfor b in range(first, last):\n    total = 0.0\n"
        "    for i in range(b * 64, min((b + 1) * 64, x.size)):\n        total += x[i]\n    sums[b] = total\n"
        "# and after team.parallel(...): add up sums from left to right",
    ),
    slips=(
        *common_slips(),
        Slip(
            "NumPy's sum adds in an order of its own, several partial sums at a time. Write the loop.",
            lambda f: _is_wrong_value(f) and ".sum(" in f.source,
        ),
        Slip(
            "A thread has added up its own part of x: so the order depends on the number of threads.",
            _gives(_by_threads),
        ),
        Slip("Elements are missing: the last block may be shorter than 64, and it counts, too.",
             _gives(lambda x, p: in_order(block_sums(x[: len(x) // BLOCK * BLOCK])))),
        Slip("The sums of the blocks are added in another order: from left to right, please.",
             _gives(lambda x, p: in_order(block_sums(x)[::-1]))),
        Slip(
            "The sums of the blocks are added in the order of who comes first: it changes from run to run. Keep each "
            "in a place of its own.",
            lambda f: _is_wrong_value(f) and ("critical_enter(" in f.source or "atomic_add(" in f.source),
        ),
    ),
)
