"""False sharing: judged by the cache lines that threads write, not by time."""

import numpy as np

from labkit.grading.exercise import Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.grading.threads import common_slips, costs_too_much, threads_case


def case(num_threads, n, threshold, *, data_seed=0, **options):
    """Whole numbers from -9 to 9; the threshold occurs among them."""
    x = np.random.default_rng([num_threads, n, data_seed]).integers(-9, 10, n).astype(np.float64)
    found = x[x > threshold]
    limits = {
        "num_shared_line_writes": 4 * num_threads, "num_path_accesses": 8 * -(-n // num_threads) + 8 * num_threads + 20,
        "num_criticals": 2 * num_threads, "num_atomics": 2 * num_threads,
    }
    return threads_case(
        num_threads, f"{n} element{'s' * (n != 1)}, threshold {threshold:g}", (x, float(threshold)),
        {"return": (len(found), float(found.sum())), 0: x.copy()}, limits=limits, **options,
    )


def cases():
    return [
        case(2, 40, 0), case(1, 20, 0), case(2, 3, -3, seed=1), case(3, 2, 0, seed=2), case(4, 0, 0),
        case(4, 100, 2, seed=3),
        case(7, 150, -9, seed=4), case(8, 200, 9, seed=5), case(16, 800, -5, seed=6), case(64, 2000, 0, seed=7),
        case(2, 3000, 1, compiled=True), case(4, 5, 0, compiled=True),
    ]


def _takes_the_threshold(failure):
    x, threshold = failure.case.arguments[0]
    return failure.status is Status.INCORRECT and failure.actual(0)[0] == np.count_nonzero(x >= threshold)


exercise = Exercise(
    title="False sharing, repaired",
    function="count_and_sum",
    points=4,
    cases=cases,
    time_limit_s=30.0,
    hints=(
        "A processor fetches memory in lines of 64 bytes. Who writes takes the whole line from the others. How many "
        "threads write into the line of counts[0]?",
        "Two ways: let 64 bytes or more lie between what different threads write, 8 numbers of 8 bytes; or count in a "
        "variable of the function and write once at the end. Both arrays need it.",
        "counts = np.zeros((team.num_threads, 8), np.int64) and counts[t, 0] += 1: rows are 64 bytes long. The same "
        "for the array of sums; return counts[:, 0].sum().",
    ),
    slips=(
        Slip(
            "This counts elements that equal the threshold, too: only larger ones belong to it.", _takes_the_threshold,
        ),
        Slip(
            "What different threads write still lies in the same cache line. Between the elements of two threads "
            "there have to be 64 bytes, 8 numbers of 8 bytes, in every array that all threads write.",
            lambda f: costs_too_much(f, "num_shared_line_writes"),
        ),
        *common_slips(),
    ),
)
