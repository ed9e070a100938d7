"""Tensor parallelism: the bytes that a block of a transformer sends, by scheme."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.training.tensor_parallel.traffic import PARTS, SCHEMES, TENSOR, block_messages
from labkit.views.theme import SERIES, base_layout, bytes_text


@dataclass(frozen=True, slots=True)
class TrafficBar:
    """One call of a block: a piece of the bar of its scheme and direction."""

    scheme: str
    is_backward: bool
    part: str
    kind: str
    start_bytes: float
    sent_bytes: float


def block_traffic_layout(
    num_ranks: int, width: int, length: int, batch: int, *, itemsize: int = 4
) -> list[TrafficBar]:
    """What each rank sends for a block in a training step, call by call, for each scheme.

    Examples
    --------
    >>> bars = block_traffic_layout(2, 8, 4, 1)
    >>> [sum(bar.sent_bytes for bar in bars if bar.scheme == scheme) for scheme in ("tensor", "tensor and sequence")]
    [512.0, 512.0]
    """
    bars = []
    for scheme in SCHEMES:
        at = {False: 0.0, True: 0.0}
        for m in block_messages(num_ranks, width, length, batch, scheme, itemsize=itemsize):
            bars.append(TrafficBar(scheme, m.is_backward, m.part, m.kind, at[m.is_backward], m.sent_bytes))
            at[m.is_backward] += m.sent_bytes
    return bars


def block_traffic_figure(num_ranks: int, width: int, length: int, batch: int, *, itemsize: int = 4) -> go.Figure:
    """The bytes that each rank sends for a block, forward and backward, by scheme."""
    bars = block_traffic_layout(num_ranks, width, length, batch, itemsize=itemsize)
    total = sum(bar.sent_bytes for bar in bars if bar.scheme == TENSOR)
    figure = go.Figure(layout=base_layout(
        f"A block's messages in a step: {bytes_text(total)} sent by each rank, whatever the scheme" if total
        else "One rank sends nothing", 250,
    ))
    scale, unit = _byte_unit(total / 2)
    lanes = [(scheme, is_backward) for scheme in reversed(SCHEMES) for is_backward in (True, False)]
    names = [f"{scheme}, {'backward' if is_backward else 'forward'}" for scheme, is_backward in lanes]
    kinds = (("all-reduce", SERIES[3]), ("all-gather", SERIES[0]), ("reduce-scatter", SERIES[1]))
    for part in PARTS:
        for kind, colour in kinds:
            own = [bar for bar in bars if (bar.kind, bar.part) == (kind, part)]
            figure.add_trace(go.Bar(
                orientation="h", y=[names[lanes.index((bar.scheme, bar.is_backward))] for bar in own],
                x=[bar.sent_bytes / scale for bar in own], base=[bar.start_bytes / scale for bar in own], name=kind,
                legendgroup=kind, showlegend=part == PARTS[0] and bool(own),
                marker={"color": colour, "line": {"color": "white", "width": 1}},
                opacity=0.95 if part == PARTS[0] else 0.7, hoverinfo="text",
                hovertext=[f"{part}: {kind}<br>{bytes_text(bar.sent_bytes)}" for bar in own],
            ))
    figure.update_layout(
        barmode="overlay", margin={"l": 215, "r": 20, "t": 64, "b": 44},
        yaxis={"categoryorder": "array", "categoryarray": names, "visible": bool(total)},
        xaxis={"title": {"text": f"sent by a rank ({unit})"}, "rangemode": "tozero", "visible": bool(total)},
    )
    return figure


def _byte_unit(num_bytes: float) -> tuple[float, str]:
    for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if num_bytes >= 1 << power:
            return float(1 << power), name
    return 1.0, "B"
