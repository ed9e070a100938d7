"""A race as a histogram of what came out, and what it costs to do it right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from labkit.views.openmp_experiments import bar_figure, titled_layout
from labkit.views.theme import INK, SERIES

if TYPE_CHECKING:
    from labkit.openmp.experiments.races import RaceReport
    from labkit.openmp.experiments.sum_costs import SumCosts

NUM_BINS = 40
WRONG, RIGHT = SERIES[1], SERIES[2]
NAMES = {
    "serial": "serial loop", "critical": "critical section", "atomic": "atomic addition", "reduction": "reduction",
    "reproducible": "reproducible<br>reduction",
}


@dataclass(frozen=True, eq=False)
class RaceLayout:
    """Wrong results in bins of equal width, and how many were right.

    Attributes
    ----------
    edges : ndarray of float64, shape (num_bins + 1,)
        From the smallest result to the right one; shape (1,) if no result was wrong.
    counts : ndarray of int64, shape (num_bins,)
        Wrong results between two edges, the lower one included (the right value is no wrong one).
    num_right : int
    expected : int
    """

    edges: np.ndarray
    counts: np.ndarray
    num_right: int
    expected: int


def race_layout(report: RaceReport) -> RaceLayout:
    """Bins of whole numbers below the right value; a result above it, which a race cannot give, gets bins as well."""
    wrong = report.results[report.results != report.expected]
    if not len(wrong):
        return RaceLayout(np.array([float(report.expected)]), np.zeros(0, np.int64), report.num_runs, report.expected)
    low, high = int(wrong.min()), max(int(wrong.max()) + 1, report.expected)
    width = max(-(-(high - low) // NUM_BINS), 1)
    num_bins = -(-(high - low) // width)
    edges = high - width * np.arange(num_bins, -1, -1.0)
    counts, _ = np.histogram(wrong, edges)
    return RaceLayout(edges, counts.astype(np.int64), report.num_runs - len(wrong), report.expected)


def race_figure(report: RaceReport) -> go.Figure:
    """How often each result came out, wrong ones in orange, the right one in green at its own place."""
    layout = race_layout(report)
    base, top = titled_layout(report.words(), 300)
    figure = go.Figure(layout=base)
    low, high = float(layout.edges[0]), float(layout.edges[-1])
    if low == high:
        low /= 2  # nothing was lost: room for what might have been
    span = max(high - low, 1.0)
    starts, stops = layout.edges[:-1], layout.edges[1:]
    figure.add_trace(
        go.Bar(
            name="wrong", x=(starts + stops) / 2, y=layout.counts, width=(stops - starts) * 0.96,
            marker={"color": WRONG}, hoverinfo="text",
            hovertext=[
                f"{count:,} {'run' if count == 1 else 'runs'}<br>with {_between(int(a), int(b) - 1)}"
                for a, b, count in zip(starts, stops, layout.counts.tolist(), strict=True)
            ],
        )
    )
    width = 0.022 * span
    figure.add_trace(
        go.Bar(
            name=f"right: {layout.expected:,}", x=[layout.expected + 0.75 * width], y=[layout.num_right], width=[width],
            marker={"color": RIGHT}, hoverinfo="text",
            hovertext=[f"{layout.num_right:,} {'run' if layout.num_right == 1 else 'runs'} with {layout.expected:,}"],
        )
    )
    figure.add_shape(
        type="line", x0=layout.expected, x1=layout.expected, y0=0, y1=1, yref="y domain",
        line={"color": RIGHT, "dash": "dash", "width": 1.4},
    )
    tallest = max(1, layout.num_right, *layout.counts.tolist())
    figure.update_layout(
        barmode="overlay", margin={"l": 60, "r": 30, "t": top, "b": 50},
        xaxis={
            "title": {"text": "result of the sum"}, "range": [low - 0.03 * span, high + 0.06 * span],
            "tickformat": ",", "nticks": 8,
        },
        yaxis={"title": {"text": "runs"}, "range": [0, 1.08 * tallest], "tickformat": ",d", "nticks": 6},
    )
    return figure


def _between(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


@dataclass(frozen=True, slots=True)
class CostLayout:
    """By version: its name, ns of an update, cost relative to the serial loop."""

    names: tuple[str, ...]
    update_ns: tuple[float, ...]
    ratios: tuple[float, ...]


def cost_layout(costs: SumCosts) -> CostLayout:
    """The serial loop first, then from the cheapest to the dearest."""
    others = sorted((version for version in costs.times_s if version != "serial"), key=costs.update_ns)
    order = ["serial", *others]
    return CostLayout(
        tuple(NAMES[version] for version in order), tuple(costs.update_ns(version) for version in order),
        tuple(costs.ratio(version) for version in order),
    )


def cost_figure(costs: SumCosts) -> go.Figure:
    """Time of an update in each version, logarithmic, with the ratio to the serial loop."""
    layout = cost_layout(costs)
    threads = f"{costs.num_threads} thread{'' if costs.num_threads == 1 else 's'}"
    title = f"The same sum on {threads}: what an update costs"
    wrong = [NAMES[version].replace("<br>", " ") for version, count in costs.num_wrong.items() if count]
    title += f"; WRONG RESULTS: {', '.join(wrong)}." if wrong else "; every result was right."
    if costs.num_cores < costs.num_threads:
        title += f" The threads share {costs.num_cores} core{'' if costs.num_cores == 1 else 's'}."
    elif costs.busy:
        title += " Other processes used the cores meanwhile: measure again."
    low, high = min(layout.update_ns), max(layout.update_ns)
    low_exponent = math.log10(low) - 0.5
    axis = {
        "type": "log", "title": {"text": "time of an update (ns, logarithmic)"}, "dtick": 1,
        # Room behind the longest bar for its text.
        "range": [low_exponent, low_exponent + 1.5 * (math.log10(high) - low_exponent)],
    }
    texts = [
        f"{ns:.3g} ns" + (f", {_times(ratio)} serial" if number else "")
        for number, (ns, ratio) in enumerate(zip(layout.update_ns, layout.ratios, strict=True))
    ]
    hovers = [f"<b>{name.replace('<br>', ' ')}</b><br>{text}" for name, text in zip(layout.names, texts, strict=True)]
    colours = [INK, *[SERIES[0]] * (len(texts) - 1)]
    return bar_figure(title, layout.names, layout.update_ns, texts, colours, hovers=hovers, axis=axis, left=120)


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×"
