"""What the pictures of loop schedules and of speed-up show."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.openmp.profiles import cost_profile
from labkit.openmp.scaling import LAWS, fit_scaling, karp_flatt, usl
from labkit.openmp.simulate import simulate_schedule
from labkit.views.openmp_schedule import (
    LEVELS,
    MAX_COLUMNS,
    MAX_ROWS,
    busy_layout,
    map_layout,
    run_sentence,
    schedule_gantt_figure,
    schedule_map_figure,
    thread_colours,
)
from labkit.views.speedup import speedup_figure, speedup_layout


def owner_of(run):
    """Who executed each iteration, by its number."""
    owner = {}
    for start, stop, thread in zip(run.starts, run.stops, run.thread_nums, strict=True):
        owner |= dict.fromkeys(range(start, stop), int(thread))
    return [owner[i] for i in range(run.num_iterations)]


def colour_of(trace, code):
    """The colour that plotly gives a cell: that of the last stop at or below its place on the scale."""
    place = (code - trace.zmin) / (trace.zmax - trace.zmin)
    return [colour for at, colour in trace.colorscale if at <= place][-1]


# -- map ----------------------------------------------------------------------------------------------


def test_few_iterations_have_a_column_each():
    run = simulate_schedule("dynamic,3", cost_profile("random", 50), 5)
    layout = map_layout(run)
    assert layout.shares.shape == (5, 50) and set(layout.shares.ravel()) == {0.0, 1.0}
    assert layout.shares.argmax(axis=0).tolist() == owner_of(run)
    trace = schedule_map_figure(run).data[0]
    for i, thread in enumerate(owner_of(run)):
        expected = thread_colours(5)[thread].replace("rgb", "rgba").replace(")", ", 1.0)")
        assert colour_of(trace, trace.z[thread, i]) == expected
    assert trace.hovertemplate == "<b>thread %{y:d}</b>, iteration %{x:d}<extra></extra>"
    assert trace.y.tolist() == [0, 1, 2, 3, 4] and trace.x.tolist() == list(range(50))
    assert [z for z in trace.z.ravel() if z != z] == []  # no NaN: it is no JSON


@pytest.mark.parametrize("n", [MAX_COLUMNS + 1, 1000, 12_345])
def test_many_iterations_are_put_together_and_none_is_lost(n):
    run = simulate_schedule("static,1", np.ones(n), 6)
    layout = map_layout(run)
    assert layout.shares.shape == (6, MAX_COLUMNS) and layout.shares.sum(axis=0) == pytest.approx(1)
    column = 100
    inside = owner_of(run)[layout.edges[column] : layout.edges[column + 1]]
    assert layout.shares[:, column].tolist() == pytest.approx([inside.count(t) / len(inside) for t in range(6)])
    iterations = (layout.shares * np.diff(layout.edges)).sum(axis=1)
    assert iterations.tolist() == pytest.approx(run.iterations_of_threads.tolist())


def test_a_share_is_seen_in_its_opacity():
    trace = schedule_map_figure(simulate_schedule("static,1", np.ones(10 * MAX_COLUMNS), 10)).data[0]
    assert {colour_of(trace, code).split(", ")[-1] for code in trace.z.ravel()} == {"0.3)"}  # a tenth each
    trace = schedule_map_figure(simulate_schedule("static", np.ones(10 * MAX_COLUMNS), 1)).data[0]
    assert set(trace.z.ravel()) == {LEVELS - 1} and set(trace.customdata.ravel()) == {100}
    assert trace.x[7] == 74.5 and "around iteration %{x:,.0f}<br>%{customdata} % of the column" in trace.hovertemplate


def test_many_threads_share_rows():
    run = simulate_schedule("static", np.ones(2000), 1000)
    layout = map_layout(run)
    assert layout.threads_per_row == 16 and layout.shares.shape == (63, MAX_COLUMNS) and len(layout.shares) <= MAX_ROWS
    figure = schedule_map_figure(run)
    assert figure.layout.yaxis.ticktext[1] == "threads 64-79" and len(figure.layout.yaxis.ticktext) <= 16
    assert figure.layout.yaxis.tickvals[1] == 64 == figure.data[0].y[4] and figure.layout.yaxis.range == (1000, -8)
    assert len(schedule_gantt_figure(run).data[0].z) == 63


def test_titles_and_colours():
    run = simulate_schedule("guided,2", np.ones(100), 4)
    assert schedule_map_figure(run).layout.title.text == "<b>guided,2</b>: 100 iterations in 12 chunks on 4 threads"
    for p in (1, 6, 7, 64):
        assert len(set(thread_colours(p))) == p
    assert thread_colours(2) == ["rgb(0, 114, 178)", "rgb(213, 94, 0)"]


# -- Gantt --------------------------------------------------------------------------------------------


def test_a_bar_for_each_chunk_each_taking_and_each_wait():
    run = simulate_schedule("dynamic,2", [3e-6, 1e-6, 1e-6, 1e-6, 2e-6], 2, chunk_s=5e-7)
    work, taking, waiting = schedule_gantt_figure(run).data
    assert list(work.y) == [0, 1, 1] and work.base.tolist() == pytest.approx([0.5, 0.5, 3])  # µs
    assert work.x.tolist() == pytest.approx([4, 2, 2])
    assert work.marker.color == (thread_colours(2)[0], thread_colours(2)[1], thread_colours(2)[1])
    assert work.hovertext[1] == "<b>thread 1: iterations 2-3</b><br>2 µs"
    assert taking.base.tolist() == pytest.approx([0, 0, 2.5]) and taking.x.tolist() == pytest.approx([0.5] * 3)
    assert list(waiting.y) == [0]
    assert waiting.base.tolist() == pytest.approx([4.5]) and waiting.x[0] == pytest.approx(0.5)
    assert waiting.hovertext == ("thread 0 waits 500 ns at the barrier",)


def test_the_sentence_has_the_numbers():
    run = simulate_schedule("static", [1e-3, 3e-3], 2)
    assert run_sentence(run) == "3 ms: speed-up 1.33 on 2 threads; load imbalance 50 %, idle 33 %, taking chunks 0 %"
    run = simulate_schedule("dynamic", [1e-3] * 2, 1, chunk_s=1e-3)
    assert run_sentence(run) == "4 ms: speed-up 0.5 on 1 thread; load imbalance 0 %, idle 0 %, taking chunks 50 %"


@pytest.mark.parametrize(("schedule", "p"), [("dynamic", 7), ("static,1", 3), ("guided", 100)])
def test_chunks_put_together_keep_their_time(schedule, p):
    run = simulate_schedule(schedule, cost_profile("random", 5000), p, chunk_s=3e-6, start_s=np.linspace(0, 1e-4, p))
    layout = busy_layout(run, 200)
    group = layout.threads_per_row
    sizes = [len(range(r * group, min(p, (r + 1) * group))) for r in range(len(layout.shares))]
    shown = layout.shares.sum(axis=1) * run.duration_s / 200 * np.array(sizes)
    rows = np.arange(p) // layout.threads_per_row
    assert shown == pytest.approx(np.bincount(rows, run.busy_s), rel=1e-9)
    assert (0 <= layout.shares).all() and (layout.shares <= 1).all()
    # one column of one row, chunk by chunk
    low, high = layout.edges[60], layout.edges[61]
    overlap = np.clip(np.minimum(run.end_s, high) - np.maximum(run.begin_s, low), 0, None)
    mine = overlap[run.thread_nums // layout.threads_per_row == 1].sum()
    assert layout.shares[1, 60] == pytest.approx(mine / (high - low) / sizes[1], abs=1e-9)
    if run.num_chunks > 2000:
        assert schedule_gantt_figure(run).data[0].type == "heatmap"


@pytest.mark.parametrize("schedule", ["static", "dynamic,3", "guided"])
def test_an_empty_loop_has_pictures(schedule):
    run = simulate_schedule(schedule, [], 4)
    assert schedule_map_figure(run).layout.title.text.endswith("0 iterations in 0 chunks on 4 threads")
    assert schedule_gantt_figure(run).layout.title.text == "No work on 4 threads"
    busy_layout(run)
    assert schedule_gantt_figure(simulate_schedule(schedule, [0.0] * 9, 4)).layout.title.text == "No work on 4 threads"
    assert schedule_gantt_figure(simulate_schedule("dynamic", np.zeros(3000), 4)).data[0].type == "heatmap"


# -- speed-up -----------------------------------------------------------------------------------------


def test_speedup_shows_points_and_laws():
    p = [8, 1, 2, 4]
    measured = [3.9, 1.0, 1.8, 3.0]
    fits = [fit_scaling(law, p, measured) for law in LAWS]
    layout = speedup_layout(p, measured, fits, most_threads=64)
    assert layout.num_threads.tolist() == [1, 2, 4, 8] and layout.speedups.tolist() == [1.0, 1.8, 3.0, 3.9]
    assert layout.efficiencies.tolist() == pytest.approx([1, 0.9, 0.75, 0.4875])
    assert layout.xs[0] == 1 and layout.xs[-1] == 64
    fraction = karp_flatt(4, 3.0)
    assert layout.hovers[2].startswith("<b>4 threads</b><br>speed-up 3, efficiency 75%<br>Karp-Flatt")
    assert layout.hovers[2].endswith(f"serial fraction {fraction:.3g}")
    assert [name.split(",")[0] for name, _ in layout.lines] == ["Amdahl", "Gustafson", "USL"]
    a, b = fits[2].parameters.values()
    assert layout.lines[2][1] == pytest.approx(usl(layout.xs, a, b))
    assert f"α = {a:.3g}, β = {b:.3g} (residual {fits[2].rms_residual:.1g})" in layout.lines[2][0]

    figure = speedup_figure(p, measured, fits, most_threads=64)
    left = {t.name: t for t in figure.data if t.xaxis == "x"}
    right = {t.name: t for t in figure.data if t.xaxis == "x2"}
    assert left.keys() == right.keys() and len(left) == 5
    for name, trace in left.items():
        assert right[name].y == pytest.approx(trace.y / trace.x) and right[name].legendgroup == trace.legendgroup
        assert trace.showlegend and not right[name].showlegend
    assert len({t.line.color for t in left.values() if t.mode == "lines"}) == 4
    assert figure.layout.yaxis.range[1] > max(t.y.max() for name, t in left.items() if name != "ideal")


def test_no_points_are_a_picture_too():
    assert {t.name for t in speedup_figure([], []).data} == {"ideal", "measured"}


def test_the_views_run_nothing():
    program = (
        "import sys, labkit.views.openmp_schedule, labkit.views.speedup\n"
        "print(sorted({'numba', 'mpi4py', 'torch', 'ipywidgets', 'ipyparallel'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.stdout == "[]\n", done.stderr
