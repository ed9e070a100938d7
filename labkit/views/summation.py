"""Pictures of sums: error against condition number, spread over orders. Reduce trees are in :mod:`.reduce_trees`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.views.theme import ACCENT, INK, SERIES, base_layout

if TYPE_CHECKING:
    from labkit.floating_point.order import Spread
    from labkit.floating_point.summation.errors import ErrorCurve

HIGHEST = 10.0  # relative errors above are drawn there: no digit is left
NUM_BARS = 41
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star", "hexagon")


# -- error against condition number --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ErrorLine:
    """One algorithm: measured errors and both bounds as they are drawn, with what is told of each point."""

    name: str
    conditions: np.ndarray
    errors: np.ndarray
    bounds: np.ndarray
    running: np.ndarray
    hovers: tuple[str, ...]


def errors_layout(curves: Sequence[ErrorCurve]) -> tuple[float, tuple[ErrorLine, ...]]:
    """The lowest error that is drawn, an eighth of the unit roundoff, and a line for each algorithm.

    Smaller errors, 0 among them, are drawn at the lowest, larger ones than 10 at 10; NaN draws nothing.
    """
    if not len(curves):
        raise UsageError("errors_figure: there are no curves: pass those of errors_by_condition().")
    floor = float(max(np.finfo(curve.dtype).eps for curve in curves)) / 16
    lines = []
    for curve in curves:
        order = np.argsort(curve.conditions, kind="stable")
        errors, bounds, running = (values[order] for values in (curve.errors, curve.bounds, curve.running))
        lines.append(
            ErrorLine(
                curve.name, curve.conditions[order], *(np.clip(v, floor, HIGHEST) for v in (errors, bounds, running)),
                tuple(
                    f"<b>{curve.name}</b>, condition number {c:.2g}<br>relative error {e:.2g}<br>a-priori bound {b:.2g}"
                    + (f"<br>running bound {r:.2g}" if not math.isnan(r) else "")
                    for c, e, b, r in zip(curve.conditions[order], errors, bounds, running, strict=True)
                ),
            )
        )
    return floor, tuple(lines)


def errors_figure(curves: Sequence[ErrorCurve]) -> go.Figure:
    """Relative error over condition number: marks are measured, dashed lines a-priori bounds, dotted running bounds.

    Parameters
    ----------
    curves : sequence of ErrorCurve
        From :func:`labkit.floating_point.summation.errors.errors_by_condition`.

    Raises
    ------
    UsageError
        No curves.
    """
    floor, lines = errors_layout(curves)
    title = f"Error of sums of {curves[0].num_terms} terms, {curves[0].dtype}"
    if any(line.name.startswith("dot") for line in lines):
        title = f"Error of dot products of {curves[0].num_terms} pairs, {curves[0].dtype}"
    figure = go.Figure(layout=base_layout(title, 480))
    for number, line in enumerate(lines):
        colour = SERIES[number % len(SERIES)]
        for values, dash, what in ((line.bounds, "dash", "a-priori bound"), (line.running, "dot", "running bound")):
            if np.isnan(values).all():
                continue
            figure.add_trace(
                go.Scatter(
                    x=line.conditions, y=_shown(values), mode="lines", legendgroup=line.name, showlegend=False,
                    name=f"{line.name}, {what}", line={"color": colour, "width": 1.2, "dash": dash}, hoverinfo="skip",
                )
            )
        figure.add_trace(
            go.Scatter(
                x=line.conditions, y=line.errors, mode="lines+markers", name=line.name, legendgroup=line.name,
                line={"color": colour, "width": 2},
                marker={"size": 8, "symbol": SYMBOLS[number % len(SYMBOLS)], "color": colour},
                hovertext=line.hovers, hoverinfo="text",
            )
        )
    unit = 8 * floor
    figure.add_hline(y=unit, line={"color": INK, "width": 1, "dash": "dot"})
    figure.add_annotation(
        xref="paper", x=1, y=math.log10(unit), yshift=9, text="u: correctly rounded is below", showarrow=False,
        xanchor="right", font={"color": INK, "size": 11},
    )
    log = {"type": "log", "exponentformat": "power"}
    figure.update_layout(
        xaxis={**log, "title": {"text": "condition number"}},
        yaxis={
            **log, "title": {"text": "relative error (at most 10 is drawn)"},
            "range": [math.log10(floor / 2), math.log10(3 * HIGHEST)],
        },
        margin={"l": 80, "r": 30, "t": 90, "b": 50},
    )
    return figure


def _shown(values: np.ndarray) -> list:
    """NaN is no JSON."""
    return [None if math.isnan(value) else value for value in values.tolist()]


# -- spread over orders --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SpreadLayout:
    """Bars: ``edges`` in ulp, shape (bars + 1,); by name how many orders fell in each, and how many are not finite."""

    edges: np.ndarray
    names: tuple[str, ...]
    counts: tuple[np.ndarray, ...]
    num_outside: tuple[int, ...]
    titles: tuple[str, ...]


def spread_layout(spreads: Sequence[Spread], *, num_bars: int = NUM_BARS) -> SpreadLayout:
    """The same bars for all: symmetric about the exact sum, as wide as the widest spread, and a multiple of 1 ulp."""
    if not len(spreads):
        raise UsageError("spread_figure: there are no spreads: pass those of spread_over_orders().")
    finite = [spread.errors_ulp[np.isfinite(spread.errors_ulp)] for spread in spreads]
    reach = max([0.5, *(float(abs(errors).max()) for errors in finite if errors.size)])
    half = num_bars // 2
    width = max(1.0, math.ceil(2 * reach / num_bars)) if reach < 1e15 else 2 * reach / num_bars * (1 + 1e-12)
    edges = (np.arange(2 * half + 2) - half - 0.5) * width
    counts = tuple(np.histogram(errors, edges)[0] for errors in finite)
    titles = tuple(
        f"{spread.name}: {spread.num_results} result{'s' if spread.num_results != 1 else ''} "
        f"of {spread.errors_ulp.size} orders"
        + (f", {_range_text(errors)}" if errors.size else "")
        for spread, errors in zip(spreads, finite, strict=True)
    )
    outside = tuple(s.errors_ulp.size - errors.size for s, errors in zip(spreads, finite, strict=True))
    return SpreadLayout(edges, tuple(spread.name for spread in spreads), counts, outside, titles)


def _range_text(errors: np.ndarray) -> str:
    low, high = float(errors.min()), float(errors.max())
    return f"{low:+.2g} ulp" if low == high else f"{low:+.2g} to {high:+.2g} ulp"


def spread_figure(spreads: Sequence[Spread]) -> go.Figure:
    """A histogram for each algorithm, one below the other: how far results over random orders are from the exact sum.

    Parameters
    ----------
    spreads : sequence of Spread
        From :func:`labkit.floating_point.order.spread_over_orders`.

    Raises
    ------
    UsageError
        No spreads.
    """
    layout = spread_layout(spreads)
    num_rows = len(layout.names)
    figure = go.Figure(layout=base_layout("Results over random orders", 90 + 110 * num_rows))
    template = figure.layout.template.layout.yaxis.to_plotly_json()
    middles, width = (layout.edges[:-1] + layout.edges[1:]) / 2, float(layout.edges[1] - layout.edges[0])
    for row, (name, counts, title) in enumerate(zip(layout.names, layout.counts, layout.titles, strict=True)):
        axis = "" if row == 0 else str(row + 1)
        top, height = 1 - row / num_rows, 0.68 / num_rows
        figure.add_trace(
            go.Bar(
                x=middles, y=counts, width=width, name=name, yaxis=f"y{axis}", showlegend=False,
                marker={"color": SERIES[row % len(SERIES)], "line": {"width": 0}},
                hovertemplate=f"{name}<br>%{{x:.4g}} ± {width / 2:.4g} ulp: %{{y}} orders<extra></extra>",
            )
        )
        figure.update_layout(
            {f"yaxis{axis}": {**template, "domain": [max(top - 0.2 / num_rows - height, 0), top - 0.2 / num_rows],
                              "nticks": 4, "rangemode": "tozero"}}
        )
        outside = layout.num_outside[row]
        figure.add_annotation(
            xref="paper", yref="paper", x=0, y=top - 0.19 / num_rows, yanchor="bottom", xanchor="left", showarrow=False,
            text=f"{title}, {outside} not finite" if outside else title, font={"color": INK, "size": 12},
        )
    figure.add_shape(
        type="line", x0=0, x1=0, yref="paper", y0=0, y1=1, line={"color": ACCENT, "width": 1, "dash": "dot"},
    )
    figure.update_layout(
        xaxis={
            "title": {"text": "distance from the exact sum in ulp"}, "anchor": f"y{num_rows if num_rows > 1 else ''}",
            "range": [float(layout.edges[0]), float(layout.edges[-1])],
        },
        bargap=0, margin={"l": 60, "r": 30, "t": 50, "b": 50},
    )
    return figure
