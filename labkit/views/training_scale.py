"""Training at scale: speed-up and efficiency over GPUs, one step with its buckets, and the memory of ZeRO's stages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.theme import INK, KIND_COLOURS, SERIES, WAITING_COLOUR, base_layout, bytes_text, time_text

if TYPE_CHECKING:
    from labkit.training.scale.curves import ScalingCurve
    from labkit.training.scale.step import StepTime
    from labkit.training.scale.zero_table import ZeroMemory

DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
KINDS = (("optimizer", "#0072b2"), ("gradients", "#e69f00"), ("parameters", "#009e73"))  # from the bottom
GIGABYTE = 1e9
MOST_NAMES = 4  # of the gradients in a bucket, in a hover text


@dataclass(frozen=True, slots=True)
class ScalingLine:
    """A curve as drawn: (GPUs, speed-up, efficiency) of its line, the same of its measured points, hover texts."""

    name: str
    line: tuple[tuple[int, float, float], ...]
    points: tuple[tuple[int, float, float], ...]
    hovers: tuple[str, ...]


def training_scaling_layout(curves: Sequence[ScalingCurve]) -> list[ScalingLine]:
    """Speed-up is efficiency times GPUs: how many times the throughput of one."""
    return [
        ScalingLine(
            curve.name,
            tuple((step.num_ranks, step.num_ranks * step.efficiency, step.efficiency) for step in curve.steps),
            tuple((num, num * efficiency, efficiency) for num, efficiency in curve.points),
            tuple(_step_words(curve.name, step) for step in curve.steps),
        )
        for curve in curves
    ]


def _step_words(name: str, step: StepTime) -> str:
    return (
        f"<b>{name}</b>, {step.num_ranks} GPU{'' if step.num_ranks == 1 else 's'}<br>efficiency {step.efficiency:.1%}, "
        f"speed-up {step.num_ranks * step.efficiency:.4g}<br>step {time_text(1e9 * step.step_s)}: computing "
        f"{time_text(1e9 * step.backward_end_s)}, then waiting {time_text(1e9 * step.exposed_s)}<br>"
        f"all-reduces {time_text(1e9 * step.communication_s)} in {len(step.buckets)} buckets"
    )


def training_scaling_figure(
    curves: Sequence[ScalingCurve], *, title: str = "Scaling of a training step", points: str = "measured"
) -> go.Figure:
    """Speed-up (left, logarithmic) and efficiency (right) over the number of GPUs: predicted lines, measured points.

    Parameters
    ----------
    curves : sequence of ScalingCurve
        See :func:`labkit.training.scale.curves.scaling_curve`.
    title, points : str
        ``points`` says what the points are.
    """
    lines = training_scaling_layout(curves)
    figure = go.Figure(layout=base_layout(title, 440))
    nums = sorted({num for line in lines for num, *_ in (*line.line, *line.points)}) or [1, 2]
    ideal = {"color": INK, "width": 1, "dash": "dashdot"}
    for axis, values in (("", nums), ("2", [1.0] * len(nums))):
        figure.add_trace(go.Scatter(
            name="ideal", legendgroup="ideal", showlegend=not axis, mode="lines", line=ideal, hoverinfo="skip",
            x=nums, y=values, xaxis=f"x{axis}", yaxis=f"y{axis}",
        ))
    for index, line in enumerate(lines):
        colour, dash = SERIES[index % len(SERIES)], DASHES[index // len(SERIES) % len(DASHES)]
        for axis, column in (("", 1), ("2", 2)):
            figure.add_trace(go.Scatter(
                name=line.name, legendgroup=line.name, showlegend=not axis, mode="lines",
                line={"color": colour, "width": 2, "dash": dash}, x=[row[0] for row in line.line],
                y=[row[column] for row in line.line], hovertext=line.hovers, hoverinfo="text",
                xaxis=f"x{axis}", yaxis=f"y{axis}",
            ))
            if line.points:
                figure.add_trace(go.Scatter(
                    name=f"{line.name}, {points}", legendgroup=line.name, showlegend=not axis, mode="markers",
                    marker={"color": colour, "symbol": SYMBOLS[index % len(SYMBOLS)],
                            "size": max(8, 16 - 4 * index),  # equal points are all seen
                            "line": {"color": "white", "width": 1}},
                    x=[row[0] for row in line.points], y=[row[column] for row in line.points], hoverinfo="text",
                    hovertext=[f"<b>{line.name}</b>, {points}<br>{num} GPUs: {e:.0%}" for num, _, e in line.points],
                    xaxis=f"x{axis}", yaxis=f"y{axis}",
                ))
    _scaling_axes(figure, nums)
    return figure


def _scaling_axes(figure: go.Figure, nums) -> None:
    own = figure.layout.template.layout.xaxis.to_plotly_json()  # the template knows of the first pair only
    step = 1 if len(nums) <= 7 else 2
    powers = [1 << k for k in range(0, math.ceil(math.log2(max(nums))) + 1, step)]
    across = {"type": "log", "tickvals": powers, "ticktext": [str(n) for n in powers], "title": {"text": "GPUs"}}
    figure.update_layout(
        xaxis={**across, "domain": [0, 0.45]},
        yaxis={"type": "log", "title": {"text": "speed-up"}, "tickvals": powers, "ticktext": [str(n) for n in powers]},
        xaxis2={**own, **across, "domain": [0.56, 1], "anchor": "y2"},
        yaxis2={**own, "title": {"text": "efficiency"}, "range": [0, 1.06], "tickformat": ".0%", "anchor": "x2"},
        margin={"l": 66, "r": 24, "t": 44, "b": 100},
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
    )


@dataclass(frozen=True, slots=True)
class StepBar:
    """A bar of a step: lane "GPU" or "network", from and to in s, its colour, its words."""

    lane: str
    start_s: float
    end_s: float
    kind: str
    words: str


def training_step_layout(step: StepTime, forward_share: float = 1 / 3) -> list[StepBar]:
    """What the GPU and the network do during a step; ``forward_share`` of the computing is the forward pass."""
    forward_end = step.backward_end_s * forward_share
    bars = [
        StepBar("GPU", 0.0, forward_end, "forward", "forward pass"),
        StepBar("GPU", forward_end, step.backward_end_s, "backward", "backward pass"),
    ]
    if step.exposed_s > 0:
        bars.append(StepBar("GPU", step.backward_end_s, step.step_s, "waiting", "waits for the last all-reduce"))
    for number, bucket in enumerate(step.buckets):
        names = ", ".join(bucket.names[:MOST_NAMES]) + (", ..." if len(bucket.names) > MOST_NAMES else "")
        late = bucket.start_s - bucket.ready_s
        words = f"bucket {number + 1} of {len(step.buckets)}: {bytes_text(bucket.num_bytes)}<br>{names}"
        if late > 1e-9:
            words += f"<br>waited {time_text(1e9 * late)} for its turn"
        if bucket.end_s > bucket.start_s:
            bars.append(StepBar("network", bucket.start_s, bucket.end_s, "all-reduce", words))
    return bars


def training_step_figure(step: StepTime, *, forward_share: float = 1 / 3, title: str | None = None) -> go.Figure:
    """One step: the passes of the slowest GPU, and the all-reduces of the buckets below them."""
    colours = {
        "forward": KIND_COLOURS["compute"], "backward": SERIES[5], "waiting": WAITING_COLOUR,
        "all-reduce": KIND_COLOURS["collective"],
    }
    words = f"One step on {step.num_ranks} GPUs: {time_text(1e9 * step.step_s)}, efficiency {step.efficiency:.0%}"
    figure = go.Figure(layout=base_layout(title or words, 230))
    bars = training_step_layout(step, forward_share)
    for kind, colour in colours.items():
        some = [bar for bar in bars if bar.kind == kind]
        if some:
            figure.add_trace(go.Bar(
                name=kind, orientation="h", y=[bar.lane for bar in some], base=[1e3 * bar.start_s for bar in some],
                x=[1e3 * (bar.end_s - bar.start_s) for bar in some], width=0.7, hoverinfo="text",
                hovertext=[f"{bar.words}<br>{time_text(1e9 * (bar.end_s - bar.start_s))}" for bar in some],
                marker={"color": colour, "line": {"color": "white", "width": 1}},
            ))
    figure.update_layout(
        barmode="overlay", xaxis={"title": {"text": "ms"}, "range": [0, 1e3 * step.step_s * 1.01]},
        yaxis={"categoryorder": "array", "categoryarray": ["network", "GPU"], "showgrid": False},
        margin={"l": 76, "r": 24, "t": 66, "b": 44},
    )
    return figure


def zero_memory_figure(
    rows: Sequence[ZeroMemory], *, limit_bytes: float | None = None, title: str = "Memory of a device by ZeRO's stages"
) -> go.Figure:
    """Bytes of a device, stacked by kind: a group for each number of devices, a bar for each stage.

    Parameters
    ----------
    rows : sequence of ZeroMemory
        See :func:`labkit.training.scale.zero_table.zero_table`; also measured ones.
    limit_bytes : float, optional
        What a device has: a line.
    title : str
    """
    figure = go.Figure(layout=base_layout(title, 440))
    groups = [_devices(row.num_ranks) for row in rows]
    stages = [f"stage {row.stage}" if row.stage else "plain" for row in rows]
    for kind, colour in KINDS:
        sizes = [getattr(row, f"{kind}_bytes") for row in rows]
        figure.add_trace(go.Bar(
            name=kind, x=[groups, stages], y=[size / GIGABYTE for size in sizes], marker={"color": colour},
            hoverinfo="text",
            hovertext=[
                f"<b>{group}, {stage}</b><br>{kind}: {_gigabytes(size)} GB of {_gigabytes(row.total_bytes)} GB"
                for group, stage, size, row in zip(groups, stages, sizes, rows, strict=True)
            ],
        ))
    highest = max([row.total_bytes for row in rows] or [1.0]) / GIGABYTE
    tops = [row.total_bytes / GIGABYTE for row in rows]
    if limit_bytes is not None:  # a line through a number makes it hard to read: above the line then
        limit = limit_bytes / GIGABYTE
        tops = [limit if limit - 0.07 * max(highest, limit) < top < limit else top for top in tops]
    figure.add_trace(go.Scatter(
        x=[groups, stages], y=tops, mode="text", showlegend=False,
        text=[_gigabytes(row.total_bytes) for row in rows], textposition="top center", hoverinfo="skip",
        textfont={"color": INK, "size": 11}, cliponaxis=False,
    ))
    if limit_bytes is not None:
        figure.add_shape(
            type="line", x0=0, x1=1, xref="paper", y0=limit_bytes / GIGABYTE, y1=limit_bytes / GIGABYTE,
            line={"color": "#d1495b", "width": 2, "dash": "dash"},
        )
        figure.add_annotation(
            x=1, xref="paper", y=limit_bytes / GIGABYTE, text=f"a device has {_gigabytes(limit_bytes)} GB",
            showarrow=False, xanchor="right", yanchor="bottom", font={"color": "#d1495b"},
        )
        highest = max(highest, limit_bytes / GIGABYTE)
    figure.update_layout(
        barmode="stack", bargap=0.15, yaxis={"title": {"text": "GB"}, "range": [0, 1.12 * highest]},
        margin={"l": 66, "r": 24, "t": 66, "b": 80}, xaxis={"tickangle": 0 if len(rows) <= 12 else -90},
    )
    return figure


def _gigabytes(num_bytes: float) -> str:
    """Three digits, halves rounded up as in the paper's table: 41.25 is 41.3."""
    return f"{num_bytes / GIGABYTE * (1 + 1e-12):.3g}"


def _devices(num_ranks: int) -> str:
    return f"{num_ranks} device{'' if num_ranks == 1 else 's'}"
