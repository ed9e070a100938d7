"""Bytes of a device by kind."""

from fractions import Fraction

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

RTOL = 1e-12


def expected(psi, activations, num, dp, pp, tp, stage, *, zero=(3, 2, 1), kept=None, over=None, optimizer=12, split=None,
             replicas=False):
    """In fractions; the options are slips."""
    own = Fraction(psi, pp * tp)
    shared = dp if over is None else over(dp, pp, tp)
    sizes = [Fraction(size) * own / (shared if stage >= first else 1) for size, first in zip((2, 2, optimizer), zero, strict=True)]
    in_flight = min(num, pp) if kept is None else kept(num, pp)
    part = (pp * tp if split is None else split(pp, tp)) * (dp if replicas else 1)
    return [*map(float, sizes), float(Fraction(activations, part) * in_flight)]


def case(*arguments):
    psi, activations, num, dp, pp, tp, stage = arguments
    return Case(
        f"{psi / 1e9:g} B parameters, {num} micro-batches, dp {dp}, pp {pp}, tp {tp}, ZeRO {stage}", (arguments,),
        ({"return": expected(*arguments)},), rtol=RTOL,
    )


def random_case(data_seed):
    rng = np.random.default_rng([10, data_seed])
    dp, pp, tp = (int(2 ** rng.integers(0, 5)) for _ in range(3))
    return case(
        int(10 ** rng.uniform(6, 12)), int(10 ** rng.uniform(8, 12)), int(rng.integers(1, 40)), dp, pp, tp,
        int(rng.integers(0, 4)),
    )


def cases():
    return [
        case(10**9, 10**10, 1, 1, 1, 1, 0), case(7_500_000_000, 48 * 10**9, 16, 2, 4, 2, 1),
        case(10**9, 10**10, 8, 1, 1, 1, 3), case(10**9, 10**10, 12, 4, 3, 1, 0), case(10**9, 10**10, 2, 8, 4, 1, 2),
        case(175 * 10**9, 10**12, 64, 16, 8, 8, 1), case(10**10, 10**11, 4, 3, 5, 7, 3), *map(random_case, range(6)),
    ]


def _gives(**slip):
    """Whether the result is what the formulas give with this slip."""

    def applies(failure):
        wrong = expected(*failure.case.arguments[0], **slip)
        return failure.status is Status.INCORRECT and not difference(wrong, list(failure.actual(0)), RTOL)

    return applies


exercise = Exercise(
    title="Does it fit",
    function="memory_plan",
    points=4,
    cases=cases,
    hints=(
        "Begin with the parameters that a device is responsible for: the model's, over the stages and the parts.",
        "ZeRO divides by dp: the optimizer from stage 1, gradients from stage 2, parameters from stage 3. Replicas "
        "have the same parameters, so dp divides nothing else.",
        "The first stage keeps min(num_microbatches, pp) micro-batches at once, each with activation_bytes / (pp * "
        "tp).",
    ),
    slips=(
        Slip(
            "All micro-batches are kept here: this is GPipe. With 1F1B the first stage runs its first backward pass "
            "after one forward pass for each stage: min(num_microbatches, pp) are kept.",
            _gives(kept=lambda num, pp: num),
        ),
        Slip(
            "One micro-batch is kept here: this is the last stage. The first one waits until a micro-batch has been "
            "through all stages.",
            _gives(kept=lambda num, pp: 1),
        ),
        Slip(
            "There are fewer micro-batches than stages here: no more than there are can be kept.",
            _gives(kept=lambda num, pp: pp),
        ),
        Slip(
            "One too few is kept: the stage's own forward pass counts as well as those for the stages after it.",
            _gives(kept=lambda num, pp: min(num, max(1, pp - 1))),
        ),
        Slip(
            "ZeRO spreads the states over all ranks here, but stages and parts hold different parameters already: it "
            "spreads over dp alone.",
            _gives(over=lambda dp, pp, tp: dp * pp * tp),
        ),
        Slip(
            "The stages of ZeRO are the wrong way round: it begins with the optimizer's state, which is the largest.",
            _gives(zero=(1, 2, 3)),
        ),
        Slip("Gradients are spread from stage 2 on, not from stage 1.", _gives(zero=(3, 1, 1))),
        Slip("Parameters are spread at stage 3 alone.", _gives(zero=(2, 2, 1))),
        Slip(
            "Adam's state has 8 bytes a parameter here; the copy of the parameter in 32 bits takes 4 more.",
            _gives(optimizer=8),
        ),
        Slip(
            "Activations are not spread here: a stage keeps those of its own layers, a part of a layer its own part.",
            _gives(split=lambda pp, tp: 1),
        ),
        Slip("Activations are spread over tp as well as over pp.", _gives(split=lambda pp, tp: pp)),
        Slip(
            "Activations are divided by dp here: each replica has micro-batches of its own, and activation_bytes is "
            "of one.",
            _gives(replicas=True),
        ),
        Slip(
            "The states are right, the activations are not: how many micro-batches does the first stage keep, and what "
            "of each?",
            lambda f: f.status is Status.INCORRECT and len(f.actual(0)) == 4
            and not difference(f.case.expected[0]["return"][:3], list(f.actual(0)[:3]), RTOL),
        ),
        Slip(
            "The activations are right, the states are not. By hand, for the example: 7.5e9 x 2 / 8, twice, and "
            "7.5e9 x 12 / 8 / 2.",
            lambda f: f.status is Status.INCORRECT and len(f.actual(0)) == 4
            and not difference(f.case.expected[0]["return"][3], f.actual(0)[3], RTOL),
        ),
    ),
)
