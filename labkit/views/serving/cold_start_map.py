"""The probability of a cold start over the rate of requests and the keep-alive: a map, with the traffic on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.serving.cost.cold_start import cold_probability
from labkit.views.theme import ACCENT, base_layout

RATES_PER_MINUTE = (1e-3, 1e3)
KEEP_ALIVES_S = (1.0, 3600.0)
LEVELS = (0.01, 0.1, 1.0, 10.0, 50.0, 90.0)  # per cent
LEAST = 1e-5


@dataclass(frozen=True, eq=False)
class ColdStartMap:
    """Requests a minute (columns), keep-alives in s (rows), and probabilities, (rows, columns)."""

    rates_per_minute: np.ndarray
    keep_alives_s: np.ndarray
    probabilities: np.ndarray


def cold_start_map_layout(duration_s: float, *, num: int = 37) -> ColdStartMap:
    """Poisson arrivals, exponential durations, as many environments as it takes.

    Examples
    --------
    >>> found = cold_start_map_layout(0.1, num=4)
    >>> found.probabilities.shape, bool((np.diff(found.probabilities, axis=0) <= 0).all())
    ((4, 4), True)
    """
    rates, keep_alives = np.geomspace(*RATES_PER_MINUTE, num), np.geomspace(*KEEP_ALIVES_S, num)
    columns = [cold_probability(rate / 60, keep_alives, duration_s) for rate in rates]
    return ColdStartMap(rates, keep_alives, np.stack(columns, axis=1))


def cold_start_map_figure(
    duration_s: float, *, rate_per_s: float | None = None, keep_alive_s: float | None = None, title: str = ""
) -> go.Figure:
    """Lines of equal probability of a cold start.

    Parameters
    ----------
    duration_s : float
        Of a request, mean.
    rate_per_s, keep_alive_s : float, optional
        A point to mark.
    """
    found = cold_start_map_layout(duration_s)
    percent = 100 * np.maximum(found.probabilities, LEAST)
    figure = go.Figure(layout=base_layout(title or f"Requests that meet a cold environment; each takes {duration_s:g} s", 400))
    figure.add_trace(go.Heatmap(
        name="cold", x=found.rates_per_minute, y=found.keep_alives_s, z=np.log10(percent), zmin=-2, zmax=2, colorscale="Cividis_r",
        customdata=100 * found.probabilities, zsmooth="best",
        colorbar={"title": {"text": "cold"}, "tickvals": np.log10([0.01, 0.1, 1, 10, 100]).tolist(),
                  "ticktext": ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"]},
        hovertemplate="%{x:.3g} requests a minute, keep-alive %{y:.3g} s: %{customdata:.3g} % cold<extra></extra>",
    ))  # fmt: skip
    for level in LEVELS:
        figure.add_trace(go.Contour(
            x=found.rates_per_minute, y=found.keep_alives_s, z=np.log10(percent), showscale=False, hoverinfo="skip",
            contours={"type": "constraint", "operation": "=", "value": float(np.log10(level))}, showlegend=False,
            line={"color": "rgba(255,255,255,0.8)", "width": 1.2},
        ))  # fmt: skip
    has_point = rate_per_s is not None and keep_alive_s is not None
    figure.add_trace(go.Scatter(
        name="your traffic", x=[60 * rate_per_s] if has_point else [], y=[keep_alive_s] if has_point else [], mode="markers",
        marker={"size": 12, "symbol": "diamond", "color": ACCENT, "line": {"color": "white", "width": 1.5}}, showlegend=has_point,
    ))  # fmt: skip
    figure.update_layout(
        xaxis={"title": {"text": "requests a minute"}, "type": "log", "dtick": 1, "tickformat": ",~g"},
        yaxis={"title": {"text": "keep-alive, s"}, "type": "log", "tickvals": [1, 3, 10, 30, 100, 300, 1000, 3600]},
        margin={"t": 70},
    )
    return figure
