"""The rule of stale-synchronous workers: an array of clocks, a bound, and some that have ended."""

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.training.parameter_server.consistency import Clocks, Consistency


def allowed(clocks, bound, has_ended):
    """By the rule of the library, worker by worker."""
    rule = Consistency("async") if bound is None else Consistency("ssp", int(bound))
    left = [worker for worker in range(len(clocks)) if not has_ended[worker]]
    if not left:
        return np.zeros(len(clocks), bool)
    known = Clocks(left)
    for worker in left:
        known.add(worker, int(clocks[worker]))
    return np.array([w in known and rule.allows(int(clocks[w]), known.slowest) for w in range(len(clocks))])


def case(label, clocks, bound, has_ended):
    """Given clocks."""
    clocks, has_ended = np.array(clocks, np.int64), np.array(has_ended, bool)
    expected = {"return": allowed(clocks, bound, has_ended), 0: clocks.copy(), 2: has_ended.copy()}
    return Case(f"{label}, bound {bound}", ((clocks, bound, has_ended),), (expected,))


def random_case(num_workers, bound, data_seed=0):
    """Clocks some steps apart; about a fifth has ended."""
    rng = np.random.default_rng([num_workers, data_seed])
    spread = 3 + 2 * (bound or 0)
    clocks = 20 + rng.integers(0, spread, num_workers)
    return case(f"{num_workers} workers, seed {data_seed}", clocks, bound, rng.random(num_workers) < 0.2)


def cases():
    return [
        case("one worker", [3], 0, [0]),
        case("three workers", [1, 2, 4], 2, [0, 0, 0]),
        case("two workers", [3, 4], 0, [0, 0]),
        case("two workers", [3, 4], 1, [0, 0]),
        case("three workers", [0, 9, 4], None, [0, 0, 0]),
        case("one has ended", [5, 2, 6], 1, [0, 1, 0]),
        case("the example", [4, 6, 7, 2], 2, [0, 0, 0, 1]),
        case("one has ended", [5, 2, 60], None, [0, 1, 0]),
        case("all have ended", [3, 3], 2, [1, 1]),
        case("all have ended", [3, 3], None, [1, 1]),
        case("no workers", [], 2, []),
        random_case(8, 3), random_case(40, 0), random_case(40, 5), random_case(1000, 2),
    ]


def _gives(variant):
    """Whether the result is what ``variant(clocks, bound, has_ended)`` gives."""

    def applies(failure):
        actual = failure.actual(0)
        clocks, bound, has_ended = failure.case.arguments[0]
        return failure.status is Status.INCORRECT and np.array_equal(actual, variant(clocks, bound, has_ended))

    return applies


def _left_and(rule):
    return lambda clocks, bound, has_ended: ~has_ended & (bound is None or rule(clocks, bound, has_ended))


exercise = Exercise(
    title="Who may go on",
    function="may_begin",
    points=3,
    cases=cases,
    hints=(
        "There are two questions for a worker: has it ended, and how far is it from the slowest of those left?",
        "left = ~has_ended. The slowest is the minimum of clocks[left], if anybody is left at all. Being exactly the "
        "bound ahead is allowed.",
        "left = ~has_ended\n"
        "if bound is None or not left.any():\n"
        "    return left\n"
        "return left & (clocks - np.min(clocks[left]) <= bound)",
    ),
    slips=(
        Slip(
            "An argument has changed: work on new arrays.",
            lambda f: f.status is Status.INCORRECT and np.array_equal(f.case.expected[0]["return"], f.actual(0)),
        ),
        Slip(
            "Those that have ended, or died, begin nothing: the result is False for them, also without a bound.",
            lambda f: f.status is Status.INCORRECT and f.case.arguments[0][2].any() and np.array_equal(
                f.actual(0) & ~f.case.arguments[0][2], f.case.expected[0]["return"]
            ),
        ),
        Slip(
            "Here all wait as soon as one is too far ahead, the slowest as well: then nobody could ever catch up. Ask "
            "for each worker by itself.",
            _gives(_left_and(lambda clocks, bound, ended: np.ptp(clocks[~ended]) <= bound)),
        ),
        Slip(
            "Being exactly the bound ahead is allowed: at most means <=. With your rule the bound 0 would let nobody "
            "begin, ever.",
            _gives(_left_and(lambda clocks, bound, ended: clocks - clocks[~ended].min() < bound)),
        ),
        Slip(
            "A bound of 0 is not the same as no bound: in Python `not 0` is true. Ask whether bound is None.",
            lambda f: f.case.arguments[0][1] == 0 and _gives(lambda clocks, bound, ended: ~ended)(f),
        ),
        Slip(
            "A worker that has ended holds the others back: its clock stands still for ever, and they would wait for "
            "ever. Take the minimum of those that are left.",
            _gives(_left_and(lambda clocks, bound, ended: clocks - clocks.min() <= bound)),
        ),
        Slip(
            "Here those near the fastest may go on, and the slow ones wait: turned round. The distance counts from "
            "the slowest.",
            _gives(_left_and(lambda clocks, bound, ended: clocks[~ended].max() - clocks <= bound)),
        ),
        Slip(
            "The distance counts from the slowest worker, not from the mean of all.",
            _gives(_left_and(lambda clocks, bound, ended: clocks - clocks[~ended].mean() <= bound)),
        ),
        Slip(
            "bound may be None: there is nothing to compare with then.",
            lambda f: f.status is Status.CRASHED and "NoneType" in f.message + f.details,
        ),
        Slip(
            "Nobody is left, and there is no minimum of no clocks: answer before you look for it.",
            lambda f: f.status is Status.CRASHED and "zero-size" in f.message + f.details,
        ),
    ),
)
