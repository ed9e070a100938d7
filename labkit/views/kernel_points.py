"""The roofline of a machine with kernels that were measured on it as points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.hardware.roofline import Roofline
from labkit.views.roofline import INTENSITY_RANGE, roofline_figure
from labkit.views.theme import INK, SERIES

if TYPE_CHECKING:
    from labkit.openmp.experiments.kernel_points import KernelPoint

FAST, SLOW = SERIES[0], SERIES[4]


@dataclass(frozen=True, slots=True)
class PointsLayout:
    """Points that can be drawn: (point, what the roof allows, share of it). Others have no flops or no intensity."""

    shown: tuple[tuple[KernelPoint, float, float], ...]
    left_out: tuple[str, ...]


def points_layout(roofline: Roofline, points: Sequence[KernelPoint]) -> PointsLayout:
    """Each point beside what main memory and the processor allow at its intensity."""
    shown, left_out = [], []
    low, high = INTENSITY_RANGE
    for point in points:
        if point.flops <= 0 or not low <= point.intensity <= high:
            left_out.append(point.label)
            continue
        roof = roofline.attainable(point.intensity)
        shown.append((point, roof, point.flops_per_s / roof))
    return PointsLayout(tuple(shown), tuple(left_out))


def measured_roofline_figure(roofline: Roofline, points: Sequence[KernelPoint]) -> go.Figure:
    """The roofs, and each measured kernel at its intensity and its speed; the fastest version of each is named."""
    layout = points_layout(roofline, points)
    figure = roofline_figure(roofline, ())
    figure.data = [trace for trace in figure.data if trace.name != "kernels"]
    best: dict[str, float] = {}
    for point, _, _ in layout.shown:
        best[point.kernel] = max(best.get(point.kernel, 0.0), point.flops_per_s)
    for is_best, name, colour in ((False, "slower versions", SLOW), (True, "fastest version of each kernel", FAST)):
        chosen = [row for row in layout.shown if (row[0].flops_per_s == best[row[0].kernel]) == is_best]
        if not chosen:
            continue
        figure.add_trace(
            go.Scatter(
                name=name, x=[p.intensity for p, _, _ in chosen], y=[p.flops_per_s for p, _, _ in chosen],
                mode="markers+text" if is_best else "markers", text=[p.kernel.replace("_", " ") for p, _, _ in chosen],
                textposition="bottom right", textfont={"color": INK},
                hovertext=[_hover(*row) for row in chosen], hoverinfo="text",
                marker={
                    "size": 10 if is_best else 7, "color": colour, "line": {"width": 1.2, "color": "white"},
                    "symbol": "circle" if is_best else "circle-open",
                },
            )
        )
    speeds = [p.flops_per_s for p, _, _ in layout.shown]
    if speeds:
        low, high = figure.layout.yaxis.range
        figure.update_layout(yaxis_range=[min(low, math.log10(min(speeds) / 3)), high])
    if layout.left_out:
        figure.add_annotation(
            text=f"without flops, and not shown: {', '.join(layout.left_out)}", showarrow=False,
            xref="paper", yref="paper", x=0, y=0, xanchor="left", yanchor="bottom", xshift=6, yshift=4,
            font={"color": INK, "size": 11},
        )
    return figure


def _hover(point: KernelPoint, roof: float, share: float) -> str:
    return (
        f"<b>{point.label}</b><br>{point.intensity:.3g} flops per byte<br>{point.flops_per_s / 1e9:.3g} Gflop/s "
        f"measured on {point.num_threads} threads<br>{share:.0%} of the {roof / 1e9:.3g} Gflop/s that memory and "
        "processor allow"
    )
