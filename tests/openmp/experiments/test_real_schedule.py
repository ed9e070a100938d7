"""Schedules on real threads: the chunks are those of the plan, and each is run once, by its thread, in its time."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.experiments import real_schedule
from labkit.openmp.experiments.real_schedule import MeasuredSchedule, measure_schedule
from labkit.openmp.profiles import cost_profile
from labkit.openmp.schedule import ANYONE, chunk_arrays
from labkit.openmp.simulate import simulate_schedule


@pytest.mark.parametrize("schedule", ["static", "static,3", "dynamic,5", "guided", "auto"])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_the_plan_is_what_is_run(schedule, p):
    costs_s = cost_profile("linear", 64, 2e-6)
    measured = measure_schedule(schedule, costs_s, p, num_rounds=2)
    run = measured.run
    starts, stops, owners = chunk_arrays(schedule, 64, p)
    assert run.starts.tolist() == starts.tolist() and run.stops.tolist() == stops.tolist()
    if ANYONE not in owners:
        assert run.thread_nums.tolist() == owners.tolist()
    assert set(run.thread_nums.tolist()) <= set(range(p))
    assert (run.taken_s <= run.begin_s).all() and (run.begin_s <= run.end_s).all()
    for thread in range(p):  # a thread does one chunk after the other
        mine = run.thread_nums == thread
        begin, end = np.sort(run.begin_s[mine]), np.sort(run.end_s[mine])
        assert (begin[1:] >= end[:-1]).all()
    assert measured.is_right and len(measured.durations_s) == 2 and min(measured.durations_s) == run.duration_s


def test_an_empty_loop():
    measured = measure_schedule("dynamic", [], 2)
    assert measured.run.num_chunks == 0 and measured.is_right


def test_dear_iterations_take_longer_than_cheap_ones():
    run = measure_schedule("static,1", [2e-3] + [1e-7] * 7, 1, num_rounds=3).run
    assert int(np.argmax(run.end_s - run.begin_s)) == 0


def test_speedup_is_measured_against_one_thread():
    run = simulate_schedule("static", [1.0] * 4, 2)
    measured = MeasuredSchedule(run, (2.0,), 3.0, 2, True)
    assert measured.speedup == 1.5 and measured.efficiency == 0.75


def test_wrong_results_are_noticed(monkeypatch):
    from labkit.openmp.team import Team, TracedLoop

    real = Team.parallel_for

    def wrong(team, *arguments, **options):
        given = real(team, *arguments, **options)
        return TracedLoop(given.result + 1, given.run) if isinstance(given, TracedLoop) else given

    monkeypatch.setattr(Team, "parallel_for", wrong)
    assert not measure_schedule("static", [1e-6] * 4, 2).is_right


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("static", [1.0], 0), "num_threads"), (("round", [1e-6], 2), "schedule"), (("static", [6.0], 2), "at most 5 s"),
     (("static", [-1.0], 2), "costs_s"), (("static", [np.nan], 2), "costs_s")],
)
def test_bad_input(arguments, words):
    with pytest.raises(UsageError, match=words):
        measure_schedule(*arguments)
    with pytest.raises(UsageError, match="num_rounds"):
        measure_schedule("static", [1e-6], 2, num_rounds=0)


def test_it_is_stopped_between_rounds():
    def stop(text):
        if "round 2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        real_schedule.measure_schedule("static", [1e-6], 2, num_rounds=9, progress=stop)
