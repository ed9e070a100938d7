"""Latency of servers over the load that is offered: where each one's knee is, and where requests fail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.views.serving.axes import BELOW, empty_note, log_axis, log_seconds_axis, seconds_text
from labkit.views.theme import ACCENT, SERIES, base_layout

if TYPE_CHECKING:
    from labkit.serving.load.result import LoadResult

PERCENTILES = (50.0, 99.0)
DASHES = ("solid", "dash", "dot", "dashdot")
KEEPS_UP, MOST_FAILED = 0.95, 0.01  # of the offered rate; of the requests


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One run against a server.

    Attributes
    ----------
    rate : float
        Requests a second that were offered.
    latency_s : dict of float to float
        Percentile (0 to 100) to seconds, of good answers.
    throughput : float
        Good answers a second.
    error_fraction : float
        Of all requests.
    errors : dict of str to int
    is_generator_limited : bool
    """

    rate: float
    latency_s: Mapping[float, float]
    throughput: float
    error_fraction: float = 0.0
    errors: Mapping[str, int] | None = None
    is_generator_limited: bool = False

    @classmethod
    def of(cls, result: LoadResult, percentiles: Sequence[float] = PERCENTILES) -> LoadPoint:
        """What a run gives."""
        return cls(
            result.offered_rate, {q: result.percentile(q, failures="left out") for q in percentiles}, result.throughput,
            result.error_fraction, result.errors, result.is_generator_limited,
        )

    @property
    def keeps_up(self) -> bool:
        """Whether nearly as many answers came as requests, and nearly all were good."""
        return self.throughput >= KEEPS_UP * self.rate and self.error_fraction <= MOST_FAILED


@dataclass(frozen=True, slots=True)
class ServerCurve:
    """A server's points by rate; ``knee`` is the highest rate up to which it kept up in all runs, or None."""

    name: str
    points: tuple[LoadPoint, ...]
    knee: float | None


def latency_over_load_layout(
    runs: Mapping[str, Sequence[LoadResult | LoadPoint]], percentiles: Sequence[float] = PERCENTILES
) -> list[ServerCurve]:
    """A curve for each server.

    The knee is where the throughput stops to follow the offered rate (95 %), or more than one request in a hundred
    fails.
    """
    if not 1 <= len(percentiles) <= len(DASHES) or not all(0 <= q <= 100 for q in percentiles):
        raise UsageError(f"latency_over_load: 1 to {len(DASHES)} percentiles from 0 to 100, not {list(percentiles)}.")
    if len(runs) > len(SERIES):
        raise UsageError(f"latency_over_load: at most {len(SERIES)} servers in a picture, not {len(runs)}: draw two.")
    curves = []
    for name, server_runs in runs.items():
        points = [run if isinstance(run, LoadPoint) else LoadPoint.of(run, percentiles) for run in server_runs]
        if any(q not in point.latency_s for point in points for q in percentiles):
            raise UsageError(f"latency_over_load: a point of {name} lacks some of the percentiles {list(percentiles)}.")
        points = sorted((p for p in points if math.isfinite(p.rate) and p.rate > 0), key=lambda point: point.rate)
        knee = None
        for point in points:
            if not point.keeps_up:
                break
            knee = point.rate
        curves.append(ServerCurve(name, tuple(points), knee))
    return curves


def latency_over_load_figure(
    runs: Mapping[str, Sequence[LoadResult | LoadPoint]], *, percentiles: Sequence[float] = PERCENTILES,
    limit_s: float | None = None, title: str = "Latency over the load that is offered",
) -> go.Figure:
    """Percentiles of latency over the offered rate, both on logarithmic axes.

    Parameters
    ----------
    runs : dict of str to sequence of LoadResult or LoadPoint
        The runs against each server, at different rates, in any order.
    percentiles : sequence of float
        Those that are drawn, up to four.
    limit_s : float, optional
        A latency that must be kept, as a line.

    Notes
    -----
    Latency is that of good answers. A red ring is a run in which requests failed; the hover says how many. A dotted
    line is the highest rate that a server kept up with. Open symbols: the generator itself was a bottleneck.
    """
    curves = latency_over_load_layout(runs, percentiles)
    figure = go.Figure(layout=base_layout(title, 480))
    values = [point.latency_s[q] for curve in curves for point in curve.points for q in percentiles]
    for curve, colour in zip(curves, SERIES, strict=False):
        for q, dash in zip(percentiles, DASHES, strict=False):
            figure.add_trace(go.Scatter(
                name=f"{curve.name}, p{q:g}", mode="lines+markers", x=[p.rate for p in curve.points],
                y=[_drawn(p.latency_s[q]) for p in curve.points], line={"color": colour, "dash": dash, "width": 2},
                hoverinfo="text", hovertext=[_words(curve.name, p, q) for p in curve.points], marker={
                    "size": 7, "symbol": ["circle-open" if p.is_generator_limited else "circle" for p in curve.points],
                },
            ))
    highest = max(percentiles)
    failed = [(c, p) for c in curves for p in c.points if p.error_fraction > 0 and _drawn(p.latency_s[highest])]
    if failed:
        figure.add_trace(go.Scatter(
            name="requests failed", mode="markers", x=[p.rate for _, p in failed],
            y=[p.latency_s[highest] for _, p in failed], hoverinfo="text",
            hovertext=[_words(c.name, p, highest) for c, p in failed],
            marker={"symbol": "circle-open", "size": 14, "color": ACCENT, "line": {"width": 2.5, "color": ACCENT}},
        ))
    rates = [point.rate for curve in curves for point in curve.points]
    if limit_s is not None:
        figure.add_hline(y=limit_s, line={"color": ACCENT, "width": 1.5, "dash": "dash"})
        figure.add_annotation(
            xref="paper", x=0, xanchor="left", y=math.log10(limit_s), yanchor="bottom", showarrow=False,
            text=f"limit {seconds_text(limit_s)}", font={"color": ACCENT},
        )
        values = [*values, limit_s]
    axis = log_seconds_axis(values)
    _mark_knees(figure, curves, *(10.0**end for end in axis["range"]))
    if not rates:
        empty_note(figure, "no run to draw")
    figure.update_layout(
        xaxis={"title": {"text": "requests a second, offered"}, **log_axis(rates)},
        yaxis={"title": {"text": "latency of good answers", "standoff": 12}, "automargin": True, **axis},
        margin={"l": 78, "r": 30, "t": 44, "b": 132}, legend=BELOW,
    )
    return figure


def _mark_knees(figure: go.Figure, curves: list[ServerCurve], low: float, high: float) -> None:
    """A dotted line at each knee that lies below the last rate, named in the legend."""
    for curve, colour in zip(curves, SERIES, strict=False):
        if curve.knee is not None and curve.knee < curve.points[-1].rate:
            figure.add_trace(go.Scatter(
                name=f"{curve.name} keeps up to {curve.knee:,.4g}/s", mode="lines", x=[curve.knee] * 2, y=[low, high],
                line={"color": colour, "width": 1.5, "dash": "dot"}, hoverinfo="name",
            ))


def _drawn(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _words(name: str, point: LoadPoint, q: float) -> str:
    lines = [f"<b>{name}</b>, {point.rate:,.4g} a second offered", f"p{q:g} {seconds_text(point.latency_s[q])}",
             f"{point.throughput:,.4g} good answers a second"]
    if point.error_fraction > 0:
        lines.append(f"{point.error_fraction:.2%} failed")
        lines += [f"  {words}: {number}" for words, number in (point.errors or {}).items()]
    if point.is_generator_limited:
        lines.append("the generator was a bottleneck")
    return "<br>".join(lines)
