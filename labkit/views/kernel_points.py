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
PLOT_WIDTH, PLOT_HEIGHT, LETTER_WIDTH = 590, 295, 7  # px, of a figure as wide as a notebook's
PLACES = ("bottom right", "top left", "middle right", "middle left", "bottom left", "top right")


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
    speeds = [p.flops_per_s for p, _, _ in layout.shown]
    low, high = figure.layout.yaxis.range
    decades = min([low, *(math.log10(speed / 3) for speed in speeds)]), high
    for is_best, name, colour in ((False, "slower versions", SLOW), (True, "fastest version of each kernel", FAST)):
        chosen = [row for row in layout.shown if (row[0].flops_per_s == best[row[0].kernel]) == is_best]
        if not chosen:
            continue
        figure.add_trace(
            go.Scatter(
                name=name, x=[p.intensity for p, _, _ in chosen], y=[p.flops_per_s for p, _, _ in chosen],
                mode="markers+text" if is_best else "markers", text=[p.kernel.replace("_", " ") for p, _, _ in chosen],
                textposition=label_places(chosen, decades) if is_best else None, textfont={"color": INK},
                hovertext=[_hover(*row) for row in chosen], hoverinfo="text",
                marker={
                    "size": 10 if is_best else 7, "color": colour, "line": {"width": 1.2, "color": "white"},
                    "symbol": "circle" if is_best else "circle-open",
                },
            )
        )
    # One more line of the legend than the roofs alone have.
    figure.update_layout(yaxis_range=decades, height=figure.layout.height + 22, margin_t=figure.layout.margin.t + 22)
    if layout.left_out:
        figure.add_annotation(
            text=f"without flops, and not shown: {', '.join(layout.left_out)}", showarrow=False,
            xref="paper", yref="paper", x=0, y=0, xanchor="left", yanchor="bottom", xshift=6, yshift=4,
            font={"color": INK, "size": 11},
        )
    return figure


def label_places(rows, decades: tuple[float, float]) -> list[str]:
    """Where the name of each point stands, so that names of neighbours do not cover each other or other points.

    ``decades`` is the range of the vertical axis, in powers of ten.
    """
    (low_x, high_x), (low_y, high_y) = map(math.log10, INTENSITY_RANGE), decades
    centres = [
        (
            (math.log10(p.intensity) - low_x) / (high_x - low_x) * PLOT_WIDTH,
            (math.log10(p.flops_per_s) - low_y) / (high_y - low_y) * PLOT_HEIGHT,
        )
        for p, _, _ in rows
    ]
    taken = [(x - 6, x + 6, y - 6, y + 6) for x, y in centres]
    places = []
    for (x, y), (point, _, _) in zip(centres, rows, strict=True):
        boxes = {place: _text_box(place, x, y, LETTER_WIDTH * len(point.kernel)) for place in PLACES}
        free = (place for place, box in boxes.items() if not any(_overlap(box, other) for other in taken))
        place = next(free, PLACES[0])
        taken.append(boxes[place])
        places.append(place)
    return places


def _text_box(place: str, x: float, y: float, width: float) -> tuple[float, float, float, float]:
    left = x + 6 if "right" in place else x - 6 - width
    bottom = {"bottom": y - 20, "middle": y - 7, "top": y + 6}[place.split()[0]]
    return left, left + width, bottom, bottom + 14


def _overlap(one, other) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _hover(point: KernelPoint, roof: float, share: float) -> str:
    return (
        f"<b>{point.label}</b><br>{point.intensity:.3g} flops per byte<br>{point.flops_per_s / 1e9:.3g} Gflop/s "
        f"measured on {point.num_threads} threads<br>{share:.0%} of the {roof / 1e9:.3g} Gflop/s that memory and "
        "processor allow"
    )
