"""More threads than cores: what the same work and its barriers take, and three layers that each start threads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from labkit.views.openmp_experiments import bar_figure, titled_layout, upright_line
from labkit.views.theme import SERIES, time_text

if TYPE_CHECKING:
    from labkit.openmp.experiments.layers import LayersReport
    from labkit.openmp.experiments.oversubscription import OversubscriptionCurve

WAYS = {
    "no barrier": ("no barrier", SERIES[0], "circle"),
    "yielding": ("barriers that yield", SERIES[2], "diamond"),
    "spinning": ("barriers that spin", SERIES[1], "square"),
}
SMALLEST_BARRIER_S = 1e-7  # less is noise of the times it is the difference of


@dataclass(frozen=True, eq=False)
class OversubscriptionLayout:
    """Lines over the number of threads.

    Attributes
    ----------
    num_threads : ndarray, shape (n,)
    throughput : dict of str to ndarray, shape (n,)
        By way; 1 is one thread.
    barrier_us : dict of str to list of (float or None)
        By way with barriers; None where the difference is lost in the noise.
    """

    num_threads: np.ndarray
    throughput: dict[str, np.ndarray]
    barrier_us: dict[str, list[float | None]]


def oversubscription_layout(curve: OversubscriptionCurve) -> OversubscriptionLayout:
    """Throughput of each way, and what each barrier adds."""
    return OversubscriptionLayout(
        curve.num_threads, {way: curve.throughput(way) for way in WAYS},
        {
            way: [s * 1e6 if s >= SMALLEST_BARRIER_S else None for s in curve.barrier_s(way).tolist()]
            for way in ("yielding", "spinning")
        },
    )


def oversubscription_figure(curve: OversubscriptionCurve) -> go.Figure:
    """Throughput (left) and the cost of a barrier (right) over the number of threads, both logarithmic."""
    layout = oversubscription_layout(curve)
    base, top = titled_layout(curve.words(), 330)
    figure = go.Figure(layout=base)
    for way, (name, colour, symbol) in WAYS.items():
        options = {
            "name": name, "x": layout.num_threads, "mode": "lines+markers", "legendgroup": way,
            "line": {"color": colour, "width": 2}, "marker": {"size": 8, "symbol": symbol, "color": colour},
        }
        figure.add_trace(
            go.Scatter(
                y=layout.throughput[way], xaxis="x", yaxis="y",
                hovertemplate=f"{name}<br>%{{x}} threads: %{{y:.3g}} × one thread<extra></extra>", **options,
            )
        )
        if way in layout.barrier_us:
            figure.add_trace(
                go.Scatter(
                    y=layout.barrier_us[way], xaxis="x2", yaxis="y2", showlegend=False,
                    hovertemplate=f"{name}<br>%{{x}} threads: %{{y:.3g}} µs a barrier<extra></extra>", **options,
                )
            )
    axis = base["template"].layout.xaxis.to_plotly_json()
    last = int(layout.num_threads[-1])
    air = max(0.04 * (last - 1), 0.3)
    across = {
        "range": [1 - air, last + air], "title": {"text": "threads"}, "tick0": 1,
        "dtick": max(1, math.ceil((last - 1) / 7)),
    }
    every = np.concatenate(list(layout.throughput.values()))
    costs = [value for values in layout.barrier_us.values() for value in values if value is not None] or [1.0]
    cost_range = _decades(min(costs), max(costs))
    powers = range(cost_range[0], int(cost_range[1]) + 1)
    upright_line(figure, curve.num_cores, _cores(curve.num_cores))
    upright_line(figure, curve.num_cores, _cores(curve.num_cores), on="2")
    figure.update_layout(
        xaxis={**across, "domain": [0, 0.42]}, xaxis2={**axis, **across, "domain": [0.6, 1], "anchor": "y2"},
        yaxis={
            "type": "log", "title": {"text": "throughput (1: one thread)"}, "dtick": 1,
            "range": _decades(float(every.min()), float(every.max())), "minor": {"ticks": "outside", "ticklen": 2},
        },
        yaxis2={
            **axis, "type": "log", "title": {"text": "a barrier costs"}, "anchor": "x2", "tickmode": "array",
            "range": cost_range, "tickvals": [10.0**power for power in powers],
            "ticktext": [time_text(10.0 ** (power + 3)) for power in powers],
        },
        margin={"l": 70, "r": 20, "t": top, "b": 50},
    )  # fmt: skip
    return figure


def _decades(low: float, high: float) -> list[float]:
    """Whole powers of ten around two numbers, as exponents, with room for the name of the line at the top."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [first, max(last, first + 1) + 0.25]


def _cores(number: int) -> str:
    return f"{number} core{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class LayersLayout:
    """By combination: its name, flops per second, and whether it wants more threads than there are cores."""

    names: tuple[str, ...]
    flops: tuple[float, ...]
    is_too_many: tuple[bool, ...]


def layers_layout(report: LayersReport) -> LayersLayout:
    """Combinations by their total."""
    return LayersLayout(
        tuple(f"{c.name} = {c.total}" for c in report.combinations),
        tuple(c.best_flops for c in report.combinations),
        tuple(c.total > report.num_cores for c in report.combinations),
    )


def layers_figure(report: LayersReport) -> go.Figure:
    """Work done under ranks x threads x BLAS threads; orange where these are more than the cores."""
    layout = layers_layout(report)
    title = report.words()
    if report.num_wrong:
        title += f" {report.num_wrong} PRODUCTS WERE WRONG."
    rates = [f / 1e9 for f in layout.flops]
    texts = [
        f"{rate:.3g} Gflop/s{', more threads than cores' * many}"
        for rate, many in zip(rates, layout.is_too_many, strict=True)
    ]
    hovers = [
        f"<b>ranks {c.num_ranks}, threads of each {c.num_threads}, BLAS threads of each {c.num_blas_threads}</b><br>"
        f"{text}"
        for c, text in zip(report.combinations, texts, strict=True)
    ]
    colours = [SERIES[1] if many else SERIES[0] for many in layout.is_too_many]
    axis = {"title": {"text": "matrix products (Gflop/s)"}, "range": [0, 1.6 * max(rates)], "nticks": 8}
    return bar_figure(title, layout.names, rates, texts, colours, hovers=hovers, axis=axis, left=110)
