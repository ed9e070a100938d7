"""A sum by all threads: without a race, and without waiting for each other at every element."""

import numpy as np

from labkit.grading.exercise import Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.grading.threads import common_slips, threads_case


def case(num_threads, n, *, data_seed=0, **options):
    """A sum of n whole numbers, which is exact in any order."""
    x = np.random.default_rng([num_threads, n, data_seed]).integers(-99, 100, n).astype(np.float64)
    limits = {
        "num_path_accesses": 3 * -(-n // num_threads) + 8 * num_threads + 8, "num_criticals": num_threads,
        "num_atomics": num_threads,
    }
    return threads_case(
        num_threads, f"{n} element{'s' * (n != 1)}", (x,), {"return": float(x.sum()), 0: x.copy()}, limits=limits,
        **options
    )


def cases():
    return [
        case(2, 4), case(1, 3), case(2, 40, seed=1), case(3, 2), case(3, 0, seed=2), case(4, 5, seed=3),
        case(4, 100, seed=4), case(7, 50, seed=5), case(16, 400, seed=6), case(64, 1000, seed=7),
        case(2, 1000, compiled=True), case(4, 7, compiled=True),
    ]


def _misses_the_rest(failure):
    (x,), num_threads = failure.case.arguments[0], failure.case.team.num_threads
    rest = x.size % num_threads
    return failure.status is Status.INCORRECT and rest and failure.actual(0) == x[: x.size - rest].sum()


exercise = Exercise(
    title="A sum without a race",
    function="parallel_sum",
    points=4,
    points_over_budget=1,
    cases=cases,
    time_limit_s=30.0,
    hints=(
        "`total[0] += x[i]` is a read, an addition and a write. Between them another thread may write, and its "
        "addition is lost. What could a thread do alone, without touching what others touch?",
        "A variable of the function, such as mine = 0.0, belongs to one thread. Add up the block there; then one "
        "addition a thread to total[0] is left. Only that one has to be protected.",
        "start, stop = static_block(x.size)\nmine = 0.0\nfor i in range(start, stop):\n    mine += x[i]\n"
        "critical_enter(team)    # only one thread at a time is between the two\ntotal[0] += mine\ncritical_exit(team)",
    ),
    slips=(
        *common_slips(),
        Slip(
            "The elements that are left over when n is no multiple of the number of threads are in no block. "
            "static_block(n) deals out all of them.",
            _misses_the_rest,
        ),
        Slip(
            "An array with an element for each thread has as many elements as there are threads: "
            "np.zeros(team.num_threads).",
            lambda f: f.status is Status.CRASHED and "IndexError" in f.message,
        ),
    ),
)
