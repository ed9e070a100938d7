"""Serial, threads, ranks, and ranks with threads: one kernel's speed-up by the number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.theme import INK, SERIES, base_layout, time_text

if TYPE_CHECKING:
    from labkit.openmp.hybrid import HybridTimes

KINDS = {  # of runs: colour and symbol
    "serial": (INK, "star"), "threads": (SERIES[0], "circle"), "ranks": (SERIES[1], "square"),
    "ranks x threads": (SERIES[2], "diamond"),
}
CROWDED = "-open"  # symbol of runs with more workers than cores


@dataclass(frozen=True, slots=True)
class HybridLayout:
    """What is drawn, by kind: numbers of workers, speed-ups, symbols, texts; and how far the ideal line goes.

    Workers of a kind are in order; several runs of one number stand side by side.
    """

    points: dict[str, tuple[tuple[int, ...], tuple[float, ...], tuple[str, ...], tuple[str, ...]]]
    most_workers: int
    num_cores: int


def hybrid_layout(times: HybridTimes) -> HybridLayout:
    """The runs by kind."""
    points = {}
    for kind, (_, symbol) in KINDS.items():
        runs = sorted(
            (run.num_workers, run.num_ranks, speedup, run)
            for run, speedup in zip(times.runs, times.speedups, strict=True) if run.kind == kind
        )  # fmt: skip
        if runs:
            points[kind] = (
                tuple(workers for workers, _, _, _ in runs), tuple(speedup for _, _, speedup, _ in runs),
                tuple(symbol + CROWDED * run.is_oversubscribed for *_, run in runs),
                tuple(
                    f"<b>{run.num_ranks} x {run.num_threads}</b> (ranks x threads)<br>{time_text(run.time_s * 1e9)}, "
                    f"speed-up {speedup:.3g}" + "<br>more workers than cores" * run.is_oversubscribed
                    + "<br>WRONG RESULT" * (not run.is_equal) for _, _, speedup, run in runs
                ),
            )
    return HybridLayout(points, max(max(times.num_workers), 2), times.num_cores)


def hybrid_figure(times: HybridTimes) -> go.Figure:
    """Speed-up over workers (ranks x threads), with the ideal; open symbols had more workers than cores."""
    layout = hybrid_layout(times)
    wrong = sum(not run.is_equal for run in times.runs)
    cores = f"{times.num_cores} core{'s' * (times.num_cores > 1)}"
    title = f"Jacobi, {times.num_rows} x {times.num_columns} points, on {cores}: every result has the same bits"
    if wrong:
        title = f"Jacobi on {cores}: {wrong} of {len(times.runs)} RESULTS ARE WRONG"
    figure = go.Figure(layout=base_layout(title, 400))
    ends = [1, layout.most_workers]
    figure.add_trace(
        go.Scatter(x=ends, y=ends, name="ideal", mode="lines", line={"color": INK, "dash": "dashdot", "width": 1},
                   hoverinfo="skip")
    )
    for kind, (workers, speedups, symbols, texts) in layout.points.items():
        figure.add_trace(
            go.Scatter(
                x=workers, y=speedups, name=kind, mode="markers",
                marker={"color": KINDS[kind][0], "size": 12, "symbol": symbols, "line": {"width": 2}},
                hovertext=texts, hoverinfo="text",
            )
        )
    top = max(layout.most_workers, *(max(values[1]) for values in layout.points.values()))
    figure.update_xaxes(title="workers: ranks x threads", dtick=max(1, layout.most_workers // 8), range=[0.8, ends[1] + 0.2])
    figure.update_yaxes(title="speed-up", range=[0, 1.08 * top])
    figure.update_layout(margin={"t": 90})
    return figure
