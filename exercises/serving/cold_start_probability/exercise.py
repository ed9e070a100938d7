"""Environments by events: who becomes idle, who arrives, who is removed."""

import heapq
import math

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

RTOL = 1e-9
BECOMES_IDLE, ARRIVES, EXPIRES = range(3)  # in this order at one moment


def expected(arrivals, warm, cold, keep_alive, observed):
    """By a queue of events and a stack of idle environments, each with the number of its rest."""
    events, idle, is_cold, num_rests = [(t, ARRIVES, i) for i, t in enumerate(arrivals)], [], [], 0
    heapq.heapify(events)
    while events:
        now, kind, number = heapq.heappop(events)
        if kind == BECOMES_IDLE:
            idle.append(number)
            heapq.heappush(events, (now + keep_alive, EXPIRES, number))
        elif kind == EXPIRES:
            idle = [rest for rest in idle if rest != number]
        else:
            is_cold.append(not idle)
            if idle:
                idle.pop()
            num_rests += 1
            heapq.heappush(events, (now + (cold if is_cold[-1] else warm), BECOMES_IDLE, num_rests))
    return is_cold, math.e ** -(len(arrivals) * keep_alive / observed)


def case(label, arrivals, warm=5, cold=40, keep_alive=120, observed=None):
    arrivals = sorted(int(t) for t in arrivals)
    arguments = (arrivals, warm, cold, keep_alive, observed or max(arrivals, default=0) + 50)
    plural = "s" * (len(arrivals) != 1)
    words = f"{label}: {len(arrivals)} request{plural}, warm {warm}, cold {cold}, keep alive {keep_alive}"
    return Case(words, (arguments,), ({"return": expected(*arguments)},), rtol=RTOL, atol=1e-15)


def random_case(data_seed):
    """Arrivals at random, in bursts now and then, so that about a third are cold."""
    rng = np.random.default_rng([14, data_seed])
    size = int(rng.integers(20, 250))
    gaps = rng.exponential(rng.uniform(5, 60), size) * rng.choice([0, 1, 6], size, p=[0.3, 0.6, 0.1])
    warm = int(rng.integers(1, 40))
    return case(
        f"random arrivals {data_seed}", np.cumsum(gaps), warm, warm + int(rng.integers(0, 120)),
        int(rng.integers(20, 200)), int(gaps.sum()) + int(rng.integers(1, 500)),
    )


def cases():
    return [
        case("one after the other", [0, 50, 100, 150, 200]),
        case("a long pause", [0, 100, 150, 400, 450, 700]),
        case("the example", [0, 10, 100, 103, 260], observed=400),
        case("at the same time", [0, 0, 0, 60, 60, 60, 60, 400]),
        case("the last used one first", [0, 1, 100, 150, 200, 203, 260, 330, 333], keep_alive=100),
        case("idle at the very moment", [0, 40, 45, 50, 52]),
        case("idle for exactly so long", [0, 160, 285, 411], keep_alive=120),
        case("nobody", [], observed=1000),
        case("removed at once", [0, 40, 45, 51, 91], keep_alive=0),
        case("a cold start as short as a warm one", [0, 3, 6, 9, 30, 33, 36, 200], 7, 7, 60),
        *(random_case(seed) for seed in range(6)),
    ]


def _simulate(
    arrivals, warm, cold, keep_alive, observed, *, choose=max, one=False, from_start=False, free=lambda m, t: m <= t,
    alive=lambda idle, keep: idle <= keep, same=None,
):
    """A simulation with one thing changed; an environment is (idle from, busy from)."""
    environments, result = [], []
    for t in arrivals:
        environments = [e for e in environments if alive(t - e[from_start], keep_alive)]
        idle = [e for e in environments if free(e[0], t)]
        result.append(not idle)
        if idle:
            environments.remove(choose(idle))
        elif one:
            environments.clear()
        busy = warm if idle else cold
        environments.append((t + (busy if same is None else (warm, cold)[same]), t))
    return result


def _cold_is(**variant):
    """Whether the list is that of a simulation with one thing changed."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        found, right = failure.actual(0)[0], failure.case.expected[0]["return"][0]
        wrong = _simulate(*failure.case.arguments[0], **variant)
        return wrong != right and not difference(wrong, found)

    return applies


def _poisson_is(variant):
    """Whether only the formula is wrong, and gives ``variant(number, keep_alive, observed, arrivals)``."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        arrivals, _, _, keep_alive, observed = failure.case.arguments[0]
        (cold, right), (found, value) = failure.case.expected[0]["return"], failure.actual(0)
        wrong = variant(len(arrivals), keep_alive, observed, arrivals)
        return not difference(cold, found) and bool(difference(right, value, RTOL, 1e-15)) and not difference(
            wrong, value, RTOL, 1e-15
        )

    return applies


exercise = Exercise(
    title="Who meets a cold start",
    function="cold_start_probability",
    points=4,
    cases=cases,
    hints=(
        "What do you have to know of an environment to say whether it can take a request? One number is enough.",
        "Keep a list of the moments at which environments become idle. At an arrival, first drop those that have been "
        "idle for longer than keep_alive_ms, then look for those that are not after the arrival. The largest of these "
        "takes the request: replace it. If there are none, add a new one.",
        "idle_from = [m for m in idle_from if arrival - m <= keep_alive_ms]\n"
        "idle = [m for m in idle_from if m <= arrival]\n"
        "cold.append(not idle)\n"
        "if idle: idle_from.remove(max(idle))\n"
        "idle_from.append(arrival + (warm_ms if idle else cold_ms))\n"
        "math.exp(-len(arrivals_ms) / observed_ms * keep_alive_ms)",
    ),
    slips=(
        Slip(
            "The keep-alive time counts from the arrival here. It begins when the environment becomes idle.",
            _cold_is(from_start=True),
        ),
        Slip(
            "A request that arrives while the environment is busy needs another one: here everything waits for one "
            "environment, or looks at the last request alone.",
            lambda f: any(_cold_is(**variant)(f) for variant in (
                {"one": True, "free": lambda m, t: True}, {"one": True}, {"free": lambda m, t: True},
                {"free": lambda m, t: True, "from_start": True},
                {"free": lambda m, t: True, "from_start": True, "one": True},
            )),
        ),
        Slip(
            "The oldest idle environment takes the request here. It is the one that became idle last: so a few stay "
            "warm, and the others are removed.",
            _cold_is(choose=min),
        ),
        Slip(
            "Every request takes cold_ms here. A warm one takes warm_ms.",
            _cold_is(same=1),
        ),
        Slip(
            "Environments are never removed: after keep_alive_ms of rest, they are.",
            _cold_is(alive=lambda idle, keep: True),
        ),
        Slip(
            "An environment that has been idle for exactly keep_alive_ms is still there: it is removed after longer "
            "than that.",
            _cold_is(alive=lambda idle, keep: idle < keep),
        ),
        Slip(
            "An environment that becomes idle at the very moment of an arrival can take the request: <=, not <.",
            _cold_is(free=lambda m, t: m < t),
        ),
        Slip(
            "A cold request keeps its environment busy for cold_ms: until then nobody else can use it.",
            _cold_is(same=0),
        ),
        Slip(
            "The list says the opposite: True is for a cold start.",
            lambda f: f.status is Status.INCORRECT and bool(f.actual(0)[0]) and not difference(
                [not x for x in f.case.expected[0]["return"][0]], f.actual(0)[0]
            ),
        ),
        Slip(
            "The first request is always cold: there is no environment yet.",
            lambda f: f.status is Status.INCORRECT and len(f.actual(0)[0]) > 0 and not f.actual(0)[0][0],
        ),
        Slip(
            "This is the share of cold requests. Wanted is the list, one truth value for each request: the share is "
            "easily made from it.",
            lambda f: f.status is Status.INCORRECT and isinstance(f.actual(0)[0], float),
        ),
        Slip(
            "This is the probability that somebody comes within the keep-alive time, and the environment stays warm. A "
            "cold start is the opposite.",
            _poisson_is(lambda n, keep, observed, arrivals: -math.expm1(-n / observed * keep)),
        ),
        Slip(
            "The rate is the number of arrivals divided by observed_ms, not by the time from the first to the last.",
            lambda f: len(f.case.arguments[0][0]) > 1 and any(_poisson_is(
                lambda n, keep, observed, arrivals, m=m: math.exp(-(n - m) / (arrivals[-1] - m * arrivals[0]) * keep)
            )(f) for m in (0, 1)),
        ),
        Slip(
            "The rate is upside down: requests divided by time.",
            _poisson_is(lambda n, keep, observed, arrivals: math.exp(-observed / n * keep)),
        ),
        Slip(
            "This is the simulated share. The second value comes from the formula, whatever the simulation says.",
            lambda f: len(f.case.arguments[0][0]) > 0 and _poisson_is(
                lambda *_: sum(f.case.expected[0]["return"][0]) / len(f.case.arguments[0][0])
            )(f),
        ),
        Slip(
            "There may be no arrivals at all: the rate is 0 then, the list is empty, and the formula gives 1.",
            lambda f: f.status is Status.CRASHED and f.case is not None and not f.case.arguments[0][0],
        ),
    ),
)
