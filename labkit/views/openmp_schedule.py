"""A loop schedule as pictures: which thread executed which iterations, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from labkit.views.theme import ACCENT, INK, SERIES, WAITING_COLOUR, base_layout, time_text, time_unit

if TYPE_CHECKING:
    from labkit.openmp.simulate import ScheduleRun

MAX_ROWS = 64  # more threads are put together
MAX_COLUMNS = 320  # more iterations are put together
MAX_BARS = 2000  # of a Gantt chart; more chunks are put together
LEVELS = 4  # of opacity: up to 25, 50, 75, 100 % of a cell
OPACITIES = (0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class ShareLayout:
    """Shares of cells, one row a thread, or a group of neighbouring threads.

    Attributes
    ----------
    shares : ndarray of float64, shape (num_rows, num_columns)
        Map: of the column's iterations, those that the row executed. Gantt: of the column's time (and of each
        thread of the row), that spent in iterations. 0 to 1.
    edges : ndarray, shape (num_columns + 1,)
        Iterations, or times in s.
    threads_per_row : int
    """

    shares: np.ndarray
    edges: np.ndarray
    threads_per_row: int


def map_layout(run: ScheduleRun) -> ShareLayout:
    """Which row executed what share of each column of iterations; a column is one iteration if there are few."""
    n = run.num_iterations
    num_columns = min(n, MAX_COLUMNS)
    group = -(-run.num_threads // MAX_ROWS)
    num_rows = -(-run.num_threads // group)
    edges = np.arange(num_columns + 1) * n // max(num_columns, 1)
    row = np.repeat(run.thread_nums // group, run.stops - run.starts)
    column = np.repeat(np.arange(num_columns), np.diff(edges))
    counts = np.bincount(row * num_columns + column, minlength=num_rows * num_columns)
    return ShareLayout(counts.reshape(num_rows, num_columns) / np.maximum(np.diff(edges), 1), edges, group)


def busy_layout(run: ScheduleRun, num_columns: int = MAX_COLUMNS) -> ShareLayout:
    """What share of each column of time the threads of a row spent in iterations."""
    group = -(-run.num_threads // MAX_ROWS)
    num_rows = -(-run.num_threads // group)
    edges = np.linspace(0, run.duration_s, num_columns + 1)
    busy = np.zeros((num_rows, num_columns))
    order = np.lexsort((run.begin_s, run.thread_nums))
    bounds = np.searchsorted(run.thread_nums[order], np.arange(run.num_threads + 1))
    for thread, (low, high) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        if low < high:
            begin, end = run.begin_s[order[low:high]], run.end_s[order[low:high]]
            done = np.cumsum(end - begin)  # iterations' time until the end of each chunk
            times = np.stack([begin, end], axis=1).ravel()
            until = np.stack([done - (end - begin), done], axis=1).ravel()
            busy[thread // group] += np.diff(np.interp(edges, times, until))
    sizes = np.diff(np.minimum(np.arange(num_rows + 1) * group, run.num_threads))
    width = run.duration_s / num_columns
    return ShareLayout(np.clip(busy / (sizes[:, None] * width), 0, 1) if width else busy, edges, group)


def thread_colours(num_rows: int) -> list[str]:
    """A colour a thread, ``rgb(r, g, b)``: the six of all figures, or so many from dark blue to yellow."""
    if num_rows <= len(SERIES):
        return [f"rgb({int(c[1:3], 16)}, {int(c[3:5], 16)}, {int(c[5:], 16)})" for c in SERIES[:num_rows]]
    # neither end, for dark and light pages
    return sample_colorscale("Viridis", np.linspace(0.12, 0.97, num_rows).tolist())


def schedule_map_figure(run: ScheduleRun) -> go.Figure:
    """Who executed what: threads over iterations; the colour is the thread's, fainter where it had only a share."""
    layout = map_layout(run)
    n = run.num_iterations
    num_rows, num_columns = layout.shares.shape
    title = f"<b>{run.schedule}</b>: {_count(n, 'iteration')} in {_count(run.num_chunks, 'chunk')}"
    title += f" on {_count(run.num_threads, 'thread')}"
    figure = go.Figure(layout=base_layout(title, _height(num_rows)))
    if n:
        where = "iteration %{x:d}"
        if n > MAX_COLUMNS:
            where = "around iteration %{x:,.0f}<br>%{customdata} % of the column"
        figure.add_trace(_cells(layout, where, (layout.edges[:-1] + layout.edges[1:] - 1) / 2))
    of_column = f" (a column: {n / MAX_COLUMNS:.3g} of them)" if n > MAX_COLUMNS else ""
    figure.update_layout(
        xaxis={
            "title": {"text": f"iteration{of_column}"},
            "range": [-0.5, max(n, 1) - 0.5], "showgrid": False, "showticklabels": n > 0,
        },
        yaxis=_thread_axis(num_rows, layout.threads_per_row),
        margin={"l": 90, "r": 30, "t": 50, "b": 50},
    )
    return figure


def schedule_gantt_figure(run: ScheduleRun) -> go.Figure:
    """Who did what when: chunks in the colour of their thread, taking them in red, waiting at the end hatched."""
    p = run.num_threads
    figure = go.Figure(layout=base_layout(run_sentence(run), _height(min(p, MAX_ROWS))))
    unit, name = time_unit(run.duration_s * 1e9)
    scale = 1e9 / unit
    if run.num_chunks + p > MAX_BARS or p > MAX_ROWS:
        layout = busy_layout(run)
        where = f"around %{{x:.4g}} {name}<br>%{{customdata}} % of the time in iterations"
        figure.add_trace(_cells(layout, where, (layout.edges[:-1] + layout.edges[1:]) / 2 * scale))
        num_rows, group = len(layout.shares), layout.threads_per_row
    else:
        num_rows, group = p, 1
        figure.add_traces(_gantt_bars(run, scale))
    end = max(run.duration_s * scale, 1e-9)
    figure.update_layout(
        barmode="overlay", yaxis=_thread_axis(num_rows, group), margin={"l": 90, "r": 30, "t": 50, "b": 50},
        xaxis={"title": {"text": f"time ({name})"}, "range": [0, 1.01 * end], "showticklabels": run.duration_s > 0},
    )
    return figure


def run_sentence(run: ScheduleRun) -> str:
    """The numbers of a run in words.

    Examples
    --------
    >>> from labkit.openmp.simulate import simulate_schedule
    >>> run_sentence(simulate_schedule("static", [1e-3, 3e-3], 2))
    '3 ms: speed-up 1.33 on 2 threads; load imbalance 50 %, idle 33 %, taking chunks 0 %'
    """
    total = run.num_threads * run.duration_s
    if total == 0:
        return f"No work on {_count(run.num_threads, 'thread')}"
    return (
        f"{time_text(run.duration_s * 1e9)}: speed-up {run.speedup:.3g} on {_count(run.num_threads, 'thread')}; "
        f"load imbalance {100 * run.load_imbalance:.0f} %, idle {100 * run.idle_s.sum() / total:.0f} %, "
        f"taking chunks {100 * run.overhead_s.sum() / total:.0f} %"
    )


def _gantt_bars(run: ScheduleRun, scale: float) -> list[go.Bar]:
    colours = thread_colours(run.num_threads)
    hovers = [
        f"<b>thread {t}: iterations {a}-{b - 1}</b><br>{time_text(ns)}"
        for t, a, b, ns in zip(
            run.thread_nums.tolist(), run.starts.tolist(), run.stops.tolist(),
            ((run.end_s - run.begin_s) * 1e9).tolist(), strict=True,
        )
    ]  # fmt: skip
    bars = [
        _bars("iterations", run.thread_nums, run.begin_s, run.end_s, scale, hovers, {
            "color": [colours[t] for t in run.thread_nums.tolist()], "line": {"width": 0.7, "color": "white"},
        }),
    ]  # fmt: skip
    if run.overhead_s.any():
        bars.append(_bars("taking a chunk", run.thread_nums, run.taken_s, run.begin_s, scale, [
            f"thread {t} takes a chunk" for t in run.thread_nums.tolist()
        ], {"color": ACCENT, "line": {"width": 0}}))  # fmt: skip
    waiting = np.flatnonzero(run.idle_s > 0)
    hovers = [f"thread {t} waits {time_text(run.idle_s[t] * 1e9)} at the barrier" for t in waiting.tolist()]
    pattern = {"shape": "/", "size": 5, "solidity": 0.35, "fgcolor": "#d55e00"}
    bars.append(
        _bars("waiting", waiting, run.finish_s[waiting], np.full(len(waiting), run.duration_s), scale, hovers, {
            "color": WAITING_COLOUR, "pattern": pattern, "line": {"width": 0},
        })
    )  # fmt: skip
    return bars


def _bars(name: str, rows, begin_s, end_s, scale: float, hovers: list[str], marker: dict) -> go.Bar:
    return go.Bar(
        name=name, orientation="h", y=rows, base=begin_s * scale, x=(end_s - begin_s) * scale, width=0.8,
        hovertext=hovers, hoverinfo="text", marker=marker, showlegend=False,
    )


def _cells(layout: ShareLayout, where: str, centres: np.ndarray) -> go.Heatmap:
    """Cells in the colours of their rows; a cell's number is 4 x row + level of opacity."""
    shares, group = layout.shares, layout.threads_per_row
    num_rows = len(shares)
    level = np.clip(np.ceil(shares * LEVELS).astype(int) - 1, 0, LEVELS - 1)
    # None and not NaN: what a widget sends is JSON, which knows no NaN.
    codes = np.where(shares > 0, (np.arange(num_rows)[:, None] * LEVELS + level).astype(object), None)
    total = num_rows * LEVELS
    scale = []
    for row, colour in enumerate(thread_colours(num_rows)):
        for step, opacity in enumerate(OPACITIES):
            shade = colour.replace("rgb(", "rgba(").replace(")", f", {opacity})")
            code = row * LEVELS + step
            scale += [(code / total, shade), ((code + 1) / total, shade)]
    who = "thread %{y:d}" if group == 1 else "threads from %{y:d}"
    # Small numbers and no texts: a widget sends all of this at every change.
    return go.Heatmap(
        z=codes, x=centres, y=np.arange(num_rows) * group, zmin=-0.5, zmax=total - 0.5,
        colorscale=scale, showscale=False, customdata=np.rint(100 * shares).astype(np.uint8), hoverongaps=False,
        hovertemplate=f"<b>{who}</b>, {where}<extra></extra>", ygap=1 if num_rows <= 32 else 0,
    )  # fmt: skip


def _row_names(num_rows: int, group: int) -> list[str]:
    if group == 1:
        return [f"thread {row}" for row in range(num_rows)]
    return [f"threads {row * group}-{(row + 1) * group - 1}" for row in range(num_rows)]


def _thread_axis(num_rows: int, group: int) -> dict:
    step = math.ceil(num_rows / 16)
    names = _row_names(num_rows, group)
    return {
        "tickmode": "array", "tickvals": list(range(0, num_rows * group, step * group)), "ticktext": names[::step],
        "range": [(num_rows - 0.5) * group, -0.5 * group], "showgrid": False,
        "ticks": "outside", "ticklen": 4, "tickcolor": "rgba(0,0,0,0)",
        "tickfont": {"size": 11 if num_rows <= 32 else 10, "color": INK},
    }


def _height(num_rows: int) -> int:
    return 140 + num_rows * max(6, min(30, 400 // num_rows))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
