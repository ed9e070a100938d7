"""A pipeline step with three faults: activations of another micro-batch, wrong scaling, gradients overwritten."""

import numpy as np

from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status


def compute(weights, inputs, targets, num_microbatches, *, divide=None, share=None, added=None, slope=True):
    """(Loss, gradients by rank), of one process; the options are slips.

    ``divide(rows, n, m)`` is what a micro-batch's loss is divided by; ``share`` says which activations a backward
    takes; ``added(k, m)`` whether micro-batch k counts for the weights.
    """
    n, parts = len(inputs), np.array_split(np.arange(len(inputs)), num_microbatches)
    loss, gradients, saved = 0.0, [np.zeros_like(weight) for weight in weights], []
    for rows in parts:
        values = [inputs[rows]]
        for weight in weights:
            values.append(np.tanh(values[-1] @ weight))
        saved.append(values)
    for k, rows in enumerate(parts):
        by = n if divide is None else divide(len(rows), n, num_microbatches)
        loss += 0.5 * np.sum((saved[k][-1] - targets[rows]) ** 2) / by
        values = saved[k] if share is None else [np.resize(v, (len(rows), v.shape[1])) for v in saved[share(k)]]
        dy = (values[-1] - targets[rows]) / by
        for stage in reversed(range(len(weights))):
            dz = dy * (1 - values[stage + 1] ** 2) if slope else dy
            if added is None or added(k, num_microbatches):
                gradients[stage] += values[stage].T @ dz
            dy = dz @ weights[stage].T
    return float(loss), gradients


def case(p, n, d, m, *, data_seed=0, **options):
    """p stages, n samples of d values, m micro-batches."""
    rng = np.random.default_rng([p, n, d, m, data_seed])
    weights = rng.standard_normal((p, d, d)) / np.sqrt(d) + np.eye(d)
    inputs, targets = rng.standard_normal((2, n, d))
    loss, gradients = compute(weights, inputs, targets, m)
    empty = np.full((n, d), np.nan)
    words = [f"{p} rank{'s' * (p > 1)}, {n} samples of {d} values, {m} micro-batch{'es' * (m > 1)}"]
    words += ["real ranks"] * bool(options.get("real"))
    budget = None
    if p > 1 and not options.get("real"):
        budget = Budget(num_messages=2 * (p - 1) * m, num_bytes=16 * (p - 1) * n * d)
    return mpi_case(
        p, ", ".join(words),
        lambda rank: (weights[rank].copy(), inputs.copy() if rank == 0 else empty.copy(),
                      targets.copy() if rank == p - 1 else empty.copy(), m),
        lambda rank: {"return": (loss if rank == p - 1 else 0.0, gradients[rank]), 0: weights[rank]},
        rtol=1e-9, atol=1e-12, budget=budget, **options,
    )


def cases():
    return [
        case(1, 4, 2, 2), case(2, 4, 2, 2), case(2, 5, 3, 2), case(1, 3, 2, 1), case(2, 3, 2, 1), case(3, 7, 2, 3),
        case(3, 6, 4, 6, unsafe_sends=True), case(4, 9, 3, 4, seed=1), case(5, 8, 2, 8), case(6, 13, 3, 5, unsafe_sends=True),
        case(7, 4, 1, 3), case(8, 16, 2, 4, seed=2), case(9, 11, 2, 7), case(16, 6, 2, 4, unsafe_sends=True),
        case(33, 3, 2, 2), case(3, 200, 60, 3), case(2, 7, 3, 3, real=True), case(3, 60, 40, 4, real=True),
    ]


def _whole(failure):
    """The arguments of one process."""
    arguments = failure.case.arguments
    weights = np.array([part[0] for part in failure.case.arguments])
    return weights, arguments[0][1], arguments[-1][2], arguments[0][3]


def _gradients(failure):
    return [np.asarray(failure.actual(rank)[1]) for rank in range(failure.case.num_ranks)]


def _is(found, wanted):
    return all(np.allclose(a, b, rtol=1e-7, atol=1e-11) for a, b in zip(found, wanted, strict=True))


def _gives(**slip):
    """Whether the gradients of all ranks are those that a slip gives."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        wanted, right = compute(*_whole(failure), **slip)[1], compute(*_whole(failure))[1]
        return _is(_gradients(failure), wanted) and not _is(wanted, right)

    return applies


def _right_gradients(failure):
    return failure.status is Status.INCORRECT and _is(_gradients(failure), compute(*_whole(failure))[1])


def _not_transposed(failure):
    """The last stage is right, and the others are not."""
    if failure.status is not Status.INCORRECT or failure.case.num_ranks < 2:
        return False
    found, right = _gradients(failure), compute(*_whole(failure))[1]
    weights, inputs, targets, m = _whole(failure)
    dz = _last_dz(weights, inputs, targets)
    values = inputs
    for weight in weights[:-2]:
        values = np.tanh(values @ weight)
    y = np.tanh(values @ weights[-2])
    wanted = values.T @ ((dz @ weights[-1]) * (1 - y * y))
    return _is(found[-1:], right[-1:]) and _is(found[-2:-1], [wanted]) and not _is([wanted], right[-2:-1])


def _last_dz(weights, inputs, targets):
    values = inputs
    for weight in weights:
        values = np.tanh(values @ weight)
    return (values - targets) / len(inputs) * (1 - values * values)


def _other_activations(failure):
    """Micro-batches are mixed: right with one, and wrong with several in no way that is known."""
    return failure.status is Status.INCORRECT and failure.case.arguments[0][3] > 1 and not _right_gradients(failure)


exercise = Exercise(
    title="Find the bugs in a pipeline",
    function="pipeline_step",
    points=6,
    cases=cases,
    hints=(
        "With one micro-batch it is right. So look at everything that is kept, divided or written once for each "
        "micro-batch, and ask what it is when there are two.",
        "The forwards of all micro-batches run before the first backward: how many activations does a stage have to "
        "keep? The loss is divided by the size of the batch, whatever the sizes of its parts. And a gradient of the "
        "weights has to hear of all micro-batches.",
        "saved.append((x, y))                     # one pair a micro-batch, instead of the last one m times\n"
        "loss += 0.5 * np.sum(...) / n            # n samples of the whole batch; the gradient dy likewise\n"
        "gradient ... x.T @ dz                    # is this = or +=?\n"
        "for rows, (x, y) in zip(parts, saved):   # then each backward has its own",
    ),
    slips=(
        Slip(
            "A rank waits for a gradient whose activations it has not sent yet: the activations have to be sent on "
            "before anything is expected back.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
        Slip(
            "The gradients are right, and the loss is not: it is a sum over all micro-batches, on the last rank.",
            _right_gradients,
        ),
        Slip(
            "The micro-batches count alike, though some have a sample more. Divide by the number of samples of the "
            "whole batch, instead of by their own and by m.",
            _gives(divide=lambda rows, n, m: rows * m),
        ),
        Slip(
            "The means of the micro-batches are added up: divide by the n samples of the whole batch instead.",
            _gives(divide=lambda rows, n, m: rows),
        ),
        Slip(
            "Nothing is divided by the size of the batch: losses and gradients are sums.",
            _gives(divide=lambda rows, n, m: 1),
        ),
        Slip(
            "The gradient is that of the last micro-batch alone: each one overwrites those before. Add them up.",
            _gives(added=lambda k, m: k == m - 1),
        ),
        Slip(
            "The gradient of the last micro-batch is missing in that of the weights.",
            _gives(added=lambda k, m: k < m - 1),
        ),
        Slip("The derivative of tanh is missing: dz = dy * (1 - y * y).", _gives(slope=False)),
        Slip(
            "The last stage is right and the one before is not: what goes to the left is dz times the transpose of "
            "the weight.",
            _not_transposed,
        ),
        Slip(
            "With several micro-batches the gradients are wrong: a backward meets the activations of another "
            "micro-batch. Each needs the x and y of its own forward.",
            _other_activations,
        ),
    ),
)
