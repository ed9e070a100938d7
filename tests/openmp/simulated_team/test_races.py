"""Races: exactly the pairs of accesses that nothing orders, whoever was faster."""

import inspect
import random

import numpy as np
import pytest

from labkit.openmp.simulated_team.constructs import (
    atomic_add,
    barrier,
    critical_enter,
    critical_exit,
    load,
    num_threads,
    single,
    static_block,
    store,
    thread_num,
)
from labkit.openmp.simulated_team.team import SimulatedTeam


def random_program(rng, with_locks):
    """By thread and phase: (is a write, lock or None) on one element."""
    num, phases = rng.randint(2, 4), rng.randint(1, 3)
    return [
        [
            [
                (rng.random() < 0.3, rng.choice([None, 0, 1]) if with_locks else None)
                for _ in range(rng.choice([0, 0, 1, 2]))
            ]
            for _ in range(phases)
        ]
        for _ in range(num)
    ]


def execute(program, seed):
    def body(team, x):
        for phase in program[thread_num()]:
            for is_write, lock in phase:
                if lock is not None:
                    critical_enter(team, lock)
                if is_write:
                    x[0] = 1.0
                else:
                    x[0]
                if lock is not None:
                    critical_exit(team, lock)
            barrier(team)

    return SimulatedTeam(len(program), seed=seed).parallel(body, np.zeros(1))


def has_race(program):
    """By the definition: different threads, the same phase, a write among the two, no common lock."""
    for one, mine in enumerate(program):
        for theirs in program[one + 1 :]:
            for phase, other in zip(mine, theirs, strict=True):
                for is_write, lock in phase:
                    for is_write_too, other_lock in other:
                        if (is_write or is_write_too) and (lock is None or lock != other_lock):
                            return True
    return False


def test_between_barriers_races_are_found_on_every_run():
    rng, found = random.Random(1), []
    for number in range(300):
        program = random_program(rng, with_locks=False)
        found.append(has_race(program))
        report = execute(program, seed=number)
        assert bool(report.races) == found[-1], program
        assert not report.deadlock
    assert 60 < sum(found) < 240


def test_with_critical_sections_none_is_invented_and_some_run_finds_each():
    rng, found = random.Random(2), []
    for _ in range(120):
        program = random_program(rng, with_locks=True)
        found.append(has_race(program))
        runs = [bool(execute(program, seed).races) for seed in range(25)]
        assert any(runs) == found[-1], program
    assert 25 < sum(found) < 110


def lost_update(team, x, total):
    start, stop = static_block(x.size)
    for i in range(start, stop):
        total[0] += x[i]


LINE = inspect.getsourcelines(lost_update)[1] + 3


def test_a_race_names_both_threads_their_lines_and_the_element():
    report = SimulatedTeam(2, seed=5).parallel(lost_update, np.ones(8), np.zeros(1))
    race = report.races[0]
    assert {race.first.thread_num, race.second.thread_num} == {0, 1}
    assert (race.first.line, race.second.line, race.element) == (LINE, LINE, "total[0]")
    assert race.first.source == "total[0] += x[i]" and "writes" in (race.first.kind, race.second.kind)
    assert f"thread {race.second.thread_num} {race.second.kind} total[0] in line {LINE}" in str(report)


def test_updates_are_lost_for_some_seed_and_the_race_is_found_for_all():
    totals = []
    for seed in range(20):
        total = np.zeros(1)
        assert SimulatedTeam(3, seed=seed).parallel(lost_update, np.ones(9), total).races
        totals.append(total[0])
    assert min(totals) < 9 and len(set(totals)) > 2
    for p in (1, 2):  # one thread alone has no race; with two elements to each of two it has, lost or not
        assert bool(SimulatedTeam(p).parallel(lost_update, np.ones(4), np.zeros(1)).races) == (p > 1)


def test_a_right_value_does_not_hide_a_race():
    def writes_the_same(team, flag):
        flag[0] = 1.0

    flag = np.zeros(1)
    report = SimulatedTeam(4).parallel(writes_the_same, flag)
    assert flag[0] == 1 and report.races and not report.is_clean


def test_the_same_seed_gives_the_same_run():
    def run(seed):
        total = np.zeros(1)
        report = SimulatedTeam(4, seed=seed, num_recorded=500).parallel(lost_update, np.arange(12.0), total)
        return total[0], report.steps

    assert run(3) == run(3)
    assert run(3)[1] != run(4)[1]


def test_atomic_additions_do_not_race_with_each_other_but_with_plain_ones():
    def all_atomic(team, total):
        atomic_add(total, 0, 1.0)

    def one_plain(team, total):
        if thread_num() == 0:
            total[0] += 1
        else:
            atomic_add(total, 0, 1.0)

    total = np.zeros(1)
    report = SimulatedTeam(8, seed=1).parallel(all_atomic, total)
    assert report.is_clean and total[0] == 8 and report.num_atomics == 8
    report = SimulatedTeam(2, seed=1).parallel(one_plain, total)
    assert {"adds atomically to"} < {report.races[0].first.kind, report.races[0].second.kind}


def test_a_flag_that_is_stored_and_loaded_atomically_orders_what_was_before():
    def hand_over(team, data, flag, found, atomic):
        if thread_num() == 0:
            data[0] = 7.0
            if atomic:
                store(flag, 0, 1)
            else:
                flag[0] = 1
        else:
            while (load(flag, 0) if atomic else flag[0]) == 0:
                pass
            found[0] = data[0]

    for seed in range(10):
        found = np.zeros(1)
        report = SimulatedTeam(2, seed=seed).parallel(hand_over, np.zeros(1), np.zeros(1, np.int64), found, True)
        assert report.is_clean and found[0] == 7
        report = SimulatedTeam(2, seed=seed).parallel(hand_over, np.zeros(1), np.zeros(1, np.int64), found, False)
        assert {race.element for race in report.races} == {"flag[0]", "data[0]"}


def test_single_without_a_barrier_orders_nothing():
    def prepare(team, x, out, wait):
        if single(team):
            x[0] = 5.0
        if wait:
            barrier(team)
        out[thread_num()] = x[0]

    out = np.zeros(4)
    assert SimulatedTeam(4, seed=2).parallel(prepare, np.zeros(1), out, True).is_clean and (out == 5).all()
    assert SimulatedTeam(4, seed=2).parallel(prepare, np.zeros(1), out, False).races


def test_single_is_for_whoever_comes_first_and_for_one():
    def count(team, taken):
        for k in range(3):
            if single(team):
                taken[k] = thread_num()
            barrier(team)

    found = np.full((20, 3), -1)
    for seed in range(20):
        assert SimulatedTeam(3, seed=seed).parallel(count, found[seed]).is_clean
    assert set(found.ravel()) == {0, 1, 2}


def test_aliases_of_an_array_are_the_same_memory():
    def shifted(team, left, right):
        left[thread_num()] = right[thread_num()]

    x = np.arange(4.0)
    assert SimulatedTeam(3).parallel(shifted, x[:3], x[1:]).races
    assert SimulatedTeam(3).parallel(shifted, x[:3].copy(), x[1:]).is_clean


def test_races_at_many_elements_are_told_once():
    def overlapping(team, x):
        x[:] = float(thread_num())

    report = SimulatedTeam(2).parallel(overlapping, np.zeros((3, 5)))
    assert len(report.races) == 1 and report.races[0].num_elements == 15
    assert "and so for 14 more elements" in str(report) and report.races[0].element == "x[0, 0]"


@pytest.mark.parametrize("p", [1, 2, 33, 64])
def test_private_and_merge_is_clean_on_any_number_of_threads(p):
    def merge(team, x, total):
        start, stop = static_block(x.size)
        mine = 0.0
        for i in range(start, stop):
            mine += x[i]
        critical_enter(team)
        total[0] += mine
        critical_exit(team)

    total = np.zeros(1)
    report = SimulatedTeam(p, seed=p).parallel(merge, np.arange(100.0), total)
    assert report.is_clean and total[0] == 4950 and report.num_criticals == p
    assert sum(report.num_accesses) == 100 + 2 * p and len(report.num_accesses) == p


def test_the_table_shows_a_lost_update_step_by_step():
    def add_one(team, total):
        total[0] = total[0] + 1

    for seed in range(30):
        total = np.zeros(1)
        report = SimulatedTeam(2, seed=seed, num_recorded=10).parallel(add_one, total)
        whats = [(step.thread_num, step.what.split()[0]) for step in report.steps]
        assert len(whats) == 4 and (total[0] == 1) == (whats[0][1] == whats[1][1] == "read")
    lines = report.table().splitlines()
    assert len(lines) == 5 and "thread 0" in lines[0] and "total[0]" in lines[1]


def test_num_threads_is_that_of_the_team():
    def note(team, out):
        out[thread_num()] = num_threads()

    out = np.zeros(5)
    SimulatedTeam(5).parallel(note, out)
    assert (out == 5).all()
