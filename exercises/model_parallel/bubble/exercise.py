"""The idle share of any schedule with any times, by running it on paper."""

import random

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.gpipe import gpipe
from labkit.training.pipeline.one_f_one_b import one_f_one_b
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import PlanError
from labkit.training.pipeline.simulate import StageTimes, simulate


def simulated(orders, forward_s, backward_s, message_s):
    """The simulation of the library, or None for orders that cannot be run."""
    p = len(orders)
    actions = [
        [Action(stage, "F" if action[0] == "F" else "BW", int(action[1:])) for action in order]
        for stage, order in enumerate(orders)
    ]
    try:
        return simulate(
            Plan("mine", p, p, len(orders[0]) // 2, actions), StageTimes(forward_s, backward_s, 0.0, message_s)
        )
    except PlanError as error:
        if error.broken.rule != "deadlock":
            raise
        return None


def expected(*arguments):
    run = simulated(*arguments)
    return None if run is None else [run.step_s, run.bubble_fraction]


def orders_of(plan):
    return [[f"{action.kind[0]}{action.microbatch}" for action in of_rank] for of_rank in plan.actions]


def case(label, orders, forward_s, backward_s, message_s):
    arguments = (orders, forward_s, backward_s, message_s)
    return Case(label, (arguments,), ({"return": expected(*arguments)},), rtol=1e-9, atol=1e-12)


def equal_case(name, p, m, message_s):
    plan = {"gpipe": gpipe, "1f1b": one_f_one_b}[name](p, m)
    label = f"{name}, {p} equal stages, micro-batches: {m}, messages of {message_s:g} s"
    return case(label, orders_of(plan), [1.0] * p, [2.0] * p, message_s)


def random_case(name, p, m, seed):
    """Unequal stages; ``greedy``: stages begin with different numbers of forwards."""
    rng = random.Random(seed)
    plan = {"gpipe": gpipe, "1f1b": one_f_one_b, "greedy": one_f_one_b}[name](p, m)
    orders = orders_of(plan)
    if name == "greedy":
        ahead = sorted((rng.randint(1, m) for _ in range(p)), reverse=True)
        orders = [
            [f"F{j}" for j in range(n)] + [a for j in range(m) for a in ([f"B{j}"] + [f"F{j + n}"] * (j + n < m))]
            for n in ahead
        ]
    times = [[round(rng.uniform(0.2, 3.0), 2) for _ in range(p)] for _ in "FB"]
    label = f"{name}, {p} unequal stages, micro-batches: {m}"
    return case(label, orders, *times, round(rng.uniform(0.0, 1.0), 2))


def stuck_case(p, m):
    """The first stage wants its first gradient before the next stage can give it."""
    orders = orders_of(one_f_one_b(p, m))
    orders[0] = [f"{kind}{j}" for j in range(m) for kind in "FB"]
    orders[-1] = [f"F{j}" for j in range(m)] + [f"B{j}" for j in range(m)]
    return case(f"orders that cannot be run, {p} stages", orders, [1.0] * p, [2.0] * p, 0.0)


def cases():
    return [
        case("one stage", [["F0", "F1", "B1", "B0"]], [1.0], [2.0], 0.5),
        equal_case("gpipe", 2, 1, 0.0), equal_case("gpipe", 2, 2, 0.0), equal_case("gpipe", 4, 8, 0.0),
        equal_case("1f1b", 4, 8, 0.0), equal_case("1f1b", 3, 5, 0.25),
        case("the example", [["F0", "F1", "B0", "B1"], ["F0", "B0", "F1", "B1"]], [1.0, 2.0], [2.0, 4.0], 0.5),
        random_case("gpipe", 3, 4, 1), random_case("1f1b", 4, 6, 2), random_case("1f1b", 6, 2, 3), random_case("greedy", 4, 7, 4),
        equal_case("gpipe", 4, 4, 5.0), stuck_case(2, 2), stuck_case(4, 3),
    ]  # fmt: skip


def _is(value, wanted):
    return abs(value - wanted) <= 1e-9 * max(abs(wanted), 1e-3)


def _second(number):
    """Whether the idle share is ``number(run, m)``, and the time is right."""

    def applies(failure):
        run, found = simulated(*failure.case.arguments[0]), failure.actual(0)
        m = len(failure.case.arguments[0][0][0]) // 2
        return failure.status is Status.INCORRECT and _is(found[0], run.step_s) and _is(found[1], number(run, m))

    return applies


def _time_of(change):
    """Whether the time is that of other arguments: ``change(orders, forward, backward, message)``."""

    def applies(failure):
        other = change(*failure.case.arguments[0])
        return failure.status is Status.INCORRECT and _is(failure.actual(0)[0], simulated(*other).step_s)

    return applies


def _sender_waits(failure):
    """A stage is busy while its message is on its way."""
    orders, forward, backward, message = failure.case.arguments[0]
    p = len(orders)
    f = [time + (message if stage + 1 < p else 0.0) for stage, time in enumerate(forward)]
    b = [time + (message if stage else 0.0) for stage, time in enumerate(backward)]
    return message > 0 and _is(failure.actual(0)[0], simulated(orders, f, b, 0.0).step_s)


def _without_waiting(failure):
    orders, forward, backward, _ = failure.case.arguments[0]
    m = len(orders[0]) // 2
    return _is(failure.actual(0)[0], max(m * (f + b) for f, b in zip(forward, backward, strict=True)))


exercise = Exercise(
    title="The bubble of a schedule",
    function="bubble",
    points=4,
    cases=cases,
    hints=(
        "Keep for every stage how far it is in its order and when it is free, and for every action that has run, when "
        "it ended. Which stage can do something?",
        "Go round the stages again and again. A stage's next action can run if what it needs has an end already; it "
        "starts at the later of two times: when the stage is free, and when the message is there. If a whole round has "
        "moved nothing, you are at the end, or the stages wait for each other.",
        "start = max(free[stage], end[source, action] + message_s)\n"
        "free[stage] = end[stage, action] = start + length\n"
        "with source = stage - 1 if action.startswith('F') else stage + 1; at the end\n"
        "idle = 1 - busy / (max(free) * len(orders))",
    ),
    slips=(
        Slip(
            "These orders cannot be run: the first stage waits for a gradient that the others can give only after its "
            "next forward. Return None when a whole round has moved nothing.",
            lambda f: f.status is not Status.CRASHED and simulated(*f.case.arguments[0]) is None,
        ),
        Slip(
            "These orders can be run, but the answer is None. Go round the stages until a whole round has moved "
            "nothing: one round is not enough.",
            lambda f: f.status is Status.INCORRECT and f.actual(0) is None,
        ),
        Slip(
            "The idle time is divided by the work here. What is asked for is its share of the whole time: of the step, "
            "times the number of stages.",
            _second(lambda run, m: run.step_s * run.plan.num_ranks / sum(run.busy_s) - 1),
        ),
        Slip(
            "The share counts only the stage that works most. Idle is what all stages together do not use.",
            _second(lambda run, m: 1 - max(run.busy_s) / run.step_s),
        ),
        Slip(
            "The share counts from the first to the last action of each stage. A stage that waits for its first "
            "micro-batch, or has ended, is idle, too: the time of each stage is the whole step.",
            _second(
                lambda run, m: 1
                - sum(run.busy_s) / sum(e[-1] - s[0] for s, e in zip(run.start_s, run.end_s, strict=True))
            ),
        ),
        Slip(
            "That is the textbook's (p - 1)/(m + p - 1), for equal stages and messages that take no time. Run the "
            "orders instead.",
            _second(lambda run, m: (run.plan.num_ranks - 1) / (m + run.plan.num_ranks - 1)),
        ),
        Slip("Messages take message_s: it is missing.", _time_of(lambda o, f, b, message: (o, f, b, 0.0))),
        Slip(
            "A stage goes on while its message is on its way: message_s delays the stage that receives, not the one "
            "that sends.",
            _sender_waits,
        ),
        Slip(
            "Nobody waits for anybody here. A stage can begin only when what it needs from its neighbour is there.",
            _without_waiting,
        ),
        Slip(
            "Forward and backward take the times of stage 0 on all stages, or those of another one: each has its own.",
            _time_of(lambda o, f, b, message: (o, [f[0]] * len(f), [b[0]] * len(b), message)),
        ),
    ),
)
