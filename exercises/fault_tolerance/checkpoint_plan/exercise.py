"""Young's interval and Daly's expected time, calculated with 60 digits."""

import math
from decimal import Decimal, localcontext

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

RTOL = 1e-9


def expected(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    """Both values; the time is infinity where no float holds it."""
    with localcontext() as context:
        context.prec, context.Emax = 60, 10**9
        work, write, restart, mtbf = map(Decimal, (work_s, write_s, restart_s, machine_mtbf_s))
        mtbf /= num_machines
        interval = min((2 * write * mtbf).sqrt(), work)
        time = work / interval * mtbf * (restart / mtbf).exp() * (((interval + write) / mtbf).exp() - 1)
        return [float(interval), float(time)]


def case(label, *arguments):
    """A job: work, write, restart, time between failures of a machine, machines."""
    return Case(
        f"{label}: " + ", ".join(f"{value:g}" for value in arguments), (arguments,),
        ({"return": expected(*arguments)},), rtol=RTOL,
    )


def random_case(data_seed):
    """A job of hours to weeks on up to a few thousand machines, that fails every few minutes to months."""
    rng = np.random.default_rng([11, data_seed])
    work, write, restart = (float(10 ** rng.uniform(*limits)) for limits in ((3.5, 6), (0, 2.3), (1, 3)))
    num_machines = int(10 ** rng.uniform(0, 3.5))
    machine_mtbf = float(10 ** rng.uniform(3.2, 7)) * num_machines
    return case(f"random job {data_seed}", work, write, restart, machine_mtbf, num_machines)


def cases():
    return [
        case("one machine", 10000.0, 20.0, 100.0, 4000.0, 1),
        case("two machines", 10000.0, 20.0, 100.0, 8000.0, 2),
        case("the example", 36000.0, 50.0, 300.0, 400000.0, 16),
        case("no restart", 7200.0, 8.0, 0.0, 90000.0, 9),
        case("less work than Young's interval", 300.0, 10.0, 60.0, 1e5, 2),
        case("machines that hardly ever fail", 100.0, 0.001, 5.0, 1e12, 1),
        case("far too many failures", 1e5, 3600.0, 10.0, 3600.0, 1000),
        *(random_case(seed) for seed in range(6)),
    ]


def _plan(work, write, restart, machine_mtbf, machines, *, mtbf=None, two=2, capped=True, power=math.expm1):
    mtbf = machine_mtbf / machines if mtbf is None else mtbf
    interval = math.sqrt(two * write * mtbf)
    interval = min(interval, work) if capped else interval
    return interval, work / interval * mtbf * math.exp(restart / mtbf) * power((interval + write) / mtbf)


def _gives(variant):
    """Whether the result is what ``variant(*arguments)`` gives."""

    def applies(failure):
        wrong = variant(*failure.case.arguments[0])
        return failure.status is Status.INCORRECT and not difference(list(wrong), failure.actual(0), RTOL)

    return applies


def _with_time(time):
    """The right interval, and ``time(interval, right time, M, *arguments)``."""

    def variant(*arguments):
        interval, right = _plan(*arguments)
        return interval, time(interval, right, arguments[3] / arguments[4], *arguments[:3])

    return variant


exercise = Exercise(
    title="How often to save",
    function="checkpoint_plan",
    points=3,
    cases=cases,
    hints=(
        "A hundred machines that each fail once in a hundred days: how often does one of them fail? This is the M of "
        "both formulas.",
        "M = machine_mtbf_s / num_machines. The interval is sqrt(2 * write_s * M), or the work if that is shorter. For "
        "a small x, math.expm1(x) has all digits of e**x - 1; for a large one it raises OverflowError.",
        "mtbf = machine_mtbf_s / num_machines\n"
        "interval = min(math.sqrt(2 * write_s * mtbf), work_s)\n"
        "piece = mtbf * math.exp(restart_s / mtbf) * math.expm1((interval + write_s) / mtbf), in a try\n"
        "return interval, work_s / interval * piece",
    ),
    slips=(
        Slip(
            "This is the time between failures of one machine. The job stops when any of its machines fails: with "
            "16 of them, 16 times as often.",
            _gives(lambda *a: _plan(*a, mtbf=a[3])),
        ),
        Slip(
            "More machines fail more often, and here the time between failures grows with them: divide by their "
            "number.",
            _gives(lambda *a: _plan(*a, mtbf=a[3] * a[4])),
        ),
        Slip(
            "The 2 under the root is missing. On average a failure costs half of an interval: so the lost work is "
            "interval / 2 per failure, and the best interval has twice the time to write under its root.",
            _gives(lambda *a: _plan(*a, two=1)),
        ),
        Slip(
            "The interval is longer than the whole work: then there is one checkpoint, at the end.",
            _gives(lambda *a: _plan(*a, capped=False)),
        ),
        Slip(
            "The time without any failure: work and checkpoints. What failures cost comes from the powers of e.",
            _gives(_with_time(lambda interval, right, mtbf, work, write, restart: work * (1 + write / interval))),
        ),
        Slip(
            "The restarts are missing: each failure costs restart_s, too.",
            _gives(_with_time(lambda interval, right, mtbf, work, write, restart: right / math.exp(restart / mtbf))),
        ),
        Slip(
            "A restart is added for every failure, but a restart may fail as well, and begins anew then: this is why "
            "it stands in a power of e.",
            _gives(_with_time(
                lambda interval, right, mtbf, work, write, restart:
                right / math.exp(restart / mtbf) * (1 + restart / mtbf)
            )),
        ),
        Slip(
            "The checkpoint takes time as well, and a failure while it is written loses the interval: the piece that "
            "has to go through is interval + write.",
            _gives(_with_time(
                lambda interval, right, mtbf, work, write, restart:
                right * math.expm1(interval / mtbf) / math.expm1((interval + write) / mtbf)
            )),
        ),
        Slip(
            "The number of intervals is rounded. In the formula work / interval stays as it is.",
            _gives(_with_time(
                lambda interval, right, mtbf, work, write, restart:
                right * math.ceil(work / interval) / (work / interval)
            )),
        ),
        Slip(
            "The two results are exchanged: the interval first, then the time.",
            _gives(lambda *a: _plan(*a)[::-1]),
        ),
        Slip(
            "exp(x) - 1 has lost its digits: exp of a small x is 1 and a little, and the little is rounded away. "
            "math.expm1(x) calculates the difference with all of them.",
            _gives(lambda *a: _plan(*a, power=lambda x: math.exp(x) - 1)),
        ),
        Slip(
            "This is the time alone. Two values are wanted: the interval, and the time with this interval.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0]["return"][1], f.actual(0), RTOL
            ),
        ),
        Slip(
            "The interval is right, the time is not. Calculate the example by hand: e^(300 / 25000) is 1.0121, "
            "e^(1631.1 / 25000) - 1 is 0.0674, and there are 22.768 pieces.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0]["return"][0], f.actual(0)[0], RTOL
            ),
        ),
        Slip(
            "Begin with the interval: in the example M is 400000 / 16 = 25000 s, and the root of 2 x 50 x 25000 is "
            "1581.1.",
            lambda f: f.status is Status.INCORRECT and len(f.actual(0)) == 2
            and bool(difference(f.case.expected[0]["return"][0], f.actual(0)[0], RTOL)),
        ),
        Slip(
            "The power of e is beyond all floats, and math raises OverflowError: the job never ends, its time is "
            "math.inf.",
            lambda f: f.status is Status.CRASHED and "OverflowError" in f.message + f.details,
        ),
    ),
)
