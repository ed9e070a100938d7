"""One kernel with threads, ranks, and both: the same bits, and times that can be drawn."""

import os
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.topology import detect_topology
from labkit.openmp import hybrid
from labkit.openmp.hybrid import HybridRun, HybridTimes, default_layouts, hybrid_jacobi
from labkit.openmp.hybrid_rank import rows_of
from labkit.views.speedup import speedup_figure


@pytest.mark.mpi
@pytest.mark.timeout(240)
def test_all_ways_give_the_same_bits():
    times = hybrid_jacobi([(1, 3), (2, 1), (3, 1), (2, 2)], num_rows=41, num_columns=30, num_sweeps=7, repetitions=2)
    assert [(run.num_ranks, run.num_threads) for run in times.runs] == [(1, 1), (1, 3), (2, 1), (3, 1), (2, 2)]
    assert [run.kind for run in times.runs] == ["serial", "threads", "ranks", "ranks", "ranks x threads"]
    assert all(run.is_equal and len(run.times_s) == 2 and min(run.times_s) > 0 for run in times.runs)
    assert times.num_cores == detect_topology().num_usable <= len(os.sched_getaffinity(0))
    assert [run.is_oversubscribed for run in times.runs] == [n > times.num_cores for n in (1, 3, 2, 3, 4)]
    assert times.num_workers == (1, 3, 2, 3, 4) and times.speedups[0] == 1
    figure = speedup_figure(times.num_workers, times.speedups)
    drawn = next(trace for trace in figure.data if trace.name == "measured")
    assert sorted(zip(drawn.x, drawn.y, strict=True)) == sorted(zip(times.num_workers, times.speedups, strict=True))


@pytest.mark.mpi
@pytest.mark.timeout(240)
def test_a_row_a_rank():
    times = hybrid_jacobi([(4, 1)], num_rows=6, num_columns=3, num_sweeps=3, repetitions=1)
    assert [run.is_equal for run in times.runs] == [True, True]


@pytest.mark.mpi
@pytest.mark.timeout(240)
def test_a_result_with_other_bits_is_noticed(monkeypatch):
    def slightly_off(grid, num_sweeps):
        return np.nextafter(right(grid, num_sweeps), 2)

    right = hybrid._serial_result
    monkeypatch.setattr(hybrid, "_serial_result", slightly_off)
    (run,) = hybrid_jacobi([], num_rows=8, num_columns=8, num_sweeps=1, repetitions=1).runs
    assert not run.is_equal and "WRONG" in str(run)


@pytest.mark.mpi
@pytest.mark.timeout(240)
def test_files_are_gone_and_a_run_that_takes_too_long_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(hybrid, "SHARED_FOLDER", tmp_path)
    with pytest.raises(NotAvailableError, match="within 0.01 s"):
        hybrid_jacobi([], num_rows=9, num_sweeps=3, deadline_s=0.01)
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.parametrize("num_rows", [3, 4, 10, 41])
def test_ranks_share_the_inner_rows_out(num_rows):
    for size in range(1, num_rows - 1):
        spans = [rows_of(rank, size, num_rows) for rank in range(size)]
        assert [row for start, stop in spans for row in range(start, stop)] == list(range(1, num_rows - 1))
        lengths = [stop - start for start, stop in spans]
        assert min(lengths) >= 1 and max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("num_cores", [1, 2, 3, 4, 8, 100])
def test_default_layouts_have_every_kind_and_fit_where_they_can(num_cores):
    layouts = default_layouts(num_cores)
    assert layouts[0] == (1, 1) and {(1, 2), (2, 1), (2, 2)} <= set(layouts)
    assert all(r * t <= num_cores or (r, t) in ((1, 2), (2, 1), (2, 2)) for r, t in layouts)


def test_speedups_and_words():
    runs = (HybridRun(1, 1, (4.0, 3.0), True, False), HybridRun(2, 2, (1.0, 1.5), True, True))
    times = HybridTimes(10, 20, 5, 2, runs)
    assert times.speedups == (1.0, 3.0) and times.num_workers == (1, 4) and times.names == ("1 x 1", "2 x 2")
    assert str(times).splitlines() == [
        "Jacobi, 10 x 20 points, 5 sweeps, 2 cores", "1 rank x 1 thread: 3e+03 ms",
        "2 ranks x 2 threads: 1e+03 ms, more workers than cores: they took turns",
    ]  # fmt: skip


@pytest.mark.parametrize(("layouts", "options", "words"), [
    ([(0, 1)], {}, "ranks is a whole number, 1 to 64"), ([(1, 65)], {}, "threads is a whole number"),
    ([3], {}, "pairs \\(ranks, threads of each\\)"), (["12"], {}, "pairs"), ([(1, 2, 3)], {}, "pairs"),
    ([(9, 1)], {"num_rows": 10}, "9 ranks need a row each, but 10 rows have 8"), ([], {"num_rows": 2}, "num_rows"),
    ([], {"num_columns": 2.0}, "num_columns"), ([], {"num_sweeps": 0}, "num_sweeps"), ([], {"seed": -1}, "seed"),
    ([], {"num_rows": 2**20, "num_columns": 2**20}, "num_rows times"), ([], {"deadline_s": -1}, "deadline_s"),
])  # fmt: skip
def test_what_is_refused(layouts, options, words):
    with pytest.raises(UsageError, match=words):
        hybrid_jacobi(layouts, **options)
