"""Accidents of rounding: a figure for each, from the values of :mod:`labkit.floating_point.accidents`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.floating_point.accidents import ClockDrift, ErrorCurves, Flight, StockIndex
from labkit.views.error_curves import error_curves_figure
from labkit.views.theme import ACCENT, INK, SERIES, base_layout

MULLER_LOW, MULLER_HIGH = -20.0, 120.0  # values beyond are drawn at the edge


def patriot_figure(rows: Sequence[ClockDrift]) -> go.Figure:
    """Seconds lost (left axis) and metres that the range gate is off (right) over the hours since the start."""
    if not rows:
        raise UsageError("patriot_figure: there are no rows to draw: pass those of patriot([0, 20, 100]).")
    last = max(rows, key=lambda row: row.hours)
    lost = f"{float(last.lost_s):.4f} s lost, the gate is {float(last.shift_m):.0f} m off"
    title = f"After {float(last.hours):g} h: {lost}"
    figure = go.Figure(layout=base_layout(title, 360))
    hours = [float(row.hours) for row in rows]
    figure.add_trace(_line("seconds lost", hours, [float(row.lost_s) for row in rows], SERIES[0]))
    metres = _line("metres off", hours, [float(row.shift_m) for row in rows], SERIES[1], dash="dot")
    figure.add_trace(metres.update(yaxis="y2"))
    axis = figure.layout.template.layout.yaxis.to_plotly_json()
    figure.update_layout(
        xaxis={"title": {"text": "hours since the start"}}, yaxis={"title": {"text": "seconds"}, "rangemode": "tozero"},
        yaxis2={
            **axis, "title": {"text": "metres"}, "overlaying": "y", "side": "right", "rangemode": "tozero",
            "showgrid": False,
        },
        margin={"r": 70},
    )
    return figure


def vancouver_figure(index: StockIndex) -> go.Figure:
    """The index by day: exact, cut off, rounded."""
    lost = float((index.exact - index.truncated)[-1])
    title = f"Cutting off three decimals has lost {lost:.1f} points in {len(index.exact)} days"
    figure = go.Figure(layout=base_layout(title, 380))
    days = np.arange(1, len(index.exact) + 1)
    for name, values, colour, dash in (
        ("exact", index.exact, INK, "solid"), ("cut off", index.truncated, SERIES[1], "solid"),
        ("rounded", index.rounded, SERIES[2], "dot"),
    ):
        figure.add_trace(_line(name, days, values, colour, dash=dash))
    figure.update_layout(xaxis={"title": {"text": "days"}}, yaxis={"title": {"text": "index"}})
    return figure


@dataclass(frozen=True, slots=True)
class MullerSeries:
    """The values of one arithmetic as they are drawn, and where they end before the others."""

    name: str
    y: tuple[float, ...]
    ends_early: bool


def muller_layout(values: Mapping[str, Sequence[Fraction]]) -> tuple[MullerSeries, ...]:
    """Values within the picture; the name is that of the arithmetic."""
    longest = max(map(len, values.values()), default=0)
    return tuple(
        MullerSeries(name, tuple(min(max(float(v), MULLER_LOW), MULLER_HIGH) for v in found), len(found) < longest)
        for name, found in values.items()
    )


def muller_figure(values: Mapping[str, Sequence[Fraction]]) -> go.Figure:
    """Muller's recurrence in several arithmetics.

    Parameters
    ----------
    values : mapping of str to list of Fraction
        From :func:`labkit.floating_point.accidents.muller`, by the name of the arithmetic.
    """
    figure = go.Figure(layout=base_layout("Muller's recurrence tends to 5; every rounded one to 100", 400))
    for number, one in enumerate(muller_layout(values)):
        name = f"{one.name} (ends)" if one.ends_early else one.name
        trace = _line(name, list(range(len(one.y))), one.y, SERIES[number % len(SERIES)])
        figure.add_trace(trace.update(mode="lines+markers"))
    figure.update_layout(
        xaxis={"title": {"text": "step"}}, yaxis={"title": {"text": "value"}, "range": [MULLER_LOW, MULLER_HIGH]},
    )
    return figure


@dataclass(frozen=True, slots=True)
class RumpBar:
    """One arithmetic: how many powers of ten its result has, its sign, and the result in words."""

    name: str
    power: float
    is_negative: bool
    words: str


def rump_layout(values: Mapping[str, Fraction | None]) -> tuple[RumpBar, ...]:
    """The decimal logarithm of each magnitude; 0 where there is no finite result."""
    bars = []
    for name, value in values.items():
        if value is None:
            bars.append(RumpBar(name, 0.0, False, "too large for the format"))
        else:
            power = math.log10(abs(value)) if value else 0.0
            bars.append(RumpBar(name, power, value < 0, f"{float(value):.6g}"))
    return tuple(bars)


def rump_figure(values: Mapping[str, Fraction | None]) -> go.Figure:
    """Rump's polynomial in several arithmetics: powers of ten of the result, by sign.

    Parameters
    ----------
    values : mapping of str to Fraction or None
        From :func:`labkit.floating_point.accidents.rump`, by the name of the arithmetic.
    """
    bars = rump_layout(values)
    lows = [0.0, *(bar.power for bar in bars)]
    title = "Rump's polynomial: magnitude of the result, by arithmetic"
    figure = go.Figure(layout=base_layout(title, 60 * len(bars) + 150))
    figure.add_trace(
        go.Bar(
            x=[bar.power for bar in bars], y=[bar.name for bar in bars], orientation="h",
            hovertext=[bar.words for bar in bars], hoverinfo="text", showlegend=False,
            marker={"color": [SERIES[1] if bar.is_negative else SERIES[0] for bar in bars]},
        )
    )
    figure.add_trace(
        go.Scatter(  # right of the bar, also of one to the left of 0
            x=[max(bar.power, 0) for bar in bars], y=[bar.name for bar in bars], mode="text", hoverinfo="skip",
            text=[f" {bar.words}" for bar in bars], textposition="middle right", showlegend=False,
        )
    )
    figure.update_layout(
        xaxis={
            "title": {"text": "power of ten of the magnitude (negative results in orange)"},
            "range": [min(0.0, *lows) * 1.2, max(1.0, *lows) * 1.25],
        },
        yaxis={"autorange": "reversed"}, margin={"l": 100},
    )
    return figure


def ariane_figure(flight: Flight) -> go.Figure:
    """The bias, the integers made of it, and the largest one that fits."""
    at, largest = flight.converted.trapped_at, 2 ** (flight.num_bits - 1) - 1
    if at is not None:
        title = f"The conversion traps at {flight.times_s[at]:.1f} s: {flight.bias[at]:.0f} is more than {largest}"
    elif flight.converted.num_overflows:
        num_overflows = flight.converted.num_overflows
        title = f"{num_overflows} values do not fit into {flight.num_bits} bits: they {flight.on_overflow}"
    else:
        title = f"Every value fits into {flight.num_bits} bits"
    figure = go.Figure(layout=base_layout(title, 400))
    figure.add_trace(_line("bias, 64-bit floating point", flight.times_s, flight.bias, SERIES[0]))
    integers = flight.converted.integers
    name = f"{flight.num_bits}-bit integer"
    figure.add_trace(_line(name, flight.times_s[: len(integers)], integers, SERIES[1], dash="dot"))
    if largest <= 4 * flight.bias.max():
        figure.add_hline(y=largest, line={"color": INK, "width": 1, "dash": "dash"}, annotation_text=f"{largest}")
    if at is not None:
        figure.add_vline(x=flight.times_s[at], line={"color": ACCENT, "width": 2})
    figure.update_layout(
        xaxis={"title": {"text": "seconds since ignition"}}, yaxis={"title": {"text": "horizontal bias (a model)"}},
    )
    return figure


def archimedes_figure(curves: ErrorCurves) -> go.Figure:
    """The error of pi over the doublings, from both forms of the recurrence."""
    title = f"Pi from polygons in {curves.fmt.name}: one formula, written twice"
    return error_curves_figure(curves, title, log_x=False)


def quadratic_figure(curves: ErrorCurves) -> go.Figure:
    """The error of the small root over b."""
    return error_curves_figure(curves, f"The small root of a x² - b x + c in {curves.fmt.name}")


def differentiation_figure(curves: ErrorCurves) -> go.Figure:
    """The error of the derivative over the step."""
    return error_curves_figure(curves, f"A derivative in {curves.fmt.name}: truncation against rounding")


def variance_figure(curves: ErrorCurves) -> go.Figure:
    """The error of the variance over the shift of the data."""
    return error_curves_figure(curves, f"The variance of shifted data in {curves.fmt.name}")


def triangle_figure(curves: ErrorCurves) -> go.Figure:
    """The error of the area over the shortest side."""
    return error_curves_figure(curves, f"The area of a needle in {curves.fmt.name}: Heron against Kahan")


def _line(name: str, x, y, colour: str, *, dash: str = "solid") -> go.Scatter:
    return go.Scatter(name=name, x=x, y=y, mode="lines", line={"color": colour, "width": 2, "dash": dash})
