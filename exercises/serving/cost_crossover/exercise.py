"""Lambda's bill in exact fractions, and the crossover by bisection of it."""

import math
from fractions import Fraction

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

RTOL = 1e-9
HOURS, USD_PER_GB_S, USD_PER_REQUEST = 730, 0.00001667, 0.20 / 1e6
FREE_GB_S, FREE_REQUESTS = 400_000, 1_000_000


def bill(num_requests, memory_mb, durations_ms):
    """What so many requests cost, as a fraction."""
    billed_ms = sum(-(-Fraction(d) // 1) for d in durations_ms) / Fraction(len(durations_ms))
    used = num_requests * Fraction(memory_mb, 1024) * billed_ms / 1000
    paid = max(Fraction(0), used - FREE_GB_S) * Fraction(1667, 10**8)
    return paid + max(Fraction(0), num_requests - FREE_REQUESTS) * Fraction(2, 10**7)


def expected(num_requests, memory_mb, durations_ms, instance_usd_per_hour):
    """The bill, and the crossover between two whole numbers that enclose it."""
    target, low, high = HOURS * Fraction(instance_usd_per_hour), 0, 1
    while bill(high, memory_mb, durations_ms) < target:
        low, high = high, 2 * high
    low, high = Fraction(low), Fraction(high)
    while high - low > high * Fraction(1, 10**12):
        middle = Fraction(int((low + high) * 2**49), 2**50)
        below = bill(middle, memory_mb, durations_ms) < target
        low, high = (middle, high) if below else (low, middle)
    return [float(bill(Fraction(num_requests), memory_mb, durations_ms)), float(high)]


def case(label, num_requests, memory_mb, durations_ms, instance_usd_per_hour):
    sample = np.array(durations_ms, dtype=np.float64)
    arguments = (num_requests, memory_mb, sample, instance_usd_per_hour)
    words = f"{label}: {num_requests} requests, {memory_mb} MB, about {sample.mean():.4g} ms"
    right = expected(num_requests, memory_mb, sample.tolist(), instance_usd_per_hour)
    return Case(words, (arguments,), ({"return": right},), rtol=RTOL, atol=1e-12)


def random_case(data_seed):
    """Some milliseconds to seconds, with cold starts among them, from nobody to thousands a second."""
    rng = np.random.default_rng([13, data_seed])
    size = int(rng.integers(1, 12))
    sample = 10 ** rng.uniform(-0.5, 3) * rng.lognormal(0, 0.3, size) + 2000.0 * (rng.random(size) < 0.1)
    memory = int(rng.choice([128, 256, 512, 1024, 1769, 3008, 10240]))
    return case(
        f"random service {data_seed}", int(10 ** rng.uniform(4, 9.5)), memory, sample,
        float(10 ** rng.uniform(-2, 0.5)),
    )


def cases():
    return [
        case("the example", 3_000_000, 512, [1000.0], 0.03),
        case("nobody comes", 0, 128, [20.0], 0.01),
        case("the free part is enough", 800_000, 128, [100.0, 200.0], 0.05),
        case("rounded up each", 50_000_000, 1024, [1.2, 2.2, 2.7, 5.0], 0.1),
        case("free seconds outlast the crossover", 20_000_000, 128, [3.5], 0.001),
        case("few and large", 300_000, 10240, [2500.0, 2500.0, 4000.0], 0.25),
        case("very short", 400_000_000, 256, [0.3, 0.4, 0.9], 0.2),
        case("free requests outlast the crossover", 900_000, 3008, [900.5], 0.03),
        *(random_case(seed) for seed in range(6)),
    ]


def _lines(gb_s, target, free_gb_s=FREE_GB_S, free_requests=FREE_REQUESTS, per_request=USD_PER_REQUEST):
    """Where the bill for memory, for requests, and for both reaches the target."""
    memory, number = (gb_s * USD_PER_GB_S, free_gb_s * USD_PER_GB_S), (per_request, free_requests * per_request)
    both = (memory[0] + number[0], memory[1] + number[1])
    return [(target + usd) / slope for slope, usd in (memory, number, both)]


def _answer(
    n, memory_mb, sample, usd_per_hour, *, mb=1024, billed=lambda d: np.ceil(d).mean(), hours=HOURS, choose=min,
    least=0.0, **prices,
):
    gb_s = memory_mb / mb * float(billed(sample)) / 1000
    free_gb_s, free_requests = prices.get("free_gb_s", FREE_GB_S), prices.get("free_requests", FREE_REQUESTS)
    usd = max(least, n * gb_s - free_gb_s) * USD_PER_GB_S
    usd += max(least, n - free_requests) * prices.get("per_request", USD_PER_REQUEST)
    return usd, choose(_lines(gb_s, hours * usd_per_hour, **prices))


def _is(wanted, actual):
    return not difference(wanted, actual, RTOL, 1e-12)


def _gives(**variant):
    """Whether both values, or the one that differs from the right one, are those of a variant of the answer."""

    def applies(failure):
        if failure.status is not Status.INCORRECT or len(failure.actual(0)) != 2:
            return False
        right, wrong = failure.case.expected[0]["return"], _answer(*failure.case.arguments[0], **variant)
        pairs = list(zip(right, wrong, failure.actual(0), strict=True))
        return all(_is(w, a) or _is(r, a) for r, w, a in pairs) and any(not _is(r, a) for r, _, a in pairs)

    return applies


def _wrong(index):
    """Whether this value, and this one alone, is wrong."""

    def applies(failure):
        same = [_is(r, a) for r, a in zip(failure.case.expected[0]["return"], failure.actual(0), strict=True)]
        return failure.status is Status.INCORRECT and not same[index] and same[1 - index]

    return applies


exercise = Exercise(
    title="When a machine of your own is cheaper",
    function="cost_crossover",
    points=4,
    cases=cases,
    hints=(
        "First what one request uses, in GB s: memory times time. The bill grows with the number of requests along a "
        "line with two bends. Where are they, and why?",
        "used = num_requests * gb_s, of which max(0, used - 400000) is paid; the same with requests. For the crossover "
        "there are three lines: memory alone is paid, requests alone are, or both. The bill is never below any of "
        "them, so it reaches the price of the instance where the first of the three does.",
        "gb_s = memory_mb / 1024 * np.mean(np.ceil(durations_ms)) / 1000\n"
        "bill = max(0, n * gb_s - 400000) * 0.00001667 + max(0, n - 1e6) * 0.2e-6\n"
        "a, b = gb_s * 0.00001667, 0.2e-6               # USD for each request more\n"
        "fa, fb = 400000 * 0.00001667, 0.2              # USD that are free\n"
        "min((usd + fa) / a, (usd + fb) / b, (usd + fa + fb) / (a + b))",
    ),
    slips=(
        Slip(
            "A GB has 1024 MB here, as it says in the table of arguments: 512 MB are 0.5 GB.",
            _gives(mb=1000),
        ),
        Slip(
            "The memory is missing: a GB s is a GB for a second, and half as much memory costs half as much.",
            lambda f: _gives(mb=f.case.arguments[0][1])(f),
        ),
        Slip(
            "Milliseconds were not rounded up: every request is billed by whole milliseconds.",
            _gives(billed=np.mean),
        ),
        Slip(
            "The mean was rounded up instead of the durations: 1.2 and 2.2 ms are billed as 2 and 3, on average 2.5 "
            "ms, and the mean 1.7 as 2.",
            _gives(billed=lambda d: math.ceil(d.mean())),
        ),
        Slip(
            "Rounded to the nearest millisecond, or down: every millisecond that has begun is billed, so round up.",
            lambda f: _gives(billed=lambda d: np.round(d).mean())(f) or _gives(billed=lambda d: np.floor(d).mean())(f),
        ),
        Slip(
            "Rounded up to 100 ms, as AWS did until 2020. Today it is one millisecond.",
            _gives(billed=lambda d: (np.ceil(d / 100) * 100).mean()),
        ),
        Slip(
            "The free part is missing: 400 000 GB s and a million requests cost nothing, every month.",
            _gives(free_gb_s=0, free_requests=0),
        ),
        Slip(
            "A million requests is free as well, not only the GB s.",
            _gives(free_requests=0),
        ),
        Slip(
            "400 000 GB s are free as well, not only the requests.",
            _gives(free_gb_s=0),
        ),
        Slip(
            "Less was used than is free, and the rest was subtracted: max(0, used - free), for each of the two parts.",
            _gives(least=-math.inf),
        ),
        Slip(
            "Here the bill reaches the price of the instance while one of the two parts is still free. Try all three "
            "lines, memory alone, requests alone and both, and take the smallest.",
            _gives(choose=lambda lines: lines[2]),
        ),
        Slip(
            "The largest of the three numbers: the bill is never below any of the lines, so it reaches the price where "
            "the first one does.",
            _gives(choose=max),
        ),
        Slip(
            "The requests themselves cost something as well: 0.20 USD per million.",
            lambda f: _gives(per_request=1e-30)(f),
        ),
        Slip(
            "The price is for a million requests: 0.20 / 1 000 000 USD for one.",
            lambda f: _gives(per_request=0.2)(f),
        ),
        Slip(
            "The instance is paid by the hour, and the bill is for a month of 730 hours.",
            lambda f: any(_gives(hours=hours)(f) for hours in (1, 24, 24 * 28, 24 * 30, 24 * 30.5, 24 * 31)),
        ),
        Slip(
            "The two results are exchanged: the bill first, then the crossover.",
            lambda f: f.status is Status.INCORRECT and _is(f.case.expected[0]["return"], list(f.actual(0))[::-1]),
        ),
        Slip(
            "The crossover need not be a whole number: leave it as it is.",
            lambda f: _wrong(1)(f) and abs(f.actual(0)[1] - f.case.expected[0]["return"][1]) <= 1,
        ),
        Slip(
            "The bill is not rounded to cents here.",
            lambda f: _wrong(0)(f) and abs(f.actual(0)[0] - f.case.expected[0]["return"][0]) <= 0.01,
        ),
        Slip(
            "The bill is right, the crossover is not. It does not depend on num_requests: it is the number for which "
            "the bill would be 730 x instance_usd_per_hour.",
            _wrong(1),
        ),
        Slip(
            "The crossover is right, the bill is not: calculate the example by hand, line by line.",
            _wrong(0),
        ),
        Slip(
            "Two values are wanted: the bill and the crossover.",
            lambda f: f.status is Status.INCORRECT and isinstance(f.actual(0), float),
        ),
    ),
)
