"""Speed-up and efficiency over the number of threads: measured points and the laws fitted to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from labkit.views.theme import INK, SERIES, base_layout

if TYPE_CHECKING:
    from labkit.openmp.scaling import ScalingFit

NUM_POINTS = 200  # of a law's line
SYMBOLS = {"serial_fraction": "f", "contention": "α", "coherency": "β"}
TITLES = {"amdahl": "Amdahl", "gustafson": "Gustafson", "usl": "USL"}
DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True, eq=False)
class SpeedupLayout:
    """What is drawn.

    Attributes
    ----------
    num_threads, speedups, efficiencies : ndarray of float64, shape (n,)
        The points in the order of the threads; efficiency is speed-up over threads.
    hovers : tuple of str
    xs : ndarray of float64
        Numbers of threads of the lines.
    lines : tuple of (str, ndarray)
        Name and speed-ups of each law.
    """

    num_threads: np.ndarray
    speedups: np.ndarray
    efficiencies: np.ndarray
    hovers: tuple[str, ...]
    xs: np.ndarray
    lines: tuple[tuple[str, np.ndarray], ...]


def speedup_layout(
    num_threads: Sequence[int], speedups: Sequence[float], fits: Sequence[ScalingFit] = (), *,
    most_threads: int | None = None,
) -> SpeedupLayout:
    """Points in order, laws as lines from 1 thread to ``most_threads`` (by default to the last point)."""
    threads, measured = np.asarray(num_threads, np.float64), np.asarray(speedups, np.float64)
    order = np.argsort(threads, kind="stable")
    threads, measured = threads[order], measured[order]
    last = max(most_threads or 1, float(threads.max(initial=2.0)))
    xs = np.linspace(1, last, NUM_POINTS)
    return SpeedupLayout(
        threads, measured, measured / threads,
        tuple(_hover(p, s) for p, s in zip(threads.tolist(), measured.tolist(), strict=True)), xs,
        tuple((law_words(fit), np.asarray(fit.predict(xs), np.float64)) for fit in fits),
    )  # fmt: skip


def law_words(fit: ScalingFit) -> str:
    """A fitted law in words.

    Examples
    --------
    >>> from labkit.openmp.scaling import fit_scaling
    >>> law_words(fit_scaling("gustafson", [1, 3, 3], [1, 1, 2]))
    'Gustafson, f = 0.75 (residual 0.4)'
    """
    values = ", ".join(f"{SYMBOLS[name]} = {value:.3g}" for name, value in fit.parameters.items())
    return f"{TITLES[fit.law]}, {values} (residual {fit.rms_residual:.1g})"


def speedup_figure(
    num_threads: Sequence[int], speedups: Sequence[float], fits: Sequence[ScalingFit] = (), *,
    most_threads: int | None = None, title: str = "Speed-up and efficiency", points: str = "measured",
) -> go.Figure:  # fmt: skip
    """Speed-up (left) and efficiency (right) over the number of threads.

    Parameters
    ----------
    num_threads, speedups : sequences of the same length
        The points; speed-up 1 is one thread.
    fits : sequence of ScalingFit
        Laws to draw through them.
    most_threads : int, optional
        How far the lines reach, beyond the points.
    title, points : str
        The title, and what the points are called.
    """
    layout = speedup_layout(num_threads, speedups, fits, most_threads=most_threads)
    figure = go.Figure(layout=base_layout(title, 420))
    xs, ones = layout.xs, np.ones(len(layout.xs))
    ideal = {"color": INK, "width": 1, "dash": "dashdot"}
    figure.add_trace(_line("ideal", xs, xs, "1", ideal))
    figure.add_trace(_line("ideal", xs, ones, "2", ideal))
    for number, (name, values) in enumerate(layout.lines):
        # The first colour is the points'.
        line = {"color": SERIES[1 + number % (len(SERIES) - 1)], "width": 2, "dash": DASHES[number % len(DASHES)]}
        figure.add_trace(_line(name, xs, values, "1", line))
        figure.add_trace(_line(name, xs, values / xs, "2", line))
    for values, axis in ((layout.speedups, "1"), (layout.efficiencies, "2")):
        figure.add_trace(
            go.Scatter(
                name=points, x=layout.num_threads, y=values, mode="markers", marker={"size": 9, "color": SERIES[0]},
                hovertext=layout.hovers, hoverinfo="text", legendgroup=points, showlegend=axis == "1",
                xaxis=f"x{axis}", yaxis=f"y{axis}",
            )
        )
    high = 1.05 * max([*layout.speedups.tolist(), *(float(v.max()) for _, v in layout.lines), 2.0])
    top = 1.08 * max([1.0, *layout.efficiencies.tolist()])
    axis = figure.layout.template.layout.xaxis.to_plotly_json()
    air = 0.03 * (xs[-1] - 1)
    across = {"range": [1 - air, xs[-1] + air], "title": {"text": "threads"}}
    figure.update_layout(
        xaxis={**across, "domain": [0, 0.46]}, yaxis={"title": {"text": "speed-up"}, "range": [0, high]},
        xaxis2={**axis, **across, "domain": [0.56, 1], "anchor": "y2"},
        yaxis2={**axis, "title": {"text": "efficiency"}, "range": [0, top], "anchor": "x2", "tickformat": ".0%"},
        margin={"l": 60, "r": 30, "t": 90, "b": 50},
    )  # fmt: skip
    return figure


def _line(name: str, xs: np.ndarray, ys: np.ndarray, axis: str, line: dict) -> go.Scatter:
    return go.Scatter(
        name=name, x=xs, y=ys, mode="lines", line=line, legendgroup=name, showlegend=axis == "1", xaxis=f"x{axis}",
        yaxis=f"y{axis}", hovertemplate=f"{name}<br>%{{x:.0f}} threads: %{{y:.3g}}<extra></extra>",
    )


def _hover(p: float, s: float) -> str:
    words = f"<b>{p:.0f} thread{'' if p == 1 else 's'}</b><br>speed-up {s:.3g}, efficiency {s / p:.0%}"
    if p == 1:
        return words
    fraction = (1 / s - 1 / p) / (1 - 1 / p) if s else math.nan
    return f"{words}<br>Karp-Flatt: serial fraction {fraction:.3g}"
