"""Training runs as pictures: strategies side by side, a step by rank, losses, and memory by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.views.theme import (
    GRID,
    INK,
    KIND_COLOURS,
    SERIES,
    WAITING_COLOUR,
    base_layout,
    bytes_text,
    time_text,
    time_unit,
)

if TYPE_CHECKING:
    from labkit.training.compare import StrategyTable
    from labkit.training.report import TrainingReport

MAIN, COMMUNICATION = "main", "communication"
MEMORY_KINDS = (("parameters", "#009e73"), ("gradients", "#e69f00"), ("optimizer", "#0072b2"), ("buffers", "#cc79a7"))
DASHES = ("solid", "dash", "dot", "dashdot")
LANE_COLOURS = {
    "forward": KIND_COLOURS["compute"], "backward": SERIES[5], "optimizer": SERIES[2],
    "communication": KIND_COLOURS["collective"], "waiting": WAITING_COLOUR,
}


def compare_figure(table: StrategyTable, *, title: str = "Strategies side by side") -> go.Figure:
    """Times of a step, bytes sent, memory, and the difference to one process: a panel each, a bar for each strategy.

    Parameters
    ----------
    table : StrategyTable
        See :func:`labkit.training.compare.compare`. Strategies that were left out are not drawn.
    """
    rows = [row for row in table.rows if not row.left_out]
    names = [row.name for row in rows]
    panels = ("step", "sent, the most of a rank", "live tensors, the most of a rank", "difference to one process")
    figure = make_subplots(rows=1, cols=4, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=panels)
    scale, unit = time_unit(1e9 * max([row.step_s or 0 for row in rows] or [0]))
    parts = (
        ("computing", KIND_COLOURS["compute"], lambda row: row.compute_s),
        ("communication that is not hidden", KIND_COLOURS["collective"], exposed_s),
        ("idle", "#d1495b", lambda row: row.idle_s),
    )
    for name, colour, value in parts:
        seconds = [value(row) or 0.0 for row in rows]
        _bars(figure, 1, name, colour, names, [1e9 * s / scale for s in seconds], [time_text(1e9 * s) for s in seconds])
    sent = [max(row.sent_bytes, default=0) for row in rows]
    size, byte_unit = _byte_unit(max(sent, default=0))
    _bars(figure, 2, "sent", SERIES[1], names, [n / size for n in sent], [bytes_text(n) for n in sent])
    held = [max(row.tensors_bytes, default=0) for row in rows]
    size, held_unit = _byte_unit(max(held, default=0))
    _bars(figure, 3, "live tensors", SERIES[2], names, [n / size for n in held], [bytes_text(n) for n in held])
    differences = [row.difference for row in rows]
    figure.add_trace(
        go.Scatter(
            name="difference", mode="markers", x=[d if d else None for d in differences], y=names, showlegend=False,
            marker={"color": SERIES[3], "size": 11}, hoverinfo="text",
            hovertext=[
                f"<b>{name}</b><br>{d:.1e} of the way" if d else "" for name, d in zip(names, differences, strict=True)
            ],
        ),
        row=1, col=4,
    )
    figure.update_layout(base_layout(title, 120 + 30 * max(4, len(names))))
    figure.update_layout(
        barmode="stack", margin={"l": 130, "r": 24, "t": 84, "b": 84},
        legend={"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top", "traceorder": "normal"},
    )
    for column, words in enumerate((unit, byte_unit, held_unit, "of the way gone"), 1):
        figure.update_xaxes(title_text=words, gridcolor=GRID, color=INK, row=1, col=column)
    figure.update_xaxes(type="log", exponentformat="power", dtick=2, row=1, col=4)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], gridcolor=GRID, color=INK)
    figure.update_annotations(font={"size": 12, "color": INK})
    return figure


def exposed_s(row) -> float | None:
    """Communication that computing does not hide, in s."""
    return None if row.communication_s is None else row.communication_s - row.overlap_s


def _bars(figure, column, name, colour, names, values, words) -> None:
    figure.add_trace(
        go.Bar(
            name=name, orientation="h", x=values, y=names, marker={"color": colour}, showlegend=column == 1,
            hoverinfo="text", hovertext=[f"<b>{n}</b><br>{name}: {w}" for n, w in zip(names, words, strict=True)],
        ),
        row=1, col=column,
    )


def _byte_unit(most: float) -> tuple[float, str]:
    return next(((scale, unit) for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if most >= scale), (1, "B"))


@dataclass(frozen=True, slots=True)
class LaneBar:
    """A bar of a step: its rank, lane, name, kind, from and to in ns since the step began, and bytes."""

    rank: int
    lane: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    num_bytes: int


def step_layout(report: TrainingReport, step: int = -1) -> list[LaneBar]:
    """What every rank did in one step; -1 is the last.

    A collective is drawn in two parts, waiting for the last rank and then the transfer.
    """
    if report.timeline is None:
        raise UsageError("this report has no timeline: train with timeline=True.")
    if not -report.num_steps <= step < report.num_steps:
        raise UsageError(f"step is from 0 to {report.num_steps - 1} (or negative, from the end), not {step}.")
    step %= report.num_steps
    bars, starts = [], []
    for rank in range(report.num_ranks):
        own = [span for span in report.timeline.spans if span.rank == rank]
        # Steps follow each other: each ends with the agreement of the ranks and, after it, the optimizer.
        begins = [span.start_ns for span in own if span.name == "forward"]
        per_step = max(1, len(begins) // report.num_steps)
        first = begins[step * per_step]
        last = begins[(step + 1) * per_step] if (step + 1) * per_step < len(begins) else report.timeline.end_ns + 1
        starts.append(first)
        for span in own:
            if not first <= span.start_ns < last:
                continue
            middle = min(span.end_ns, span.start_ns + span.waiting_ns)
            if span.kind == "collective":
                parts = (("waiting", span.start_ns, middle), ("communication", middle, span.end_ns))
            else:
                parts = (("waiting" if span.kind == "wait" else span.name, span.start_ns, span.end_ns),)
            bars += [
                LaneBar(rank, span.lane, span.name, kind, start, end, span.num_bytes)
                for kind, start, end in parts if end > start
            ]
    origin = min(starts, default=0)
    return [
        LaneBar(b.rank, b.lane, b.name, b.kind, b.start_ns - origin, b.end_ns - origin, b.num_bytes) for b in bars
    ]


def step_figure(report: TrainingReport, step: int = -1, *, title: str | None = None) -> go.Figure:
    """One step by rank: what it computes, and below it the buckets on their way.

    Parameters
    ----------
    report : TrainingReport
    step : int
        Counted from the first of this report; negative: from the end.
    """
    bars = step_layout(report, step)
    scale, unit = time_unit(max([bar.end_ns for bar in bars] or [0]))
    lanes = [f"rank {rank}, {lane}" for rank in range(report.num_ranks) for lane in (MAIN, COMMUNICATION)]
    lanes = [lane for lane in lanes if any(_lane_name(bar) == lane for bar in bars)]
    number = report.first_step + step % report.num_steps
    figure = go.Figure(layout=base_layout(title or f"Step {number} of {report.strategy}", 130 + 34 * len(lanes)))
    for kind, colour in LANE_COLOURS.items():
        some = [bar for bar in bars if bar.kind == kind]
        if some:
            figure.add_trace(go.Bar(
                name=kind, orientation="h", y=[_lane_name(bar) for bar in some], width=0.75, hoverinfo="text",
                base=[bar.start_ns / scale for bar in some], x=[(bar.end_ns - bar.start_ns) / scale for bar in some],
                marker={"color": colour, "line": {"color": "white", "width": 1}},
                hovertext=[
                    f"<b>rank {bar.rank}: {bar.name}</b><br>{kind} {time_text(bar.end_ns - bar.start_ns)}"
                    + (f"<br>{bytes_text(bar.num_bytes)}" if bar.num_bytes else "") for bar in some
                ],
            ))
    figure.update_layout(
        barmode="overlay", xaxis={"title": {"text": unit}}, margin={"l": 156, "r": 24, "t": 66, "b": 48},
        yaxis={"categoryorder": "array", "categoryarray": lanes[::-1], "showgrid": False},
    )
    return figure


def _lane_name(bar: LaneBar) -> str:
    return f"rank {bar.rank}, {bar.lane}"


def losses_figure(reports: Mapping | Sequence, *, title: str = "Loss of the batches") -> go.Figure:
    """A line for each run, over its steps.

    Parameters
    ----------
    reports : sequence or mapping
        Reports, or rows of a table; a mapping gives them names, else each has that of its strategy.
    """
    figure = go.Figure(layout=base_layout(title, 400))
    for index, (name, run) in enumerate(_named(reports)):
        first = getattr(run, "first_step", 0)
        figure.add_trace(go.Scatter(
            name=name, mode="lines", x=list(range(first, first + len(run.losses))), y=list(run.losses),
            line={"color": SERIES[index % len(SERIES)], "width": 2, "dash": DASHES[index // len(SERIES) % len(DASHES)]},
            hovertemplate=f"<b>{name}</b><br>step %{{x}}: %{{y:.4f}}<extra></extra>",
        ))
    figure.update_layout(
        xaxis={"title": {"text": "step"}}, yaxis={"title": {"text": "loss"}}, showlegend=True,
        margin={"l": 66, "r": 24, "t": 44, "b": 110}, legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
    )
    return figure


def memory_figure(reports: Mapping | Sequence, *, title: str = "Live tensors of a rank") -> go.Figure:
    """Bytes stacked by kind, a bar for each run and rank; see :func:`losses_figure`."""
    runs = _named(reports)
    bars = [(name, f"rank {rank}", use) for name, run in runs for rank, use in enumerate(run.memory)]
    scale, unit = _byte_unit(max([use.tensors_bytes for *_, use in bars] or [0]))
    figure = go.Figure(layout=base_layout(title, 120 + 20 * max(4, len(bars))))
    for kind, colour in MEMORY_KINDS:
        sizes = [getattr(use, f"{kind}_bytes") for *_, use in bars]
        figure.add_trace(go.Bar(
            name=kind, orientation="h", y=[f"{name}, {rank}" for name, rank, _ in bars], x=[n / scale for n in sizes],
            marker={"color": colour}, hoverinfo="text",
            hovertext=[
                f"<b>{name}, {rank}</b><br>{kind}: {bytes_text(n)} of {bytes_text(use.tensors_bytes)}"
                for (name, rank, use), n in zip(bars, sizes, strict=True)
            ],
        ))
    figure.update_layout(
        barmode="stack", bargap=0.15, xaxis={"title": {"text": unit}}, margin={"l": 190, "r": 24, "t": 66, "b": 48},
        yaxis={"autorange": "reversed", "showgrid": False, "dtick": 1}, legend={"traceorder": "normal"},
    )
    return figure


def _named(reports: Mapping | Sequence) -> list[tuple[str, object]]:
    if isinstance(reports, Mapping):
        return list(reports.items())
    names = [getattr(report, "name", None) or report.strategy for report in reports]
    return [
        (name if names.count(name) == 1 else f"{name} ({names[:number].count(name) + 1})", report)
        for number, (name, report) in enumerate(zip(names, reports, strict=True))
    ]
