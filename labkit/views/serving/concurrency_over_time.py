"""Environments and requests over time: how a serverless function follows its load, and when it turns requests away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.views.serving.axes import BELOW, empty_note
from labkit.views.theme import ACCENT, INK, KIND_COLOURS, SERIES, base_layout

if TYPE_CHECKING:
    from labkit.serving.serverless.records import EnvironmentInfo, InvocationRecord

NUM_WINDOWS = 600
STATES = (  # from the bottom
    ("busy", "busy", SERIES[0]), ("warm", "warm, waiting for requests", SERIES[5]),
    ("starting", "starting (cold)", KIND_COLOURS["wait"]),
)


@dataclass(frozen=True, eq=False)
class ConcurrencyLayout:
    """Means of windows of time.

    Attributes
    ----------
    edges_s : ndarray, shape (n + 1,)
        Of the windows, in seconds since the first request or environment.
    environments : dict of str to ndarray, shape (n,)
        By state: ``busy``, ``warm``, ``starting``.
    under_way : ndarray, shape (n,)
        Requests that have come and are not answered.
    throttled, failed : ndarray of int, shape (n,)
        Requests of each window that were turned away (429), or that ended badly in another way.
    most_under_way : int
        At any moment.
    """

    edges_s: np.ndarray
    environments: dict[str, np.ndarray]
    under_way: np.ndarray
    throttled: np.ndarray
    failed: np.ndarray
    most_under_way: int


def concurrency_over_time_layout(
    records: Iterable[InvocationRecord], environments: Sequence[EnvironmentInfo] = (), *,
    num_windows: int = NUM_WINDOWS, until_s: float | None = None,
) -> ConcurrencyLayout:
    """Counts of environments by state and of requests, averaged over each window.

    Parameters
    ----------
    records : iterable of InvocationRecord
        Or anything with ``environment, is_cold, arrived_s, started_s, ended_s, phases_s, outcome``.
    environments : sequence of EnvironmentInfo, optional
        When environments started and ended. Without them, an environment lives from its cold start to the end.
    until_s : float, optional
        The end of the picture, on the clock of the records; by default the last moment that is known.
    """
    records = list(records)
    known = [value for r in records for value in (r.arrived_s, r.ended_s)]
    known += [value for e in environments for value in (e.started_s, e.ended_s) if value is not None]
    known += [start for start, _ in _cold_starts(records)]
    if not known:
        return ConcurrencyLayout(np.array([0.0, 1.0]), {key: np.zeros(1) for key, *_ in STATES}, *[np.zeros(1)] * 3, 0)
    zero, end = min(known), max(known) if until_s is None else until_s
    if not np.isfinite(known).all() or end < zero:
        raise UsageError(
            f"concurrency_over_time: times are finite, and until_s is not before the first: pass more than "
            f"{zero:g}, not {end:g}."
        )
    edges = np.linspace(0, max(end - zero, 1e-6), num_windows + 1)
    ran = [r for r in records if r.environment is not None]
    busy = _means(edges, zero, [(r.started_s, r.ended_s) for r in ran])
    lives, starts = _lives(ran, environments, end)
    starting, alive = _means(edges, zero, starts), _means(edges, zero, lives)
    waiting = [(r.arrived_s, r.ended_s) for r in records if r.outcome != "throttled"]
    bins = {
        "throttled": [r.arrived_s - zero for r in records if r.outcome == "throttled"],
        "failed": [r.ended_s - zero for r in records if r.outcome not in ("ok", "throttled")],
    }
    throttled, failed = (np.histogram(bins[key], edges)[0] for key in ("throttled", "failed"))
    return ConcurrencyLayout(
        edges, {"busy": busy, "warm": np.maximum(alive - starting - busy, 0), "starting": starting},
        _means(edges, zero, waiting), throttled, failed, _most_at_once(waiting),
    )


def _cold_starts(records: Iterable[InvocationRecord]) -> list[tuple[float, float]]:
    """Of each cold call: when its environment was started, and when it could take the request."""
    return [
        (r.ended_s - sum(r.phases_s.values()) if r.phases_s else r.arrived_s, r.started_s) for r in records if r.is_cold
    ]


def _lives(records, environments, end: float) -> tuple[list, list]:
    """Intervals in which environments lived, and in which they started."""
    if not environments:
        firsts: dict[int, float] = {}
        for record in records:
            begun = _cold_starts([record])[0][0] if record.is_cold else record.started_s
            firsts[record.environment] = min(begun, firsts.get(record.environment, begun))
        return [(first, end) for first in firsts.values()], _cold_starts(records)
    lives = [(e.started_s, end if e.ended_s is None else e.ended_s) for e in environments]
    starts = []
    for info, (begun, ended) in zip(environments, lives, strict=True):
        init_s = sum(value for phase, value in info.phases_s.items() if phase != "first_call")
        starts.append((begun, min(begun + init_s if info.phases_s else ended, ended)))
    return lives, starts


def _means(edges: np.ndarray, zero: float, spans: list[tuple[float, float]]) -> np.ndarray:
    """How many spans cover a moment, averaged over each window."""
    if not spans:
        return np.zeros(len(edges) - 1)
    starts, stops = (np.sort(np.array(column) - zero) for column in zip(*spans, strict=True))
    return np.diff(_area(edges, starts) - _area(edges, stops)) / np.diff(edges)


def _area(at: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Sum of the time since each beginning that has passed."""
    passed = np.searchsorted(begins, at, "right")
    return passed * at - np.concatenate([[0.0], np.cumsum(begins)])[passed]


def _most_at_once(spans: list[tuple[float, float]]) -> int:
    ends = sorted([(start, 1) for start, _ in spans] + [(stop, -1) for _, stop in spans])  # an end before a start
    return int(np.cumsum([step for _, step in ends]).max(initial=0))


def concurrency_over_time_figure(
    records: Iterable[InvocationRecord], environments: Sequence[EnvironmentInfo] = (), *, until_s: float | None = None,
    title: str | None = None,
) -> go.Figure:
    """Environments by state and requests under way over time; below, requests that were turned away or failed.

    Parameters
    ----------
    records, environments, until_s
        See :func:`concurrency_over_time_layout`; a ``LocalLambda`` has both.
    """
    layout = concurrency_over_time_layout(records, environments, until_s=until_s)
    num_throttled, num_failed = int(layout.throttled.sum()), int(layout.failed.sum())
    has_bad = num_throttled + num_failed > 0
    if has_bad:
        figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.06)
    else:
        figure = make_subplots(rows=1, cols=1)
    figure.update_layout(base_layout(title or _title(layout, num_throttled), 500 if has_bad else 440))
    middle = (layout.edges_s[1:] + layout.edges_s[:-1]) / 2
    for key, words, colour in STATES:
        figure.add_trace(go.Scatter(
            name=words, x=middle, y=layout.environments[key], mode="lines", stackgroup="environments",
            line={"width": 0, "color": colour, "shape": "hvh"}, fillcolor=colour,
            hovertemplate=f"%{{y:.2f}} {key}<extra></extra>",
        ), 1, 1)
    figure.add_trace(go.Scatter(
        name="requests under way", x=middle, y=layout.under_way, mode="lines",
        line={"width": 1.6, "color": INK, "shape": "hvh"}, hovertemplate="%{y:.2f} requests under way<extra></extra>",
    ), 1, 1)
    for name, counts, colour in (("turned away (429)", layout.throttled, ACCENT), ("failed", layout.failed, SERIES[3])):
        if counts.any():
            edges, sums = _coarser(layout.edges_s, counts)
            figure.add_trace(go.Bar(
                name=name, x=(edges[1:] + edges[:-1]) / 2, y=sums, width=np.diff(edges),
                hovertemplate=f"%{{y}} {name}<extra></extra>", marker={"color": colour, "line": {"width": 0}},
            ), 2, 1)
    if has_bad:
        few = {"dtick": 1} if num_throttled + num_failed < 6 else {}
        figure.update_yaxes(title={"text": "requests"}, rangemode="tozero", row=2, col=1, **few)
    if not (layout.under_way.any() or any(counts.any() for counts in layout.environments.values())):
        empty_note(figure, "no call and no environment yet")
    figure.update_xaxes(range=[0, float(layout.edges_s[-1])])
    figure.update_xaxes(title={"text": "s"}, row=2 if has_bad else 1, col=1)
    figure.update_yaxes(title={"text": "environments, requests"}, rangemode="tozero", row=1, col=1)
    figure.update_layout(
        barmode="stack", margin={"l": 70, "r": 24, "t": 44, "b": 116}, hovermode="x unified", legend=BELOW,
    )
    return figure


def _coarser(edges: np.ndarray, counts: np.ndarray, num_bars: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """The same counts in fewer windows, so that bars can be seen."""
    step = max(1, len(counts) // num_bars)
    places = np.arange(0, len(counts), step)
    return np.append(edges[places], edges[-1]), np.add.reduceat(counts, places)


def _title(layout: ConcurrencyLayout, num_throttled: int) -> str:
    most = round(float(sum(layout.environments.values()).max()))
    words = f"Up to {layout.most_under_way} requests at once, {most} environments"
    return words + (f", {num_throttled} requests turned away" if num_throttled else "")
