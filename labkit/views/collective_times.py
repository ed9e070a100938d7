"""Times of collective algorithms: over the message size, with the sizes at which the fastest one changes, and over ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from labkit.views.theme import INK, SERIES, base_layout, bytes_text, point_ticks, time_text, time_ticks

if TYPE_CHECKING:
    from labkit.mpi.curves import Curve

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
DASHES = ("solid", "dash", "dot")
STRIP = 0.055  # height of the strip that names the fastest, of the plot's
HEIGHT = 480
LIGHT = ("#cc79a7", "#e69f00", "#56b4e9")  # of SERIES: text on them is black


@dataclass(frozen=True, slots=True)
class Crossover:
    """At ``x`` the fastest algorithm changes from ``before`` to ``after``; both take ``seconds`` there."""

    x: float
    seconds: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class TimesLayout:
    """Crossovers of the predicted lines, and who is fastest from where to where: (name, start, end)."""

    crossovers: tuple[Crossover, ...]
    fastest: tuple[tuple[str, float, float], ...]
    names: tuple[tuple[str, str], ...]  # (name, its short form)


def times_layout(curves: Sequence[Curve]) -> TimesLayout:
    """Where the fastest predicted algorithm changes, by straight lines in log-log between the points.

    Curves are compared at the x that all of them have. Of equally fast ones, the first counts. What takes no time
    has no logarithm and is left out.
    """
    curves = _with_logarithms(curves)
    lines = {curve.name: dict(curve.predicted) for curve in curves if curve.predicted}
    xs = sorted(set.intersection(*(set(line) for line in lines.values()))) if lines else []
    crossovers, fastest = [], []
    for x, after in zip(xs, xs[1:], strict=False):
        for name, start, end, seconds in _pieces(lines, x, after):
            if fastest and fastest[-1][0] == name:
                fastest[-1] = (name, fastest[-1][1], end)
                continue
            if fastest:
                crossovers.append(Crossover(start, seconds, fastest[-1][0], name))
            fastest.append((name, start, end))
    return TimesLayout(tuple(crossovers), tuple(fastest), short_names([curve.name for curve in curves]))


def _with_logarithms(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The same curves without what has no place on logarithmic axes: an empty message, one rank that sends nothing."""
    def positive(pairs):
        return tuple((x, seconds) for x, seconds in pairs if x > 0 and seconds > 0)

    return tuple(replace(curve, predicted=positive(curve.predicted), points=positive(curve.points)) for curve in curves)


def _pieces(lines, left: float, right: float):
    """(fastest, from, to, its time at from) between two neighbouring x: the lower envelope of straight lines."""
    # By the order of the curves: (logarithm of the time at the left end, growth to the right end).
    ends = {name: (math.log(line[left]), math.log(line[right] / line[left])) for name, line in lines.items()}
    order = {name: number for number, name in enumerate(ends)}
    share, pieces = 0.0, []
    current = min(ends, key=lambda name: (round(ends[name][0], 9), round(ends[name][1], 9), order[name]))
    while True:
        level, growth = ends[current]
        meets = []
        for name, (low, slower) in ends.items():
            if slower < growth - 1e-9:  # does it come below?
                t = (low - level) / (growth - slower)
                if share < t < 1 - 1e-9:
                    meets.append((round(t, 9), round(slower, 9), order[name], name))
        following = min(meets, default=None)
        end = following[0] if following else 1.0
        pieces.append((current, *(left * (right / left) ** t for t in (share, end)), math.exp(level + share * growth)))
        if following is None:
            return pieces
        share, current = end, following[3]


def equally_fast(curves: Sequence[Curve], name: str, start: float, end: float) -> tuple[str, ...]:
    """Curves, ``name`` left out, whose predicted lines lie on that of ``name`` from ``start`` to ``end``."""
    lines = {curve.name: np.log(np.array(curve.predicted).T) for curve in curves if curve.predicted}
    xs, _ = lines[name]
    xs = np.array([math.log(start), *xs[(math.log(start) < xs) & (xs < math.log(end))], math.log(end)])
    times = {other: np.interp(xs, *line) for other, line in lines.items()}
    return tuple(other for other in lines if other != name and np.allclose(times[other], times[name], rtol=0, atol=1e-6))


def short_names(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Names without the operation, if all have the same.

    Examples
    --------
    >>> short_names(["reduce_scatter_ring", "reduce_scatter_pairwise"])
    (('reduce_scatter_ring', 'ring'), ('reduce_scatter_pairwise', 'pairwise'))
    >>> short_names(["allreduce_ring"])
    (('allreduce_ring', 'ring'),)
    """
    operations = sorted({name.split("_")[0] for name in names})
    if len(operations) != 1:
        return tuple((name, name) for name in names)
    start = operations[0] + "_"
    if all(name.startswith("reduce_scatter_") for name in names):
        start = "reduce_scatter_"
    return tuple((name, name.removeprefix(start)) for name in names)


def collective_time_figure(
    curves: Sequence[Curve], *, title: str = "Time of a collective", points: str = "measured"
) -> go.Figure:
    """Time against message size, both logarithmic: predicted lines, measured points, and where the fastest changes.

    Parameters
    ----------
    curves : sequence of Curve
        Over sizes in bytes; see :func:`labkit.mpi.curves.size_curves`.
    title, points : str
        ``points`` says what the points are: "measured", "simulated".

    Returns
    -------
    plotly.graph_objects.Figure
    """
    curves = _with_logarithms(curves)
    figure, layout = _times_figure(curves, title, points, bytes_text)
    _strip(figure, layout, curves)
    ticks = _ticks(figure, curves, at_most=8)
    figure.update_xaxes(title_text="message size (whole buffer)", tickvals=ticks, ticktext=[bytes_text(t) for t in ticks])
    return figure


def scaling_figure(
    curves: Sequence[Curve], *, title: str = "Time by number of ranks", points: str = "simulated"
) -> go.Figure:
    """Time against the number of ranks, both logarithmic: predicted lines, simulated points.

    Parameters
    ----------
    curves : sequence of Curve
        Over numbers of ranks; see :func:`labkit.mpi.curves.scaling_curves`.
    title, points : str
        ``points`` says what the points are.
    """
    curves = _with_logarithms(curves)
    figure, layout = _times_figure(curves, title, points, lambda p: f"{p:.0f} ranks")
    _strip(figure, layout, curves)
    ticks = _ticks(figure, curves, at_most=12)
    figure.update_xaxes(title_text="number of ranks", tickvals=ticks, ticktext=[f"{t:.0f}" for t in ticks])
    return figure


def _ticks(figure: go.Figure, curves, *, at_most: int) -> list[float]:
    """At the x of the curves, none if there are none."""
    xs = [x for curve in curves for x, _ in (*curve.predicted, *curve.points)]
    return point_ticks(xs, *figure.layout.xaxis.range, at_most=at_most) if xs else []


def colour_of(index: int) -> tuple[str, str, str]:
    """(colour, dash, symbol) of a curve: told apart by more than the colour."""
    return SERIES[index % len(SERIES)], DASHES[index // len(SERIES) % len(DASHES)], SYMBOLS[index % len(SYMBOLS)]


def _times_figure(curves, title, points, x_text) -> tuple[go.Figure, TimesLayout]:
    layout = times_layout(curves)
    short = dict(layout.names)
    figure = go.Figure(layout=base_layout(title, HEIGHT))
    for index, curve in enumerate(curves):
        colour, dash, symbol = colour_of(index)
        width = 2 + 2 * sum(_alike(curve, later) for later in curves[index + 1 :])  # equal lines are all seen
        if curve.predicted:
            figure.add_trace(go.Scatter(
                name=short[curve.name], legendgroup=curve.name, mode="lines",
                x=[x for x, _ in curve.predicted], y=[s for _, s in curve.predicted],
                line={"color": colour, "dash": dash, "width": width}, hoverinfo="text",
                hovertext=[f"<b>{curve.name}</b><br>{x_text(x)}: {time_text(1e9 * s)} predicted" for x, s in curve.predicted],
            ))
        if curve.points:
            figure.add_trace(go.Scatter(
                name=f"{short[curve.name]}, {points}", legendgroup=curve.name, mode="markers",
                x=[x for x, _ in curve.points], y=[s for _, s in curve.points], hoverinfo="text",
                marker={"color": colour, "symbol": symbol, "size": 9, "line": {"color": "white", "width": 1}},
                hovertext=[f"<b>{curve.name}</b><br>{x_text(x)}: {time_text(1e9 * s)} {points}" for x, s in curve.points],
            ))
    xs = [x for curve in curves for x, _ in curve.predicted]
    if layout.crossovers:
        last = min(xs) * (max(xs) / min(xs)) ** 0.7  # right of it there is no room for a name
        texts = [x_text(c.x) + (f": {short[c.after]}" if c.x <= last else "") for c in layout.crossovers]
        figure.add_trace(go.Scatter(
            name="crossover", mode="markers+text", x=[c.x for c in layout.crossovers],
            y=[c.seconds for c in layout.crossovers], text=texts,
            textposition="bottom right", textfont={"color": INK}, hoverinfo="text",
            hovertext=[
                f"at {x_text(c.x)}, {time_text(1e9 * c.seconds)}:<br>{short[c.before]} → {short[c.after]}"
                for c in layout.crossovers
            ],
            marker={"symbol": "circle-open", "size": 13, "color": INK, "line": {"width": 2, "color": INK}},
        ))
    seconds = [s for curve in curves for _, s in (*curve.predicted, *curve.points)] or [1e-6, 1e-3]
    low, high = math.log10(min(seconds)), math.log10(max(seconds))
    low, high = low - 0.12 * (high - low) - 0.2, high + 0.15
    ticks = time_ticks(seconds, low, high)
    figure.update_layout(
        margin={"l": 76, "r": 24, "t": 46, "b": 60},
        legend={"orientation": "v", "x": 1.01, "xanchor": "left", "y": 1, "yanchor": "top", "tracegroupgap": 2},
        xaxis={"type": "log", "showgrid": True, "anchor": "free", "position": 0},  # below the strip
        yaxis={
            "type": "log", "domain": [STRIP + 0.02, 1], "range": [low, high], "tickvals": ticks,
            "ticktext": [time_text(1e9 * tick) for tick in ticks], "title": {"text": "time"},
        },
    )
    return figure, layout


def _alike(one, other) -> bool:
    """Whether two predicted lines lie on each other."""
    first, second = dict(one.predicted), dict(other.predicted)
    shared = first.keys() & second.keys()
    return bool(shared) and all(abs(math.log(first[x] / second[x])) < 0.03 for x in shared)


def _strip(figure: go.Figure, layout: TimesLayout, curves) -> None:
    """Below the plot: a strip in the colour of the fastest predicted algorithm, with its name where there is room."""
    xs = [x for curve in curves for x, _ in (*curve.predicted, *curve.points)]
    if not xs:
        return
    low, high = math.log10(min(xs)), math.log10(max(xs))
    air = 0.02 * (high - low) + 0.01
    figure.update_xaxes(range=[low - air, high + air])
    index = {curve.name: number for number, curve in enumerate(curves)}
    short = dict(layout.names)
    notes = []
    for name, start, end in layout.fastest if len(index) > 1 else ():
        fill = colour_of(index[name])[0]
        share = (math.log10(end) - math.log10(start)) / (high - low + 2 * air)
        equals = equally_fast(curves, name, start, end)
        words = " = ".join([short[name], *(short[other] for other in equals)])
        candidates = [f"fastest: {words}", words] + ([f"{short[name]} = ..."] if equals else [])
        words = next((words for words in candidates if 7 * len(words) < 620 * share), "")
        figure.add_shape(
            type="rect", x0=start, x1=end, y0=0, y1=STRIP, yref="paper", line={"width": 0}, opacity=0.85,
            fillcolor=fill,
        )
        if words:
            notes.append({
                "x": (math.log10(start) + math.log10(end)) / 2, "xref": "x", "y": STRIP / 2, "yref": "paper",
                "text": words, "showarrow": False, "font": {"color": "black" if fill in LIGHT else "white", "size": 11}, "yanchor": "middle",
            })
    figure.update_layout(annotations=notes)
