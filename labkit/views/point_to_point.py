"""A ping-pong with the line through it; the picture of a halo exchange is in :mod:`labkit.views.halo`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from labkit.mpi.point_to_point.ping_pong import AlphaBetaFit, PingPongResult
from labkit.views.halo import halo_figure, halo_layout
from labkit.views.theme import ACCENT, INK, SERIES, base_layout, bytes_text, point_ticks, time_text, time_ticks

__all__ = ["halo_figure", "halo_layout", "ping_pong_figure"]


def ping_pong_figure(
    results: Sequence[PingPongResult], fit: AlphaBetaFit, *, eager_limit_bytes: float | None = None
) -> go.Figure:
    """Time and bandwidth of messages by size, with the line ``alpha + beta * bytes`` and how far off it is.

    Parameters
    ----------
    results : sequence of PingPongResult
    fit : AlphaBetaFit
        Of the same results.
    eager_limit_bytes : float, optional
        Where it is known: a larger message waits for its receive.

    Returns
    -------
    plotly.graph_objects.Figure
        Three panels: time, bandwidth, residuals. An empty message has no place on a logarithmic axis; its time is
        in the title.
    """
    shown = [r for r in results if r.num_bytes > 0]
    residuals = dict(zip(fit.sizes_bytes, fit.relative_residuals, strict=True))
    sizes = [r.num_bytes for r in shown] or [1, 1024]
    steps = 60
    line = [min(sizes) * (max(sizes) / min(sizes)) ** (k / steps) for k in range(steps + 1)]
    best = 1 / fit.beta_s_per_byte if fit.beta_s_per_byte else math.inf
    title = f"Ping-pong: alpha = {time_text(1e9 * fit.alpha_s)}, 1 / beta = {_rate(best)}"
    title += "".join(f"; 0 B takes {time_text(1e9 * r.seconds_one_way)}" for r in results if not r.num_bytes)
    figure = go.Figure(layout=base_layout(title, 520))
    fitted, measured = {"color": SERIES[1], "width": 2}, {"color": SERIES[0], "size": 8}
    words = [f"{bytes_text(r.num_bytes)}: {time_text(1e9 * r.seconds_one_way)}, {_rate(r.bandwidth)}" for r in shown]
    for axis, line_y, point_y in (
        ("", [fit.predict_s(x) for x in line], [r.seconds_one_way for r in shown]),
        ("2", [x / fit.predict_s(x) if fit.predict_s(x) else None for x in line], [r.bandwidth for r in shown]),
    ):
        figure.add_trace(go.Scatter(
            name="alpha + beta · bytes", x=line, y=line_y, mode="lines", line=fitted, legendgroup="fit", showlegend=not axis,
            xaxis=f"x{axis}", yaxis=f"y{axis}", hoverinfo="text",
            hovertext=[f"{bytes_text(x)}: {time_text(1e9 * fit.predict_s(x))} by the line" for x in line],
        ))
        figure.add_trace(go.Scatter(
            name="measured", x=sizes if shown else [], y=point_y, mode="markers", marker=measured, legendgroup="measured",
            showlegend=not axis, xaxis=f"x{axis}", yaxis=f"y{axis}", hovertext=words, hoverinfo="text",
        ))
    percents = [100 * residuals.get(r.num_bytes, math.nan) for r in shown]
    figure.add_trace(go.Scatter(
        name="off the line", x=sizes if shown else [], y=percents, mode="markers", xaxis="x3", yaxis="y3",
        showlegend=False, marker=measured, error_y={  # a stem from the point to zero
            "type": "data", "symmetric": False, "array": [max(0, -p) for p in percents],
            "arrayminus": [max(0, p) for p in percents], "width": 0, "color": SERIES[0],
        },
        hovertext=[f"{w}<br>{p:+.0f} % of it is not explained by the line" for w, p in zip(words, percents, strict=True)],
        hoverinfo="text",
    ))
    ticks, low, high = _size_ticks(sizes)
    common = {"type": "log", "tickvals": ticks, "ticktext": [bytes_text(t) for t in ticks], "range": [low, high]}
    seconds = [r.seconds_one_way for r in shown] or [1e-6]
    seconds += [s for s in map(fit.predict_s, line) if shown and s > 0]
    times = time_ticks(seconds, math.log10(min(seconds)), math.log10(max(seconds)))
    largest = 1.15 * max([25, *(abs(p) for p in percents if not math.isnan(p))])
    size_title = {"text": "message size"}
    figure.update_layout(
        margin={"l": 70, "r": 24, "t": 76, "b": 56},
        legend={"yref": "container", "y": 1 - 40 / 520, "yanchor": "top"},
        xaxis={**common, "domain": [0, 0.45], "anchor": "y", "showticklabels": False},
        yaxis={"type": "log", "domain": [0.34, 1], "anchor": "x", "title": {"text": "time, one way"},
               "tickvals": times, "ticktext": [time_text(1e9 * t) for t in times]},
        xaxis2={**common, "domain": [0.56, 1], "anchor": "y2", "title": size_title},
        yaxis2={"type": "log", "domain": [0, 1], "anchor": "x2", "title": {"text": "bandwidth (B/s)"}, "exponentformat": "SI",
                "dtick": 1},
        xaxis3={**common, "domain": [0, 0.45], "anchor": "y3", "title": size_title},
        yaxis3={"domain": [0, 0.26], "anchor": "x3", "title": {"text": "off the line"}, "ticksuffix": " %", "nticks": 5,
                "range": [-largest, largest], "zeroline": True, "zerolinecolor": SERIES[1]},
    )
    if math.isfinite(best):
        figure.add_shape(type="line", x0=10**low, x1=10**high, y0=best, y1=best, xref="x2", yref="y2",
                         line={"color": INK, "dash": "dot", "width": 1})
    if eager_limit_bytes is not None and min(sizes) <= eager_limit_bytes <= max(sizes):
        for number in ("", "2", "3"):
            figure.add_shape(type="line", x0=eager_limit_bytes, x1=eager_limit_bytes, y0=0, y1=1, xref=f"x{number}",
                             yref=f"y{number} domain", line={"color": ACCENT, "dash": "dash", "width": 1.5})
        left = math.log10(eager_limit_bytes) < (low + high) / 2  # the text goes where there is room
        figure.add_annotation(
            x=math.log10(eager_limit_bytes), y=1, xref="x", yref="y domain", text=f"eager up to {bytes_text(eager_limit_bytes)}",
            showarrow=False, xanchor="left" if left else "right", yanchor="top", font={"color": ACCENT, "size": 11}, xshift=4 if left else -4,
        )
    return figure


def _size_ticks(sizes) -> tuple[list[float], float, float]:
    """Ticks at the sizes, and the ends of the axis (logarithms of 10)."""
    low, high = math.log10(min(sizes)) - 0.15, math.log10(max(sizes)) + 0.15
    return point_ticks(sizes, low, high, at_most=6), low, high


def _rate(value: float) -> str:
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= value < math.inf:
            return f"{value / size:.3g} {prefix}B/s"
    return "no limit" if value == math.inf else f"{value:.3g} B/s"
