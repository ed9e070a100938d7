"""Teams of real threads: every iteration once, by the plan's rules; results; mistakes that must not end the process."""

import math
import os
import threading

import numba
import numpy as np
import pytest
from numba import njit

from labkit.errors import KernelError, UsageError
from labkit.openmp.intrinsics import thread_num
from labkit.openmp.schedule import chunk_arrays
from labkit.openmp.sync import atomic_add
from labkit.openmp.team import Team

SCHEDULES = (
    "static", "static,1", "static,7", "dynamic", "dynamic,13", "guided", "guided,5", "auto", "monotonic:dynamic,3",
)
SIZES = (0, 1, 2, 5, 97, 1000)
THREADS = (1, 2, 3, 8)


@njit
def note(start, stop, counts, threads, starts, stops, num_chunks):
    """Who ran which iterations, and in which chunks."""
    for i in range(start, stop):
        atomic_add(counts, i, 1)
        threads[i] = thread_num()
    k = atomic_add(num_chunks, 0, 1)
    starts[k], stops[k] = start, stop


@njit
def note_2d(row, start, stop, counts):
    for column in range(start, stop):
        counts[row, column] += 1 + 1000 * row + column


@njit
def total(start, stop, x):
    result = x[0] - x[0]
    for i in range(start, stop):
        result += x[i]
    return result


@njit
def smallest(start, stop, x):
    result = x[start]
    for i in range(start, stop):
        result = min(result, x[i])
    return result


@njit
def largest(start, stop, x):
    result = x[start]
    for i in range(start, stop):
        result = max(result, x[i])
    return result


@njit
def product(start, stop, x):
    result = x[start]
    for i in range(start + 1, stop):
        result *= x[i]
    return result


@njit
def all_true(start, stop, x):
    return bool(np.all(x[start:stop]))


@njit
def any_true(start, stop, x):
    return bool(np.any(x[start:stop]))


@njit
def fails_at(start, stop, where, counts):
    for i in range(start, stop):
        if i == where:
            raise ZeroDivisionError("divided by nothing")
        counts[i] += 1


@pytest.mark.parametrize("num_threads", THREADS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_chunks_are_those_of_the_plan(schedule, num_threads):
    team = Team(num_threads)
    for n in SIZES:
        counts, threads = np.zeros(n, np.int64), np.zeros(n, np.int64)
        starts, stops, num_chunks = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64), np.zeros(1, np.int64)
        team.parallel_for(note, n, counts, threads, starts, stops, num_chunks, schedule=schedule)
        assert (counts == 1).all()
        wanted_starts, wanted_stops, owners = chunk_arrays(schedule, n, num_threads)
        k = num_chunks[0]
        assert sorted(zip(starts[:k], stops[:k], strict=True)) == sorted(zip(wanted_starts, wanted_stops, strict=True))
        for start, stop, owner in zip(wanted_starts, wanted_stops, owners, strict=True):
            assert len(set(threads[start:stop])) == 1
            assert owner in (-1, threads[start])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 40), (40, 1), (7, 11), (3, 100)])
def test_collapsed_loops(shape, schedule):
    counts = np.zeros(shape, np.int64)
    Team(3).parallel_for(note_2d, shape, counts, schedule=schedule)
    assert np.array_equal(counts, 1 + 1000 * np.arange(shape[0])[:, None] + np.arange(shape[1]))


@njit
def total_of_row(row, start, stop, x):
    return x[row, start:stop].sum()


@pytest.mark.parametrize("reproducible", [False, True])
def test_reduction_of_collapsed_loops(reproducible):
    x = np.arange(77.0 * 31).reshape(77, 31)
    for schedule in SCHEDULES:
        found = Team(3).parallel_for(
            total_of_row, (77, 31), x, schedule=schedule, reduction="+", reproducible=reproducible
        )
        assert found == x.sum()


DTYPES = (np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float32, np.float64, np.complex128)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [(dtype, {}) for dtype in DTYPES]
    + [(dtype, {kind: True}) for dtype in (np.int32, float) for kind in ("trace", "reproducible")],
)
def test_reductions(dtype, options):
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(1)
    x = rng.integers(1, 100, 501).astype(dtype)
    twos = rng.choice([1, 2], 30).astype(dtype)
    cases = [
        ("+", total, x, int(x.real.astype(np.int64).sum())), ("*", product, twos, math.prod(int(v.real) for v in twos)),
    ]
    if dtype.kind != "c":
        cases += [("min", smallest, x, x.min()), ("max", largest, x, x.max())]
    for reduction, kernel, values, expected in cases:
        for schedule in ("static", "dynamic,3", "guided"):
            found = Team(3).parallel_for(kernel, len(values), values, schedule=schedule, reduction=reduction, **options)
            assert (found.result if "trace" in options else found) == expected, (reduction, schedule)


@pytest.mark.parametrize(("reduction", "kernel"), [("and", all_true), ("or", any_true)])
def test_logical_reductions(reduction, kernel):
    for true_ones in ([], [3], range(200)):
        x = np.zeros(200, bool)
        x[list(true_ones)] = True
        found = Team(3).parallel_for(kernel, 200, x, schedule="dynamic,9", reduction=reduction)
        assert found == (x.all() if reduction == "and" else x.any())


def test_empty_reductions_give_what_changes_nothing():
    x, k = np.ones(1), np.ones(1, np.int32)
    found = {r: Team(2).parallel_for(smallest, 0, x, reduction=r) for r in ("+", "*", "min", "max")}
    assert found == {"+": 0.0, "*": 1.0, "min": np.inf, "max": -np.inf}
    assert Team(2).parallel_for(smallest, 0, k, reduction="min") == 2**31 - 1
    assert Team(2).parallel_for(total, 0, x, reduction="+", reproducible=True) == 0.0


def test_nan_survives_min_and_max():
    for where in (0, 250, 499):
        x = np.arange(500.0)
        x[where] = np.nan
        for reduction in ("min", "max"):
            for p in (1, 2, 5):
                assert math.isnan(Team(p).parallel_for(first, 500, x, schedule="dynamic,1", reduction=reduction))


@njit
def first(start, stop, x):
    return x[start]


def test_sums_of_small_whole_numbers_do_not_overflow():
    x = np.full(100_000, 100, np.int8)
    assert Team(2).parallel_for(as_int64, len(x), x, schedule="dynamic,1", reduction="+") == 10_000_000


@njit
def as_int64(start, stop, x):
    return x[start]  # int8: the partial results must not be


def test_a_reproducible_sum_is_the_same_for_all_threads_and_schedules():
    x = np.random.default_rng(2).standard_normal(100_003) * 10.0 ** np.random.default_rng(3).integers(-12, 12, 100_003)
    plain = {Team(p).parallel_for(total, len(x), x, schedule=s, reduction="+") for p in (1, 2, 3, 7) for s in SCHEDULES}
    assert len(plain) > 1, "these numbers do not depend on the order: the test says nothing"
    found = {
        Team(p).parallel_for(total, len(x), x, schedule=s, reduction="+", reproducible=True).hex()
        for p in (1, 2, 3, 7) for s in SCHEDULES
    }
    assert len(found) == 1
    assert math.isclose(float.fromhex(found.pop()), math.fsum(x), rel_tol=1e-9)


def test_python_functions_are_compiled():
    def double(start, stop, x):
        for i in range(start, stop):
            x[i] *= 2

    x = np.arange(10.0)
    Team(2).parallel_for(double, 10, x)
    assert np.array_equal(x, 2 * np.arange(10.0))


def test_kernels_with_signatures_take_what_fits_them():
    @njit("float64(int64, int64, float64[:])")
    def declared(start, stop, x):
        return x[start:stop].sum()

    x = np.arange(100.0)
    assert Team(2).parallel_for(declared, 100, x, reduction="+") == x.sum()
    with pytest.raises(UsageError, match="compiled for arguments of other types.*float32"):
        Team(2).parallel_for(declared, 100, x.astype(np.float32))


# -- tracing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_trace_says_who_ran_what_and_when(schedule):
    n, p = 500, 3
    counts, threads = np.zeros(n, np.int64), np.zeros(n, np.int64)
    unused = [np.zeros(n, np.int64) for _ in range(2)] + [np.zeros(1, np.int64)]
    result, run = Team(p).parallel_for(note, n, counts, threads, *unused, schedule=schedule, trace=True)
    assert result is None and (counts == 1).all()
    starts, stops, _ = chunk_arrays(schedule, n, p)
    assert np.array_equal(run.starts, starts) and np.array_equal(run.stops, stops)
    assert all((threads[a:b] == t).all() for a, b, t in zip(starts, stops, run.thread_nums, strict=True))
    assert (0 <= run.start_s).all() and (run.taken_s <= run.begin_s).all() and (run.begin_s <= run.end_s).all()
    for thread in range(p):  # chunks of a thread do not overlap
        mine = np.flatnonzero(run.thread_nums == thread)
        order = mine[np.argsort(run.begin_s[mine])]
        assert (run.end_s[order][:-1] <= run.begin_s[order][1:]).all()
    timeline = run.timeline()
    assert {span.rank for span in timeline.spans if span.kind == "compute"} == set(run.thread_nums.tolist())


def test_a_trace_of_an_empty_loop():
    result, run = Team(2).parallel_for(total, 0, np.ones(1), reduction="+", trace=True)
    assert result == 0 and run.num_chunks == 0 and run.speedup == 1


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_kernel_that_raises_is_named_with_its_thread_and_iterations(schedule):
    team, n = Team(3), 1000
    for where in (0, 500, 999):
        counts = np.zeros(n, np.int64)
        words = "fails_at raised on thread .* ZeroDivisionError: divided by nothing"
        with pytest.raises(KernelError, match=words) as caught:
            team.parallel_for(fails_at, n, where, counts, schedule=schedule)
        error = caught.value
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert error.start <= where < error.stop and counts[where] == 0
        starts, stops, _ = chunk_arrays(schedule, n, 3)
        assert error.stop == dict(zip(starts, stops, strict=True))[error.start]
        assert (counts <= 1).all()
    counts[:] = 0
    team.parallel_for(fails_at, n, -1, counts, schedule=schedule)  # and goes on as if nothing had been
    assert (counts == 1).all()


def test_others_stop_when_one_raises():
    counts = np.zeros(1_000_000, np.int64)
    with pytest.raises(KernelError):
        Team(2).parallel_for(fails_at, len(counts), 0, counts, schedule="dynamic,1")
    assert counts.sum() < len(counts) - 1


@pytest.mark.parametrize("num_threads", [0, -1, 10_000, 2.0, "2", True, None.__class__])
def test_numbers_of_threads(num_threads):
    with pytest.raises(UsageError, match="num_threads is a whole number, 1 to 512, not"):
        Team(num_threads)


def test_many_threads_take_turns():
    counts = np.zeros(5000, np.int64)
    unused = [np.zeros(5000, np.int64) for _ in range(3)] + [np.zeros(1, np.int64)]
    Team(200).parallel_for(note, 5000, counts, *unused, schedule="dynamic,3")
    assert (counts == 1).all()


@pytest.mark.parametrize(("n", "options", "words"), [
    (-1, {}, "num_iterations is a whole number"),
    (2.5, {}, "num_iterations is a whole number"),
    ((1, 2, 3), {}, "one number, or two"),
    (2**53, {}, "num_iterations is a whole number, 0 to"),
    (10, {"schedule": "dynamic,0"}, "chunk_size is a whole number, 1 or more"),
    (10, {"schedule": "fair"}, "a kind is one of"),
    (10, {"reduction": "-"}, r"one of \+, \*, min"),
    (10, {"reproducible": True}, "there is none"),
    (10, {"reproducible": True, "reduction": "+", "trace": True}, "trace it with reproducible=False"),
])
def test_what_does_not_go_together(n, options, words):
    with pytest.raises(UsageError, match=words):
        Team(2).parallel_for(total, n, np.ones(10), **options)


def test_arguments_that_kernels_do_not_take():
    team, x = Team(2), np.ones(10)
    wrongs = (x.astype(object), "array of Python objects"), ([1.0], "is a list"), (object(), "of type object")
    for wrong, words in wrongs:
        with pytest.raises(UsageError, match=f"argument 1 after the number of iterations.*{words}"):
            team.parallel_for(total, 10, wrong)
    with pytest.raises(UsageError, match="pass as many arguments as it takes"):
        team.parallel_for(total, 10, x, x)
    with pytest.raises(UsageError, match="a function compiled by numba.njit"):
        team.parallel_for("total", 10, x)
    with pytest.raises(UsageError, match="the kernel returns the result of its iterations.*note_2d returns none"):
        team.parallel_for(note_2d, (2, 5), np.ones((2, 5), np.int64), reduction="+")
    with pytest.raises(UsageError, match="complex128, which has no order"):
        team.parallel_for(first, 10, x.astype(complex), reduction="min")


def test_a_kernel_that_does_not_compile_is_told_by_its_line():
    def misspelt(start, stop, x):
        for i in range(start, stop):
            x[i] = x.lenght

    with pytest.raises(UsageError) as caught:
        Team(2).parallel_for(misspelt, 3, np.ones(3))
    line = misspelt.__code__.co_firstlineno + 2
    words = f"Unknown attribute 'lenght' of type array(float64, 1d, C) (line {line}: x[i] = x.lenght)"
    assert str(caught.value).endswith(words)


# -- the process --------------------------------------------------------------------------------


def test_threads_of_python_call_at_once():
    problems = []

    def work():
        team = Team(2)
        for n in range(200):
            x = np.arange(float(n + 1))
            if team.parallel_for(total, n + 1, x, schedule="dynamic", reduction="+") != n * (n + 1) / 2:
                problems.append(n)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_a_team_inside_a_kernel_runs_on_one_thread():
    inner = Team(2)
    counts = np.zeros(64, np.int64)

    def count(start, stop, counts):
        for i in range(start, stop):
            atomic_add(counts, i, 1)

    compiled = njit(count)

    def call_inner():
        inner.parallel_for(compiled, 64, counts)

    @njit
    def outer(start, stop):
        with numba.objmode():
            call_inner()

    Team(2).parallel_for(outer, 10, schedule="dynamic")
    assert (counts == 10).all()


# -- affinity -----------------------------------------------------------------------------------

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system pins no threads: Linux does"
)


@needs_affinity
def test_threads_stay_on_their_cores():
    usable = sorted(os.sched_getaffinity(0))
    cores = [usable[k % len(usable)] for k in (1, 0, 1)]
    team = Team(3, affinity=cores)
    seen = np.full((3, 1000), -1, np.int64)
    for _ in range(3):
        team.parallel(where, seen)
        assert [set(row) for row in seen.tolist()] == [{core} for core in cores]
    assert sorted(os.sched_getaffinity(0)) == usable
    Team(3).parallel_for(total, 10, np.ones(10))
    masks = np.zeros((3, 1000), np.int64)
    Team(3).parallel(where, masks)
    from labkit.openmp.compiled import thread_ids

    assert [sorted(os.sched_getaffinity(t)) for t in thread_ids(3)] == [usable] * 3


@njit
def where(team, seen):
    for k in range(seen.shape[1]):
        seen[thread_num(), k] = core_now()


@needs_affinity
def test_places():
    from labkit.openmp.affinity import places

    usable = sorted(os.sched_getaffinity(0))
    assert places("close", 2 * len(usable)) == tuple(usable * 2)[: 2 * len(usable)]
    assert places("spread", 1) == (usable[0],)
    for wrong in ("far", [10_000], [0, 0, 0], 3):
        with pytest.raises(UsageError, match="affinity"):
            places(wrong, 1)


def _core_now():
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def core_now(typing):
        def codegen(context, builder, signature, values):
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.IntType(32), []), "sched_getcpu"
            )
            return builder.sext(builder.call(function, []), ir.IntType(64))

        return types.int64(), codegen

    return core_now


core_now = _core_now()
