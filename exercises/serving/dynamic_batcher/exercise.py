"""Batches by a clock that jumps from one moment at which something may happen to the next."""

import heapq
from itertools import pairwise

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def expected(arrivals, max_batch, max_wait, fixed, row):
    """By a queue and a clock: at each moment first who arrives, then whether a batch starts."""
    moments = sorted({*arrivals, *(t + max_wait for t in arrivals)})
    coming, waiting, free, batches = list(reversed(arrivals)), [], 0, []
    while moments:
        now = heapq.heappop(moments)
        while coming and coming[-1] <= now:
            waiting.append(coming.pop())
        if free <= now and waiting and (len(waiting) >= max_batch or now - waiting[0] >= max_wait):
            taken, waiting = waiting[:max_batch], waiting[max_batch:]
            free = now + fixed + row * len(taken)
            heapq.heappush(moments, free)
            batches.append((now, len(taken)))
    return batches


def case(label, arrivals, max_batch=3, max_wait=50, fixed=100, row=10):
    arrivals = sorted(int(t) for t in arrivals)
    arguments = (arrivals, max_batch, max_wait, fixed, row)
    words = f"{len(arrivals)} request{'s' * (len(arrivals) != 1)}, at most {max_batch}, waiting {max_wait}"
    return Case(f"{label}: {words}", (arguments,), ({"return": expected(*arguments)},))


def random_case(data_seed):
    """Arrivals from rare to far too many, in bursts now and then."""
    rng = np.random.default_rng([15, data_seed])
    size, max_batch = int(rng.integers(10, 200)), int(rng.integers(1, 12))
    fixed, row = int(rng.integers(1, 150)), int(rng.integers(0, 20))
    gap = (fixed / max_batch + row) * 10 ** rng.uniform(-0.7, 1)
    gaps = rng.exponential(gap, size) * rng.choice([0, 1, 4], size, p=[0.25, 0.6, 0.15])
    return case(
        f"random arrivals {data_seed}", np.cumsum(gaps), max_batch, int(rng.integers(0, 150)), fixed, row,
    )


def cases():
    return [
        case("rare requests", [0, 300, 700]),
        case("two that wait for a third", [0, 30, 300, 345, 600]),
        case("a full batch", [0, 10, 20, 400, 405, 410]),
        case("the example", [0, 20, 200, 205, 210, 215, 220, 500]),
        case("more than one batch at the same time", [5] * 8),
        case("while the model works", [0, 1, 2, 40, 130, 131, 135, 260, 275]),
        case("at the very moment", [0, 50, 400, 410, 450, 800, 850], 4),
        case("nobody", []),
        case("one by one", [0, 5, 50, 400], 1, 70, 20, 3),
        case("no waiting", [0, 1, 30, 90, 120, 121, 122], 3, 0, 40, 5),
        case("free at the very moment of the limit", [0, 1, 2, 80, 100, 130, 131], 3, 50, 100, 10),
        *(random_case(seed) for seed in range(7)),
    ]


def _batches(
    arrivals, max_batch, max_wait, fixed, row, *, busy=True, when=None, before=lambda t, s: t <= s, lose=False,
    work=lambda fixed, row, k: fixed + row * k, content=None,
):
    """The batches of a batcher with one thing changed; ``when(arrivals, first, full, limit, free)`` says the start."""
    batches, first, free, n = [], 0, 0, len(arrivals)
    while first < n:
        if lose and batches and arrivals[first] < free:
            first += 1
            continue
        last = first + max_batch - 1
        full, limit = arrivals[last] if last < n else float("inf"), arrivals[first] + max_wait
        ready = min(full, limit)
        start = max(free if busy else 0, ready) if when is None else when(arrivals, first, full, limit, free)
        until = start if content is None else content(ready, start)
        count = 1
        while first + count < n and before(arrivals[first + count], until) and count < max_batch:
            count += 1
        batches.append((start, count))
        first, free = first + count, start + work(fixed, row, count)
    return batches


def _from_the_last(max_wait, max_batch):
    """The timer begins anew with each request."""

    def when(arrivals, first, full, limit, free):
        end = first
        while end + 1 < len(arrivals) and end + 1 < first + max_batch and arrivals[end + 1] <= max(
            free, arrivals[end] + max_wait
        ):
            end += 1
        return max(free, min(full, arrivals[end] + max_wait))

    return when


def _gives(variant):
    """Whether the result is what ``variant(*arguments)`` gives, and that is not right."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        wrong = variant(*failure.case.arguments[0])
        return bool(difference(failure.case.expected[0]["return"], wrong)) and not difference(wrong, failure.actual(0))

    return applies


def _variant(**options):
    return _gives(lambda *a: _batches(*a, **options))


def _when(make):
    """A start of ``make(arrivals, first, full, limit, free, *limits)``."""
    return _gives(lambda *a: _batches(*a, when=lambda *state: make(*state, *a[1:])))


def _served(failure):
    return sum(count for _, count in failure.actual(0))


def _starts_while_busy(failure):
    _, _, _, fixed, row = failure.case.arguments[0]
    pairs = pairwise(failure.actual(0))
    return any(start + fixed + row * count > following for (start, count), (following, _) in pairs)


TWO_AT_ONCE = (
    "Two batches are in the model at the same time: it works on one after the other. A batch never starts before the "
    "one before it is done."
)

exercise = Exercise(
    title="A dynamic batcher",
    function="dynamic_batcher",
    points=5,
    cases=cases,
    hints=(
        "Look at the first request that is still in the queue. Three moments decide when its batch starts: one of the "
        "model, one of this request, and one of another request. Which?",
        "The batch is full when request first + max_batch - 1 arrives (never, if there is no such request). The first "
        "has waited long enough at arrivals_us[first] + max_wait_us. The earlier of the two counts, but not before the "
        "model is free. Then count who has arrived by this start, up to max_batch.",
        "full_us = arrivals_us[last] if last < len(arrivals_us) else math.inf\n"
        "start_us = max(free_us, min(full_us, arrivals_us[first] + max_wait_us))\n"
        "while count < max_batch and first + count < len(arrivals_us) and arrivals_us[first + count] <= start_us:\n"
        "    count += 1\n"
        "batches.append((start_us, count))\n"
        "first, free_us = first + count, start_us + fixed_us + count * row_us",
    ),
    slips=(
        Slip(
            "The time to wait begins anew with every request here. It counts from the first of the batch: otherwise a "
            "steady stream makes the first one wait until the batch is full.",
            _gives(lambda *a: _batches(*a, when=_from_the_last(a[2], a[1]))),
        ),
        Slip(
            "The last batch is missing: its requests still wait when no more arrive, and have to be answered as well.",
            lambda f: f.status is Status.INCORRECT and not difference(f.case.expected[0]["return"][:-1], f.actual(0))
            and len(f.case.expected[0]["return"]) > 0,
        ),
        Slip(
            "The last batch starts too early: that nobody will come any more is something that only you know. The "
            "batcher waits until its time is over.",
            _when(lambda arrivals, first, full, limit, free, *_: max(free, min(full, limit, arrivals[-1]))),
        ),
        Slip(
            "Nobody waits here: a batch starts as soon as the model is free and somebody is there. It is to wait for "
            "others, until it is full or the first has waited for max_wait_us.",
            _when(lambda arrivals, first, full, limit, free, *_: max(free, arrivals[first])),
        ),
        Slip(
            "A batch that is full starts at once: it need not wait for the limit.",
            _when(lambda arrivals, first, full, limit, free, *_: max(free, limit)),
        ),
        Slip(
            "A batch waits until it is full, however long this takes. After max_wait_us it starts with those who are "
            "there.",
            _when(lambda arrivals, first, full, limit, free, max_batch, *_: max(
                free, arrivals[min(first + max_batch, len(arrivals)) - 1]
            )),
        ),
        Slip(
            "The requests begin to wait anew when the model becomes free. They have waited since they arrived.",
            _when(lambda arrivals, first, full, limit, free, max_batch, max_wait, *_: max(
                free, min(full, max(free, arrivals[first]) + max_wait)
            )),
        ),
        Slip(
            "Requests that arrived while the model worked are lost. They wait in the queue, and each has to be in a "
            "batch.",
            lambda f: _variant(lose=True)(f) or f.status is Status.INCORRECT
            and _served(f) < len(f.case.arguments[0][0]),
        ),
        Slip(
            "Requests are in more than one batch: what a batch has taken is no longer in the queue.",
            lambda f: f.status is Status.INCORRECT and _served(f) > len(f.case.arguments[0][0]),
        ),
        Slip(
            "A batch has more requests than max_batch. The rest stay in the queue for the next one.",
            lambda f: f.status is Status.INCORRECT
            and max(count for _, count in f.actual(0)) > f.case.arguments[0][1],
        ),
        Slip(
            "A batch has no requests: only somebody who waits can start one.",
            lambda f: f.status is Status.INCORRECT and min(count for _, count in f.actual(0)) < 1,
        ),
        Slip(
            "The content of a batch is fixed too early: while it still waits for the model, more requests arrive, and "
            "there is room for them. Take who is there at the start.",
            _variant(content=lambda ready, start: ready),
        ),
        Slip(
            "A request that arrives at the very moment of the start is part of the batch: <=, not <.",
            _variant(before=lambda t, s: t < s),
        ),
        Slip(TWO_AT_ONCE, _variant(busy=False)),
        Slip(
            "A batch takes fixed_us and row_us for each of its requests.",
            lambda f: any(_variant(work=work)(f) for work in (
                lambda fixed, row, k: fixed, lambda fixed, row, k: row * k, lambda fixed, row, k: fixed + row,
                lambda fixed, row, k: (fixed + row) * k,
            )),
        ),
        Slip(TWO_AT_ONCE, _starts_while_busy),
        Slip(
            "The number of requests in each batch is right, the moments are not. Which of the three decides here: "
            "full, waited long enough, or the model free?",
            lambda f: f.status is Status.INCORRECT
            and [c for _, c in f.actual(0)] == [c for _, c in f.case.expected[0]["return"]],
        ),
        Slip(
            "There may be no requests: then there are no batches, and the result is an empty list.",
            lambda f: f.status is Status.CRASHED and f.case is not None and not f.case.arguments[0][0],
        ),
        Slip(
            "This looks for a request behind the last one: the last batch may never be full.",
            lambda f: f.status is Status.CRASHED and "IndexError" in f.message + f.details,
        ),
    ),
)
