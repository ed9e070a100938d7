"""Schedules on simulated threads, against a slow simulation that steps through its events."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.openmp.profiles import PROFILES, cost_profile, mandelbrot_steps
from labkit.openmp.schedule import chunks
from labkit.openmp.simulate import simulate_schedule
from labkit.trace.timeline import Timeline

TEXTS = ("static", "static,1", "static,3", "dynamic", "dynamic,4", "guided", "guided,3", "auto")
COSTS = st.lists(st.integers(0, 50), max_size=60)  # whole numbers, so that sums are exact


def slow_run(schedule, costs, p, chunk_s, start):
    """(start, stop, thread, begin, end) of each chunk: look at every thread, again and again."""
    plan, clocks, done = list(chunks(schedule, len(costs), p)), list(start), []
    while plan:
        thread = min(range(p), key=lambda t: clocks[t])
        if plan[0].thread_num is not None:
            thread, take_s = plan[0].thread_num, 0
        else:
            take_s = chunk_s
        chunk = plan.pop(0)
        begin = clocks[thread] + take_s
        clocks[thread] = begin + sum(costs[chunk.start : chunk.stop])
        done.append((chunk.start, chunk.stop, thread, begin, clocks[thread]))
    return done, clocks


@given(COSTS, st.integers(1, 12), st.sampled_from(TEXTS), st.integers(0, 9), st.data())
@settings(deadline=None, max_examples=300)
def test_who_executes_what_when(costs, p, schedule, chunk_s, data):
    start = data.draw(st.lists(st.integers(0, 20), min_size=p, max_size=p))
    run = simulate_schedule(schedule, costs, p, chunk_s=chunk_s, start_s=start)
    done, clocks = slow_run(schedule, costs, p, chunk_s, start)
    found = zip(run.starts, run.stops, run.thread_nums, run.begin_s, run.end_s, strict=True)
    assert [tuple(map(int, row)) for row in found] == done
    assert run.finish_s.tolist() == clocks and run.duration_s == max(clocks)
    assert (run.idle_s >= 0).all() and run.iterations_of_threads.sum() == len(costs)
    # All the time of all threads is start-up, taking chunks, iterations, and waiting.
    spent = run.start_s + run.overhead_s + run.busy_s + run.idle_s
    assert spent.tolist() == [run.duration_s] * p
    assert run.busy_s.sum() == sum(costs)


@given(COSTS.filter(sum), st.integers(1, 12), st.integers(1, 9))
@settings(deadline=None)
def test_grahams_bound_holds_for_dynamic(costs, p, k):
    run = simulate_schedule(f"dynamic,{k}", costs, p)
    longest = max(sum(costs[c.start : c.stop]) for c in chunks(f"dynamic,{k}", len(costs), p))
    assert max(sum(costs) / p, longest) <= run.duration_s + 1e-9
    assert run.duration_s <= sum(costs) / p + (1 - 1 / p) * longest + 1e-9
    assert run.speedup == pytest.approx(sum(costs) / run.duration_s)
    assert 0 < run.efficiency <= 1 + 1e-12


def test_numbers_worked_by_hand():
    run = simulate_schedule("static", [1, 2, 3, 6], 2)
    assert run.busy_s.tolist() == [3, 9] and run.load_imbalance == pytest.approx(9 / 6 - 1)
    assert run.idle_s.tolist() == [6, 0] and run.speedup == pytest.approx(12 / 9)
    run = simulate_schedule("dynamic", [4, 1, 1, 1], 2, chunk_s=0.5, start_s=1.0)
    assert run.thread_nums.tolist() == [0, 1, 1, 1] and run.taken_s.tolist() == [1, 1, 2.5, 4]
    assert run.duration_s == 5.5 and run.overhead_s.tolist() == [0.5, 1.5] and run.idle_s.tolist() == [0, 0]


def test_a_linear_loop_is_badly_balanced_by_blocks_and_well_by_small_chunks():
    costs = cost_profile("linear", 1000)
    blocks, cyclic = simulate_schedule("static", costs, 4), simulate_schedule("static,1", costs, 4)
    # The last quarter holds 7/16 of the area below a line.
    assert blocks.load_imbalance == pytest.approx(4 * 7 / 16 - 1, abs=2e-3)
    assert cyclic.load_imbalance < 0.01 and simulate_schedule("guided", costs, 4).load_imbalance < 0.02


@pytest.mark.parametrize("schedule", TEXTS)
def test_an_empty_loop_is_an_empty_run(schedule):
    run = simulate_schedule(schedule, [], 3, chunk_s=1.0, start_s=[0, 2, 1])
    assert run.num_chunks == 0 and run.duration_s == 2 and run.idle_s.tolist() == [2, 0, 1]
    assert run.load_imbalance == 0 and run.iterations_of_threads.tolist() == [0, 0, 0]
    assert [s.name for s in run.timeline().spans] == ["barrier", "barrier"]
    assert simulate_schedule(schedule, [], 3).speedup == 1 == simulate_schedule(schedule, [0.0], 3).speedup


def test_a_million_iterations_on_ten_thousand_threads():
    costs = cost_profile("random", 1_000_000, 1e-6)
    for schedule, p in (("dynamic", 64), ("guided", 10_000), ("static,1", 10_000)):
        run = simulate_schedule(schedule, costs, p, chunk_s=1e-8)
        assert run.iterations_of_threads.sum() == 1_000_000
        assert run.busy_s.sum() == pytest.approx(math.fsum(costs), rel=1e-9)
        assert costs.sum() / p <= run.duration_s <= costs.sum()


def test_the_timeline_tells_the_same():
    run = simulate_schedule("dynamic,2", [3e-6, 1e-6, 1e-6, 1e-6, 2e-6], 2, chunk_s=5e-7)
    timeline = run.timeline()
    assert timeline.num_ranks == 2 and timeline.duration_ns == round(run.duration_s * 1e9)
    assert [(s.rank, s.name, s.start_ns, s.end_ns) for s in timeline.spans] == [
        (0, "take a chunk", 0, 500), (0, "iterations 0-1", 500, 4500), (0, "barrier", 4500, 5000),
        (1, "take a chunk", 0, 500), (1, "iterations 2-3", 500, 2500), (1, "take a chunk", 2500, 3000),
        (1, "iterations 4-4", 3000, 5000),
    ]  # fmt: skip
    assert [s.waiting_ns for s in timeline.spans if s.kind == "wait"] == [500]
    assert sum(s.waiting_ns for s in timeline.spans) == 500


def test_a_timeline_is_saved_and_read_again(tmp_path):
    timeline = simulate_schedule("guided", cost_profile("random", 40), 3, chunk_s=1e-6).timeline()
    timeline.save(tmp_path / "loop.json")
    assert Timeline.load(tmp_path / "loop.json") == timeline
    with pytest.raises(UsageError, match="use the arrays of the run, or a larger chunk size"):
        simulate_schedule("dynamic", np.ones(300_000), 2).timeline()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dynamic", [1, -2.0], 2), "costs_s: all values are finite and 0 or more, but number 1 of 2 is -2"),
        (("dynamic", [1, float("nan")], 2), "number 1 of 2 is nan"), (("static", [float("inf")], 2), "is inf"),
        (("static", [[1.0]], 2), "its shape is (1, 1)"), (("static", ["a"], 2), "cannot be read as numbers"),
        (("static", [1e300, 1e300], 2), "longer than 9e+09 s"), (("static", [1.0], 0), "1 to 10000, not 0"),
        (("static", [1.0], 10_001), "not 10001"), (("static,0", [1.0], 2), "not 0"),
        (("static", [1.0], 2, {"chunk_s": -1}), "chunk_s is a time in s"),
        (("dynamic", [1.0], 2, {"chunk_s": "a"}), "not 'a'"),
        (("static", [1.0], 2, {"start_s": float("nan")}), "start_s is a time"),
        (("static", [1.0], 2, {"start_s": [1, 2, 3]}), "3 were given for 2 threads"),
        (("static", [1.0], 2, {"start_s": [1, -2]}), "number 1 of 2 is -2"),
    ],
)  # fmt: skip
def test_bad_input(arguments, words):
    *arguments, options = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    with pytest.raises(UsageError) as caught:
        simulate_schedule(*arguments, **options)
    assert words in str(caught.value)


# -- profiles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_have_their_mean(name):
    for n in (1, 2, 7, 5000):
        costs = cost_profile(name, n, 3e-6)
        assert costs.shape == (n,) and costs.mean() == pytest.approx(3e-6) and (costs >= 0).all()
    assert cost_profile(name, 0).shape == (0,)
    assert (cost_profile(name, 9, seed=1) == cost_profile(name, 9, seed=1)).all()
    for arguments in ((name, -1), (name, 2.5), (name, 10, float("nan")), (name, 10, -1.0), ("none", 3)):
        with pytest.raises(UsageError):
            cost_profile(*arguments)


def test_rows_of_the_mandelbrot_set_cost_what_their_points_need():
    def steps(c):  # the definition, point by point
        z = 0
        for number in range(64):
            z = z * z + c
            if abs(z) > 2:
                return number + 1
        return 64

    rows = [sum(steps(complex(x, y)) for x in np.linspace(-2, 0.6, 48)) for y in np.linspace(-1.2, 1.2, 31)]
    assert mandelbrot_steps(31).tolist() == rows
    assert max(rows) > 5 * min(rows)  # which is why it is looked at
