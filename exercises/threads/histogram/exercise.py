"""A histogram by all threads: private counts, merged once a thread."""

import numpy as np

from labkit.grading.exercise import Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.grading.threads import common_slips, threads_case


def case(num_threads, n, num_bins, *, data_seed=0, **options):
    """A histogram; some bins stay empty, and one number is frequent."""
    rng = np.random.default_rng([num_threads, n, num_bins, data_seed])
    data = rng.integers(0, num_bins, n)
    data[: n // 3] = num_bins - 1
    rng.shuffle(data)
    counts = np.bincount(data, minlength=num_bins).astype(np.int64)
    limits = {
        "num_path_accesses": 5 * -(-n // num_threads) + 4 * num_threads * num_bins + 10, "num_criticals": num_threads,
        "num_atomics": num_threads * num_bins,
    }
    return threads_case(
        num_threads, f"{n} number{'s' * (n != 1)} in {num_bins} bin{'s' * (num_bins != 1)}", (data, num_bins),
        {"return": counts, 0: data.copy()}, limits=limits, **options,
    )


def cases():
    return [
        case(2, 6, 2), case(1, 5, 3), case(2, 60, 4, seed=1), case(3, 2, 2, seed=2), case(4, 0, 3),
        case(4, 100, 1, seed=3),
        case(4, 7, 20, seed=4), case(7, 200, 5, seed=5), case(16, 2000, 8, seed=6), case(64, 1500, 3, seed=7),
        case(2, 3000, 16, compiled=True), case(4, 5, 3, compiled=True),
    ]


def _lacks_the_last_bin(failure):
    found, (wanted,) = failure.actual(0), failure.case.expected
    return failure.status is Status.INCORRECT and np.array_equal(found[:-1], wanted["return"][:-1])


exercise = Exercise(
    title="A histogram",
    function="histogram",
    points=5,
    points_over_budget=3,
    cases=cases,
    time_limit_s=30.0,
    hints=(
        "Two threads that count in the same bin at the same time lose one of the two. What if every thread had bins "
        "of its own, and the bins were added at the end?",
        "In the body: mine = np.zeros(counts.size, np.int64) belongs to this thread. Count the block there. Then add "
        "mine to counts, protected by one critical section, or barrier and let each thread add up some of the bins.",
        "mine = np.zeros(counts.size, np.int64)\nfor i in range(start, stop):\n    mine[data[i]] += "
        "1\ncritical_enter(team)\nfor b in range(counts.size):\n    counts[b] += mine[b]\ncritical_exit(team)",
    ),
    slips=(
        *common_slips(),
        Slip(
            "Your array has rows for a fixed number of threads, or too few bins: there are team.num_threads threads "
            "and num_bins bins.",
            lambda f: f.status is Status.CRASHED and "IndexError" in f.message,
        ),
        Slip("Nothing has set these counts to zero: np.empty gives memory as it was left. Use np.zeros.",
             lambda f: f.status is Status.INCORRECT and "np.empty(" in f.source and not f.message.startswith("race")),
        Slip("All bins are right but the last one: a loop ends too early.", _lacks_the_last_bin),
    ),
)
