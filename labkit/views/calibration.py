"""Are probabilities true? Confidence against accuracy, temperatures, single pictures, loss on a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.softmax.calibration.loss_line import LossLine
from labkit.softmax.calibration.reliability import Calibration
from labkit.views.softmax import probabilities_layout
from labkit.views.theme import ACCENT, GRID, INK, SERIES, base_layout

TEMPERATURE_TICKS = [2.0**k for k in range(-6, 8)]
TOO_SURE, NOT_SURE = ("rgba(209,73,91,0.25)", ACCENT), ("#f2cf85", SERIES[4])  # inside, outline


@dataclass(frozen=True, slots=True)
class ReliabilityBar:
    """A bin that is not empty: its ends, what it has, and whether the classifier is too sure there."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float

    @property
    def is_too_sure(self) -> bool:
        return self.confidence > self.accuracy


def reliability_layout(found: Calibration) -> tuple[ReliabilityBar, ...]:
    """The bins that are not empty."""
    return tuple(
        ReliabilityBar(float(low), float(high), int(count), float(confidence), float(accuracy))
        for low, high, count, confidence, accuracy in zip(
            found.edges[:-1], found.edges[1:], found.counts, found.confidences, found.accuracies, strict=True
        )
        if count
    )


def reliability_figure(found: Calibration) -> go.Figure:
    """The reliability diagram: accuracy over confidence, the gap to the diagonal, and how many rows each bin has."""
    bars = reliability_layout(found)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.05)
    words = [
        f"confidence {bar.low:.3g} to {bar.high:.3g}: {bar.count} rows<br>on average {bar.confidence:.1%} sure, "
        f"{bar.accuracy:.1%} right" for bar in bars
    ]
    middles = [(bar.low + bar.high) / 2 for bar in bars]
    widths = [max(0.97 * (bar.high - bar.low), 0.002) for bar in bars]
    shared = {"x": middles, "width": widths, "hovertext": words, "hoverinfo": "text"}
    figure.add_trace(
        go.Bar(name="accuracy", y=[bar.accuracy for bar in bars], marker={"color": SERIES[0]}, **shared), 1, 1
    )
    for word, (inside, outline), chosen in (
        ("too sure by", TOO_SURE, [bar.confidence > bar.accuracy for bar in bars]),
        ("not sure enough by", NOT_SURE, [bar.confidence < bar.accuracy for bar in bars]),
    ):
        gaps = [bar.confidence - bar.accuracy if it else 0 for bar, it in zip(bars, chosen, strict=True)]
        figure.add_trace(
            go.Bar(name=word, y=gaps, base=[bar.accuracy for bar in bars],
                   marker={"color": inside, "line": {"color": outline, "width": [float(it) for it in chosen]}},
                   **shared),
            1, 1,
        )
    figure.add_trace(
        go.Scatter(name="true probabilities", x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip",
                   line={"color": INK, "dash": "dash", "width": 1.3}), 1, 1,
    )
    figure.add_trace(
        go.Bar(name="rows", y=[bar.count for bar in bars], marker={"color": SERIES[5]}, showlegend=False, **shared),
        2, 1,
    )
    title = (
        f"Temperature {found.temperature:.3g}: {found.mean_confidence:.1%} sure, {found.accuracy:.1%} right; "
        f"expected calibration error {found.expected_error:.1%}"
    )
    figure.update_layout(base_layout(title, 500))
    figure.update_layout(barmode="overlay", margin={"t": 80}, bargap=0)
    figure.update_xaxes(range=[-0.01, 1.01], autorange=False)
    figure.update_xaxes(title={"text": "confidence: the largest probability"}, row=2)
    figure.update_yaxes(range=[0, 1.03], autorange=False, title={"text": "accuracy"}, row=1)
    figure.update_yaxes(title={"text": "rows"}, row=2)
    return figure


def temperature_figure(found: Sequence[Calibration], fitted: float | None = None) -> go.Figure:
    """Loss and expected calibration error over the temperature.

    Parameters
    ----------
    found : sequence of Calibration
        Of the same rows at several temperatures, in any order.
    fitted : float, optional
        The temperature that was fitted, drawn as a line.
    """
    if not found:
        raise UsageError("temperature_figure: there is nothing to draw: pass calibrations at some temperatures.")
    found = sorted(found, key=lambda one: one.temperature)
    at = [one.temperature for one in found]
    figure = go.Figure(layout=base_layout("One number divides all logits: likelihood and calibration", 380))
    figure.add_trace(
        go.Scatter(name="negative log-likelihood", x=at, y=[one.loss for one in found], mode="lines",
                   line={"color": SERIES[0], "width": 2}, hovertemplate="%{x:.3g}: %{y:.4g} nats<extra></extra>")
    )
    figure.add_trace(
        go.Scatter(name="expected calibration error", x=at, y=[one.expected_error for one in found], mode="lines",
                   yaxis="y2", line={"color": SERIES[1], "width": 2, "dash": "dot"},
                   hovertemplate="%{x:.3g}: %{y:.2%}<extra></extra>")
    )
    axis = figure.layout.template.layout.yaxis.to_plotly_json()
    figure.update_layout(
        xaxis={
            "type": "log", "title": {"text": "temperature"}, "tickmode": "array",
            "tickvals": TEMPERATURE_TICKS, "ticktext": [f"{t:g}" for t in TEMPERATURE_TICKS],
        },
        margin={"r": 80, "t": 80},
        yaxis={"title": {"text": "nats"}, "rangemode": "tozero"},
        yaxis2={**axis, "overlaying": "y", "side": "right", "showgrid": False, "rangemode": "tozero",
                "tickmode": "auto", "tickformat": ".0%", "title": {"text": "expected calibration error"}},
    )
    if fitted is not None:
        figure.add_vline(x=fitted, line={"color": ACCENT, "width": 1.5})
        figure.add_annotation(
            x=math.log10(fitted), y=1, yref="paper", yanchor="top", xanchor="left", xshift=4, showarrow=False,
            text=f"fitted: {fitted:.3g}", font={"color": ACCENT},
        )
    return figure


def digit_figure(picture: np.ndarray, logits: np.ndarray, target: int, temperature: float = 1.0) -> go.Figure:
    """A picture, its logits, and its probabilities at the temperature and at 1.

    Parameters
    ----------
    picture : array (64,) or (8, 8), 0 to 1
        Or of any square number of pixels.
    logits : array (C,)
    target : int
        What it is.
    temperature : float
    """
    pixels = np.asarray(picture, np.float64).ravel()
    side = math.isqrt(pixels.size)
    if not pixels.size or side * side != pixels.size:
        raise UsageError(f"digit_figure: a picture is a square of pixels, not {pixels.size} of them: pass 64.")
    layout = probabilities_layout(np.asarray(logits), temperature, target=target)
    best = int(np.argmax(layout.logits))
    figure = make_subplots(1, 3, column_widths=[0.26, 0.37, 0.37], subplot_titles=("", "logits", "probabilities"))
    figure.add_trace(
        go.Heatmap(z=pixels.reshape(side, side), colorscale=[[0, "#ffffff"], [1, "#1d1f21"]], zmin=0, zmax=1,
                   showscale=False, hoverinfo="skip"), 1, 1,
    )
    colours = [SERIES[2] if k == target else SERIES[5] for k in range(len(layout.names))]
    hover = "%{x}: %{y:.4g}<extra></extra>"
    figure.add_trace(
        go.Bar(name="logits", x=layout.names, y=layout.logits, marker={"color": colours}, showlegend=False,
               hovertemplate=hover), 1, 2,
    )
    figure.add_trace(
        go.Bar(name=f"temperature {temperature:.3g} (the right class in green)", x=layout.names, y=layout.tempered,
               marker={"color": colours}, hovertemplate=hover), 1, 3,
    )
    figure.add_trace(
        go.Bar(name="temperature 1", x=layout.names, y=layout.plain, hovertemplate=hover, visible=temperature != 1,
               marker={"color": "rgba(0,0,0,0)", "line": {"color": ACCENT, "width": 2}}), 1, 3,
    )
    verdict = "right" if best == target else f"wrong: it is a {target}"
    title = f"{layout.tempered[best]:.1%} sure that this is a {best}, which is {verdict}; loss {layout.loss:.3g} nats"
    figure.update_layout(base_layout(title, 340))
    figure.update_layout(
        barmode="overlay", margin={"t": 80, "l": 20, "b": 70},
        legend={"x": 1, "xanchor": "right", "y": -0.2, "yanchor": "top"},
    )
    figure.update_xaxes(type="category", dtick=1)
    figure.update_yaxes(range=[0, 1.03], autorange=False, col=3)
    figure.update_xaxes(type="linear", visible=False, constrain="domain", col=1)
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x", constrain="domain", col=1)
    figure.update_annotations(font={"color": INK, "size": 13})
    return figure


def loss_line_figure(line: LossLine) -> go.Figure:
    """The share of errors and the cross-entropy along a line of weights, and the slope of it at three quarters."""
    title = "All weights move along a line: errors have steps, cross-entropy has a slope"
    figure = go.Figure(layout=base_layout(title, 380))
    figure.add_trace(
        go.Scatter(name=f"wrong, of {line.num_pictures} pictures", x=line.steps, y=line.errors, mode="lines",
                   line={"color": SERIES[1], "width": 2, "shape": "hvh"},
                   hovertemplate="%{x:.3g}: %{y:.1%} wrong<extra></extra>")
    )
    figure.add_trace(
        go.Scatter(name="cross-entropy, nats", x=line.steps, y=line.losses, mode="lines", yaxis="y2",
                   line={"color": SERIES[0], "width": 2}, hovertemplate="%{x:.3g}: %{y:.4g} nats<extra></extra>")
    )
    at = 3 * (len(line.steps) - 1) // 4
    reach = (line.steps[-1] - line.steps[0]) / 8 * np.array([-1, 1])
    figure.add_trace(
        go.Scatter(name=f"its slope at {line.steps[at]:.3g}", x=line.steps[at] + reach,
                   y=line.losses[at] + line.slopes[at] * reach, mode="lines", yaxis="y2",
                   line={"color": ACCENT, "dash": "dash", "width": 2}, hoverinfo="skip")
    )
    axis = figure.layout.template.layout.yaxis.to_plotly_json()
    figure.update_layout(
        xaxis={"title": {"text": "step, in lengths of the weights"}, "zeroline": True, "zerolinecolor": GRID},
        yaxis={"title": {"text": "wrong"}, "tickformat": ".0%", "rangemode": "tozero"},
        yaxis2={**axis, "overlaying": "y", "side": "right", "showgrid": False, "title": {"text": "nats"},
                "tickmode": "auto", "rangemode": "tozero"},
        margin={"r": 80, "t": 80},
    )
    return figure
