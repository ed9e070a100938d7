"""A forecast of a step beside what was measured: a bar each, by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.theme import base_layout, time_text

if TYPE_CHECKING:
    from labkit.training.planner.own_runs import OwnRun

PARTS = (  # name, colour, in words
    ("compute", "#9aa0a6", "computing"), ("bubble", "#e69f00", "waiting for stages"),
    ("communication", "#009e73", "collectives, and who comes late"), ("optimizer", "#0072b2", "optimizer and the rest"),
)
BAR_HEIGHT = 44
MARGIN = 130


@dataclass(frozen=True, slots=True)
class OwnBars:
    """What is drawn.

    Attributes
    ----------
    names : tuple of str
        Of the bars, from the top: two a run.
    by_part : dict of str to tuple of float
        Seconds by part and bar.
    totals_s : tuple of float
    ratios : tuple of float
        By run: predicted over measured.
    """

    names: tuple[str, ...]
    by_part: dict[str, tuple[float, ...]]
    totals_s: tuple[float, ...]
    ratios: tuple[float, ...]


def own_runs_layout(runs: OwnRun | Sequence[OwnRun]) -> OwnBars:
    """Two bars a run."""
    runs = runs if isinstance(runs, (list, tuple)) else (runs,)
    names, steps = [], []
    for run in runs:
        names += [f"{run.plan}<br>predicted", f"{run.plan}<br>measured"]
        steps += [run.predicted, run.measured]
    return OwnBars(
        tuple(names), {name: tuple(step.parts()[name] for step in steps) for name, _, _ in PARTS},
        tuple(step.step_s for step in steps), tuple(run.ratio for run in runs),
    )


def own_runs_figure(runs: OwnRun | Sequence[OwnRun], *, title: str = "A step, predicted and measured") -> go.Figure:
    """Bars of one run or several.

    Parameters
    ----------
    runs : OwnRun or sequence of OwnRun
        Of :func:`labkit.training.planner.own_runs.predict_and_measure`.
    """
    bars = own_runs_layout(runs)
    figure = go.Figure(layout=base_layout(title, MARGIN + BAR_HEIGHT * len(bars.names)))
    for name, colour, words in PARTS:
        figure.add_trace(go.Bar(
            name=words, orientation="h", y=list(range(len(bars.names))), x=[1e3 * s for s in bars.by_part[name]], width=0.7,
            marker={"color": colour}, customdata=[time_text(round(1e9 * s)) for s in bars.by_part[name]],
            hovertemplate=f"{words}: %{{customdata}}<extra></extra>",
        ))
    for number, total in enumerate(bars.totals_s):
        words = time_text(round(1e9 * total))
        if number % 2 == 0:
            words += f", {bars.ratios[number // 2]:.2f} of measured"
        figure.add_annotation(
            x=1e3 * total, y=number, text=words, showarrow=False, xanchor="left", xshift=6, font={"size": 12},
        )
    figure.update_layout(barmode="stack", legend={"traceorder": "normal"})
    figure.update_xaxes(title="ms", range=[0, 1.35e3 * max(bars.totals_s)])
    figure.update_yaxes(tickvals=list(range(len(bars.names))), ticktext=list(bars.names), autorange="reversed", automargin=True)
    return figure
