"""TeraPipe: the slices against trying all of them; the formula against the simulation."""

import random
from itertools import combinations

import pytest

from labkit.errors import UsageError
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.pipeline.token_slices import best_slices, slices_time, token_slices


def _best_of_all(n, time_of, num_stages, m):
    best = float("inf")
    for number in range(n):
        for inner in combinations(range(1, n), number):
            ends = (0, *inner, n)
            times = [time_of(b - a, a) for a, b in zip(ends, ends[1:], strict=False)]
            best = min(best, m * sum(times) + (num_stages - 1) * max(times))
    return best


def test_the_best_of_all_slices():
    rng = random.Random(4)
    for trial in range(120):
        n, stages, m = rng.randint(1, 9), rng.randint(1, 8), rng.randint(1, 3)
        if trial % 2:
            places = [(length, at) for length in range(1, 10) for at in range(9)]
            table = {place: rng.choice([rng.random() + 0.1, rng.randint(1, 3)]) for place in places}
            time_of = lambda length, at, table=table: table[length, at]  # noqa: E731
        else:
            a, b, c = rng.random(), rng.random(), rng.random() / 5
            time_of = lambda length, at, a=a, b=b, c=c: a + b * length + c * length * (at + length / 2)  # noqa: E731
        found = best_slices(n, time_of, stages, num_microbatches=m)
        assert sum(found.lengths) == n
        starts = [sum(found.lengths[:k]) for k in range(len(found.lengths))]
        assert list(found.slice_s) == [time_of(*pair) for pair in zip(found.lengths, starts, strict=True)]
        assert found.total_s == pytest.approx(slices_time(found.slice_s, stages, m))
        assert found.total_s == pytest.approx(_best_of_all(n, time_of, stages, m)), trial


def test_the_formula_is_what_the_simulation_gives():
    rng = random.Random(2)
    for p, m in ((1, 1), (4, 1), (6, 2), (3, 5)):
        lengths = [rng.random() for _ in range(5)]
        backward = [rng.random() for _ in range(5)]
        plan = token_slices(p, m, 5)
        run = simulate(plan, StageTimes([lengths] * p, [backward] * p, 0.0))
        forward_ends = [end for a, end in zip(plan.actions[-1], run.end_s[-1], strict=True) if a.kind == "F"]
        assert max(forward_ends) == pytest.approx(slices_time(lengths, p, m))
        assert run.step_s == pytest.approx(slices_time(lengths, p, m) + slices_time(backward, p, m))


def test_granularity():
    time_of = lambda length, at: 1e-3 + 1e-5 * length + 1e-8 * length * at  # noqa: E731
    found = best_slices(2048, time_of, 24, granularity=16)
    assert all(length % 16 == 0 for length in found.lengths)
    assert list(found.lengths[:3]) == sorted(found.lengths[:3], reverse=True) and found.lengths[0] > found.lengths[-1]
    equal = [time_of(128, 128 * k) for k in range(16)]
    assert found.total_s < slices_time(equal, 24) and found.total_s < slices_time([time_of(2048, 0)], 24)
    coarse = best_slices(2048, time_of, 24, granularity=64)
    assert coarse.total_s >= found.total_s


def test_what_is_refused():
    with pytest.raises(UsageError, match="2048 = 682 x 3 \\+ 2"):
        best_slices(2048, lambda *at: 1.0, 4, granularity=3)
    with pytest.raises(UsageError, match="at least 2 "):
        best_slices(4096, lambda *at: 1.0, 4)
    with pytest.raises(UsageError, match="time_of\\(1, 0\\)"):
        best_slices(8, lambda *at: 0.0, 4)
    with pytest.raises(UsageError, match="num_slices"):
        token_slices(2, 2, 0)
