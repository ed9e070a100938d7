"""The order of a stage in 1F1B, also with fewer micro-batches than stages."""

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.training.pipeline.one_f_one_b import one_f_one_b


def expected_order(num_stages, num_microbatches, stage):
    """From the plan of the library."""
    actions = one_f_one_b(num_stages, num_microbatches).actions[stage]
    return [f"{action.kind[0]}{action.microbatch}" for action in actions]


def case(num_stages, num_microbatches, stage):
    arguments = (num_stages, num_microbatches, stage)
    label = f"stage {stage} of {num_stages}, micro-batches: {num_microbatches}"
    return Case(label, (arguments,), ({"return": expected_order(*arguments)},))


def cases():
    return [
        case(*sizes)
        for sizes in [
            (1, 1, 0), (1, 3, 0), (5, 6, 3),  # the last one tells the usual slips apart
            (2, 3, 1), (2, 3, 0), (3, 4, 1), (3, 4, 0), (3, 4, 2), (4, 1, 0), (4, 2, 0), (4, 2, 1), (4, 2, 3), (4, 4, 0),
            (5, 4, 0), (4, 16, 1), (8, 64, 3),
        ]
    ]  # fmt: skip


def _order(m, warm_up, forward_first=True):
    """By turns after some forwards."""
    order, f, b = [f"F{j}" for j in range(min(warm_up, m))], min(warm_up, m), 0
    while b < m:
        for kind in "FB" if forward_first else "BF":
            if kind == "F" and f < m:
                order.append(f"F{f}")
                f += 1
            elif kind == "B" and b < m:
                order.append(f"B{b}")
                b += 1
    return order


def _all_forwards_first(p, m, stage):
    return [f"F{j}" for j in range(m)] + [f"B{j}" for j in range(m)]


def _as_gpipe(p, m, stage):
    return [f"F{j}" for j in range(m)] + [f"B{j}" for j in reversed(range(m))]


def _no_end(p, m, stage):
    order = expected_order(p, m, stage)
    return order[: 2 * m - min(p - 1 - stage, m)]


def _newest_first(p, m, stage):
    """Backward of the newest micro-batch."""
    ahead = min(p - 1 - stage, m)
    order, waiting = [f"F{j}" for j in range(ahead)], list(range(ahead))
    for j in range(ahead, m):
        order += [f"F{j}", f"B{j}"]
    return order + [f"B{j}" for j in reversed(waiting)]


def _gives(*variants):
    """Whether the answer is what one of these gives."""

    def applies(failure):
        found = list(failure.actual(0))
        return failure.status is Status.INCORRECT and any(
            found == variant(*failure.case.arguments[0]) for variant in variants
        )

    return applies


def _beyond(failure):
    """Micro-batches that do not exist."""
    m = failure.case.arguments[0][1]
    return any(int(action[1:]) >= m for action in failure.actual(0))


def _backward_before_forward(failure):
    seen = set()
    for action in failure.actual(0):
        if action[0] == "B" and "F" + action[1:] not in seen:
            return True
        seen.add(action)
    return False


exercise = Exercise(
    title="The order of 1F1B",
    function="one_f_one_b",
    points=3,
    cases=cases,
    hints=(
        "The last stage has no warm-up: F0 B0 F1 B1 ... How much earlier must each stage before it begin?",
        "Stage s begins with p - 1 - s forwards (all m, if that is fewer). After them, each backward has a forward "
        "before it as long as forwards are left.",
        "num_ahead = min(num_stages - 1 - stage, num_microbatches)\n"
        'order = [f"F{j}" for j in range(num_ahead)]\n'
        "then for j in range(num_microbatches): append F of j + num_ahead, if there is such a micro-batch, and B of j",
    ),
    slips=(
        Slip(
            "There are micro-batches that do not exist: the warm-up is no longer than the number of micro-batches, and "
            "forwards end before backwards do.",
            _beyond,
        ),
        Slip(
            "The warm-up is a forward too long. The forward that follows it belongs to the first pair of the steady "
            "part: stage s begins with p - 1 - s, not p - s.",
            _gives(lambda p, m, s: _order(m, p - s)),
        ),
        Slip(
            "All stages have the warm-up of stage 0. A later stage gets its first gradient sooner: it needs fewer "
            "forwards before, and holds fewer activations.",
            _gives(lambda p, m, s: _order(m, p - 1)),
        ),
        Slip(
            "The warm-up is that of the mirrored stage: the first stage has the longest one, the last stage none.",
            _gives(lambda p, m, s: _order(m, s)),
        ),
        Slip(
            "That is GPipe: all forwards before all backwards. In 1F1B a backward follows each forward after the "
            "warm-up.",
            _gives(_all_forwards_first, _as_gpipe),
        ),
        Slip(
            "Each backward is that of the newest micro-batch. Micro-batch 0 comes back first, as its forward came "
            "first.",
            _gives(_newest_first),
        ),
        Slip("The backwards at the end, the cool-down, are missing.", _gives(_no_end)),
        Slip(
            "In the steady part the forward comes first, then the backward. The other way round a stage waits for a "
            "gradient before it passes on what the next stage needs.",
            _gives(lambda p, m, s: _order(m, p - 1 - s, False)),
        ),
        Slip(
            "A micro-batch has its backward before its forward. Backwards come in the order of the micro-batches, "
            "micro-batch 0 first.",
            _backward_before_forward,
        ),
    ),
)
