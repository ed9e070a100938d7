"""Checkpoint intervals, and what spot machines cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.training.spot import (
    Prices,
    best_interval,
    cost_curve,
    cost_of_run,
    daly_interval,
    expected_time,
    interval_curve,
    young_interval,
)
from labkit.views.theme import ACCENT, SERIES, base_layout

RATES_PER_HOUR = tuple(np.logspace(-4, 1, 101).tolist())


@dataclass(frozen=True, eq=False)
class IntervalLayout:
    """What is drawn: intervals and expected times over the work (1 is no loss), and the named optima.

    Attributes
    ----------
    intervals_s, slowdowns : ndarray
        Slow-downs above 20 are left out (NaN).
    optima : tuple of (str, float, float)
        Name, interval in s, slow-down.
    """

    intervals_s: np.ndarray
    slowdowns: np.ndarray
    optima: tuple[tuple[str, float, float], ...]


def interval_layout(write_s: float, restart_s: float, mtbf_s: float, work_s: float) -> IntervalLayout:
    """Expected time against the interval between checkpoints, with Young's, Daly's and the exact optimum."""
    intervals, times = interval_curve(write_s, restart_s, mtbf_s, work_s)
    slowdowns = np.where(times / work_s <= 20, times / work_s, np.nan)
    optima = tuple(
        (name, at, float(expected_time(work_s, at, write_s, restart_s, mtbf_s)) / work_s)
        for name, at in (
            ("Young", young_interval(write_s, mtbf_s)), ("Daly", daly_interval(write_s, mtbf_s)),
            ("least", best_interval(write_s, mtbf_s)),
        )
    )  # fmt: skip
    return IntervalLayout(intervals, slowdowns, optima)


def interval_figure(
    write_s: float, restart_s: float, mtbf_s: float, work_s: float, simulated: Sequence[tuple[float, float, float]] = ()
) -> go.Figure:
    """Expected time against the interval.

    Parameters
    ----------
    write_s, restart_s, mtbf_s, work_s : float
    simulated : sequence of (interval in s, mean in s, standard error in s)
        Points of :func:`labkit.training.spot.simulate_runs`.
    """
    layout = interval_layout(write_s, restart_s, mtbf_s, work_s)
    name, at, least = layout.optima[-1]
    title = f"Least at {span_text(at)} between checkpoints: {least:.3g} times the work"
    figure = go.Figure(layout=base_layout(title, 400))
    figure.add_trace(
        go.Scatter(
            name="expected", x=layout.intervals_s, y=layout.slowdowns, mode="lines", line={"color": SERIES[0], "width": 2},
            hovertemplate="every %{x:.3g} s: %{y:.3g} times the work<extra></extra>",
        )
    )
    if simulated:
        figure.add_trace(
            go.Scatter(
                name="simulated", x=[p[0] for p in simulated], y=[p[1] / work_s for p in simulated], mode="markers",
                error_y={"type": "data", "array": [2 * p[2] / work_s for p in simulated]}, marker={"color": SERIES[2], "size": 7},
                hovertemplate="simulated, every %{x:.3g} s: %{y:.3g} times the work<extra></extra>",
            )
        )
    symbols = ("triangle-up", "diamond", "circle-open")
    for (name, at, value), symbol, colour in zip(layout.optima, symbols, (SERIES[1], SERIES[3], ACCENT), strict=True):
        figure.add_trace(
            go.Scatter(
                name=f"{name}: {span_text(at)}", x=[at], y=[value], mode="markers",
                marker={"symbol": symbol, "size": 13, "color": colour, "line": {"width": 2, "color": colour}},
                hovertemplate=f"{name}: every {span_text(at)}, {value:.4g} times the work<extra></extra>",
            )
        )
    drawn = layout.slowdowns[~np.isnan(layout.slowdowns)]
    top = min(float(drawn.max()), 1 + 4 * (least - 1)) if drawn.size else 2.0
    figure.update_layout(
        xaxis={"type": "log", "dtick": 1, "tickformat": ",~g", "title": {"text": "work between two checkpoints, s"}},
        yaxis={"title": {"text": "expected time / work"}, "range": [1 - 0.04 * (top - 1), top]}, margin={"t": 90},
    )
    return figure


def cost_figure(prices: Prices, **job) -> go.Figure:
    """Cost of a job against the rate at which spot machines are taken away, beside that on demand.

    Parameters
    ----------
    prices : Prices
        Its ``interruptions_per_hour`` is marked.
    job
        ``work_s, num_machines, write_s, restart_s``.
    """
    pairs = cost_curve(prices, RATES_PER_HOUR, **job)
    plain = pairs[0][0]
    here = cost_of_run(prices, spot=True, **job)
    beyond = next((rate for rate, (_, spot) in zip(RATES_PER_HOUR, pairs, strict=True) if spot.cost > plain.cost), None)
    words = f"spot {here.cost:,.4g}, on demand {plain.cost:,.4g}" if np.isfinite(here.cost) else "on spot machines it never ends"
    if beyond is not None:
        words += f"; spot is dearer beyond {beyond:.2g} interruptions a machine and hour"
    figure = go.Figure(layout=base_layout(f"Cost of the job: {words}", 400))
    most = 4 * plain.cost
    costs = [spot.cost if spot.cost <= most else None for _, spot in pairs]
    figure.add_trace(
        go.Scatter(
            name="spot", x=RATES_PER_HOUR, y=costs, mode="lines", line={"color": SERIES[0], "width": 2},
            customdata=[[span_text(spot.time_s), span_text(spot.interval_s)] for _, spot in pairs],
            hovertemplate="%{x:.3g} a machine and hour: %{y:.4g}<br>%{customdata[0]}, a checkpoint every %{customdata[1]}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            name="on demand", x=[RATES_PER_HOUR[0], RATES_PER_HOUR[-1]], y=[plain.cost] * 2, mode="lines",
            line={"color": SERIES[1], "width": 2, "dash": "dash"}, hovertemplate="on demand: %{y:.4g}<extra></extra>",
        )
    )
    if here.cost <= most and prices.interruptions_per_hour > 0:
        figure.add_trace(
            go.Scatter(
                name="this rate", x=[prices.interruptions_per_hour], y=[here.cost], mode="markers",
                marker={"size": 12, "color": ACCENT}, hovertemplate=f"{span_text(here.time_s)}: %{{y:.4g}}<extra></extra>",
            )
        )
    figure.update_layout(
        xaxis={"type": "log", "dtick": 1, "tickformat": "~g", "title": {"text": "interruptions a machine and hour"}},
        yaxis={"title": {"text": "expected cost"}, "rangemode": "tozero"}, margin={"t": 90},
    )
    return figure


def span_text(seconds: float) -> str:
    """A length of time in words.

    Examples
    --------
    >>> span_text(5), span_text(3180), span_text(90000), span_text(float("inf"))
    ('5 s', '53 min', '25 h', 'for ever')
    """
    if not np.isfinite(seconds):
        return "for ever"
    for size, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
