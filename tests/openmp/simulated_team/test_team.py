"""The simulated team against the real one: the same kernels, the same values, the same errors."""

from threading import Event, Thread
from time import sleep

import numba
import numpy as np
import pytest

from labkit.errors import KernelError, UsageError
from labkit.openmp import sync, tasks
from labkit.openmp.intrinsics import num_threads, thread_num
from labkit.openmp.simulated_team.python_form import python_form
from labkit.openmp.simulated_team.team import SimulatedTeam
from labkit.openmp.sync import atomic_add, barrier, critical_enter, critical_exit, single, static_block
from labkit.openmp.team import Team

pytestmark = pytest.mark.timeout(240)
SCHEDULES = ("static", "static,3", "dynamic", "dynamic,4", "guided", "guided,2")


@numba.njit
def square(value):
    return value * value


@numba.njit
def squares(start, stop, x, out):
    total = 0.0
    for i in range(start, stop):
        out[i] += square(x[i])
        total += out[i]
    return total


@numba.njit
def cells(row, start, stop, out):
    for column in range(start, stop):
        out[row, column] += 10 * row + column


@numba.njit
def everything(team, x, rows, out, shared):
    start, stop = static_block(x.size)
    t = thread_num()
    for i in range(start, stop):
        rows[t, 0] += x[i]
    barrier(team)
    if single(team):
        for k in range(num_threads()):
            out[0] += rows[k, 0]
    critical_enter(team, 3)
    shared[0] += 1
    critical_exit(team, 3)
    atomic_add(shared, 1, 2)
    sync.atomic_add(shared, 2, t)


@numba.njit
def fibonacci(team, n, result):
    if n < 2:
        result[0] = n
        return
    parts = np.zeros(2, np.int64)
    tasks.task(team, fibonacci, (team, n - 1, parts[:1]))
    tasks.task(team, fibonacci, (team, n - 2, parts[1:]))
    tasks.taskwait()
    result[0] = parts[0] + parts[1]


@numba.njit
def fails_at(start, stop, x):
    for i in range(start, stop):
        if x[i] < 0:
            raise ValueError("negative")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_loops_have_the_values_of_the_real_team(schedule):
    x = np.arange(50.0)
    for n in (0, 1, 50):
        found = []
        for team in (Team(3), SimulatedTeam(3, seed=n)):
            out = np.zeros(50)
            total = team.parallel_for(squares, n, x, out, schedule=schedule, reduction="+")
            found.append((total, out.tolist()))
        assert found[0] == found[1]
    assert team.report.is_clean


@pytest.mark.parametrize("reduction", ["+", "*", "min", "max", "and", "or"])
def test_reductions(reduction):
    @numba.njit
    def kernel(start, stop, x):
        total = x[start]
        for i in range(start + 1, stop):
            total = max(total, x[i])
        return total

    x = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 0.0, 2.0])
    for n in (7, 0):
        real, simulated = (
            team.parallel_for(kernel, n, x, schedule="static,2", reduction=reduction)
            for team in (Team(2), SimulatedTeam(2))
        )
        assert real == simulated


def test_reproducible_sums_have_the_bits_of_the_real_team():
    @numba.njit
    def add(start, stop, x):
        total = 0.0
        for i in range(start, stop):
            total += x[i]
        return total

    x = np.random.default_rng(1).standard_normal(3000) * 10.0 ** np.random.default_rng(2).integers(-8, 8, 3000)
    real = Team(2).parallel_for(add, 3000, x, reduction="+", reproducible=True)
    for p in (1, 3, 8):
        team = SimulatedTeam(p, seed=p)
        assert team.parallel_for(add, 3000, x, schedule="dynamic", reduction="+", reproducible=True) == real


@pytest.mark.parametrize("schedule", ["static", "dynamic,4"])
def test_collapsed_loops(schedule):
    for shape in ((4, 7), (1, 5), (3, 0)):
        found = []
        for team in (Team(3), SimulatedTeam(3)):
            out = np.zeros((4, 7))
            team.parallel_for(cells, shape, out, schedule=schedule)
            found.append(out)
        np.testing.assert_array_equal(*found)


def test_regions_and_all_their_constructs():
    for p in (1, 4):
        for team in (Team(p), SimulatedTeam(p, seed=2)):
            rows, out, shared = np.zeros((p, 8)), np.zeros(1), np.zeros(3, np.int64)
            team.parallel(everything, np.arange(30.0), rows, out, shared)
            assert out[0] == 435 and shared.tolist() == [p, 2 * p, p * (p - 1) // 2]
        assert team.report.is_clean and team.report.num_shared_line_writes == (0 if p == 1 else 3 * p)


def test_tasks_and_sections():
    for team in (Team(2), SimulatedTeam(2)):
        result, x, y = np.zeros(1, np.int64), np.zeros(10), np.zeros(10)
        team.tasks(fibonacci, 7, result)
        team.sections((squares, 0, 10, np.ones(10), x), (squares, 0, 5, np.ones(10), y))
        assert result[0] == 13 and x.sum() == 10 and y.sum() == 5


def test_a_kernel_that_raises_says_the_same():
    x = np.ones(20)
    x[13] = -1
    messages = []
    for team in (Team(2), SimulatedTeam(2)):
        with pytest.raises(KernelError) as caught:
            team.parallel_for(fails_at, 20, x, schedule="static")
        error = caught.value
        assert (error.thread_num, error.start, error.stop) == (1, 10, 20)
        messages.append(str(error).split(" Try")[0])
    assert messages[0] == messages[1]


def test_a_schedule_with_a_race_between_chunks():
    @numba.njit
    def smooth(start, stop, x):
        for i in range(start, stop):
            x[i] = 0.5 * (x[i] + x[i + 1])

    team = SimulatedTeam(2)
    team.parallel_for(smooth, 20, np.arange(21.0))
    assert [race.element for race in team.report.races] == ["x[10]"] and team.report.num_chunks == 2
    team.parallel_for(smooth, 20, np.arange(21.0), schedule="static,5")
    assert team.report.races[0].num_elements == 3 and len(team.reports) == 2


def test_the_python_form_leaves_the_original_and_reaches_helpers_and_closures():
    offset = 5

    def helper(x):
        return x[0] + offset + square(2.0)

    compiled_helper = numba.njit(helper)

    @numba.njit
    def body(team, x, out):
        out[thread_num()] = compiled_helper(x) + math_of(x)

    form = python_form(body)
    assert form is not body.py_func and form.__globals__ is not body.py_func.__globals__
    assert body.py_func.__globals__["square"] is square
    out = np.zeros(3)
    report = SimulatedTeam(3).parallel(body, np.ones(1), out)
    assert out.tolist() == [11, 11, 11] and report.num_accesses == (3, 3, 3)


def math_of(x):
    return np.sqrt(x[0])


@pytest.mark.parametrize("problem", [
    lambda: SimulatedTeam(0), lambda: SimulatedTeam(65), lambda: SimulatedTeam(2, seed=-1),
    lambda: SimulatedTeam(2).parallel("no function"), lambda: SimulatedTeam(2).parallel_for(squares, -1),
    lambda: SimulatedTeam(2).parallel_for(squares, (1, 2, 3)),
    lambda: SimulatedTeam(2).parallel_for(squares, 3, schedule="odd"),
    lambda: SimulatedTeam(2).parallel_for(squares, 3, trace=True),
    lambda: SimulatedTeam(2).parallel_for(squares, 3, reduction="-"),
    lambda: SimulatedTeam(2).parallel_for(squares, 3, reproducible=True), lambda: python_form(3),
])
def test_bad_input_is_refused(problem):
    with pytest.raises(UsageError):
        problem()


def test_constructs_outside_of_a_region_say_so():
    from labkit.openmp.simulated_team import constructs

    with pytest.raises(UsageError, match="for bodies of a region"):
        constructs.thread_num()


def test_a_region_in_a_region_is_refused():
    def inner(team):
        pass

    def outer(team):
        SimulatedTeam(2).parallel(inner)

    with pytest.raises(KernelError, match="a region inside of a region"):
        SimulatedTeam(2).parallel(outer)
    assert SimulatedTeam(2).parallel(inner).is_clean


def test_two_python_threads_simulate_side_by_side():
    started, results = Event(), []

    def waits(team, x):
        if thread_num() == 0:
            started.set()
            sleep(0.05)
        x[thread_num()] = 1.0

    def simulate():
        x = np.zeros(3)
        results.append((SimulatedTeam(3).parallel(waits, x).is_clean, x.sum()))

    other = Thread(target=simulate)
    other.start()
    assert started.wait(60)
    simulate()
    other.join(60)
    assert results == [(True, 3.0), (True, 3.0)]


def test_the_stop_button_ends_a_simulation():
    def stops(team, x):
        x[0]
        if thread_num() == 1:
            raise KeyboardInterrupt
        barrier(team)

    with pytest.raises(KeyboardInterrupt):
        SimulatedTeam(3).parallel(stops, np.zeros(1))
    given = np.ones(4), np.zeros((3, 8)), np.zeros(1), np.zeros(3, np.int64)
    assert SimulatedTeam(3).parallel(everything, *given).is_clean
