"""Workers around their servers: how far apart their clocks run, how stale their gradients are, what it is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.views.theme import ACCENT, GRID, INK, SERIES, base_layout, bytes_text, time_text, time_unit

if TYPE_CHECKING:
    from labkit.training.parameter_server.report import ParameterServerReport

COMPUTING, WAITING = "#0072b2", "#e69f00"


@dataclass(frozen=True, eq=False)
class ClockLayout:
    """When each worker's clock went on, in s.

    Attributes
    ----------
    times_s : tuple of ndarray
        By worker: the start, then the end of each of its steps.
    spread : tuple of (ndarray, ndarray)
        Times at which some clock went on, and how many steps the fastest was ahead of the slowest from then on; workers
        that have ended, or died, count no more.
    """

    times_s: tuple[np.ndarray, ...]
    spread: tuple[np.ndarray, np.ndarray]


def clock_layout(report: ParameterServerReport) -> ClockLayout:
    """From the moments of a report."""
    times = []
    for moments in report.moments_s:
        done = moments[np.isfinite(moments[:, 3])]
        times.append(np.concatenate([done[:1, 0], done[:, 3]]) if len(done) else np.zeros(0))
    events = sorted((float(t), worker) for worker, row in enumerate(times) for t in row[1:])
    clocks = {worker: 0 for worker, row in enumerate(times) if len(row) > 1}
    at, ahead = [0.0], [0]
    for t, worker in events:
        clocks[worker] += 1
        furthest = max(clocks.values())
        if clocks[worker] == len(times[worker]) - 1:
            del clocks[worker]
        at.append(t)
        ahead.append(furthest - min(clocks.values()) if clocks else 0)
    return ClockLayout(tuple(times), (np.array(at), np.array(ahead)))


def clock_figure(report: ParameterServerReport) -> go.Figure:
    """The fan of clocks: steps done by each worker against time, and how far the fastest is ahead of the slowest."""
    layout = clock_layout(report)
    last_s = max((float(row[-1]) for row in layout.times_s if len(row)), default=0.0)
    unit_ns, unit = time_unit(last_s * 1e9)
    scale = 1e9 / unit_ns
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.08)
    for worker, row in enumerate(layout.times_s):
        figure.add_scatter(
            x=row * scale, y=np.arange(len(row)), line_shape="hv", mode="lines", name=f"worker {worker}",
            line={"color": SERIES[worker % len(SERIES)], "width": 2},
            hovertemplate=f"worker {worker}: step %{{y}} done at %{{x:.4g}} {unit}<extra></extra>", row=1, col=1,
        )
    at, ahead = layout.spread
    figure.add_scatter(
        x=at * scale, y=ahead, line_shape="hv", mode="lines", fill="tozeroy", line={"color": ACCENT, "width": 1.5},
        showlegend=False, hovertemplate=f"%{{y}} steps apart at %{{x:.4g}} {unit}<extra></extra>", row=2, col=1,
    )
    most = int(ahead.max())
    words = (
        f"<b>{report.consistency}</b>: clocks at most {most} step{'s' * (most != 1)} apart; {report.num_workers} "
        f"worker{'s' * (report.num_workers != 1)}, {time_text(last_s * 1e9)}"
    )
    figure.update_layout(**base_layout(words, 430))
    figure.update_layout(margin={"t": 70})
    figure.update_xaxes(title_text=f"time in {unit}", row=2, col=1)
    figure.update_yaxes(title_text="steps done", row=1, col=1, rangemode="tozero")
    figure.update_yaxes(title_text="steps apart", row=2, col=1, rangemode="tozero", dtick=max(1, math.ceil(ahead.max() / 4)))
    return figure


def staleness_figure(reports: Sequence[ParameterServerReport]) -> go.Figure:
    """How many updates had which staleness, a row a run."""
    reports = _some(reports)
    most = max((max(report.stalenesses, default=0) for report in reports), default=0)
    figure = go.Figure()
    for number, report in enumerate(reports):
        counts = report.staleness_counts()
        total = max(1, sum(counts.values()))
        figure.add_bar(
            x=list(range(most + 1)), y=[100 * counts.get(k, 0) / total for k in range(most + 1)], name=report.consistency,
            marker_color=SERIES[number % len(SERIES)],
            hovertemplate=f"{report.consistency}: %{{y:.3g}} % of {total} updates were %{{x}} gradients old<extra></extra>",
        )
    means = ", ".join(f"{report.consistency} {np.mean(report.stalenesses or [0]):.3g}" for report in reports)
    figure.update_layout(**base_layout(f"Staleness on average: {means}", 330), barmode="group", bargap=0.15)
    figure.update_layout(margin={"t": 70})
    figure.update_xaxes(title_text="gradients of others between pull and update", dtick=max(1, math.ceil(most / 20)))
    figure.update_yaxes(title_text="% of updates", rangemode="tozero")
    return figure


def server_losses_figure(reports: Sequence[ParameterServerReport]) -> go.Figure:
    """The loss against steps, and against time: what waiting costs, and what not waiting costs."""
    reports = _some(reports)
    ends = [np.nanmax(report.moments_s[:, :, 3], axis=0) for report in reports]
    unit_ns, unit = time_unit(max(float(end[-1]) for end in ends) * 1e9)
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.05)
    for number, (report, end) in enumerate(zip(reports, ends, strict=True)):
        losses = report.mean_losses()
        look = {"mode": "lines", "name": report.consistency, "line": {"color": SERIES[number % len(SERIES)], "width": 2}}
        figure.add_scatter(
            x=np.arange(len(losses)), y=losses, hovertemplate="step %{x}: %{y:.4g}", legendgroup=str(number), row=1, col=1, **look
        )
        figure.add_scatter(
            x=end * 1e9 / unit_ns, y=losses, hovertemplate=f"%{{x:.4g}} {unit}: %{{y:.4g}}", legendgroup=str(number),
            showlegend=False, row=1, col=2, **look,
        )
    figure.update_layout(**base_layout("Loss by step, and by time", 340))
    figure.update_layout(margin={"t": 70})
    figure.update_xaxes(title_text="step", row=1, col=1)
    figure.update_xaxes(title_text=f"time in {unit}, when the slowest had done the step", row=1, col=2)
    figure.update_yaxes(title_text="mean loss of the workers", row=1, col=1)
    return figure


def wheel_figure(report: ParameterServerReport) -> go.Figure:
    """The servers as the hub of a wheel, a spoke for each worker: its width is the bytes, its end the share of waiting."""
    num = report.num_workers
    angles = np.pi / 2 - 2 * np.pi * np.arange(num) / num
    xs, ys = np.cos(angles), np.sin(angles)
    figure = go.Figure()
    most = max(report.sent_bytes, default=0) or 1
    for x, y, sent in zip(xs, ys, report.sent_bytes, strict=True):
        figure.add_scatter(
            x=[0, x], y=[0, y], mode="lines", line={"color": GRID, "width": 2 + 8 * sent / most}, hoverinfo="skip", showlegend=False
        )
    waited, computed = report.waited_s, report.computed_s
    share = waited / np.maximum(waited + computed, 1e-12)
    figure.add_scatter(
        x=xs, y=ys, mode="markers+text", text=[f"worker {k}" for k in range(num)],
        textposition=["top center" if y > 0.3 else "bottom center" if y < -0.3 else "middle right" if x > 0 else "middle left"
                      for x, y in zip(xs, ys, strict=True)],
        marker={"size": 30, "color": 100 * share, "colorscale": [[0, COMPUTING], [1, WAITING]], "cmin": 0, "cmax": 100,
                "colorbar": {"title": {"text": "waiting, % of time"}, "thickness": 12}},
        customdata=np.column_stack([[bytes_text(sent) for sent in report.sent_bytes], [f"{100 * s:.0f}" for s in share]]),
        hovertemplate="%{text}<br>pushed %{customdata[0]}<br>waiting %{customdata[1]} % of its time<extra></extra>",
        showlegend=False,
    )
    figure.add_scatter(
        x=[0], y=[0], mode="markers+text", text=["server" if report.num_servers == 1 else f"{report.num_servers} servers"],
        textposition="middle center", textfont={"color": "white"}, marker={"size": 74, "color": INK}, showlegend=False,
        hovertemplate=f"{sum(map(int, report.sent_bytes)):,} bytes of gradients came in, as many of weights went out<extra></extra>",
    )
    figure.update_layout(**base_layout(
        f"<b>{report.consistency}</b>: {bytes_text(sum(report.sent_bytes))} of gradients into the hub, and as much out", 400
    ))
    axis = {"visible": False, "range": [-1.45, 1.45]}
    figure.update_layout(xaxis={**axis, "scaleanchor": "y"}, yaxis=axis, margin={"l": 10, "r": 10, "t": 60, "b": 10})
    return figure


def _some(reports: Sequence[ParameterServerReport]) -> list[ParameterServerReport]:
    reports = list(reports)
    if not reports:
        raise UsageError("parameter server: there is no run to draw: pass reports of train_with_servers.")
    return reports
