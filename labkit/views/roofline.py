"""The roofline of a machine as a picture, and what a point below it means in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.hardware.roofline import KERNELS, Kernel, Roofline
from labkit.views.theme import ACCENT, INK, SERIES, base_layout

INTENSITY_RANGE = (2.0**-6, 2.0**10)


@dataclass(frozen=True, slots=True)
class RooflineLayout:
    """Roofs as (name, intensities, flops per second), and kernels as (kernel, flops per second)."""

    roofs: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...]
    kernels: tuple[tuple[Kernel, float], ...]
    ridge_point: float


def roofline_layout(roofline: Roofline, kernels: tuple[Kernel, ...] = KERNELS) -> RooflineLayout:
    """A roof for each memory level, up to its ridge and then flat; each kernel on the roof of memory."""
    low, high = INTENSITY_RANGE
    roofs = []
    for name, bandwidth in roofline.bandwidths:
        ridge = min(max(roofline.peak_flops / bandwidth, low), high)
        xs = (low, ridge, high)
        roofs.append((name, xs, tuple(roofline.attainable(x, bandwidth) for x in xs)))
    return RooflineLayout(
        roofs=tuple(roofs),
        kernels=tuple((kernel, roofline.attainable(kernel.intensity)) for kernel in kernels),
        ridge_point=roofline.ridge_point,
    )


def roofline_figure(roofline: Roofline, kernels: tuple[Kernel, ...] = KERNELS) -> go.Figure:
    """Flops per second against flops per byte, both logarithmic."""
    layout = roofline_layout(roofline, kernels)
    figure = go.Figure(
        layout=base_layout(
            f"The roofline of this machine: {_rate(roofline.peak_flops, 'flop/s')} at most, "
            f"{_rate(roofline.memory_bandwidth, 'B/s')} from memory", 460,
        )
    )
    widths = {"DRAM": 3}
    for (name, xs, ys), colour in zip(layout.roofs, _roof_colours(len(layout.roofs)), strict=True):
        rate = _rate(dict(roofline.bandwidths)[name], "B/s")
        figure.add_trace(
            go.Scatter(
                name=f"{name}, {rate}", x=xs, y=ys, mode="lines",
                line={"width": widths.get(name, 1.6), "color": colour, "dash": None if name == "DRAM" else "dot"},
                hovertemplate=f"{name}: {rate}<extra></extra>",
            )
        )
    high = INTENSITY_RANGE[1]
    figure.add_trace(
        go.Scatter(
            name=f"float32, {_rate(roofline.peak_flops_float32, 'flop/s')}",
            x=[roofline.peak_flops_float32 / roofline.memory_bandwidth, high],
            y=[roofline.peak_flops_float32] * 2, mode="lines",
            line={"color": INK, "dash": "dash", "width": 1.4}, hoverinfo="name",
        )
    )
    figure.add_trace(
        go.Scatter(
            name="kernels", x=[k.intensity for k, _ in layout.kernels], y=[y for _, y in layout.kernels],
            mode="markers+text", text=[k.name for k, _ in layout.kernels],
            textposition=[
                "bottom right" if k.intensity < layout.ridge_point else "bottom center" for k, _ in layout.kernels
            ],
            textfont={"color": INK},
            hovertext=[f"{k.name}<br>{k.why}<br>at most {_rate(y, 'flop/s')}" for k, y in layout.kernels],
            hoverinfo="text", marker={"size": 10, "color": SERIES[0], "line": {"width": 1.5, "color": "white"}},
        )
    )
    lowest = min(min(ys) for _, _, ys in layout.roofs) / 3
    figure.update_layout(
        margin={"l": 80, "r": 30, "t": 105, "b": 60},
        xaxis={
            "type": "log", "title": {"text": "arithmetic intensity (flops per byte)"},
            "range": [math.log10(INTENSITY_RANGE[0]), math.log10(high)], "dtick": 1,
        },
        yaxis={
            "type": "log", "title": {"text": "flops per second"}, "exponentformat": "SI", "dtick": 1,
            "range": [math.log10(lowest), math.log10(max(roofline.peak_flops_float32, roofline.peak_flops) * 3)],
        },
    )
    return figure


def _roof_colours(number: int) -> list[str]:
    colours = ["#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#d55e00"]
    return [*colours[: number - 1], "#d55e00"][:number]


def point_trace(roofline: Roofline, intensity: float) -> go.Scatter:
    """The point at which a kernel of this intensity touches the roof."""
    flops = roofline.attainable(intensity)
    return go.Scatter(
        name="your kernel", x=[intensity, intensity], y=[flops, flops / 1e6], mode="lines+markers",
        marker={"size": [16, 0], "color": ACCENT, "symbol": "diamond"},
        line={"color": ACCENT, "dash": "dot", "width": 1.5},
        hovertext=[f"at most {_rate(flops, 'flop/s')}", ""], hoverinfo="text",
    )


def explanation(roofline: Roofline, intensity: float) -> str:
    """What bounds a kernel of this intensity, in a sentence."""
    flops = roofline.attainable(intensity)
    share = 100 * flops / roofline.peak_flops
    if intensity < roofline.ridge_point:
        return (
            f"<b>Bound by memory:</b> with {intensity:.3g} flops per byte this machine reaches at most "
            f"{_rate(flops, 'flop/s')}, {share:.3g} % of its peak. Doing more with each byte helps; "
            f"more flops per second would not."
        )
    return (
        f"<b>Bound by the processor:</b> with {intensity:.3g} flops per byte the full "
        f"{_rate(flops, 'flop/s')} are possible; the memory keeps up."
    )


def _rate(value: float, unit: str) -> str:
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"
