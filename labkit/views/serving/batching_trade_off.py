"""What dynamic batching gives and what it costs: throughput and latency over its two limits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.views.serving.axes import BELOW, empty_note, log_seconds_axis, seconds_text
from labkit.views.theme import INK, SERIES, base_layout

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")


@dataclass(frozen=True, slots=True)
class BatchingPoint:
    """One run of a server with these limits.

    Attributes
    ----------
    max_batch : int
        Most rows of a batch; 1 is without batching.
    max_wait_s : float
        How long the first row of a batch waits for others.
    throughput : float
        Good answers a second.
    p50_s, p99_s : float
        Latency.
    mean_batch : float, optional
        Rows of a batch, on average.
    error_fraction : float
    """

    max_batch: int
    max_wait_s: float
    throughput: float
    p50_s: float
    p99_s: float
    mean_batch: float | None = None
    error_fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchingLine:
    """The points of one ``max_wait_s``, by ``max_batch``."""

    max_wait_s: float
    points: tuple[BatchingPoint, ...]


def batching_trade_off_layout(points: Iterable[BatchingPoint]) -> list[BatchingLine]:
    """A line for each waiting time."""
    points = list(points)
    for point in points:
        if point.max_batch < 1 or not (math.isfinite(point.max_wait_s) and point.max_wait_s >= 0):
            raise UsageError(f"batching_trade_off: max_batch is 1 or more and max_wait_s 0 or more, not as in {point}.")
    waits = sorted({point.max_wait_s for point in points})
    if len(waits) > len(SERIES):
        raise UsageError(f"batching_trade_off: at most {len(SERIES)} different max_wait_s, not {len(waits)}: draw two.")
    return [
        BatchingLine(wait, tuple(sorted((p for p in points if p.max_wait_s == wait), key=lambda p: p.max_batch)))
        for wait in waits
    ]


def batching_trade_off_figure(points: Iterable[BatchingPoint], *, title: str | None = None) -> go.Figure:
    """Throughput (left) and latency (right, p50 a line, p99 dashed) over ``max_batch``, a colour a ``max_wait_s``.

    Parameters
    ----------
    points : iterable of BatchingPoint
        Of one load: the same clients, the same requests.
    title : str, optional
        By default how much the best point gains over no batching, if there is such a point.
    """
    lines = batching_trade_off_layout(points)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.16, subplot_titles=("throughput", "latency"))
    figure.update_layout(base_layout(title or _title(lines), 420))
    for line, colour, symbol in zip(lines, SERIES, SYMBOLS, strict=False):
        group = f"waits {seconds_text(line.max_wait_s) if line.max_wait_s else 'not at all'}"
        common = {
            "x": [p.max_batch for p in line.points], "mode": "lines+markers", "legendgroup": group, "hoverinfo": "text",
            "hovertext": [_words(p) for p in line.points], "marker": {"size": 8, "symbol": symbol, "color": colour},
        }
        figure.add_trace(go.Scatter(
            name=group, y=[p.throughput for p in line.points], line={"color": colour, "width": 2}, **common,
        ), 1, 1)
        for values, dash in (([p.p50_s for p in line.points], "solid"), ([p.p99_s for p in line.points], "dash")):
            figure.add_trace(go.Scatter(
                name=group, showlegend=False, y=[v if math.isfinite(v) and v > 0 else None for v in values],
                line={"color": colour, "width": 2, "dash": dash}, **common,
            ), 1, 2)
    sizes = sorted({p.max_batch for line in lines for p in line.points})
    shown = [size for size in sizes if size & (size - 1) == 0] if len(sizes) > 8 else sizes
    axis = {"type": "log", "tickvals": shown, "ticktext": [str(size) for size in shown]}
    latencies = [value for line in lines for p in line.points for value in (p.p50_s, p.p99_s)]
    most = max((p.throughput for line in lines for p in line.points), default=1.0)
    figure.update_xaxes(title={"text": "max_batch, rows"}, **axis)
    figure.update_yaxes(title={"text": "good answers a second"}, range=[0, 1.1 * most or 1], row=1, col=1)
    right = {"title": {"text": "p50 (line) and p99 (dashed)", "standoff": 14}, **log_seconds_axis(latencies)}
    figure.update_yaxes(row=1, col=2, **right)
    figure.update_annotations(font={"color": INK, "size": 13})
    if not lines:
        empty_note(figure, "no run to draw")
    figure.update_layout(margin={"l": 74, "r": 24, "t": 74, "b": 104}, legend=BELOW)
    return figure


def _title(lines: list[BatchingLine]) -> str:
    points = [point for line in lines for point in line.points]
    single = [point.throughput for point in points if point.max_batch == 1]
    if not single or not max(single) > 0:
        return "Dynamic batching"
    best = max(points, key=lambda point: point.throughput)
    return (
        f"Batching: {best.throughput / max(single):.2g} times the throughput with max_batch {best.max_batch}, "
        f"max_wait {seconds_text(best.max_wait_s)}"
    )


def _words(point: BatchingPoint) -> str:
    lines = [
        f"<b>max_batch {point.max_batch}, max_wait {seconds_text(point.max_wait_s)}</b>",
        f"{point.throughput:,.4g} a second",
        f"p50 {seconds_text(point.p50_s)}, p99 {seconds_text(point.p99_s)}",
    ]
    if point.mean_batch is not None:
        lines.append(f"{point.mean_batch:.3g} rows a batch on average")
    if point.error_fraction:
        lines.append(f"{point.error_fraction:.2%} failed")
    return "<br>".join(lines)
