"""Passes of softmax over memory, and times beside the least that memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.softmax.passes import Passes
from labkit.softmax.times import VersionTime
from labkit.views.theme import ACCENT, KIND_COLOURS, SERIES, base_layout

KINDS = (
    ("reads", "read, x or result", KIND_COLOURS["send"]),
    ("writes", "written, result", KIND_COLOURS["window"]),
    ("extra_reads", "read, arrays in between", "#9ec9e6"),
    ("extra_writes", "written, arrays in between", "#f2b98f"),
)

FAR = 5.0  # times the median: bars are cut off beyond


@dataclass(frozen=True, slots=True)
class PassesLayout:
    """By version: passes of each kind; with times, nanoseconds an element measured and at least, None if unknown."""

    versions: tuple[str, ...]
    passes: tuple[tuple[float, ...], ...]
    least_ns: tuple[float | None, ...]
    measured_ns: tuple[float | None, ...]


def passes_layout(
    counts: Sequence[Passes], *, bandwidth: float | None = None, times: Sequence[VersionTime] = ()
) -> PassesLayout:
    """What :func:`passes_figure` draws.

    Examples
    --------
    >>> times = [VersionTime("online", 2e-3, 10**6, 4, False)]
    >>> layout = passes_layout([Passes("online", 2, 1)], bandwidth=12e9, times=times)
    >>> layout.passes, layout.least_ns, layout.measured_ns
    (((2, 1, 0.0, 0.0),), (1.0,), (2.0,))
    """
    if times and not bandwidth:
        raise UsageError("times are compared with the least times, which need bandwidth=: pass it, in bytes/s.")
    by_name = {time.version: time for time in times}
    least, measured = [], []
    for one in counts:
        time = by_name.get(one.version)
        measured.append(round(1e9 * time.element_s, 9) if time else None)
        least.append(round(1e9 * time.least_s(one.total, bandwidth), 9) if time else None)
    return PassesLayout(
        tuple(one.version for one in counts),
        tuple((one.reads, one.writes, one.extra_reads, one.extra_writes) for one in counts), tuple(least),
        tuple(measured),
    )


def passes_figure(
    counts: Sequence[Passes], *, bandwidth: float | None = None, times: Sequence[VersionTime] = ()
) -> go.Figure:
    """How often each version reads and writes memory; with times, what it took and the least that takes.

    Parameters
    ----------
    counts : values of :func:`labkit.softmax.passes.count_passes` or :func:`~labkit.softmax.passes.stated_passes`
    bandwidth : float, optional
        Of memory in bytes/s, as :class:`labkit.hardware.roofline.Roofline` has it.
    times : values of :func:`labkit.softmax.times.measure_times`, optional
        They need the bandwidth.
    """
    layout = passes_layout(counts, bandwidth=bandwidth, times=times)
    names = layout.versions
    title = "Passes over memory"
    figure = make_subplots(1, 2 if times else 1, shared_yaxes=True, horizontal_spacing=0.06)
    for k, (_, word, colour) in enumerate(KINDS):
        values = [passes[k] for passes in layout.passes]
        if k < 2 or any(values):
            figure.add_trace(
                go.Bar(name=word, y=names, x=values, orientation="h", marker={"color": colour},
                       hovertemplate="%{y}: %{x:.2f} times " + word + "<extra></extra>"), 1, 1,
            )
    totals = [one.total for one in counts]
    usual = sorted(totals)[len(totals) // 2] if totals else 1.0
    limit = 1.2 * max((t for t in totals if t <= FAR * usual), default=1.0)  # one far beyond would flatten the others
    for name, total in zip(names, totals, strict=True):
        if total > limit:
            figure.add_annotation(
                x=limit, y=name, text=f"<b>{total:.0f} →</b>", showarrow=False, xanchor="right",
                font={"color": "#1d1f21"}, row=1, col=1,
            )
    if times:
        title += "; time an element, beside the least that memory allows"
        figure.add_trace(
            go.Bar(name="least time", y=names, x=layout.least_ns, orientation="h", marker={"color": SERIES[2]},
                   hovertemplate="%{y}: at least %{x:.3g} ns an element<extra></extra>"), 1, 2,
        )
        figure.add_trace(
            go.Scatter(name="measured", y=names, x=layout.measured_ns, mode="markers",
                       hovertemplate="%{y}: %{x:.3g} ns an element<extra></extra>",
                       marker={"symbol": "diamond", "size": 11, "color": ACCENT}), 1, 2,
        )
        known = [t for t in (*layout.least_ns, *layout.measured_ns) if t]
        wide = bool(known) and max(known) > 30 * min(known)
        figure.update_xaxes(
            title={"text": "ns an element"}, type="log" if wide else "linear", rangemode="tozero", col=2,
            dtick=1 if wide else None,
        )
    figure.update_layout(base_layout(title, 170 + 34 * len(names)))
    figure.update_layout(
        barmode="stack", margin={"l": 90, "t": 50, "b": 100},
        legend={"traceorder": "normal", "y": 0, "yref": "container", "yanchor": "bottom"},
    )
    figure.update_xaxes(title={"text": "times the size of x"}, range=[0, limit], autorange=False, col=1)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
