"""The ticks of GPipe, for any numbers of stages and micro-batches."""

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.training.pipeline.gpipe import gpipe
from labkit.training.pipeline.simulate import StageTimes, simulate


def expected_ticks(num_stages, num_microbatches):
    """From the plan of the library, run with times of one tick."""
    run = simulate(gpipe(num_stages, num_microbatches), StageTimes(1.0, 0.5, 0.5))
    ticks = [[] for _ in range(round(run.step_s))]
    for of_rank, start in zip(run.plan.actions, run.start_s, strict=True):
        for action, time in zip(of_rank, start, strict=True):
            ticks[round(time)].append(str(action).replace("BW", "B"))
    return ticks


def case(num_stages, num_microbatches):
    label = f"stages: {num_stages}, micro-batches: {num_microbatches}"
    return Case(label, ((num_stages, num_microbatches),), ({"return": expected_ticks(num_stages, num_microbatches)},))


def cases():
    return [case(*sizes) for sizes in [(1, 1), (1, 3), (2, 1), (2, 3), (4, 2), (3, 5), (4, 8), (5, 5), (8, 32)]]


def _forwards(k, m):
    return [[f"{s}F{t - s}" for s in range(k) if 0 <= t - s < m] for t in range(k + m - 1)]


def _grid(k, m, kind, tick_of):
    ticks = {}
    for s in range(k):
        for j in range(m):
            ticks.setdefault(tick_of(s, j), []).append(f"{s}{kind}{j}")
    return [ticks.get(t, []) for t in range(max(ticks) + 1)]


def _first_backward_first(k, m):
    return _forwards(k, m) + _grid(k, m, "B", lambda s, j: k - 1 - s + j)


def _from_stage_0(k, m):
    return _forwards(k, m) + _grid(k, m, "B", lambda s, j: s + m - 1 - j)


def _one_after_the_other(k, m):
    forwards = [[f"{s}F{j}"] for j in range(m) for s in range(k)]
    return forwards + [[f"{s}B{j}"] for j in reversed(range(m)) for s in reversed(range(k))]


def _stage_by_stage(k, m):
    forwards = [[f"{s}F{j}"] for s in range(k) for j in range(m)]
    return forwards + [[f"{s}B{j}"] for s in reversed(range(k)) for j in reversed(range(m))]


def _all_stages_at_once(k, m):
    forwards = [[f"{s}F{j}" for s in range(k)] for j in range(m)]
    return forwards + [[f"{s}B{j}" for s in range(k)] for j in reversed(range(m))]


def _by_microbatch(k, m):
    return [tick[::-1] for tick in expected_ticks(k, m)]


def _from_1(k, m):
    """Numbers counted from 1."""
    numbers = [[action.replace("B", "F").split("F") for action in tick] for tick in expected_ticks(k, m)]
    kinds = ["F"] * (k + m - 1) + ["B"] * (k + m - 1)
    return [[f"{int(s) + 1}{kind}{int(j) + 1}" for s, j in t] for kind, t in zip(kinds, numbers, strict=True)]


def _lists(value):
    return [list(tick) for tick in value] if isinstance(value, (list, tuple)) else value


def _gives(*variants):
    """Whether the answer is what one of these gives."""

    def applies(failure):
        found = _lists(failure.actual(0))
        sizes = failure.case.arguments[0]
        return failure.status is Status.INCORRECT and any(found == variant(*sizes) for variant in variants)

    return applies


def _with_idle_ticks(failure):
    found = _lists(failure.actual(0))
    return any(tick == [] for tick in found) and [t for t in found if t] == expected_ticks(*failure.case.arguments[0])


def _number_is_wrong(failure):
    found = _lists(failure.actual(0))
    k, m = failure.case.arguments[0]
    return failure.status is Status.INCORRECT and 0 < len(found) != 2 * (k + m - 1)


exercise = Exercise(
    title="GPipe, tick by tick",
    function="gpipe_ticks",
    points=3,
    cases=cases,
    hints=(
        "Draw the grid of the example for 3 stages and 4 micro-batches, forwards only. Along which lines do stage plus "
        "micro-batch stay the same?",
        "The forward of micro-batch j on stage s runs in tick s + j. There are K + M - 1 such ticks. The backwards are "
        "the same picture in a mirror.",
        "for tick in range(num_stages + num_microbatches - 1):\n"
        '    ticks.append([f"{s}F{tick - s}" for s in range(num_stages) if 0 <= tick - s < num_microbatches])\n'
        "and the same with B and reversed(range(num_stages + num_microbatches - 1))",
    ),
    slips=(
        Slip(
            "Backwards come in the order of the forwards here. In GPipe the last micro-batch comes back first.",
            _gives(_first_backward_first),
        ),
        Slip(
            "The backwards begin on stage 0. The loss is on the last stage: its gradient goes from there to stage 0.",
            _gives(_from_stage_0),
        ),
        Slip(
            "One action a tick: that is a model cut into stages without a pipeline. While stage 1 has a micro-batch, "
            "stage 0 works on the next one.",
            _gives(_one_after_the_other, _stage_by_stage),
        ),
        Slip(
            "All stages run the same micro-batch in one tick. Stage s needs what stage s - 1 has made a tick earlier.",
            _gives(_all_stages_at_once),
        ),
        Slip("The actions of a tick stand in the order of their stages, stage 0 first.", _gives(_by_microbatch)),
        Slip("Stages and micro-batches count from 0: the first action is 0F0.", _gives(_from_1)),
        Slip(
            "There are ticks in which nothing runs. Every action runs as early as it can.", _with_idle_ticks
        ),
        Slip(
            "The number of ticks is not right: M + K - 1 for the forwards, since the last micro-batch enters in tick "
            "M - 1 and has K - 1 stages to go, and as many for the backwards.",
            _number_is_wrong,
        ),
    ),
)
