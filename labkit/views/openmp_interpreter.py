"""What is really parallel in this interpreter: speed-up of the same loop on threads, by way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.openmp_experiments import bar_figure, upright_line
from labkit.views.theme import INK, SERIES

if TYPE_CHECKING:
    from labkit.openmp.experiments.interpreter import LockReport

NAMES = {
    "Python": "Python threads:<br>a loop in Python",
    "compiled, keeps the lock": "Python threads:<br>compiled, keeps the lock",
    "compiled, gives the lock back": "Python threads:<br>compiled, nogil=True", "NumPy": "Python threads:<br>NumPy",
    "Team": "a Team's threads",
}
USEFUL = 1.25  # a speed-up from which on threads help


@dataclass(frozen=True, slots=True)
class LockLayout:
    """By way: its name, and its speed-up; and the speed-up that the threads and the cores allow."""

    names: tuple[str, ...]
    speedups: tuple[float, ...]
    ideal: int


def lock_layout(report: LockReport) -> LockLayout:
    """In the order in which they were measured."""
    return LockLayout(
        tuple(NAMES[way] for way in report.serial_s), tuple(report.speedup(way) for way in report.serial_s),
        min(report.num_threads, report.num_cores),
    )


def lock_figure(report: LockReport) -> go.Figure:
    """Speed-up of each way on the threads, green where threads help; lines at 1 and at what is possible.

    All bars are grey when other processes used the cores meanwhile.
    """
    layout = lock_layout(report)
    texts = [f"{speedup:.2f}" for speedup in layout.speedups]
    hovers = [
        f"<b>{name.replace('<br>', ' ')}</b><br>1 thread: {report.serial_s[way].min() * 1e3:.3g} ms<br>"
        f"{report.num_threads} threads: {report.parallel_s[way].min() * 1e3:.3g} ms"
        for way, name in zip(report.serial_s, layout.names, strict=True)
    ]
    # On a busy machine two threads get more of it than one does, which is no speed-up: no judgement then.
    colours = [
        INK if report.busy else SERIES[2] if speedup >= USEFUL else SERIES[1] for speedup in layout.speedups
    ]
    most = max(layout.ideal, *layout.speedups, 1.0)
    axis = {
        "title": {"text": f"speed-up on {report.num_threads} thread{'' if report.num_threads == 1 else 's'}"},
        "range": [0, 1.25 * most], "nticks": 8,
    }
    title = report.words() + (f" {report.num_wrong} RESULTS WERE WRONG." if report.num_wrong else "")
    figure = bar_figure(title, layout.names, layout.speedups, texts, colours, hovers=hovers, axis=axis, left=180)
    # The lines stand where values outside of the bars would.
    figure.update_traces(textposition="inside", insidetextanchor="end", insidetextfont={"color": "white", "size": 12})
    figure.update_layout(height=figure.layout.height + 26, yaxis_range=[len(texts) - 0.5, -1.1])  # names of the lines
    for place, words in {1: "as one thread", layout.ideal: "as many cores"}.items():
        if place > 1 or layout.ideal > 1:
            upright_line(figure, place, words)
    return figure
