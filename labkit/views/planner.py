"""Plans of a training run as pictures: the memory of each stage by kind, and all plans by time and price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.theme import ACCENT, INK, base_layout, time_text

if TYPE_CHECKING:
    from labkit.training.planner.memory import StageMemory
    from labkit.training.planner.search import Candidate, SearchResult
    from labkit.training.planner.step import StepForecast

GIGABYTE = 1e9
KINDS = (  # from the bottom
    ("optimizer", "#0072b2"), ("gradients", "#e69f00"), ("parameters", "#009e73"), ("activations", "#cc79a7"),
)
FAMILIES = (  # name, colour, symbol
    ("data parallel", "#0072b2", "circle"), ("with tensor parallel", "#009e73", "diamond"),
    ("with a pipeline", "#e69f00", "square"), ("with both", "#cc79a7", "x"),
)
SHARES = (  # of a step
    ("computing", "compute_s", "#9aa0a6"), ("tensor parallel", "tensor_s", "#009e73"),
    ("between stages", "pipeline_s", "#56b4e9"), ("bubble", "bubble_s", "#e69f00"), ("gradients", "data_s", "#0072b2"),
)
MOST_BARS = 16


@dataclass(frozen=True, slots=True)
class MemoryBars:
    """Bars as drawn: names of the stages, bytes by kind and stage, in GB; the limit in GB; whether all fit."""

    names: tuple[str, ...]
    by_kind: dict[str, tuple[float, ...]]
    limit: float
    fits: bool


def planner_memory_layout(stages: Sequence[StageMemory], limit_bytes: float) -> MemoryBars:
    """A bar a stage; of more than 16 stages the first, the last and some between, evenly."""
    if len(stages) > MOST_BARS:
        stages = [stages[round(k * (len(stages) - 1) / (MOST_BARS - 1))] for k in range(MOST_BARS)]
    return MemoryBars(
        tuple(f"stage {stage.stage}" for stage in stages),
        {kind: tuple(stage.by_kind()[kind] / GIGABYTE for stage in stages) for kind, _ in KINDS},
        limit_bytes / GIGABYTE,
        all(stage.total_bytes <= limit_bytes for stage in stages),
    )


def planner_memory_figure(
    stages: Sequence[StageMemory], limit_bytes: float, *, title: str = "Memory of a device by stage"
) -> go.Figure:
    """Stacked bars of a device's memory, and what it has to give.

    Parameters
    ----------
    stages : sequence of StageMemory
        See :func:`labkit.training.planner.memory.memory_forecast`.
    limit_bytes : float
        What a device has to give.
    """
    bars = planner_memory_layout(stages, limit_bytes)
    figure = go.Figure(layout=base_layout(title, 360))
    for kind, colour in KINDS:
        figure.add_trace(go.Bar(
            name=kind, x=bars.names, y=bars.by_kind[kind], marker={"color": colour}, width=0.6,
            hovertemplate=f"%{{x}}<br>{kind} %{{y:.2f}} GB<extra></extra>",
        ))
    top = max([sum(column) for column in zip(*bars.by_kind.values(), strict=True)] + [bars.limit])
    figure.add_hline(y=bars.limit, line={"color": ACCENT, "width": 2, "dash": "dash"})
    figure.add_annotation(
        xref="paper", x=1, xanchor="right", y=bars.limit, yanchor="bottom", showarrow=False,
        text=f"a device has {bars.limit:.1f} GB to give", font={"color": ACCENT},
    )
    figure.update_layout(
        barmode="stack", yaxis={"title": {"text": "GB"}, "range": [0, 1.12 * top]}, legend={"traceorder": "normal"},
        margin={"t": 76},
    )
    return figure


@dataclass(frozen=True, slots=True)
class PlanPoint:
    """A plan as drawn: days, USD, which family, its words, whether no other beats it in both."""

    days: float
    price: float
    family: str
    hover: str
    on_front: bool


def planner_front_layout(result: SearchResult, num_steps: float) -> list[PlanPoint]:
    """Every plan that fits as a point."""
    front = {id(candidate) for candidate in result.front()}
    return [
        PlanPoint(
            candidate.days(num_steps), candidate.price(num_steps), _family(candidate), _words(candidate, num_steps),
            id(candidate) in front,
        )
        for candidate in result.candidates
    ]


def _family(candidate: Candidate) -> str:
    mesh = candidate.plan.mesh
    return FAMILIES[(mesh.tp > 1) + 2 * (mesh.pp > 1)][0]


def _words(candidate: Candidate, num_steps: float) -> str:
    step = candidate.step
    return (
        f"<b>{candidate.machine.num_devices} x {candidate.machine.device.name}</b><br>{candidate.plan}<br>"
        f"{candidate.memory_bytes / GIGABYTE:.1f} GB, a step {time_text(1e9 * step.step_s)}, "
        f"bubble {step.bubble_fraction:.1%}<br>{candidate.days(num_steps):.3g} days, {candidate.price(num_steps):,.0f} USD"
    )


def planner_front_figure(
    result: SearchResult, num_steps: float, *, title: str = "Plans that fit, by time and price"
) -> go.Figure:
    """All plans that fit, as points of duration and price; a line joins those that no other beats in both.

    Parameters
    ----------
    result : SearchResult
        See :func:`labkit.training.planner.search.search`.
    num_steps : float
        Of the training.
    """
    points = planner_front_layout(result, num_steps)
    figure = go.Figure(layout=base_layout(title, 420))
    for name, colour, symbol in reversed(FAMILIES):  # the few of the simple kinds lie above the many others
        own = [point for point in points if point.family == name]
        if own:
            figure.add_trace(go.Scatter(
                name=name, mode="markers", x=[p.days for p in own], y=[p.price for p in own], hoverinfo="text",
                hovertext=[p.hover for p in own], marker={"color": colour, "symbol": symbol, "size": 7, "opacity": 0.55},
            ))
    front = sorted((p for p in points if p.on_front), key=lambda p: p.days)
    if front:
        figure.add_trace(go.Scatter(
            name="no other is faster and cheaper", mode="lines+markers", x=[p.days for p in front],
            y=[p.price for p in front], hoverinfo="text", hovertext=[p.hover for p in front],
            line={"color": ACCENT, "width": 1.5}, marker={"size": 11, "color": "rgba(0,0,0,0)",
                                                         "line": {"color": ACCENT, "width": 2}},
        ))
    else:
        figure.add_annotation(
            xref="paper", yref="paper", x=0.5, y=0.5, showarrow=False, font={"size": 15, "color": INK},
            text="no plan fits: the sentence above says what is missing",
        )
    figure.update_layout(
        xaxis={"title": {"text": "days of training"}, "type": "log", **_ticks([p.days for p in points])},
        yaxis={"title": {"text": "USD"}, "type": "log", **_ticks([p.price for p in points])},
        margin={"l": 70, "r": 24, "t": 44, "b": 110}, legend={"x": 0, "y": -0.2, "yanchor": "top"},
    )
    return figure


def _ticks(values: list[float]) -> dict:
    """Round numbers on a logarithmic axis, written out."""
    if not values or min(values) <= 0:
        return {}
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    places = [factor * 10.0**power for power in powers for factor in (1, 1.5, 2, 3, 5, 7)]
    return {"tickvals": places, "ticktext": [f"{place:,.10g}" for place in places]}


def planner_step_layout(step: StepForecast) -> list[tuple[str, float, str]]:
    """(Name, seconds, colour) of the parts of a step, in order."""
    return [(name, getattr(step, field), colour) for name, field, colour in SHARES]


def planner_step_figure(step: StepForecast, *, title: str = "Where the time of a step goes") -> go.Figure:
    """One bar: the parts of a step of the slowest stage."""
    figure = go.Figure(layout=base_layout(title, 190))
    for name, seconds, colour in planner_step_layout(step):
        figure.add_trace(go.Bar(
            name=name, x=[seconds], y=["step"], orientation="h", marker={"color": colour},
            hovertext=[f"{name}: {time_text(1e9 * seconds)}, {seconds / step.step_s:.1%}"], hoverinfo="text",
        ))
    figure.update_layout(
        barmode="stack", xaxis={"title": {"text": "s"}, "range": [0, 1.02 * step.step_s]},
        yaxis={"showticklabels": False}, legend={"traceorder": "normal"}, margin={"l": 30, "t": 76},
    )
    return figure
