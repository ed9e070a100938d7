"""A team and its process: forks, the Stop button, threads that do not start, and what is compiled and kept on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_python(program, *, timeout=100, **environment):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )


PROGRAM = """
import os, signal, threading, numpy as np
from numba import njit
from labkit.openmp.team import Team
from labkit.openmp.sync import barrier, critical_enter
from labkit.openmp.intrinsics import thread_num

@njit
def total(start, stop, x):
    return x[start:stop].sum()

x = np.arange(1000.0)
team = Team(2)
def check():
    assert team.parallel_for(total, 1000, x, schedule="dynamic,10", reduction="+") == x.sum()
check()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_children_have_teams_too():
    done = run_python(PROGRAM + """
child = os.fork()
if child == 0:
    check()
    check()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
check()
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["loop", "barrier", "critical"])
def test_the_stop_button(how):
    done = run_python(PROGRAM + """
@njit
def spin(start, stop, x):
    for _ in range(1000000):
        x[start % 1000] += 1e-9

@njit
def wait(team, x):
    if thread_num() == 0:
        barrier(team)
    else:
        critical_enter(team)
        if x[0] >= 0:
            critical_enter(team)

team.parallel_for(spin, 1, x)
for after_s in (1, 21, 41):  # pressed again, if the compiler was at work at the first time and lost it
    timer = threading.Timer(after_s, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
try:
    if HOW == "loop":
        team.parallel_for(spin, 10**9, x, schedule="dynamic")
    else:
        Team(2 if HOW == "barrier" else 4).parallel(wait, x)
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # check() may have to be compiled again
    x[:] = np.arange(1000)
    check()
    print("stopped")
""".replace("HOW", repr(how)))
    assert done.stdout == "stopped\n", done.stderr


def test_a_region_after_the_stop_button_is_not_stopped_by_it():
    done = run_python(PROGRAM + """
import time
from labkit.openmp import interrupt
from labkit.openmp.compiled import Region

class LongSearch(list):  # the thread that raises the flags comes to it late
    def __iter__(self):
        time.sleep(1)
        return super().__iter__()

@njit
def spin(start, stop, x):
    for _ in range(1000000):
        x[start % 1000] += 1e-9

@njit
def nothing(team):
    pass

team.parallel_for(spin, 1, x)
start = time.perf_counter()
team.parallel_for(spin, 20, x, schedule="dynamic")
num_for_3_s = int(60 / (time.perf_counter() - start)) + 1
interrupt._blocks = LongSearch(interrupt._blocks)
launch, Region.launch = Region.launch, lambda *_: os.kill(os.getpid(), signal.SIGINT)
try:
    team.parallel(nothing)
except KeyboardInterrupt:
    Region.launch = launch
    team.parallel_for(spin, num_for_3_s, x, schedule="dynamic")
    print("stopped once")
""")
    assert done.stdout == "stopped once\n", done.stderr


def test_fewer_threads_than_asked_for_are_enough():
    done = run_python("""
import numpy as np
from numba import njit
from labkit.openmp.team import Team

@njit
def add(start, stop, x):
    for i in range(start, stop):
        x[i] += 1

for schedule in ("static", "static,3", "dynamic", "guided"):
    for trace in (False, True):
        x = np.zeros(100)
        Team(5).parallel_for(add, 100, x, schedule=schedule, trace=trace)
        assert (x == 1).all(), (schedule, trace)
""", OMP_THREAD_LIMIT="2")
    assert done.returncode == 0, done.stderr


def test_a_system_that_starts_no_threads_is_told_apart():
    done = run_python(PROGRAM + """
from labkit.openmp import runtime
real = threading.Thread.start
count = 0
def start(thread):
    global count
    count += 1
    if count > 3:
        raise RuntimeError("can't start new thread")
    real(thread)
threading.Thread.start = start
try:
    Team(100)
except Exception as error:
    print(type(error).__name__, error)
check()
""")
    words = "UsageError num_threads=100: the system lets this process start 3 more threads"
    assert done.stdout.startswith(words), done.stderr


def test_importing_compiles_nothing_and_loops_are_kept_on_disk(tmp_path):
    (tmp_path / "kernels_on_disk.py").write_text("""
from numba import njit

@njit(cache=True)
def total(start, stop, x):
    if stop > 1000:
        raise IndexError("beyond")
    return x[start:stop].sum()

@njit(cache=True)
def body(team, x):
    x[0] = 5
""")
    program = """
import sys
sys.path.insert(0, FOLDER)
import numba.core.compiler_lock, numba.core.event as event
import labkit.openmp.team, labkit.openmp.sync, labkit.openmp.tasks
import numpy as np
with event.install_recorder("numba:compile") as compiled:
    import kernels_on_disk as k
    from labkit.errors import KernelError
    team, x = labkit.openmp.team.Team(2), np.ones(2000)
    for options in ({}, {"trace": True}, {"reproducible": True}):
        for schedule in ("static", "dynamic,7"):
            team.parallel_for(k.total, 1000, x, schedule=schedule, reduction="+", **options)
    x[:] = np.arange(2000)
    halves = [team.parallel_for(k.total, 1000, x, reduction=reduction) for reduction in ("+", "min", "max")]
    print(*halves)
    x[:] = 1
    team.parallel_for(k.total, 1000, x)
    team.parallel(k.body, x)
    try:
        team.parallel_for(k.total, 1001, x, schedule="static,1001")
    except KernelError as error:
        print(error.__cause__)
print(len(compiled.buffer))
""".replace("FOLDER", repr(str(tmp_path)))
    first = run_python(program, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    second = run_python(program, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    values, words, num_compiled = first.stdout.splitlines()
    assert (values, words) == ("499500.0 124750.0 374750.0", "beyond") and int(num_compiled) > 0, first.stderr
    assert second.stdout == f"{values}\nbeyond\n0\n", second.stderr
    (tmp_path / "kernels_on_disk.py").write_text(
        (tmp_path / "kernels_on_disk.py").read_text().replace("x[start:stop].sum()", "2 * x[start:stop].sum()")
    )
    changed = run_python(program, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert changed.stdout.startswith("999000.0 249500.0 749500.0\n"), changed.stderr


def test_loops_from_several_processes_do_not_take_each_other_s_kernels(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / f"kernel_{number}.py").write_text(f"""
from numba import njit

@njit(cache=True)
def fill(start, stop, x):
    x[start:stop] = {number}

@njit(cache=True)
def total(start, stop, x):
    return {number} * x[start:stop].sum()

@njit(cache=True)
def body(team, x):
    x[:] = 10 * {number}
""")
    program = """
import importlib, sys
import numpy as np
from labkit.openmp.team import Team
sys.path.insert(0, FOLDER)
for number in NUMBERS:
    k, x, team = importlib.import_module(f"kernel_{number}"), np.zeros(4), Team(2)
    team.parallel_for(k.fill, 4, x)
    sums = [team.parallel_for(k.total, 4, x, reduction="+", reproducible=r) for r in (False, True)]
    traced = team.parallel_for(k.total, 4, x, reduction="+", trace=True).result
    team.parallel(k.body, x)
    team.tasks(k.body, x)
    print(number, *sums, traced, x[0])
""".replace("FOLDER", repr(str(tmp_path)))

    def run(*numbers):
        return run_python(program.replace("NUMBERS", repr(numbers)), NUMBA_CACHE_DIR=str(tmp_path / "cache"))

    for numbers in ((1,), (2,), (3,), (1, 2, 3), (3, 1)):
        done = run(*numbers)
        wanted = [f"{n} {4.0 * n * n} {4.0 * n * n} {4.0 * n * n} {10.0 * n}" for n in numbers]
        assert done.stdout.splitlines() == wanted, done.stderr
