"""Plans of pipelines: making, checking and simulating large ones, and searching, against the seconds they may take.

The results are checked first: bubbles of the textbooks for large plans, the Zero Bubble paper's rates for the search.
"""

import functools

from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison, Contention, seconds_of
from labkit.training.pipeline.published import ROWS
from labkit.training.pipeline.schedules import make_plan
from labkit.training.pipeline.search import search_zero_bubble
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.pipeline.token_slices import best_slices

LIMIT_S = 5.0
NUM_RANKS, NUM_MICROBATCHES, NUM_CHUNKS, ROUNDS = 64, 512, 4, 5
EVEN = StageTimes(2.0, 2.0, 2.0)


def within(function):
    """Seconds of some calls, against the seconds that one may take."""
    with Contention() as contention:
        samples = tuple(seconds_of(function) for _ in range(ROUNDS))
    return Comparison(samples, (LIMIT_S,) * ROUNDS, contention.busy)


def large(name):
    return simulate(make_plan(name, NUM_RANKS, NUM_MICROBATCHES, num_chunks=NUM_CHUNKS), EVEN)


def check_large(name):
    run = large(name)
    p, m, v = NUM_RANKS, NUM_MICROBATCHES, NUM_CHUNKS
    expected = {
        "gpipe": (p - 1) / m, "1f1b": (p - 1) / m, "interleaved": (p - 1) / (m * v), "zb-h1": (p - 1) * 2 / (m * 6),
        "zb-h2": (p - 1) * 2 / (m * 6),  # all of it because the ranks do not begin at once
    }[name]  # fmt: skip
    assert abs(run.bubble_of_ideal - expected) < 1e-9, f"bubble {run.bubble_of_ideal}, and the formula gives {expected}"


def search(row):
    return search_zero_bubble(
        row.num_stages, row.num_microbatches, row.times, memory_limit=2 * row.num_stages, weight_share=row.weight_share
    )


def check_search(row):
    rate = simulate(search(row).plan, row.times).bubble_rate
    assert round(rate, 4) <= row.rates[-1], f"bubble rate {rate:.4f}, and the paper has {row.rates[-1]}"


def slices():
    return best_slices(2048, lambda length, context: 1e-3 + 2e-5 * length + 1e-8 * length * context, 96, granularity=8)


def benchmarks():
    goal = Goal("<=", 1.0)
    for name in ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2"):
        ranks = f"{NUM_RANKS} x {NUM_CHUNKS}" if name == "interleaved" else NUM_RANKS
        yield Benchmark(
            f"simulate {name}, {ranks} x {NUM_MICROBATCHES}, {LIMIT_S:g} s", goal,
            functools.partial(within, functools.partial(large, name)), functools.partial(check_large, name),
        )
    for row in ROWS:
        yield Benchmark(
            f"search, {row.model}, {row.num_stages} x {row.num_microbatches}, {LIMIT_S:g} s", goal,
            functools.partial(within, functools.partial(search, row)), functools.partial(check_search, row),
        )
    yield Benchmark(f"slices of 2048 tokens, 96 stages, {LIMIT_S:g} s", goal, functools.partial(within, slices))
