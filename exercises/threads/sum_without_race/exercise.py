"""A sum by all threads: without a race, and without waiting for each other at every element."""

import numpy as np

from labkit.grading.exercise import Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.grading.threads import threads_case


def case(num_threads, n, *, data_seed=0, **options):
    """A sum of n whole numbers, which is exact in any order."""
    x = np.random.default_rng([num_threads, n, data_seed]).integers(-99, 100, n).astype(np.float64)
    limits = {
        "num_path_accesses": 3 * -(-n // num_threads) + 8 * num_threads + 8, "num_criticals": num_threads,
        "num_atomics": num_threads,
    }
    return threads_case(
        num_threads, f"{n} element{'s' * (n != 1)}", (x,), {"return": float(x.sum()), 0: x.copy()}, limits=limits, **options
    )


def cases():
    return [
        case(2, 4), case(1, 3), case(2, 40, seed=1), case(3, 2), case(3, 0, seed=2), case(4, 5, seed=3),
        case(4, 100, seed=4), case(7, 50, seed=5), case(16, 400, seed=6), case(64, 1000, seed=7),
        case(2, 1000, compiled=True), case(4, 7, compiled=True),
    ]


def _says(failure, *words):
    return all(word in failure.message or word in failure.details for word in words)


exercise = Exercise(
    title="A sum without a race",
    function="parallel_sum",
    points=4,
    points_over_budget=2,
    cases=cases,
    hints=(
        "`total[0] += x[i]` is a read, an addition and a write. Between them another thread may write, and its "
        "addition is lost. What could a thread do alone, without touching what others touch?",
        "A variable of the function, such as mine = 0.0, belongs to one thread. Add up the block there; then one "
        "addition a thread to total[0] is left. Only that one has to be protected.",
        "mine = 0.0\nfor i in range(start, stop):\n    mine += x[i]\ncritical_enter(team)\ntotal[0] += mine\n"
        "critical_exit(team)",
    ),
    slips=(),
)
