"""False sharing: the time of an increment over the distance of the threads' counters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from labkit.views.openmp_experiments import titled_layout, upright_line
from labkit.views.theme import INK, SERIES

if TYPE_CHECKING:
    from labkit.openmp.experiments.false_sharing import FalseSharingCurve

KINDS = {"atomic": ("atomic increment", SERIES[1], "square"), "plain": ("load, add, store", SERIES[0], "circle")}


@dataclass(frozen=True, eq=False)
class FalseSharingLayout:
    """Lines and their spread.

    Attributes
    ----------
    paddings_bytes : ndarray, shape (n,)
    medians_ns, low_ns, high_ns : dict of str to ndarray, shape (n,)
        By kind: the median of the rounds, and the quartiles.
    line_bytes : int
        Where the cache line is marked.
    ticks : tuple of int
        Powers of two from the smallest to the largest padding.
    """

    paddings_bytes: np.ndarray
    medians_ns: dict[str, np.ndarray]
    low_ns: dict[str, np.ndarray]
    high_ns: dict[str, np.ndarray]
    line_bytes: int
    ticks: tuple[int, ...]


def false_sharing_layout(curve: FalseSharingCurve) -> FalseSharingLayout:
    """Medians and quartiles of the rounds."""
    values = {"atomic": curve.atomic_ns, "plain": curve.plain_ns}
    first, last = int(curve.paddings_bytes.min()), int(curve.paddings_bytes.max())
    powers = tuple(2**k for k in range(3, 13) if first <= 2**k <= last)
    return FalseSharingLayout(
        curve.paddings_bytes, {kind: curve.median_ns(kind) for kind in KINDS},
        {kind: np.quantile(ns, 0.25, axis=0) for kind, ns in values.items()},
        {kind: np.quantile(ns, 0.75, axis=0) for kind, ns in values.items()},
        curve.line_bytes, powers or (first,),
    )


def false_sharing_figure(curve: FalseSharingCurve) -> go.Figure:
    """Medians as lines, quartiles as bars, both axes logarithmic, the cache line of the machine marked."""
    layout = false_sharing_layout(curve)
    base, top = titled_layout(curve.words(), 340)
    figure = go.Figure(layout=base)
    for kind, (name, colour, symbol) in KINDS.items():
        medians = layout.medians_ns[kind]
        figure.add_trace(
            go.Scatter(
                name=name, x=layout.paddings_bytes, y=medians, mode="lines+markers",
                line={"color": colour, "width": 2}, marker={"size": 8, "symbol": symbol, "color": colour},
                error_y={
                    "type": "data", "symmetric": False, "array": layout.high_ns[kind] - medians,
                    "arrayminus": medians - layout.low_ns[kind], "thickness": 1.2, "width": 3, "color": colour,
                },
                hovertemplate=f"{name}<br>%{{x}} bytes apart: %{{y:.3g}} ns<extra></extra>",
            )
        )
    lowest = min(float(low.min()) for low in layout.low_ns.values())
    highest = max(float(high.max()) for high in layout.high_ns.values())
    first, last = min(layout.ticks[0], layout.line_bytes), max(layout.ticks[-1], layout.line_bytes, 16)
    upright_line(figure, layout.line_bytes, f"cache line: {layout.line_bytes} bytes", is_log=True)
    figure.update_layout(
        margin={"l": 70, "r": 30, "t": top, "b": 50},
        xaxis={
            "type": "log", "title": {"text": "bytes from the counter of one thread to that of the next"},
            "tickmode": "array", "tickvals": list(layout.ticks), "ticktext": [str(tick) for tick in layout.ticks],
            "range": [math.log10(first / 1.15), math.log10(last * 1.15)],
        },
        yaxis={
            "type": "log", "title": {"text": "time of an increment (ns)"}, "tickfont": {"color": INK},
            "range": [math.log10(lowest / 1.6), math.log10(highest * 2.2)],
            **_decade_ticks(lowest / 1.6, highest * 2.2),
        },
    )
    return figure


def _decade_ticks(low: float, high: float) -> dict:
    """1, 2, 5 of each power of ten while there are few, then powers alone."""
    few = math.log10(high / low) < 2.2
    values = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in ((1, 2, 5) if few else (1,)) if low <= digit * 10.0**power <= high
    ]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:g}" for value in values]}
