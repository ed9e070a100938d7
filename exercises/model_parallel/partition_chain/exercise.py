"""Cutting a chain of layers into stages: dynamic programming, with the messages counted in."""

import itertools

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.training.partition.dynamic import best_cuts


def stage_times(seconds, links, bounds):
    """The time of each stage, or None if the bounds are no partition."""
    link = [0.0, *links, 0.0]
    return [sum(seconds[a:b]) + link[a] + link[b] for a, b in itertools.pairwise(bounds)]


def best_bounds(seconds, links, num_stages):
    total = np.concatenate(([0.0], np.cumsum(seconds)))
    link = np.array([0.0, *links, 0.0])
    return list(best_cuts(len(seconds), num_stages, lambda j: total[j] - total[:j] + link[:j] + link[j]))


def fault(bounds, num_layers, num_stages):
    """What is wrong with bounds as such, or ""."""
    if not isinstance(bounds, (list, tuple, np.ndarray)):
        return f"{bounds!r} is returned, which is no list of bounds"
    bounds = list(bounds)
    if not all(isinstance(b, (int, np.integer)) and not isinstance(b, bool) for b in bounds):
        return f"bounds are whole numbers, but {bounds!r} is returned"
    if len(bounds) != num_stages + 1:
        return f"{num_stages} stages have {num_stages + 1} bounds, but {len(bounds)} are returned: {bounds!r}"
    if bounds[0] != 0 or bounds[-1] != num_layers:
        return f"bounds go from 0 to {num_layers}, but {bounds!r} is returned: some layers are in no stage"
    for stage, (a, b) in enumerate(itertools.pairwise(bounds)):
        if a >= b:
            return f"stage {stage} is empty: {bounds!r}"
    return ""


def case(label, seconds, links, num_stages):
    seconds, links = [float(t) for t in seconds], [float(t) for t in links]
    best = max(stage_times(seconds, links, best_bounds(seconds, links, num_stages)))

    def judge(results):
        bounds = results[0]["return"]
        wrong = fault(bounds, len(seconds), num_stages)
        if wrong:
            return wrong
        times = stage_times(seconds, links, [int(b) for b in bounds])
        slowest = max(times)
        if slowest <= best * (1 + 1e-9) + 1e-12:
            return ""
        return (
            f"the slowest stage, number {times.index(slowest)}, takes {slowest:.6g} s with its messages; the best "
            f"partition needs {best:.6g} s"
        )

    return Case(label, ((seconds, links, num_stages),), judge=judge)


def random_case(num_layers, num_stages, *, seed, dear=False):
    rng = np.random.default_rng([num_layers, num_stages, seed])
    seconds = rng.integers(0, 30, num_layers)
    links = rng.integers(0, 200 if dear else 40, num_layers - 1)
    label = f"{num_layers} layers, {num_stages} stages" + ", dear messages" * dear
    return case(label, seconds, links, num_stages)


def cases():
    return [
        case("one stage", [3, 1, 2], [9, 9], 1),
        case("as many stages as layers", [3, 1, 2], [1, 2], 3),
        case("no messages", [1, 1, 1, 9, 1, 1], [0] * 5, 3),
        case("a heavy first layer", [20, 1, 1, 1, 1, 1, 1], [0] * 6, 3),
        case("a heavy last layer", [1, 1, 1, 1, 1, 1, 20], [0] * 6, 4),
        case("nine layers", [1, 2, 8, 5, 1, 2, 12, 2, 6], [14, 10, 14, 6, 2, 0, 9, 14], 4),
        case("the example", [2, 2, 3, 4], [0, 5, 1], 2),
        case("a dear cut in the middle", [4, 4, 4, 4], [1, 50, 1], 2),
        case("messages on both sides", [1, 6, 1, 6, 1], [3, 3, 4, 1], 3),
        case("layers without cost", [0, 0, 5, 0, 0, 5, 0], [1, 1, 1, 0, 1, 1], 4),
        case("nothing costs anything", [0, 0, 0, 0], [0, 0, 0], 3),
        random_case(8, 3, seed=1), random_case(10, 5, seed=2), random_case(14, 6, seed=3, dear=True),
        random_case(60, 9, seed=4), random_case(300, 40, seed=5),
    ]


def _incorrect(failure):
    return failure.status is Status.INCORRECT and failure.actual(0) is not None


def _bounds(failure):
    return [int(b) for b in failure.actual(0)]


def _is_best_for(cost):
    """Whether the answer is as good as the best partition for another cost of a stage, and not for the right one."""

    def applies(failure):
        seconds, links, num_stages = failure.case.arguments[0]
        bounds = _bounds(failure)
        if not _incorrect(failure) or fault(bounds, len(seconds), num_stages):
            return False
        times = [cost(seconds, [0.0, *links, 0.0], a, b) for a, b in itertools.pairwise(bounds)]
        n = len(seconds)
        column = lambda j: np.array([cost(seconds, [0.0, *links, 0.0], i, j) for i in range(j)])  # noqa: E731
        best = best_cuts(n, num_stages, column)
        return max(times) <= max(column(b)[a] for a, b in itertools.pairwise(best)) + 1e-9

    return applies


def _even(failure):
    seconds, _, num_stages = failure.case.arguments[0]
    parts = np.array_split(np.arange(len(seconds)), num_stages)
    return _incorrect(failure) and _bounds(failure) == [0, *np.cumsum([len(part) for part in parts]).tolist()]


def _smallest_sum(failure):
    """Its messages in all are as short as they can be, or all stages together are: what min of a sum gives."""
    seconds, links, num_stages = failure.case.arguments[0]
    messages = sum(links[b - 1] for b in _bounds(failure)[1:-1])
    return _incorrect(failure) and messages <= sum(sorted(links)[: num_stages - 1])


def _says(text):
    return lambda failure: failure.status is Status.INCORRECT and text in failure.message


exercise = Exercise(
    title="Cutting a chain of layers",
    function="partition_chain",
    points=6,
    cases=cases,
    hints=(
        "Think of the last stage. If it begins at layer i, then what is before it is a chain of i layers in one "
        "stage less, and has to be cut as well as it can be.",
        "best(k, j), for the first j layers in k stages, is the minimum over i of max(best(k - 1, i), time of the "
        "stage of layers i to j - 1). Remember the i that gave the minimum, and go back from the end. Sums of layers "
        "are differences of running totals.",
        "total = [0.0, *accumulate(seconds)]; link = [0.0, *links, 0.0]; inf = float('inf')\n"
        "for each stage, for j in range(1, n + 1), for i in range(j):\n"
        "    slowest = max(best[i], total[j] - total[i] + link[i] + link[j])\n"
        "    if slowest < new[j]: new[j], choice[j] = slowest, i\n"
        "then bounds = [n], and for choice in reversed(choices): bounds.append(choice[bounds[-1]])",
    ),
    slips=(
        Slip("A stage has at least one layer: begin the last stage at i = j - 1 at the latest.", _says("is empty")),
        Slip(
            "All layers have to be in a stage, and k stages have k + 1 bounds: 0 in front and n at the end, too.",
            lambda f: _says("have")(f) or _says("bounds go from")(f),
        ),
        Slip(
            "Equal numbers of layers are equal times only if all layers are alike. Look at seconds.", _even,
        ),
        Slip(
            "The messages are left out: a stage takes as long as its layers *and* what it receives and sends.",
            _is_best_for(lambda seconds, link, a, b: sum(seconds[a:b])),
        ),
        Slip(
            "Only one of a stage's two messages is counted. It receives through the cut before it and sends through "
            "the one behind it.",
            lambda f: any(
                _is_best_for(lambda seconds, link, a, b, k=k: sum(seconds[a:b]) + link[(a, b)[k]])(f) for k in (0, 1)
            ),
        ),
        Slip(
            "Messages do not overlap with computing here: a stage takes the *sum* of both, not the longer one.",
            _is_best_for(lambda seconds, link, a, b: max(sum(seconds[a:b]), link[a], link[b])),
        ),
        Slip(
            "This partition has the shortest messages in all, or the smallest sum of all stages. What counts is the "
            "slowest stage: inside the minimum stands a maximum.",
            _smallest_sum,
        ),
        Slip(
            "Stages filled one after the other up to some limit are not the best ones here: where a message is long, "
            "it can pay to cut earlier or later. Compare all places for the last cut.",
            lambda f: _incorrect(f) and "slowest stage" in f.message,
        ),
        Slip(
            "Too slow: do not try all partitions. best(k, j) is needed again and again, so keep it in a table; and a "
            "running total gives the sum of a range in one step.",
            lambda f: f.status is Status.TIMED_OUT,
        ),
    ),
)
