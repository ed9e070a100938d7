"""Mixed precision in pictures: error growth, training, gradients against the range of a format, small updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.mixed_precision.growth import ErrorGrowth
from labkit.floating_point.mixed_precision.training import TrainingRun
from labkit.floating_point.mixed_precision.updates import Updates
from labkit.views.theme import ACCENT, GRID, INK, SERIES, base_layout

LEAST_ERROR = 2.0**-60  # where an error of 0 is drawn


def growth_name(growth: ErrorGrowth) -> str:
    """What was computed, in words.

    Examples
    --------
    >>> from labkit.floating_point.mixed_precision.growth import error_growth
    >>> growth_name(error_growth([16], chunk_size=4, accumulator_rounding="toward_zero"))
    'binary16 into binary32, chunks of 4, toward zero'
    """
    words = f"{growth.inputs.name} into {growth.accumulator.name}"
    words += f", chunks of {growth.chunk_size}" if growth.chunk_size > 1 else ""
    return words + (", toward zero" if growth.toward_zero else "")


@dataclass(frozen=True, eq=False)
class GrowthLayout:
    """Lines of the picture of one product: name, number of terms, errors, bounds up to 1, error of the inputs."""

    name: str
    num_terms: np.ndarray
    worst: np.ndarray
    typical: np.ndarray
    bound: np.ndarray
    probable: np.ndarray
    worst_of_inputs: np.ndarray


def growth_layout(growths: Sequence[ErrorGrowth]) -> tuple[GrowthLayout, ...]:
    """Errors of 0 at a floor, bounds above 1 left out: they say nothing."""
    return tuple(
        GrowthLayout(
            growth_name(one), one.num_terms, *(np.maximum(errors, LEAST_ERROR) for errors in (one.worst, one.typical)),
            *(np.where(values <= 1, values, np.nan) for values in (one.bound, one.probable)), one.worst_of_inputs,
        )
        for one in growths
    )


def growth_figure(growths: Sequence[ErrorGrowth]) -> go.Figure:
    """Measured errors over k (points: worst; thin line: typical) below their bounds (dashed: r u, dotted: sqrt(r) u).

    Parameters
    ----------
    growths : sequence of ErrorGrowth
        From :func:`labkit.floating_point.mixed_precision.growth.error_growth`; 1 to 6.
    """
    if not 1 <= len(growths) <= len(SERIES):
        raise UsageError(
            f"growth_figure: 1 to {len(SERIES)} products can be told apart, not {len(growths)}: pass fewer."
        )
    figure = go.Figure(layout=base_layout("The error of a matrix product over the number of terms", 480))
    for colour, one in zip(SERIES, growth_layout(growths), strict=False):
        for values, name, style in (
            (one.worst, one.name, {"mode": "markers+lines", "marker": {"size": 8}, "line": {"width": 2}}),
            (one.typical, f"{one.name}: typical", {"mode": "lines", "line": {"width": 1}}),
            (one.bound, f"{one.name}: r u", {"mode": "lines", "line": {"width": 1.5, "dash": "dash"}}),
            (one.probable, f"{one.name}: √r u", {"mode": "lines", "line": {"width": 1.5, "dash": "dot"}}),
        ):
            trace = go.Scatter(
                x=one.num_terms, y=values, name=name, legendgroup=one.name, showlegend=name == one.name,
                hovertemplate=f"{name}<br>k = %{{x}}: %{{y:.2g}}<extra></extra>", **style,
            )
            figure.add_trace(trace.update(line={"color": colour}))
    figure.update_layout(
        xaxis={
            "title": {"text": "terms k of each sum"}, "type": "log", "tickmode": "array",
            "tickvals": growths[0].num_terms, "ticktext": [f"{k:,}" for k in growths[0].num_terms],
        },
        yaxis={"title": {"text": "error / (|a| · |b|)"}, "type": "log", "exponentformat": "power"},
        legend={"y": -0.2, "yanchor": "top", "orientation": "v"}, margin={"b": 90 + 22 * len(growths)},
    )
    return figure


def training_figure(runs: Mapping[str, TrainingRun]) -> go.Figure:
    """Loss (above) and share of gradients that became 0 (below) over the steps; crosses where a step was left out.

    Parameters
    ----------
    runs : mapping of str to TrainingRun
        1 to 6, by what they are called.
    """
    if not 1 <= len(runs) <= len(SERIES):
        raise UsageError(f"training_figure: 1 to {len(SERIES)} runs can be told apart, not {len(runs)}: pass fewer.")
    figure = go.Figure(layout=base_layout("Training in short formats", 560))
    for colour, (name, run) in zip(SERIES, runs.items(), strict=False):
        steps = np.arange(1, len(run.losses) + 1)
        words = f"{name} ({run.accuracy:.0%})"
        figure.add_trace(_line(words, steps, run.losses, colour, name))
        figure.add_trace(_line(words, steps, run.underflow_shares, colour, name, axis="2"))
        figure.add_trace(
            go.Scatter(
                name=f"{name}: left out", x=steps[run.skipped], y=run.losses[run.skipped], mode="markers",
                marker={"symbol": "x", "size": 8, "color": colour}, legendgroup=name, showlegend=False,
                hovertext=[f"left out at a scale of {scale:g}" for scale in run.scales[run.skipped]], hoverinfo="text",
            )
        )
    axis = figure.layout.template.layout.xaxis.to_plotly_json()
    figure.update_layout(
        xaxis={"anchor": "y", "matches": "x2"}, yaxis={"domain": [0.46, 1], "title": {"text": "loss"}, "type": "log"},
        xaxis2={**axis, "anchor": "y2", "title": {"text": "step"}},
        yaxis2={
            **axis, "domain": [0, 0.36], "title": {"text": "gradients lost"}, "tickformat": ".0%", "anchor": "x2",
            "rangemode": "tozero",
        },
        legend={"y": -0.16, "yanchor": "top"}, margin={"b": 100},
    )
    return figure


@dataclass(frozen=True, eq=False)
class GradientLayout:
    """How many gradients have which power of 2, and where a format begins and ends.

    Attributes
    ----------
    powers : ndarray of int
        ``floor(log2(|g|))``, from the smallest to the largest.
    counts : ndarray of int
    smallest, smallest_normal, largest : float
        Logarithms to base 2 of the numbers of the format, divided by the scale. What is below half of the smallest
        number becomes 0.
    lost : float
        Share of the gradients below half of the smallest number.
    """

    powers: np.ndarray
    counts: np.ndarray
    smallest: float
    smallest_normal: float
    largest: float
    lost: float


def gradient_layout(gradients, fmt: str | Format = "binary16", *, scale: float = 1.0) -> GradientLayout:
    """Powers of 2 of gradients against the range of a format; gradients of 0 are left out.

    Examples
    --------
    >>> layout = gradient_layout([2.0**-26, 2.0**-20, 3.0], "binary16")
    >>> layout.powers[[0, -1]].tolist(), layout.smallest, round(layout.lost, 3)
    ([-26, 1], -24.0, 0.333)
    """
    fmt = find_format(fmt)
    sizes = np.abs(np.asarray(gradients, np.float64).ravel())
    sizes = sizes[(sizes > 0) & np.isfinite(sizes)]
    if not sizes.size or not scale > 0:
        raise UsageError(
            f"gradient_layout: there must be finite gradients other than 0, and a scale above 0, but there are "
            f"{sizes.size} and the scale is {scale}: pass those of a step that was not left out."
        )
    exponents = np.frexp(sizes)[1] - 1
    powers = np.arange(exponents.min(), exponents.max() + 1)
    shift = float(np.log2(scale))
    bounds = (float(np.log2(float(number))) - shift for number in (fmt.min_subnormal, fmt.min_normal, fmt.max))
    lost = float((sizes * scale <= float(fmt.min_subnormal) / 2).mean())
    return GradientLayout(powers, np.bincount(exponents - exponents.min(), minlength=len(powers)), *bounds, lost)


def gradient_figure(gradients, fmt: str | Format = "binary16", *, scale: float = 1.0) -> go.Figure:
    """Gradients by power of 2, and the range of a format, moved by the scale of the loss."""
    fmt = find_format(fmt)
    layout = gradient_layout(gradients, fmt, scale=scale)
    words = f"{fmt.name}, loss times {scale:g}: {layout.lost:.1%} of the gradients become 0"
    figure = go.Figure(layout=base_layout(words, 380))
    lost = layout.powers < layout.smallest - 1
    figure.add_trace(
        go.Bar(
            x=layout.powers, y=layout.counts, marker={"color": [ACCENT if yes else SERIES[0] for yes in lost]},
            hovertemplate="2^%{x}: %{y} gradients<extra></extra>", name="gradients", showlegend=False,
        )
    )
    for x, name in (
        (layout.smallest, "smallest"), (layout.smallest_normal, "smallest normal"), (layout.largest, "largest"),
    ):
        if layout.powers[0] - 6 <= x <= layout.powers[-1] + 12:
            figure.add_vline(x=x - 0.5, line={"color": INK, "dash": "dash", "width": 1})
            figure.add_annotation(
                x=x - 0.5, y=1, yref="paper", yanchor="bottom", text=name, showarrow=False,
                font={"color": INK, "size": 11},
            )
    figure.update_layout(
        xaxis={"title": {"text": "power of 2 of the gradient (before scaling)"}}, bargap=0.05,
        yaxis={"title": {"text": "gradients"}},
    )
    return figure


def updates_figure(found: Sequence[Updates]) -> go.Figure:
    """Mean of the weights over the updates; the band is from the smallest to the largest weight.

    Parameters
    ----------
    found : sequence of Updates
        From :func:`labkit.floating_point.mixed_precision.updates.apply_updates`, of the same update; 1 to 6.
    """
    if not 1 <= len(found) <= len(SERIES):
        raise UsageError(f"updates_figure: 1 to {len(SERIES)} can be told apart, not {len(found)}: pass fewer.")
    figure = go.Figure(layout=base_layout(f"Small updates of weights in {found[0].fmt.name}", 420))
    for colour, one in zip(SERIES, found, strict=False):
        counts = np.arange(len(one.mean))
        if (one.most > one.least).any():
            figure.add_trace(
                go.Scatter(
                    x=np.concatenate([counts, counts[::-1]]), y=np.concatenate([one.most, one.least[::-1]]),
                    fill="toself", fillcolor=GRID, line={"width": 0}, name=f"{one.rounding}: all weights",
                    hoverinfo="skip",
                )
            )
        figure.add_trace(_line(one.rounding, counts, one.mean, colour, one.rounding))
    counts = np.arange(len(found[0].exact))
    exact = _line("exact", counts, found[0].exact, INK, "exact").update(line={"dash": "dash"})
    figure.add_trace(exact)
    figure.update_layout(xaxis={"title": {"text": "updates"}}, yaxis={"title": {"text": "weight, mean"}})
    return figure


def _line(name: str, x, y, colour: str, group: str, *, axis: str = "1") -> go.Scatter:
    return go.Scatter(
        name=name, x=x, y=y, mode="lines", line={"color": colour, "width": 2}, legendgroup=group,
        showlegend=axis == "1", xaxis="x2" if axis == "2" else "x", yaxis="y2" if axis == "2" else "y",
    )
