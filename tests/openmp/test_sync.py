"""Regions, sections and tasks: what threads say to each other, with all numbers of threads, and when one of them fails."""

import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from labkit.errors import KernelError, UsageError
from labkit.openmp.intrinsics import num_threads, thread_num
from labkit.openmp.schedule import chunk_arrays
from labkit.openmp.sync import atomic_add, barrier, critical_enter, critical_exit, single, static_block
from labkit.openmp.tasks import task, task_depend, taskwait
from labkit.openmp.team import Team

THREADS = (1, 2, 3, 8)


@njit
def rounds_of_sums(team, num_rounds, values, problems):
    """In every round each thread reads what all wrote in the round before: right only if barriers hold."""
    me, threads = thread_num(), num_threads()
    for step in range(num_rounds):
        values[step % 2, me] = step * 100 + me
        barrier(team)
        for other in range(threads):
            if values[step % 2, other] != step * 100 + other:
                atomic_add(problems, 0, 1)


@pytest.mark.parametrize("p", THREADS)
def test_barrier(p):
    values, problems = np.zeros((2, p), np.int64), np.zeros(1, np.int64)
    team, num_rounds = Team(p), 20_000 if p < 4 else 200
    for _ in range(3):
        team.parallel(rounds_of_sums, num_rounds, values, problems)
    assert problems[0] == 0 and (values[1] == 100 * (num_rounds - 1) + np.arange(p)).all()


@njit
def count_in_all_ways(team, counts, inside):
    for k in range(2000):
        critical_enter(team)
        if inside[0] != 0:
            counts[3] += 1  # somebody else is in it
        inside[0] = 1
        counts[0] += 1
        inside[0] = 0
        critical_exit(team)
        critical_enter(team, 1 + k % 2)
        counts[1 + k % 2] += 1
        critical_exit(team, 1 + k % 2)
        atomic_add(counts, 4, 2)
        if single(team):
            counts[5] += 1
            atomic_add(counts, 6, thread_num())


@pytest.mark.parametrize("p", THREADS)
def test_critical_atomic_single(p):
    counts, inside = np.zeros(8, np.int64), np.zeros(1, np.int64)
    team = Team(p)
    for times in (1, 2):  # a second region begins anew
        team.parallel(count_in_all_ways, counts, inside)
        wanted = [2000 * p, 1000 * p, 1000 * p, 0, 4000 * p, 2000]
        assert counts[:6].tolist() == [times * n for n in wanted]


@njit
def note_blocks(team, n, blocks):
    blocks[thread_num(), 0], blocks[thread_num(), 1] = static_block(n)


@pytest.mark.parametrize("p", THREADS)
def test_static_blocks_are_those_of_the_plan(p):
    for n in (0, 1, 5, 8, 100):
        blocks = np.full((p, 2), -1)
        Team(p).parallel(note_blocks, n, blocks)
        starts, stops, owners = chunk_arrays("static", n, p)
        wanted = {owner: (start, stop) for start, stop, owner in zip(starts, stops, owners, strict=True)}
        for thread in range(p):
            start, stop = blocks[thread]
            assert (start, stop) == wanted[thread] if thread in wanted else start == stop


@njit
def wrong_numbers(team, which, x):
    if which == 0:
        critical_enter(team, 16)
    elif which == 1:
        critical_exit(team, -1)
    elif which == 2:
        atomic_add(x, 5, 1)
    else:
        atomic_add(x, -1, 1)


@pytest.mark.parametrize(("which", "words"), [
    (0, "numbers 0 to 15"), (1, "numbers 0 to 15"), (2, "outside of the array"), (3, "outside of the array"),
])
def test_numbers_that_are_not_there(which, words):
    with pytest.raises(KernelError, match=words):
        Team(2).parallel(wrong_numbers, which, np.zeros(5, np.int64))


def test_atomic_add_of_types_that_have_none():
    with pytest.raises(UsageError, match="does not compile"):
        Team(2).parallel(add_to, np.zeros((2, 2)))
    with pytest.raises(UsageError, match="does not compile"):
        Team(2).parallel(add_to, np.zeros(2, complex))


@njit
def add_to(team, x):
    atomic_add(x, 0, 1)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64, np.float32, np.float64])
def test_atomic_add_loses_nothing(dtype):
    @njit
    def add_often(team, x, n):
        for _ in range(n):
            atomic_add(x, 1, 1)

    x = np.zeros(3, dtype)
    n = 50 if dtype == np.uint8 else 5000
    Team(4).parallel(add_often, x, n)
    assert x.tolist() == [0, 4 * n, 0]


@njit
def fails_before_the_others(team, how, x):
    if thread_num() == num_threads() - 1:
        critical_enter(team)
        raise ValueError("left the critical section open")
    if how == 0:
        barrier(team)
    else:
        for _ in range(10**9):
            critical_enter(team)
            critical_exit(team)
    x[0] = 1


@pytest.mark.parametrize("how", [0, 1])
@pytest.mark.parametrize("p", [2, 5])
def test_threads_that_wait_are_released_when_one_fails(p, how):
    x = np.zeros(1)
    team = Team(p)
    with pytest.raises(KernelError, match=f"on thread {p - 1} of {p}: ValueError: left the critical section open"):
        team.parallel(fails_before_the_others, how, x)
    assert x[0] == 0
    counts = np.zeros(8, np.int64)
    team.parallel(count_in_all_ways, counts, np.zeros(1, np.int64))  # locks and barriers are free again
    assert counts[0] == 2000 * p


# -- sections -----------------------------------------------------------------------------------


@njit
def put(x, i, value):
    x[i] += value


@njit
def scale(x, factor):
    for i in range(1, 3):
        x[i] += factor


@njit
def breaks(x):
    raise ValueError("a section broke")


@pytest.mark.parametrize("p", THREADS)
def test_sections_run_once_each(p):
    team = Team(p)
    x = np.zeros(6)
    team.sections((put, x, 0, 1.0), (scale, x, 7.0), (put, x, 4, 3.0), (put, x, 5, 2.0))
    assert x.tolist() == [1, 7, 7, 0, 3, 2]
    team.sections()
    with pytest.raises(KernelError, match="the sections raised on thread .*: ValueError: a section broke"):
        team.sections((put, x, 0, 1.0), (breaks, x))
    with pytest.raises(UsageError, match="a section is a function compiled by numba.njit"):
        team.sections("put")
    with pytest.raises(UsageError, match="pass as many arguments as it takes"):
        team.sections((put, x, 0))


# -- tasks --------------------------------------------------------------------------------------


@njit
def serial_fibonacci(n):
    return n if n < 2 else serial_fibonacci(n - 1) + serial_fibonacci(n - 2)


@njit
def fibonacci(team, n, cutoff, result):
    if n < cutoff:
        result[0] = serial_fibonacci(n)
        return
    parts = np.zeros(2, np.int64)
    task(team, fibonacci, (team, n - 1, cutoff, parts[:1]))
    task(team, fibonacci, (team, n - 2, cutoff, parts[1:]))
    taskwait()
    result[0] = parts[0] + parts[1]


@pytest.mark.parametrize("p", THREADS)
@pytest.mark.parametrize("cutoff", [2, 10, 40])
def test_recursive_tasks(p, cutoff):
    result = np.zeros(1, np.int64)
    Team(p).tasks(fibonacci, 21, cutoff, result)
    assert result[0] == 10946


@njit
def fill_later(team, values, start):
    for k in range(values.size):
        values[k] = start + k


@njit
def tasks_that_outlive_their_makers(team, parent):
    for k in range(parent.shape[0]):
        task(team, makes_and_leaves, (team, parent[k], k))


@njit
def makes_and_leaves(team, row, k):
    own = np.zeros(1000)  # must live until the task has run
    task(team, fill_later, (team, own, k))
    task(team, copy_when_done, (own, row, k))


@njit
def copy_when_done(own, row, k):
    row[0] = k + (own[0] - own[0])


def test_arguments_of_tasks_live_as_long_as_they_do():
    rows = np.full((3000, 1), -1.0)
    for _ in range(3):
        Team(3).tasks(tasks_that_outlive_their_makers, rows)
        assert np.array_equal(rows[:, 0], np.arange(3000.0))


@njit
def step(row, i, before, problems):
    if row[i - 1] != before or row[i] != before - 1:
        atomic_add(problems, 0, 1)
    row[i] = before


@njit
def wavefront(team, row, num_steps, problems, tokens):
    """Element i in step k needs element i - 1 of step k."""
    for k in range(1, num_steps + 1):
        row_start = k
        task_depend(team, begin, (row, row_start, problems), tokens, (0,), ())
        for i in range(1, row.size):
            task_depend(team, step, (row, i, k, problems), tokens, (i,), (i - 1,))


@njit
def begin(row, k, problems):
    if row[0] != k - 1:
        atomic_add(problems, 0, 1)
    row[0] = k


@pytest.mark.parametrize("p", THREADS)
def test_tasks_with_dependences_run_in_order(p):
    row, problems = np.zeros(12, np.int64), np.zeros(1, np.int64)
    Team(p).tasks(wavefront, row, 300, problems, np.zeros(12, np.int64))
    assert problems[0] == 0 and (row == 300).all()


@njit
def fails_in_a_task(team, counts):
    for k in range(1000):
        task(team, fails_third, (counts, k))


@njit
def fails_third(counts, k):
    if k == 3:
        raise ValueError("the third")
    atomic_add(counts, 0, 1)


@pytest.mark.parametrize("p", THREADS)
def test_a_task_that_raises(p):
    counts = np.zeros(1, np.int64)
    with pytest.raises(KernelError, match="fails_in_a_task raised on thread .*: ValueError: the third"):
        Team(p).tasks(fails_in_a_task, counts)
    assert counts[0] < 999


def test_tasks_of_what_is_no_task():
    @njit
    def root(team, x):
        task(team, 5, (x,))

    with pytest.raises(UsageError, match="root does not compile"):
        Team(2).tasks(root, np.zeros(1))


LARGE_ARRAYS = """
import numpy as np
from numba import njit
from labkit.openmp.tasks import task, taskwait
from labkit.openmp.team import Team

@njit
def put_one(part):
    part[0] = 1

@njit
def root(team, total):
    parts = np.zeros(1 << 23)  # so large that reading it after its end is a segmentation fault
    task(team, put_one, (parts[: 1 << 22],))
    task(team, put_one, (parts[1 << 22 :],))
    taskwait()
    total[0] += parts[0] + parts[1 << 22]

total = np.zeros(1)
for _ in range(20):
    Team(P).tasks(root, total)
print(total[0])
"""


@pytest.mark.parametrize("p", [1, 3])
def test_an_array_of_tasks_is_its_maker_s_too(p):
    done = subprocess.run(
        [sys.executable, "-c", LARGE_ARRAYS.replace("P)", f"{p})")], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout) == (0, "40.0\n"), done.stderr
