"""Staleness of every update, from a server's log."""

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

KINDS = {"<": "pull", ">": "push"}


def by_definition(events):
    """For each push, the pushes counted that come after its worker's last pull before it."""
    found = []
    for at, (worker, kind) in enumerate(events):
        if kind == "push":
            pulls = [i for i in range(at) if events[i] == [worker, "pull"]]
            start = pulls[-1] if pulls else 0
            found.append(sum(events[i][1] == "push" for i in range(start, at)))
    return found


def log_case(label, events):
    """Given events."""
    return Case(label, ((events,),), ({"return": by_definition(events), 0: [list(event) for event in events]},))


def case(label, text):
    """``"0< 1< 0>"``: worker 0 pulls, worker 1 pulls, worker 0 pushes."""
    return log_case(f"{label}: {text}" if text else label, [[int(word[:-1]), KINDS[word[-1]]] for word in text.split()])


def random_case(num_workers, num_events, data_seed=0):
    """Workers that mostly pull and push in turn; some pull twice, some push twice, some never pull."""
    rng = np.random.default_rng([num_workers, num_events, data_seed])
    events, last = [], {}
    for worker in rng.integers(0, num_workers, num_events).tolist():
        in_turn = "push" if last.get(worker) == "pull" else "pull"
        last[worker] = in_turn if rng.random() < 0.85 else str(rng.choice(["pull", "push"]))
        events.append([worker, last[worker]])
    return log_case(f"{num_workers} workers, {num_events} random events", events)


def cases():
    return [
        case("no events", ""),
        case("one worker", "0< 0>"),
        case("one worker, two steps", "0< 0> 0< 0>"),
        case("two workers", "0< 1< 0> 1>"),
        case("two workers", "0< 1< 1> 1< 1> 0>"),
        case("three workers", "0< 1< 2< 2> 1> 0>"),
        case("who pulls twice", "0< 1< 1> 0< 0>"),
        case("who pushes twice", "0< 0> 0>"),
        case("who never pulled", "0< 0> 1>"),
        case("the example", "0< 1< 0> 1> 1< 0> 1>"),
        case("any numbers", "-4< 1000000< -4> 1000000>"),
        random_case(3, 40), random_case(8, 500), random_case(1, 60), random_case(20, 2000),
    ]


def _counted(events, *, counts=lambda kind: kind == "push", resets=lambda kind: kind == "pull", first=False, own=True):
    """Staleness with another rule of what counts, and from when."""
    found, since = [], {}
    for at, (worker, kind) in enumerate(events):
        if kind == "push":
            between = events[since.get(worker, 0) : at]
            found.append(sum(counts(k) and (own or w != worker) for w, k in between))
        if resets(kind) and not (first and worker in since):
            since[worker] = at + (kind == "push")
    return found


def _gives(variant):
    """Whether the result is what ``variant(events)`` gives."""

    def applies(failure):
        return failure.status is Status.INCORRECT and failure.actual(0) == variant(failure.case.arguments[0][0])

    return applies


def _distinct(events):
    found, since = [], {}
    for at, (worker, kind) in enumerate(events):
        if kind == "pull":
            since[worker] = at
        else:
            found.append(len({w for w, k in events[since.get(worker, 0) : at] if k == "push"}))
    return found


def _behind(events):
    """How many steps a worker is behind the fastest."""
    clocks, found = {}, []
    for worker, kind in events:
        clocks.setdefault(worker, 0)
        if kind == "push":
            found.append(max(clocks.values()) - clocks[worker])
            clocks[worker] += 1
    return found


exercise = Exercise(
    title="How stale is a gradient?",
    function="staleness",
    points=3,
    cases=cases,
    hints=(
        "Give the weights a version: the number of updates in them. What does a worker have to remember when it pulls?",
        "version grows by one with each push. At a pull, version_read[worker] = version. The staleness of a push is "
        "the difference of the two, before the push itself counts.",
        "if kind == \"pull\":\n"
        "    version_read[worker] = version\n"
        "else:\n"
        "    found.append(version - version_read.get(worker, 0))\n"
        "    version += 1",
    ),
    slips=(
        Slip(
            "The list of events has changed: read it only.",
            lambda f: f.status is Status.INCORRECT and f.actual(0) == f.case.expected[0]["return"],
        ),
        Slip(
            "Every number is one too large: the push itself counts among the updates. Take the difference first, then "
            "let the version grow.",
            lambda f: f.status is Status.INCORRECT and f.actual(0) == [n + 1 for n in f.case.expected[0]["return"]],
        ),
        Slip(
            "One number for each push, and none for a pull: the list has as many as there are pushes.",
            lambda f: f.status is Status.INCORRECT and isinstance(f.actual(0), list)
            and len(f.actual(0)) == len(f.case.arguments[0][0]) != len(f.case.expected[0]["return"]),
        ),
        Slip(
            "Pulls count as well here. A pull changes no weights: only pushes make weights older.",
            _gives(lambda events: [n - 1 for n in _counted(events, counts=lambda kind: True)]),
        ),
        Slip(
            "You leave out the worker's own updates. If it pushes twice after one pull, its weights lack its own first "
            "update as well.",
            _gives(lambda events: _counted(events, own=False)),
        ),
        Slip(
            "You count from the worker's last push. It pulled later than that, and everything before the pull is in "
            "its weights.",
            _gives(lambda events: _counted(events, resets=lambda kind: kind == "push")),
        ),
        Slip(
            "You count from the worker's first pull. A later pull brings newer weights: the last one counts.",
            _gives(lambda events: _counted(events, first=True)),
        ),
        Slip(
            "You count workers, not updates: one that has pushed three times since the pull makes weights older by 3.",
            _gives(_distinct),
        ),
        Slip(
            "These are steps behind the fastest worker. Staleness counts updates of all workers, and only those since "
            "the pull: a slow worker that has just pulled is not stale.",
            _gives(_behind),
        ),
        Slip(
            "A worker that never pulled has the weights of version 0: use a default for it.",
            lambda f: f.status is Status.CRASHED and "KeyError" in f.message + f.details,
        ),
    ),
)
