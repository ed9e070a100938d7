"""Exercises of threads: other right answers pass as well, and no fixed schedule does."""

from pathlib import Path

import pytest

from labkit.grading.exercise import load_exercise
from labkit.grading.judge import judge
from labkit.grading.remote.sandboxed import Zygote

FOLDER = Path(__file__).parents[2] / "exercises"
HEAD = """
import numba
import numpy as np
from labkit.openmp import sync
from labkit.openmp.sync import (
    atomic_add, barrier, critical_enter, critical_exit, num_threads, single, static_block, thread_num)
"""
ANSWERS = {
    "sum_without_race: a reduction": """
@numba.njit
def add(start, stop, x):
    mine = 0.0
    for i in range(start, stop):
        mine += x[i]
    return mine

def parallel_sum(team, x):
    return float(team.parallel_for(add, x.size, x, schedule="dynamic,16", reduction="+"))
""",
    "sum_without_race: one atomic addition a thread": """
@numba.njit(cache=True)
def add(team, x, total):
    start, stop = sync.static_block(x.size)
    sync.atomic_add(total, 0, x[start:stop].sum())

def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add, x, total)
    return total[0]
""",
    "sum_without_race: an array of partial sums": """
@numba.njit
def add(team, x, partial):
    start, stop = static_block(len(x))
    for i in range(start, stop):
        partial[thread_num()] += x[i]

def parallel_sum(team, x):
    partial = np.zeros_like(x, shape=team.num_threads)
    team.parallel(add, x, partial)
    return sum(partial)
""",
    "histogram: rows, a barrier, bins shared out": """
@numba.njit
def count(team, data, rows, counts):
    start, stop = static_block(data.size)
    mine = rows[thread_num()]
    for value in data[start:stop]:
        mine[value] += 1
    barrier(team)
    first, last = static_block(counts.size)
    for b in range(first, last):
        for k in range(num_threads()):
            counts[b] += rows[k, b]

def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, dtype=np.int64)
    team.parallel(count, data, np.zeros((team.num_threads, num_bins), np.int64), counts)
    return counts
""",
    "histogram: a loop under a dynamic schedule, with a row a thread": """
@numba.njit
def count(start, stop, data, rows):
    for i in range(start, stop):
        rows[thread_num(), data[i]] += 1

def histogram(team, data, num_bins):
    rows = np.zeros((team.num_threads, num_bins), np.int64)
    team.parallel_for(count, len(data), data, rows, schedule="dynamic,4")
    return rows.sum(axis=0)
""",
    "prefix_sum: sums in the first pass, offsets by one thread": """
@numba.njit
def scan(team, x, out, sums):
    start, stop = static_block(x.size)
    total = 0.0
    for i in range(start, stop):
        total += x[i]
        out[i] = total
    sums[thread_num()] = total
    barrier(team)
    if single(team):
        before = 0.0
        for k in range(num_threads()):
            before, sums[k] = before + sums[k], before
    barrier(team)
    for i in range(start, stop):
        out[i] += sums[thread_num()]

def prefix_sum(team, x, out):
    team.parallel(scan, x, out, np.zeros(team.num_threads))
""",
    "prefix_sum: two regions instead of a barrier": """
@numba.njit
def first(team, x, sums):
    start, stop = static_block(x.size)
    sums[thread_num() + 1] = x[start:stop].sum()

@numba.njit
def second(team, x, out, offsets):
    start, stop = static_block(x.size)
    out[start:stop] = np.cumsum(x[start:stop]) + offsets[thread_num()]

def prefix_sum(team, x, out):
    sums = np.zeros(team.num_threads + 1)
    team.parallel(first, x, sums)
    team.parallel(second, x, out, np.cumsum(sums))
""",
    "false_sharing_repair: variables of the thread": """
@numba.njit
def count(team, x, threshold, counts, sums):
    start, stop = static_block(x.size)
    found, total = 0, 0.0
    for i in range(start, stop):
        if x[i] > threshold:
            found += 1
            total += x[i]
    counts[thread_num()] = found
    sums[thread_num()] = total

def count_and_sum(team, x, threshold):
    counts, sums = np.zeros(team.num_threads, np.int64), np.zeros(team.num_threads)
    team.parallel(count, x, threshold, counts, sums)
    return counts.sum(), sums.sum()
""",
    "reproducible_sum: blocks under a dynamic schedule": """
@numba.njit
def add(start, stop, x, sums):
    for b in range(start, stop):
        total = 0.0
        for value in x[64 * b : 64 * b + 64]:
            total += value
        sums[b] = total

def reproducible_sum(team, x):
    sums = np.zeros((x.size + 63) // 64)
    team.parallel_for(add, sums.size, x, sums, schedule="dynamic,1")
    total = 0.0
    for b in range(sums.size):
        total += sums[b]
    return total
""",
}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as started:
        yield started


@pytest.mark.parametrize("name", ANSWERS)
def test_other_right_answers_pass(name, zygote):
    verdict = judge(load_exercise(f"threads/{name.partition(':')[0]}", FOLDER), HEAD + ANSWERS[name], zygote=zygote)
    assert verdict.passed, verdict.text()


def test_a_task_graph_with_other_tokens_and_kernels_passes(zygote):
    """The upper triangle of tokens instead of a square, and updates with slices."""
    exercise = load_exercise("threads/task_graph", FOLDER)
    text = (exercise.folder / "reference.py").read_text(encoding="utf-8")
    for old, new in (("k * n + k", "k + k * (k + 1) // 2"), ("i * n + k", "k + i * (i + 1) // 2"),
                     ("j * n + k", "k + j * (j + 1) // 2"), ("i * n + j", "j + i * (i + 1) // 2")):
        assert old in text
        text = text.replace(old, new)
    assert judge(exercise, text, zygote=zygote).passed


def test_no_fixed_schedule_is_right_everywhere():
    cases = load_exercise("threads/schedule_for_imbalance", FOLDER).all_cases()
    fixed = ["static", *(f"{kind},{2**k}" for kind in ("static", "dynamic", "guided") for k in range(13))]
    right = {schedule: sum(case.judge([{"return": schedule}]) == "" for case in cases) for schedule in fixed}
    assert max(right.values()) < len(cases) and right["static"] > 0
    for case in cases:
        assert any(case.judge([{"return": schedule}]) == "" for schedule in fixed)


def test_each_kind_of_schedule_is_needed_somewhere():
    """Neither static nor dynamic schedules alone are enough."""
    cases = load_exercise("threads/schedule_for_imbalance", FOLDER).all_cases()
    for kinds in (("static",), ("dynamic", "guided")):
        schedules = [f"{kind},{2**k}" for kind in kinds for k in range(13)] + ["static"] * ("static" in kinds)
        assert any(all(case.judge([{"return": schedule}]) for schedule in schedules) for case in cases), kinds
