"""Deadlocks: who waits for what, and programs that only look like one."""

import numpy as np
import pytest

from labkit.errors import DeadlockError, UsageError
from labkit.openmp.simulated_team import fibers
from labkit.openmp.simulated_team.constructs import barrier, critical_enter, critical_exit, thread_num
from labkit.openmp.simulated_team.team import SimulatedTeam


def some_only(team, number):
    if thread_num() < number:
        barrier(team)


def test_a_barrier_that_some_do_not_reach():
    report = SimulatedTeam(4).parallel(some_only, 3)
    assert report.deadlock.count("waits at a barrier (line ") == 3 and "thread 3 has left the region" in report.deadlock
    assert SimulatedTeam(4).parallel(some_only, 4).is_clean
    assert SimulatedTeam(4).parallel(some_only, 0).is_clean
    assert "threads 1, 2, 3 have left" in SimulatedTeam(4).parallel(some_only, 1).deadlock


def test_a_team_that_raises():
    team = SimulatedTeam(2, raises=True)
    with pytest.raises(DeadlockError, match="thread 0 waits at a barrier"):
        team.parallel(some_only, 1)
    assert team.report.deadlock and team.reports == [team.report]
    assert SimulatedTeam(2).parallel(some_only, 2).is_clean  # nothing is left over of the one before


def test_a_critical_section_that_is_never_left():
    def forgets(team):
        critical_enter(team)

    report = SimulatedTeam(3, seed=1).parallel(forgets)
    assert report.deadlock.count("waits for critical section 0, which thread") == 2
    assert SimulatedTeam(1).parallel(forgets).is_clean


def test_two_sections_in_opposite_order_hang_for_some_seeds():
    def crosswise(team):
        first, second = (0, 1) if thread_num() == 0 else (1, 0)
        critical_enter(team, first)
        critical_enter(team, second)
        critical_exit(team, second)
        critical_exit(team, first)

    found = [bool(SimulatedTeam(2, seed=seed).parallel(crosswise).deadlock) for seed in range(30)]
    assert any(found) and not all(found)


def test_entering_twice_waits_for_oneself():
    def twice(team):
        critical_enter(team)
        critical_enter(team)

    assert "which thread 0 is in" in SimulatedTeam(1).parallel(twice).deadlock


def test_several_barriers_in_a_row_let_all_through():
    def rounds(team, x):
        for k in range(5):
            if thread_num() == k % 3:
                x[0] += 1
            barrier(team)

    x = np.zeros(1)
    report = SimulatedTeam(3, seed=9).parallel(rounds, x)
    assert report.is_clean and x[0] == 5 and report.num_barriers == 5


def test_a_loop_that_looks_for_what_never_comes_ends(monkeypatch):
    monkeypatch.setattr(fibers, "MOST_STEPS", 1000)

    def looks(team, flag):
        while flag[0] == 0:
            pass

    with pytest.raises(UsageError, match="1000 steps were not enough"):
        SimulatedTeam(2).parallel(looks, np.zeros(1))


def test_bodies_that_catch_everything_are_ended_all_the_same():
    def stubborn(team):
        try:
            barrier(team)
        except BaseException:
            barrier(team)

    def some(team):
        if thread_num():
            stubborn(team)

    assert SimulatedTeam(3).parallel(some).deadlock
    assert SimulatedTeam(3).parallel(some_only, 3).is_clean
