"""Relative errors of several methods over a parameter, with what theory says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.floating_point.accidents import ErrorCurves
from labkit.views.theme import ACCENT, INK, SERIES, base_layout

FLOOR = 1 / 16  # of the unit roundoff: where an error of 0 is drawn
MOST_ERROR = 1e4  # larger ones are drawn here
SYMBOLS = ("circle", "square", "diamond", "triangle-up")


@dataclass(frozen=True, eq=False)
class ErrorSeries:
    """What is drawn of one method.

    Attributes
    ----------
    name : str
    x, y : ndarray of float64
        Where a result is a number; ``y`` between the floor and the ceiling of the picture.
    hovers : tuple of str
    broken_x : ndarray of float64
        Where there is no number at all.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    hovers: tuple[str, ...]
    broken_x: np.ndarray


@dataclass(frozen=True, eq=False)
class ErrorCurvesLayout:
    """All series, the bounds within the picture, the best values of x by theory, and the vertical range."""

    series: tuple[ErrorSeries, ...]
    bounds: tuple[tuple[str, np.ndarray], ...]
    optima: tuple[tuple[str, float], ...]
    low: float
    high: float


def error_curves_layout(curves: ErrorCurves) -> ErrorCurvesLayout:
    """Errors between a floor below the unit roundoff and a ceiling; bounds cut off there."""
    low = float(curves.fmt.epsilon / 2) * FLOOR
    errors = np.concatenate([curve.errors for curve in curves.curves])
    worst = float(np.nanmax(np.append(errors, 1.0)))
    high = min(max(1.0, worst), MOST_ERROR)
    series = []
    for curve in curves.curves:
        known = ~np.isnan(curve.errors)
        hovers = tuple(
            f"<b>{curve.name}</b><br>{curves.parameter}: {x:.6g}<br>result {value:.17g}<br>exact {exact:.17g}<br>"
            f"relative error {error:.3g}"
            for x, value, exact, error in zip(
                curves.x[known], curve.values[known], curves.exact[known], curve.errors[known], strict=True
            )
        )
        y = np.clip(curve.errors[known], low, high)
        series.append(ErrorSeries(curve.name, curves.x[known], y, hovers, curves.x[~known]))
    bounds = tuple(
        (name, np.where((values >= low) & (values <= high), values, np.nan)) for name, values in curves.bounds
    )
    return ErrorCurvesLayout(tuple(series), bounds, curves.optima, low, high)


def error_curves_figure(curves: ErrorCurves, title: str, *, log_x: bool = True) -> go.Figure:
    """Errors as points, bounds as lines, both on logarithmic axes; crosses above where there is no number.

    Parameters
    ----------
    curves : ErrorCurves
    title : str
    log_x : bool
        Whether x is drawn on a logarithmic axis.
    """
    layout = error_curves_layout(curves)
    figure = go.Figure(layout=base_layout(title, 460))
    for number, one in enumerate(layout.series):
        figure.add_trace(
            go.Scatter(
                name=one.name, x=one.x, y=one.y, mode="lines+markers", hovertext=one.hovers, hoverinfo="text",
                line={"color": SERIES[number], "width": 1}, marker={"size": 6, "symbol": SYMBOLS[number % 4]},
            )
        )
        figure.add_trace(
            go.Scatter(
                name=f"{one.name}: no number", x=one.broken_x, mode="markers",
                y=np.full(len(one.broken_x), layout.high * 3 ** (1 + number)),
                marker={"symbol": "x-thin", "size": 7, "line": {"width": 2, "color": SERIES[number]}},
                hovertemplate=f"{one.name}: no number<extra></extra>", showlegend=len(one.broken_x) > 0,
            )
        )
    for number, (name, values) in enumerate(layout.bounds):
        figure.add_trace(
            go.Scatter(
                name=name, x=curves.x, y=values, mode="lines", hovertemplate=f"{name}: %{{y:.2g}}<extra></extra>",
                line={"color": INK, "width": 1.5, "dash": ("dash", "dot")[number % 2]},
            )
        )
    u = float(curves.fmt.epsilon / 2)
    figure.add_hline(y=u, line={"color": INK, "width": 1})
    figure.add_annotation(
        x=0, xref="paper", y=np.log10(u), text="u", showarrow=False, xanchor="left", yanchor="bottom",
        font={"color": INK, "size": 11},
    )
    for number, (name, x) in enumerate(layout.optima):
        figure.add_vline(x=x, line={"color": ACCENT, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=np.log10(x) if log_x else x, y=1, yref="paper", text=f"best for {name}: {x:.2g}", showarrow=False,
            yanchor="bottom", yshift=14 * number, font={"color": ACCENT, "size": 11},
        )
    top = np.log10(layout.high) + 0.5 * (len(layout.series) + 1)
    figure.update_layout(
        xaxis={"title": {"text": curves.parameter}, "type": "log" if log_x else "linear", "exponentformat": "power"},
        yaxis={
            "title": {"text": "relative error"}, "type": "log", "range": [np.log10(layout.low) - 0.3, top],
            "exponentformat": "power",
        },
        legend={"y": -0.22, "yanchor": "top"}, margin={"l": 70, "r": 30, "t": 80, "b": 120},
    )
    return figure
