"""A bulk-synchronous parameter server on quadratic losses, with workers of different numbers of steps."""

import ast

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status


def train(weights, targets, num_steps, learning_rate, mean=lambda gradients, num_workers: np.mean(gradients, axis=0)):
    """On one process: the last weights, and the losses of each worker."""
    w, losses = weights.copy(), [[] for _ in targets]
    for step in range(max(num_steps, default=0)):
        gradients = []
        for worker, target in enumerate(targets):
            if step < num_steps[worker]:
                losses[worker].append(0.5 * float(np.sum((w - target) ** 2)))
                gradients.append(w - target)
        w = w - learning_rate * mean(np.array(gradients), len(targets))
    return w, [np.array(row, np.float64) for row in losses]


def case(num_ranks, num_weights, num_steps, *, data_seed=0, **options):
    """Random weights and targets."""
    rng = np.random.default_rng([num_ranks, num_weights, data_seed])
    weights, targets = rng.standard_normal(num_weights), 3 * rng.standard_normal((num_ranks - 1, num_weights))
    steps, unknown = np.array(num_steps, np.int64), np.full(num_weights, np.nan)
    learning_rate = 0.25
    last, losses = train(weights, targets, num_steps, learning_rate)

    def arguments(rank):
        return (weights.copy() if rank == 0 else unknown.copy(), targets[rank - 1].copy() if rank else unknown.copy(),
                steps.copy(), learning_rate)

    def expected(rank):
        given = arguments(rank)
        return {"return": losses[rank - 1] if rank else last, 0: given[0], 1: given[1], 2: given[2]}

    shown = ", ".join(map(str, num_steps[:6])) + (", ..." if len(num_steps) > 6 else "")
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, n = {num_weights}, steps [{shown}]", arguments, expected,
        rtol=1e-9, atol=1e-12, **options,
    )


def cases():
    return [
        case(1, 3, []),
        case(2, 1, [1]),
        case(2, 3, [4], unsafe_sends=True),
        case(3, 1, [1, 1]),
        case(3, 2, [3, 3], seed=1),
        case(3, 2, [2, 1]),
        case(3, 4, [0, 3], unsafe_sends=True),
        case(4, 3, [2, 5, 3], seed=2),
        case(5, 0, [2, 2, 1, 2]),
        case(6, 1000, [3, 3, 3, 3, 1], unsafe_sends=True),
        case(7, 5, [1, 2, 3, 4, 5, 6], seed=4),
        case(8, 2, [0] * 7),
        case(9, 3, [6, 1] * 4, unsafe_sends=True, seed=5),
        case(16, 4, [3] * 15, seed=6),
        case(33, 2, [2, 3] * 16, unsafe_sends=True),
        case(2, 3, [5], real=True),
        case(3, 1000, [4, 2], real=True),
    ]


def _data(failure):
    arguments = failure.case.arguments
    targets = [given[1] for given in arguments[1:]]
    return arguments[0][0], targets, arguments[0][2].tolist(), arguments[0][3]


def _close(actual, expected):
    return np.shape(actual) == np.shape(expected) and np.allclose(actual, expected, rtol=1e-9, atol=1e-12)


def _weights_of(mean):
    """The server has what another mean of the gradients gives."""

    def applies(failure):
        if failure.status is not Status.INCORRECT or _close(failure.actual(0), failure.case.expected[0]["return"]):
            return False
        return _close(failure.actual(0), train(*_data(failure), mean=mean)[0])

    return applies


def _one_by_one(failure):
    """Every gradient becomes part of the weights as it comes: the workers of a step see the same weights, or not."""
    weights, targets, num_steps, rate = _data(failure)
    if failure.status is not Status.INCORRECT or len(targets) < 2 or not weights.size:
        return False
    w = weights.copy()
    for step in range(max(num_steps)):
        for target, steps in zip(targets, num_steps, strict=True):
            if step < steps:
                w = w - rate * (w - target)
    return _close(failure.actual(0), w)


def _losses_late(failure):
    """The losses are right but for the first: they belong to the weights after the step."""
    actual, expected = failure.actual(1), failure.case.expected[1]["return"] if len(failure.case.expected) > 1 else None
    return (
        failure.status is Status.INCORRECT and expected is not None and np.shape(actual) == np.shape(expected)
        and _close(failure.actual(0), failure.case.expected[0]["return"]) and not _close(actual, expected)
    )


def _has_changed(failure):
    return failure.status is Status.INCORRECT and all(
        _close(failure.actual(rank), expected["return"]) for rank, expected in enumerate(failure.case.expected)
    )


def _names(source):
    return {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}


exercise = Exercise(
    title="A server and its workers",
    function="serve_bsp",
    points=6,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Write the two parts as two loops, for rank 0 and for the others. For every message of one there must be its "
        "partner in the other: in a step a worker receives once and sends once.",
        "Server, in each step: list the workers whose steps are not done; send w to each; receive a gradient from each "
        "and add it up; then change w, once. Worker: receive w, note the loss, send w - target.",
        "for step in range(num_steps.max(initial=0)):          # rank 0\n"
        "    workers = [r for r in range(1, comm.size) if step < num_steps[r - 1]]\n"
        "    for r in workers:\n"
        "        comm.Send(w, r)\n"
        "    total = np.zeros_like(w)\n"
        "    for r in workers:\n"
        "        comm.Recv(gradient, r)\n"
        "        total += gradient\n"
        "    w -= learning_rate * total / len(workers)",
    ),
    slips=(
        Slip(
            "You call a collective. A server talks to each worker by itself: use Send and Recv.",
            lambda f: f.status is Status.FORBIDDEN_CALL,
        ),
        Slip("An argument has changed: the server works on a copy of weights.", _has_changed),
        Slip(
            "Gradients are added up here, not averaged: divide by the number of workers of this step.",
            _weights_of(lambda gradients, num_workers: gradients.sum(axis=0)),
        ),
        Slip(
            "The server counts in the mean. It has no gradient: divide by the number of workers, not of ranks.",
            _weights_of(lambda gradients, num_workers: gradients.sum(axis=0) / (num_workers + 1)),
        ),
        Slip(
            "Workers that have ended count in the mean. Their gradients are not there, so the steps become shorter and "
            "shorter: divide by the number of those that take part in this step.",
            _weights_of(lambda gradients, num_workers: gradients.sum(axis=0) / num_workers),
        ),
        Slip(
            "The weights go the wrong way: the gradient points to where the loss grows. Subtract it.",
            _weights_of(lambda gradients, num_workers: -gradients.mean(axis=0)),
        ),
        Slip(
            "Only one gradient of each step becomes part of the weights: add all of them up first.",
            _weights_of(lambda gradients, num_workers: gradients[-1]),
        ),
        Slip(
            "The weights change with each gradient that comes, so workers of one step compute with different weights. "
            "This is asynchronous training, one by one. Receive all gradients of the step, then change w once.",
            _one_by_one,
        ),
        Slip(
            "The server's weights are right, and a worker's losses are not. The loss belongs to the weights that the "
            "worker has received in this step: 0.5 times the sum of squares.",
            _losses_late,
        ),
        Slip(
            "The server waits for a gradient of a worker that has done its steps. In each step, list those whose steps "
            "are not done, and talk to these only.",
            lambda f: f.status is Status.DEADLOCKED and len(set(f.case.arguments[0][2].tolist())) > 1,
        ),
        Slip(
            "The server waits for gradients, and the workers wait for weights: in a step, weights are sent first.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
        Slip(
            "There may be no worker, or none that has a step to do: num_steps.max(initial=0).",
            lambda f: f.status is Status.CRASHED and (f.case.num_ranks == 1 or not f.case.arguments[0][2].any()),
        ),
    ),
)
