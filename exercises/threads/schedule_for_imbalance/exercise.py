"""Choosing a schedule: costs of many shapes, cheap and expensive chunks; no fixed choice is right everywhere."""

import numpy as np

from labkit.errors import UsageError
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.openmp.simulate import simulate_schedule

SLACK = 1.08
NOISE = 0.05
KINDS = ("static", "dynamic", "guided")


def shape_of(name, n, num_threads, rng):
    """Relative costs of n iterations."""
    k = np.arange(n)
    if name == "equal":
        return np.ones(n)
    if name == "rising":
        return 1.0 + k
    if name == "falling":
        return 1.0 * (n - k)
    if name == "peak at the end":
        return np.where(k >= n - n // 16, 30.0, 1.0)
    if name == "peak at the begin":
        return np.where(k < n // 16, 30.0, 1.0)
    if name == "every p-th is long":
        return np.where(k % num_threads == 0, 20.0, 1.0)
    return rng.pareto(1.5, n) + 0.1  # a few very long ones anywhere


def candidates(n):
    """All that are compared."""
    sizes = [2**k for k in range(max(n, 1).bit_length())]
    return ["static"] + [f"{kind},{size}" for kind in KINDS for size in sizes]


def best_of(costs, num_threads, chunk_s):
    """(duration in s, schedule) of the best."""
    return min(
        (simulate_schedule(s, costs, num_threads, chunk_s=chunk_s).duration_s, s) for s in candidates(len(costs))
    )


def case(name, n, num_threads, chunk_share, data_seed=0):
    """``chunk_share``: the time to take a chunk, as part of the work of a thread."""
    rng = np.random.default_rng([n, num_threads, data_seed])
    last = shape_of(name, n, num_threads, rng)
    last *= 1e-3 * num_threads / max(last.sum(), 1.0)  # 1 ms of work a thread
    following = last * (1 + NOISE * rng.uniform(-1, 1, n))
    chunk_s = 1e-3 * chunk_share

    def judge(results):
        chosen = results[0]["return"]
        if not isinstance(chosen, str):
            return f"{chosen!r} is returned: return a text such as 'dynamic,16'"
        try:
            run = simulate_schedule(chosen, following, num_threads, chunk_s=chunk_s)
        except UsageError as error:
            return str(error)
        best_s, best = best_of(following, num_threads, chunk_s)
        num_taken = 0 if run.schedule.is_static else run.num_chunks
        if run.duration_s <= SLACK * best_s:
            return ""
        return (
            f"{chosen!r} is returned: the loop takes {run.duration_s * 1e3:.3g} ms, and {best_s * 1e3:.3g} ms with "
            f"{best!r}; its load imbalance is {run.load_imbalance:.2f}, and {num_taken} chunks were taken for "
            f"{chunk_s * 1e6:.3g} us each"
        )

    return Case(
        f"{n} iterations, {name}, {num_threads} thread{'s' * (num_threads > 1)}, {chunk_s * 1e6:.3g} us a chunk",
        ((last, num_threads, chunk_s),), judge=judge,
    )


def cases():
    return [
        case("equal", 100, 2, 0.1), case("equal", 1000, 8, 0.2), case("rising", 200, 4, 0.002),
        case("falling", 200, 4, 0.002),
        case("rising", 1000, 8, 0.3), case("falling", 1000, 8, 0.05), case("peak at the end", 512, 4, 0.001),
        case("peak at the begin", 512, 8, 0.004), case("every p-th is long", 640, 8, 0.1),
        case("few long ones", 2000, 16, 0.0005),
        case("equal", 0, 4, 0.1), case("rising", 300, 1, 0.1), case("falling", 4096, 64, 0.01),
    ]


def _run(failure):
    """The answer's schedule on the costs that it was given."""
    costs, num_threads, chunk_s = failure.case.arguments[0]
    return simulate_schedule(failure.actual(0), costs, num_threads, chunk_s=chunk_s)


def _is_wrong_text(failure):
    return failure.status is Status.INCORRECT and isinstance(failure.actual(0), str)


def _is_slow_counter(failure):
    run = _run(failure)
    return _is_wrong_text(failure) and run.overhead_s.sum() > 0.07 * run.busy_s.sum()


exercise = Exercise(
    title="A schedule for an imbalanced loop",
    function="choose_schedule",
    points=5,
    cases=cases,
    hints=(
        "Two things cost time: threads that wait at the end because others got the longer iterations, and taking "
        "chunks. Small chunks help against the one and cost the other.",
        "Try: for each kind and for chunk sizes 1, 2, 4, ... calculate how long the loop would take with the costs "
        "of the last step, and take the best. Do not forget static, which pays nothing.",
        "best = min(candidates, key=lambda s: simulate_schedule(s, costs_s, num_threads, "
        "chunk_s=chunk_s).duration_s)\nwith candidates = ['static'] + [f'{kind},{size}' for ...] and size in 1, 2, "
        "4, ... up to len(costs_s)",
    ),
    slips=(
        Slip(
            "Return the schedule as a text, such as 'guided,4'.",
            lambda f: f.status is Status.INCORRECT and not isinstance(f.actual(0), str),
        ),
        Slip(
            "Taking the chunks costs more than it gains: take larger chunks, or a static schedule, which takes none.",
            _is_slow_counter,
        ),
        Slip(
            "static gives every thread equally many iterations, but they are not equally long. Deal them out in small "
            "chunks, round-robin or to whoever is free.",
            lambda f: _is_wrong_text(f) and f.actual(0) == "static",
        ),
        Slip(
            "Dealt out round-robin, some threads get more of the long iterations than others, by chance or because "
            "the dealing meets the rhythm of the costs. Use other chunks, or let free threads take them.",
            lambda f: _is_wrong_text(f) and f.actual(0).startswith("static,"),
        ),
        Slip(
            "The first chunks of guided are the longest, n/p iterations: where the long iterations come first, one "
            "thread is busy with them to the end.",
            lambda f: _is_wrong_text(f) and f.actual(0).startswith("guided"),
        ),
        Slip(
            "The last chunks are too long: while one thread is at such a chunk the others have nothing left. Take "
            "smaller ones.",
            lambda f: _is_wrong_text(f) and f.actual(0).startswith("dynamic"),
        ),
    ),
)
