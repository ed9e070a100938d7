"""What a month costs over its requests: a function's line with its free part, a fleet's staircase, where they cross."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.serving.cost.crossover import Crossing, FleetCost, FunctionCost, crossings
from labkit.views.theme import ACCENT, GRID, INK, SERIES, base_layout

NUM_POINTS = 240
MOST_STEPS = 150  # beyond, the staircase is drawn from its points alone
MOST_MARKED = 5
CENT = 0.01


@dataclass(frozen=True, eq=False)
class CostLayout:
    """What is drawn.

    Attributes
    ----------
    requests, serverless_usd : ndarray
        The line; NaN where it costs less than a cent.
    steps_at, dedicated_usd : ndarray
        The staircase: from each of ``steps_at`` on to the next.
    free_until : float
        Requests a month that cost nothing; 0 if the first already costs.
    free_ends : float
        From here on seconds and requests are both paid.
    crossings : tuple of Crossing
        In the range.
    """

    requests: np.ndarray
    serverless_usd: np.ndarray
    steps_at: np.ndarray
    dedicated_usd: np.ndarray
    free_until: float
    free_ends: float
    crossings: tuple[Crossing, ...]


def cost_over_requests_layout(function: FunctionCost, fleet: FleetCost, span: Sequence[float] = (1e4, 1e9)) -> CostLayout:
    """Both costs over ``span`` requests a month, with kinks and steps at their exact places.

    Raises
    ------
    UsageError
        A span that does not rise, or does not begin above 0.
    """
    least, most = (float(value) for value in span)
    if not 0 < least < most < math.inf:
        raise UsageError(f"a span of requests rises from above 0, but it is {least:g} to {most:g}: pass for example (1e4, 1e9).")
    even = np.geomspace(least, most, NUM_POINTS)
    kinks = [float(kink) for kink in function.kinks if least < kink < most]
    requests = np.unique(np.concatenate([even, kinks]))
    line = np.array([float(function.usd(value)) for value in requests])
    width, first = fleet.requests_an_instance, fleet.least
    # the instance k + 1 is needed from the first request beyond k * width
    below = max(first, math.ceil(least / width))
    num_steps = max(0, math.floor(most / width) - below + 1)
    edges = (below + np.arange(num_steps)) * float(width) if num_steps <= MOST_STEPS else even[1:]
    edges = edges[(edges > least) & (edges < most)]
    steps_at = np.concatenate([[least], edges, [most]])
    heights = [float(fleet.usd(value * (1 + 1e-9))) for value in steps_at[:-1]]
    marked = [one for one in crossings(function, fleet, most=200) if least <= one.num_requests <= most]
    kinks = [float(kink) for kink in function.kinks]
    return CostLayout(
        requests, np.where(line >= CENT, line, np.nan), steps_at, np.array([*heights, heights[-1]]),
        0.0 if function.fixed_usd else kinks[0], kinks[-1], tuple(marked),
    )  # fmt: skip


def cost_over_requests_figure(
    function: FunctionCost, fleet: FleetCost, span: Sequence[float] = (1e4, 1e9), *, now: float | None = None,
    title: str | None = None,
) -> go.Figure:  # fmt: skip
    """Cost a month over requests a month, both logarithmic.

    Parameters
    ----------
    function, fleet : FunctionCost, FleetCost
        See :mod:`labkit.serving.cost.crossover`.
    span : (float, float)
        Requests a month.
    now : float, optional
        Requests a month that are marked on both.
    title : str, optional
    """
    layout = cost_over_requests_layout(function, fleet, span)
    name = fleet.instance.name
    figure = go.Figure(layout=base_layout(title or _title(layout), 420))
    figure.add_trace(go.Scatter(
        name=f"function, {function.memory_mb} MB", x=layout.requests, y=layout.serverless_usd, mode="lines",
        line={"color": SERIES[0], "width": 2.5}, hovertemplate="%{x:,.4s} requests: %{y:,.2f} USD, function<extra></extra>",
    ))  # fmt: skip
    figure.add_trace(go.Scatter(
        name=f"instances, {name}", x=layout.steps_at, y=layout.dedicated_usd, mode="lines",
        line={"color": SERIES[1], "width": 2.5, "shape": "hv"}, hovertemplate="%{x:,.4s} requests: %{y:,.2f} USD, instances<extra></extra>",
    ))  # fmt: skip
    marked = layout.crossings[:MOST_MARKED]
    figure.add_trace(go.Scatter(
        name="from here on the other is cheaper", x=[one.num_requests for one in marked], y=[one.usd for one in marked],
        mode="markers", marker={"size": 11, "color": "rgba(0,0,0,0)", "line": {"color": ACCENT, "width": 2.5}},
        hovertext=[f"{one.num_requests:,.0f} requests: {one.usd:,.2f} USD<br>beyond, {one.cheaper} is cheaper" for one in marked],
        hoverinfo="text", showlegend=bool(marked),
    ))  # fmt: skip
    here = [] if now is None else [(now, float(function.usd(now))), (now, float(fleet.usd(now)))]
    here = [point for point in here if point[1] >= CENT]
    figure.add_trace(go.Scatter(
        name="your traffic", x=[x for x, _ in here], y=[y for _, y in here], mode="markers", showlegend=bool(here),
        marker={"size": 10, "color": ACCENT, "symbol": "diamond"},
        hovertemplate="your traffic: %{y:,.2f} USD<extra></extra>",
    ))  # fmt: skip
    drawn = np.concatenate([layout.serverless_usd[~np.isnan(layout.serverless_usd)], layout.dedicated_usd])
    drawn = drawn[drawn > 0]
    top = max(float(drawn.max(initial=1.0)), 1.0) * 2
    bottom = max(CENT / 2, min([float(layout.dedicated_usd.min()) / 100, top / 1e4, *(usd / 2 for _, usd in here)]))
    figure.update_layout(
        xaxis={"title": {"text": "requests a month"}, "type": "log", "range": [math.log10(v) for v in span], "dtick": 1,
               "tickformat": "~s"},
        yaxis={"title": {"text": "USD a month"}, "type": "log", "range": [math.log10(bottom), math.log10(top)], "dtick": 1,
               "tickformat": ",~g"},
        margin={"t": 84},
    )  # fmt: skip
    free = min(layout.free_until, float(span[1]))
    if free > span[0]:
        figure.add_shape(type="rect", x0=span[0], x1=free, y0=0, y1=1, yref="y domain", fillcolor=SERIES[2], opacity=0.12,
                         line_width=0, layer="below")
        figure.add_annotation(
            x=math.log10(span[0]), xanchor="left", y=0.02, yref="y domain", yanchor="bottom", showarrow=False, font={"color": INK},
            text=f" free for the function: up to<br> {layout.free_until:,.0f} requests", align="left",
        )
    if now is not None:
        figure.add_shape(type="line", x0=now, x1=now, y0=0, y1=1, yref="y domain", line={"color": GRID, "width": 2, "dash": "dot"})
    return figure


def _title(layout: CostLayout) -> str:
    if not layout.crossings:
        last = np.nan_to_num(layout.serverless_usd[-1])
        return f"The {'function' if last < layout.dedicated_usd[-1] else 'fleet'} is cheaper all along"
    first, num = layout.crossings[0], len(layout.crossings)
    more = "" if num == 1 else f" (they cross {num} times{' or more' if num >= 200 else ''})"
    return f"Same cost at {first.num_requests:,.0f} requests a month: {first.usd:,.2f} USD{more}"
