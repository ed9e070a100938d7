"""Plans of loops: against the words of the standard, and against the OpenMP of this machine."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.openmp.schedule import ANYONE, KINDS, MODIFIERS, MOST_CHUNKS, Chunk, Schedule, chunk_arrays, chunks

HERE = Path(__file__).parent
SIZES = st.integers(0, 600)
THREADS = st.integers(1, 70)
CHUNK_SIZES = st.integers(1, 90)


def bounds(schedule, n, p):
    return [(c.start, c.stop) for c in chunks(schedule, n, p)]


# -- properties ---------------------------------------------------------------------------------------


@given(SIZES, THREADS, st.one_of(st.none(), CHUNK_SIZES), st.sampled_from(KINDS))
@settings(deadline=None, max_examples=300)
def test_every_iteration_is_in_exactly_one_chunk(n, p, k, kind):
    plan = chunks(Schedule(kind, None if kind == "auto" else k), n, p)
    assert [i for chunk in plan for i in range(chunk.start, chunk.stop)] == list(range(n))
    assert all(chunk.num_iterations > 0 for chunk in plan)
    if kind in ("static", "auto"):
        assert all(0 <= chunk.thread_num < p for chunk in plan)
    else:
        assert all(chunk.thread_num is None for chunk in plan)


@given(SIZES, THREADS)
@settings(deadline=None)
def test_static_is_a_block_a_thread_and_blocks_differ_by_one_at_most(n, p):
    plan = chunks("static", n, p)
    sizes = [0] * p
    for chunk in plan:
        assert sizes[chunk.thread_num] == 0, "a second block"
        sizes[chunk.thread_num] = chunk.num_iterations
    assert sum(sizes) == n and max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)
    assert chunks("auto", n, p) == plan


@given(SIZES, THREADS, CHUNK_SIZES)
@settings(deadline=None)
def test_chunks_of_static_go_round_and_dynamic_has_the_same_ones(n, p, k):
    thread_of = [i // k % p for i in range(n)]  # the definition, iteration by iteration
    assert [c.thread_num for c in chunks(f"static,{k}", n, p) for _ in range(c.num_iterations)] == thread_of
    assert bounds(f"dynamic,{k}", n, p) == bounds(f"static,{k}", n, p) == [(i, min(i + k, n)) for i in range(0, n, k)]
    assert bounds("dynamic", n, p) == bounds("dynamic,1", n, p)


@given(SIZES, THREADS, CHUNK_SIZES)
@settings(deadline=None)
def test_guided_takes_in_proportion_to_what_is_left(n, p, k):
    left = n
    for chunk in chunks(f"guided,{k}", n, p):
        assert chunk.num_iterations == min(left, max(k, math.ceil(left / p)))
        left -= chunk.num_iterations
    assert left == 0
    sizes = [stop - start for start, stop in bounds(f"guided,{k}", n, p)]
    assert all(size >= k for size in sizes[:-1])
    assert sizes == sorted(sizes, reverse=True)


def test_examples_worked_by_hand():
    assert chunks("static", 7, 3) == [Chunk(0, 3, 0), Chunk(3, 5, 1), Chunk(5, 7, 2)]
    assert chunks("static", 2, 4) == [Chunk(0, 1, 0), Chunk(1, 2, 1)]
    assert chunks("static,3", 8, 2) == [Chunk(0, 3, 0), Chunk(3, 6, 1), Chunk(6, 8, 0)]
    # 100 on 4 threads: a quarter of what is left, rounded up
    assert [stop - start for start, stop in bounds("guided", 100, 4)] == [
        25, 19, 14, 11, 8, 6, 5, 3, 3, 2, 1, 1, 1, 1,
    ]  # fmt: skip
    assert [stop - start for start, stop in bounds("guided,7", 100, 4)] == [25, 19, 14, 11, 8, 7, 7, 7, 2]
    assert all(chunks(kind, 0, 5) == [] for kind in (*KINDS, "static,3", "dynamic,3", "guided,3"))


def test_huge_loops_and_teams():
    n, p = 10**15, 10_000
    starts, stops, threads = chunk_arrays("static", n, p)
    assert len(starts) == p and stops[-1] == n and set((stops - starts).tolist()) == {n // p} and threads[-1] == p - 1
    starts, stops, threads = chunk_arrays("guided,1000", 10**9, 64)
    assert starts[0] == 0 and stops[-1] == 10**9
    assert (starts[1:] == stops[:-1]).all() and set(threads.tolist()) == {ANYONE}
    starts, stops, _ = chunk_arrays("dynamic", 10**6, p)
    assert len(starts) == 10**6 and starts.dtype == stops.dtype == np.int64
    assert bounds(f"dynamic,{2**61}", 10, 2) == [(0, 10)]


# -- text ---------------------------------------------------------------------------------------------


@given(st.sampled_from(KINDS), st.one_of(st.none(), CHUNK_SIZES), st.one_of(st.none(), st.sampled_from(MODIFIERS)))
def test_text_parses_back(kind, k, modifier):
    schedule = Schedule(kind, None if kind == "auto" else k, modifier)
    assert Schedule.parse(str(schedule)) == schedule == Schedule.parse(schedule)
    assert Schedule.parse(f"  {str(schedule).upper().replace(',', ' , ').replace(':', ' : ')} ") == schedule
    assert bounds(schedule, 57, 5) == bounds(Schedule(kind, schedule.chunk_size), 57, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dynamc", "one of static, dynamic, guided, auto, not 'dynamc'"), ("", "not ''"),
        (4, "such as 'dynamic,4', not 4"),
        (None, "not None"), ("dynamic,", "not ''"), ("dynamic,x", "not 'x'"), ("dynamic,2.5", "not '2.5'"),
        ("guided,0", "1 or more, not 0"), ("static,-3", "1 or more, not -3"), ("auto,4", "'auto' has no chunk size"),
        ("runtime", "OMP_SCHEDULE"), ("simd:dynamic", "not 'simd'"), (":dynamic", "not ''"),
        ("static,4,4", "not '4,4'"), ("dynamic,\u0664", "chunk size"), ("dynamic," + "9" * 5000, "chunk size"),
    ],
)  # fmt: skip
def test_text_that_is_no_schedule(text, words):
    with pytest.raises(UsageError) as caught:
        Schedule.parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("n", "p", "schedule", "words"),
    [
        (10, 0, "static", "num_threads is a whole number, 1 to 10000, not 0"), (10, -2, "dynamic", "not -2"),
        (10, 10_001, "guided", "not 10001"), (10, 2.0, "static", "not 2.0"), (10, True, "static", "not True"),
        (-1, 2, "static", "num_iterations is a whole number, 0 or more, not -1"), (1.5, 2, "static", "not 1.5"),
        (10**12, 2, "dynamic", "a chunk size of at least 200000"), (float("nan"), 2, "static", "not nan"),
    ],
)  # fmt: skip
def test_sizes_that_are_none(n, p, schedule, words):
    with pytest.raises(UsageError) as caught:
        chunks(schedule, n, p)
    assert words in str(caught.value)


def test_the_advice_about_too_many_chunks_is_good():
    assert len(chunk_arrays("dynamic,200000", 10**12, 2)[0]) == MOST_CHUNKS
    with pytest.raises(UsageError):
        Schedule("dynamic", 0)


# -- the OpenMP of this machine -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_chunks(tmp_path_factory):
    """A function: the chunks that a compiled loop got, sorted, as (start, stop, thread)."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("There is no gcc here, so plans are not compared with a real OpenMP.")
    program = tmp_path_factory.mktemp("openmp") / "chunks"
    command = [gcc, "-O1", "-Wall", "-fopenmp", str(HERE / "chunks.c"), "-o", str(program)]
    subprocess.run(command, check=True, timeout=60)

    def run(*arguments, schedule="static"):
        environment = os.environ | {"OMP_SCHEDULE": schedule, "OMP_DYNAMIC": "false", "OMP_WAIT_POLICY": "passive"}
        done = subprocess.run(
            [str(program), *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=60,
            check=True,
        )
        assert done.stderr == ""  # libgomp complains there about a schedule that it does not understand
        return sorted(tuple(map(int, line.split())) for line in done.stdout.splitlines())

    return run


CASES = [(n, p) for p in (1, 2, 3, 5, 8) for n in (0, 1, 7, 8, 100, 1003)]


@pytest.mark.parametrize("k", [0, 1, 3, 40])
def test_a_compiled_static_loop_gives_each_thread_the_same_iterations(real_chunks, k):
    for n, p in CASES:
        plan = chunks(f"static,{k}" if k else "static", n, p)
        expected = [(i, i + 1, c.thread_num) for c in plan for i in range(c.start, c.stop)]
        assert real_chunks("static", k, n, p) == expected


@pytest.mark.parametrize("schedule", ["static", "auto", "static,7", "monotonic:static,3"])
def test_the_runtime_deals_the_same_static_chunks(real_chunks, schedule):
    for n, p in CASES:
        # One thread gets all at once, whatever the chunk size: for it, only the iterations can be compared.
        plan = [(c.start, c.stop, c.thread_num) for c in chunks(schedule, n, p)]
        real = real_chunks("runtime", n, p, schedule=schedule)
        assert real == plan if p > 1 else real == [(0, n, 0)] * (n > 0)


@pytest.mark.parametrize(
    "schedule",
    ["dynamic", "dynamic,7", "guided", "guided,5", "Guided,40", "nonmonotonic:guided,2", "monotonic:dynamic,9"],
)
def test_the_runtime_cuts_the_same_chunks_for_whoever_is_free(real_chunks, schedule):
    for n, p in CASES:
        real = real_chunks("runtime", n, p, schedule=schedule)
        assert [(start, stop) for start, stop, _ in real] == bounds(schedule, n, p)


# -- the room -----------------------------------------------------------------------------------------


def test_importing_the_room_is_light():
    program = (
        "import sys, labkit.openmp.schedule, labkit.openmp.simulate, labkit.openmp.scaling, labkit.openmp.profiles\n"
        "print(sorted({'numba', 'mpi4py', 'torch', 'plotly', 'ipywidgets', 'IPython'} & set(sys.modules)))"
    )
    root = HERE.parents[1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.stdout == "[]\n", done.stderr
