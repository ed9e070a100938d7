"""Percentiles without coordinated omission, found by counting."""

import math

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

PERMILLE = (1, 100, 250, 500, 750, 900, 950, 990, 999, 1000)


def expected(scheduled, done, permille):
    """By the definition: the latencies are tried, the smallest first, and counted."""
    latency = [math.inf if math.isnan(end) else end - start for start, end in zip(scheduled, done, strict=True)]
    return [
        next(x for x in sorted(set(latency)) if 1000 * sum(other <= x for other in latency) >= p * len(latency))
        for p in permille
    ]


def case(label, scheduled, sent, done, permille=PERMILLE):
    arrays = [np.array(times, dtype=np.float64) for times in (scheduled, sent, done)]
    words = f"{label}, {len(arrays[0])} request{'s' * (len(arrays[0]) > 1)}"
    right = expected(arrays[0].tolist(), arrays[2].tolist(), permille)
    return Case(words, ((*arrays, list(permille)),), ({"return": right},), rtol=1e-12, atol=1e-12)


def one_client(label, num_requests, every_s, service_s, *, lost=(), shuffled=False, permille=PERMILLE):
    """A generator that waits for each answer before it sends the next: ``service_s(i)`` is how long answer i takes."""
    scheduled, sent, done, free = every_s * np.arange(num_requests), [], [], 0.0
    for i, at in enumerate(scheduled):
        sent.append(max(at, free))
        free = sent[-1] + service_s(i)
        done.append(math.nan if i in lost else free)
    order = np.random.default_rng(num_requests).permutation(num_requests) if shuffled else np.arange(num_requests)
    return case(label, *(np.array(times)[order] for times in (scheduled, sent, done)), permille)


def random_case(data_seed):
    """Poisson arrivals, exponential service, some requests lost, in any order."""
    rng = np.random.default_rng([12, data_seed])
    num_requests = int(rng.integers(2, 320))
    scheduled = np.cumsum(rng.exponential(0.01, num_requests))
    sent = scheduled + rng.exponential(0.02, num_requests) * (rng.random(num_requests) < 0.5)
    done = sent + rng.exponential(0.005, num_requests)
    done[rng.random(num_requests) < rng.choice([0, 0.002, 0.3])] = math.nan
    order = rng.permutation(num_requests)
    permille = sorted(rng.integers(1, 1001, 6).tolist())
    return case(f"random plan {data_seed}", scheduled[order], sent[order], done[order], permille)


def cases():
    return [
        case("five waits", [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [5, 2, 4, 7, 7], [1, 200, 201, 400, 500, 999, 1000]),
        one_client("every answer in time", 10, 1.0, lambda i: 0.25 + i / 64),
        one_client("a pause of two seconds", 30, 0.125, lambda i: 2.0 if i == 5 else 0.03125),
        case("the example", [0, 0.1, 0.2, 0.3], [0, 1.0, 1.0, 1.1], [1.0, 1.1, 1.2, math.nan], [250, 500, 750, 999]),
        case("one request", [3.0], [3.0], [3.5]),
        case("no answer at all", [0.0, 1.0], [0.0, 1.0], [math.nan, math.nan]),
        one_client("a slow server in any order", 41, 0.25, lambda i: 0.375, shuffled=True),
        one_client("every third is lost", 24, 0.5, lambda i: 0.125 * (i % 7), lost=range(0, 24, 3)),
        one_client("one of a thousand is lost", 1000, 0.015625, lambda i: (i * 7 % 1000) / 1e5, lost=(500,)),
        *(random_case(seed) for seed in range(6)),
    ]


def _latency(arguments, start=0, lost=math.inf):
    scheduled_or_sent, done = arguments[start], arguments[2]
    return np.where(np.isnan(done), lost, done - scheduled_or_sent)


def _ranked(latency, permille, rank=lambda p, n: -(-p * n // 1000) - 1):
    """The elements at ``rank(p, n)`` of the sorted latencies; the last one if that is beyond them."""
    latency, n = np.sort(latency), len(latency)
    return [float(latency[max(0, min(rank(p, n), n - 1))]) for p in permille]


def _interpolated(latency, permille):
    with np.errstate(invalid="ignore"):
        return np.percentile(latency, [p / 10 for p in permille])


def _gives(*variants):
    """Whether the result is what ``variant(arguments)`` gives, for one of them."""

    def applies(failure):
        return failure.status is Status.INCORRECT and any(
            not difference(list(variant(failure.case.arguments[0])), failure.actual(0), 1e-9, 1e-12)
            for variant in variants
        )

    return applies


def _answered(a, start=0):
    latency = _latency(a, start, math.nan)
    return latency[~np.isnan(latency)]


exercise = Exercise(
    title="Percentiles that leave nobody out",
    function="open_loop_percentiles",
    points=3,
    cases=cases,
    hints=(
        "Two questions: when did the user begin to wait, and how many of all users have waited no longer than x? One "
        "of the four arguments answers neither.",
        "Latencies are done_s - scheduled_s, with infinity where done_s is NaN. Sort them. The smallest that at least "
        "p thousandths of n do not exceed is the one with the number p n / 1000, rounded up, counted from 1.",
        "latency_s = np.sort(np.where(np.isnan(done_s), math.inf, done_s - scheduled_s))\n"
        "rank = -(-p * len(latency_s) // 1000)   # rounded up, in whole numbers\n"
        "float(latency_s[rank - 1])              # for each p of permille",
    ),
    slips=(
        Slip(
            "This lies between two latencies: np.percentile interpolates. By nearest rank it is a latency that "
            "occurred: sort, and take the one with the number p n / 1000, rounded up.",
            _gives(lambda a: _interpolated(_latency(a), a[3])),
        ),
        Slip(
            "This is the time from sending to the answer. The user was there at the scheduled time and has waited "
            "since then: what the generator sent late is missing. Count from scheduled_s.",
            _gives(
                lambda a: _ranked(_latency(a, 1), a[3]), lambda a: _ranked(_answered(a, 1), a[3]),
                lambda a: _interpolated(_latency(a, 1), a[3]), lambda a: _interpolated(_answered(a, 1), a[3]),
            ),
        ),
        Slip(
            "This is how late requests were sent: scheduled to sent. The user waits for the answer.",
            _gives(lambda a: _ranked(a[1] - a[0], a[3])),
        ),
        Slip(
            "Requests without an answer were left out, so the worst of all make the result better. They count as "
            "infinite latencies among all n requests.",
            _gives(
                lambda a: _ranked(_answered(a), a[3]), lambda a: _interpolated(_answered(a), a[3]),
                lambda a: _ranked(_answered(a), a[3], lambda p, n: -(-p * len(a[0]) // 1000) - 1),
            ),
        ),
        Slip(
            "A request without an answer counts as if it had taken no time. It has waited for ever: math.inf.",
            _gives(lambda a: _ranked(_latency(a, lost=0.0), a[3])),
        ),
        Slip(
            "There is NaN among the results: a request without an answer has the latency math.inf, which sorts and "
            "compares as a number.",
            lambda f: f.status is Status.INCORRECT and any(math.isnan(x) for x in f.actual(0)),
        ),
        Slip(
            "One too far: rank k, counted from 1, has the index k - 1.",
            _gives(lambda a: _ranked(_latency(a), a[3], lambda p, n: -(-p * n // 1000))),
        ),
        Slip(
            "The rank is rounded down. At least p thousandths of the requests have to be done, so p n / 1000 is "
            "rounded up; the index is one less, for indices begin with 0.",
            _gives(
                lambda a: _ranked(_latency(a), a[3], lambda p, n: p * n // 1000),
                lambda a: _ranked(_latency(a), a[3], lambda p, n: p * n // 1000 - 1),
                lambda a: _ranked(_latency(a), a[3], lambda p, n: p * (n - 1) // 1000),
            ),
        ),
        Slip(
            "The rank is rounded to the nearest whole number. Half of one request more is not \"at least\": round up.",
            _gives(
                lambda a: _ranked(_latency(a), a[3], lambda p, n: round(p * n / 1000) - 1),
                lambda a: _ranked(_latency(a), a[3], lambda p, n: round(p * (n - 1) / 1000)),
            ),
        ),
        Slip(
            "The latencies are not sorted: a percentile is about their order by size, not by time.",
            _gives(lambda a: [_latency(a)[-(-p * len(a[0]) // 1000) - 1] for p in a[3]]),
        ),
        Slip(
            "permille counts thousandths, not hundredths: 500 is the median.",
            lambda f: f.status is Status.CRASHED and any(
                word in f.message + f.details for word in ("out of bounds", "out of range", "range [0, 100]")
            ) or _gives(lambda a: _ranked(_latency(a), a[3], lambda p, n: -(-p * n // 100) - 1))(f),
        ),
        Slip(
            "The largest latency: it is the percentile of 1000 thousandths alone.",
            _gives(lambda a: [_latency(a).max()] * len(a[3])),
        ),
    ),
)
