"""A run with faults: who trained when, how far it was, and what was done twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.theme import ACCENT, INK, SERIES, base_layout

if TYPE_CHECKING:
    from labkit.training.elastic.report import ElasticReport

MARKED = {"fault", "gone", "notice", "stall"}
ROW_PX, PANELS_PX = 34, 430
AIR = 0.03


@dataclass(frozen=True, slots=True)
class WorkerBar:
    """A worker in a world, from the first order to its end, in s."""

    worker: int
    world: int
    start_s: float
    end_s: float
    hover: str


@dataclass(frozen=True)
class FaultsLayout:
    """What is drawn.

    Attributes
    ----------
    workers : tuple of int
        The rows, from the top.
    bars : tuple of WorkerBar
    marks : tuple of (float, int, str)
        Time, worker, words.
    kept, lost : tuple of tuple of (float, int, float)
        Lines of (time, step, loss): steps that counted, by world, and those that were done again.
    start_s, end_s : float
        From the first world to the end.
    title : str
    """

    workers: tuple[int, ...]
    bars: tuple[WorkerBar, ...]
    marks: tuple[tuple[float, int, str], ...]
    kept: tuple[tuple[tuple[float, int, float], ...], ...]
    lost: tuple[tuple[tuple[float, int, float], ...], ...]
    start_s: float
    end_s: float
    title: str


def faults_layout(report: ElasticReport) -> FaultsLayout:
    """Rows of workers, bars of worlds, and steps that counted or were lost; time counts from the first step."""
    zero = min((world.began_s for world in report.worlds), default=0.0)
    bars, kept, lost = [], [], []
    for number, world in enumerate(report.worlds):
        for rank, worker in enumerate(world.workers):
            hover = (
                f"<b>worker {worker}: rank {rank} of {len(world.workers)}</b><br>steps {world.first_step} to "
                f"{world.last_step}<br>ended by {world.ended_by}"
            )
            bars.append(WorkerBar(worker, number, max(0.0, world.formed_s - zero), world.ended_s - zero, hover))
        after = report.worlds[number + 1].first_step if number + 1 < len(report.worlds) else world.last_step
        points = [(s.time_s - zero, s.step, s.loss) for s in report.steps if s.world == world.number]
        kept.append(tuple(point for point in points if point[1] <= after))
        lost.append(tuple(point for point in points if point[1] > after))
    marks = tuple(
        (h.time_s - zero, h.worker, h.text) for h in report.happenings if h.kind in MARKED and h.worker is not None
    )
    shown = {bar.worker for bar in bars}
    again = report.lost_steps
    longest = max((r.recovery_s for r in report.recoveries), default=0.0)
    words = f"{len(report.losses)} steps; {again} done twice"
    if report.recoveries:
        words += f"; training again after at most {longest:.2f} s"
    return FaultsLayout(
        tuple(sorted(shown)), tuple(bars), tuple(mark for mark in marks if mark[1] in shown and mark[0] >= 0), tuple(kept),
        tuple(lost), 0.0, max((world.ended_s for world in report.worlds), default=zero + 1) - zero, words,
    )  # fmt: skip


def faults_figure(report: ElasticReport) -> go.Figure:
    """Workers by time, steps by time, loss by step; what was lost is red.

    Parameters
    ----------
    report : ElasticReport
    """
    layout = faults_layout(report)
    rows_px = ROW_PX * len(layout.workers) + 60
    height = rows_px + PANELS_PX
    figure = go.Figure(layout=base_layout(layout.title, height))
    row_of = {worker: row for row, worker in enumerate(layout.workers)}
    for number in range(len(report.worlds)):
        mine = [bar for bar in layout.bars if bar.world == number]
        figure.add_trace(
            go.Bar(
                name=f"world {number}", orientation="h", y=[row_of[bar.worker] for bar in mine],
                base=[bar.start_s for bar in mine], x=[bar.end_s - bar.start_s for bar in mine], width=0.6,
                marker={"color": SERIES[number % len(SERIES)], "line": {"width": 0}}, hovertext=[bar.hover for bar in mine],
                hoverinfo="text", showlegend=False,
            )
        )
    figure.add_trace(
        go.Scatter(
            name="what happened", mode="markers", x=[mark[0] for mark in layout.marks], y=[row_of[m[1]] for m in layout.marks],
            marker={"symbol": "x", "size": 11, "color": ACCENT, "line": {"width": 1, "color": "white"}},
            hovertext=[mark[2] for mark in layout.marks], hoverinfo="text",
        )
    )
    for name, lines, colour, width in (("done", layout.kept, SERIES[0], 2), ("done, and lost", layout.lost, ACCENT, 3)):
        xs, steps, losses, hovers = _broken(lines)
        for across, up, axis in ((xs, steps, "2"), (steps, losses, "3")):
            figure.add_trace(
                go.Scatter(
                    name=name, x=across, y=up, mode="lines+markers", line={"color": colour, "width": width},
                    marker={"size": 3 if width == 2 else 5}, legendgroup=name, showlegend=axis == "2", xaxis=f"x{axis}",
                    yaxis=f"y{axis}", hovertext=hovers, hoverinfo="text",
                )
            )
    axis = figure.layout.template.layout.xaxis.to_plotly_json()
    usable = height - 140
    split = (PANELS_PX - 150) / usable
    air = AIR * max(layout.end_s, 1e-9)
    times = {"range": [-air, layout.end_s + air]}
    figure.update_layout(
        barmode="overlay", margin={"l": 80, "r": 30, "t": 80, "b": 60},
        xaxis={**times, "anchor": "y", "title": {"text": "time since the first step, s"}},
        yaxis={
            "domain": [split + 90 / usable, 1], "tickvals": list(row_of.values()),
            "ticktext": [f"worker {worker}" for worker in layout.workers], "autorange": "reversed", "showgrid": False,
        },
        xaxis2={**axis, **times, "domain": [0, 0.46], "anchor": "y2", "title": {"text": "time since the first step, s"}},
        yaxis2={**axis, "domain": [0, split], "anchor": "x2", "title": {"text": "step"}},
        xaxis3={**axis, "domain": [0.56, 1], "anchor": "y3", "title": {"text": "step"}},
        yaxis3={**axis, "domain": [0, split], "anchor": "x3", "title": {"text": "loss"}},
    )  # fmt: skip
    if not layout.marks:
        figure.add_annotation(
            text="nothing happened", x=1, y=1.0, xref="paper", yref="paper", showarrow=False, font={"color": INK}, yanchor="bottom"
        )
    return figure


def _broken(lines) -> tuple[list, list, list, list]:
    """Lines one after another with gaps between them."""
    xs, steps, losses, hovers = [], [], [], []
    for line in lines:
        for time_s, step, loss in line:
            xs.append(time_s), steps.append(step), losses.append(loss)
            hovers.append(f"step {step} after {time_s:.2f} s, loss {loss:.4f}")
        xs.append(None), steps.append(None), losses.append(None), hovers.append(None)
    return xs, steps, losses, hovers
