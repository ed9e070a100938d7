"""Pictures of a pipeline schedule: ranks by time with their micro-batches, memory below, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.trace.timeline import Timeline
from labkit.training.pipeline.actions import FORM, KINDS
from labkit.training.pipeline.memory import RankMemory
from labkit.training.pipeline.simulate import SimulatedPipeline
from labkit.views.pipeline_cells import Cells, cells_of, cells_trace
from labkit.views.theme import GRID, INK, SERIES, base_layout, time_text, time_unit

COLOURS = {"F": "#0072b2", "B": "#e69f00", "W": "#009e73", "BW": "#d55e00"}
WORDS = {"F": "forward", "B": "backward for the input", "W": "gradient of the weights", "BW": "backward"}
MAX_BLOCKS = 2400
MAX_NUMBERED = 700
MAX_MEMORY_LINES = 6
NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Block:
    """An action as a block, in ns from the start of the step.

    It reaches from ``low`` to ``high`` of its rank's row, 0 to 1; ``depth`` is the place of its stage among those of
    its rank, 0 for the first.
    """

    rank: int
    kind: str
    start_ns: int
    end_ns: int
    text: str
    hover: str
    low: float
    high: float
    depth: int


@dataclass(frozen=True)
class PipelineLayout:
    """All that is drawn of a schedule, in ns.

    Attributes
    ----------
    num_ranks : int
    end_ns : int
        Where the time axis ends.
    blocks : tuple of Block
        The plan; empty where there are too many.
    cells : Cells or None
        What is drawn then: which kind takes most of each piece of time.
    measured : tuple of Block
    memory : tuple of RankMemory
        Whose lines are drawn.
    bubbles : tuple of str
        What stands at the right end of each row.
    title : str
    """

    num_ranks: int
    end_ns: int
    blocks: tuple[Block, ...]
    cells: Cells | None
    measured: tuple[Block, ...]
    memory: tuple[RankMemory, ...]
    bubbles: tuple[str, ...]
    title: str


def pipeline_layout(
    run: SimulatedPipeline, measured: Timeline | None = None, *, memory: Sequence[RankMemory] = ()
) -> PipelineLayout:
    """What to draw of a plan, and of the measured run of the same plan above it.

    Parameters
    ----------
    run : SimulatedPipeline
        The plan with its times.
    measured : Timeline, optional
        One step of the plan on ranks: spans named like their actions (``1F0``); others are left out.
    memory : sequence of RankMemory, optional
        By rank; with many ranks some of them are drawn.

    Raises
    ------
    UsageError
        The measured run is of another plan.
    """
    plan = run.plan
    depth = {}
    for rank in range(plan.num_ranks):
        depth |= {stage: place for place, stage in enumerate(plan.stages_of(rank))}
    shown, end_ns = _measured_blocks(run, measured, depth), _ns(run.step_s)
    end_ns = max([end_ns, *(block.end_ns for block in shown)])
    cells, blocks = None, ()
    if plan.num_actions > MAX_BLOCKS:
        cells, shown = cells_of(run), ()
    else:
        span = (0.5, 1.0) if shown else (0.0, 1.0)
        blocks = tuple(
            _block(rank, str(action), _ns(start), _ns(end), "planned", span, depth)
            for rank, of_rank in enumerate(plan.actions)
            for action, start, end in zip(of_rank, run.start_s[rank], run.end_s[rank], strict=True)
        )
    return PipelineLayout(
        plan.num_ranks, max(end_ns, 1), blocks, cells, shown, _some(tuple(memory)),
        tuple(f"idle {share:.0%}" for share in run.idle_share), _title(run, measured, shown),
    )  # fmt: skip


def _measured_blocks(run: SimulatedPipeline, measured: Timeline | None, depth: dict) -> tuple[Block, ...]:
    if measured is None:
        return ()
    spans = [span for span in measured.spans if FORM.fullmatch(span.name)]
    planned = sorted((rank, str(action)) for rank, of_rank in enumerate(run.plan.actions) for action in of_rank)
    if sorted((span.rank, span.name) for span in spans) != planned:
        raise UsageError(
            f"a measured run has the actions of its plan, but {len(spans)} of them were measured and '{run.plan.name}' "
            f"has {run.plan.num_actions}, or they are others: pass one step of a run of this plan."
        )
    zero = min((span.start_ns for span in spans), default=0)
    return tuple(
        _block(span.rank, span.name, span.start_ns - zero, span.end_ns - zero, "measured", (0.0, 0.5), depth)
        for span in spans
    )


def _block(rank: int, name: str, start_ns: int, end_ns: int, how: str, span: tuple, depth: dict) -> Block:
    stage, kind, microbatch, part = FORM.fullmatch(name).groups()
    hover = f"<b>{name}: {WORDS[kind]}</b><br>stage {stage} on rank {rank}, micro-batch {microbatch}"
    hover += f", slice {part}" if part is not None else ""
    hover += f"<br>{how}: {time_text(end_ns - start_ns)} from {time_text(start_ns)}"
    text = microbatch if part is None else f"{microbatch}.{part}"
    return Block(rank, kind, start_ns, end_ns, text, hover, *span, depth[int(stage)])


def _some(memory: tuple[RankMemory, ...]) -> tuple[RankMemory, ...]:
    """All ranks, or some of them evenly, the first and the last included."""
    if len(memory) <= MAX_MEMORY_LINES:
        return memory
    places = np.unique(np.linspace(0, len(memory) - 1, MAX_MEMORY_LINES).round().astype(int))
    return tuple(memory[place] for place in places)


def _title(run: SimulatedPipeline, measured: Timeline | None, shown: tuple[Block, ...]) -> str:
    plan = run.plan
    stages = f" of {plan.num_stages // plan.num_ranks} stages" if plan.num_stages > plan.num_ranks else ""
    title = (
        f"<b>{plan.name}</b>: {_count(plan.num_ranks, 'rank')}{stages}, "
        f"{_count(plan.num_microbatches, 'micro-batch')}; step {time_text(_ns(run.step_s))}, "
        f"bubble {run.bubble_fraction:.1%} (longest rank {run.bubble_rate:.1%})"
    )
    if shown:
        step_ns = max(block.end_ns for block in shown)
        busy = sum(block.end_ns - block.start_ns for block in shown)
        bubble = 1 - busy / (step_ns * plan.num_ranks) if step_ns else 0.0
        title += f"; measured {time_text(step_ns)}, {bubble:.1%}"
    return title


def pipeline_figure(
    run: SimulatedPipeline, measured: Timeline | None = None, *, memory: Sequence[RankMemory] = (),
    memory_limit: float | None = None,
) -> go.Figure:  # fmt: skip
    """The schedule with numbers of micro-batches in its blocks; the measured run in the lower half of each row.

    Below it the activations that the ranks hold, and the limit of memory as a dashed line.
    """
    layout = pipeline_layout(run, measured, memory=memory)
    unit, name = time_unit(layout.end_ns)
    row_height = max(7, min(46 if layout.measured else 34, 460 // layout.num_ranks))
    rows, below = row_height * layout.num_ranks, 200 if layout.memory else 0
    height = 158 + rows + below
    figure = go.Figure(layout=base_layout(layout.title, height))
    if layout.cells is not None:
        figure.add_trace(cells_trace(layout.cells, COLOURS, unit, name))
        shown = [kind for number, kind in enumerate(KINDS) if layout.cells.shares[number].any()]
        figure.add_traces([_legend_entry(kind) for kind in shown])
    for kind in KINDS:
        figure.add_traces(_kind_traces(layout, kind, unit, row_height))
    figure.add_traces(_memory_traces(layout, unit))
    share = below / (rows + below + 1)
    step = 1 if layout.num_ranks <= 32 else 4
    rank_axis = {
        "domain": [share + (0.16 * bool(below)) * (1 - share), 1], "tickmode": "array", "showgrid": False,
        "tickvals": list(range(0, layout.num_ranks, step)), "range": [layout.num_ranks - 0.5, -0.5], "ticks": "outside",
        "ticktext": [f"rank {rank}" for rank in range(0, layout.num_ranks, step)], "ticklen": 4,
        "tickcolor": "rgba(0,0,0,0)",
    }  # fmt: skip
    time_axis = {
        "title": {"text": f"time ({name})", "standoff": 6}, "range": [0, 1.005 * layout.end_ns / unit],
        "anchor": "y2" if below else "y",
    }
    notes = _bubble_notes(layout) if row_height >= 12 else []
    if layout.cells is not None:
        notes.append(_note("Many actions: a cell has the colour of what takes most of it."))
    if layout.measured:
        notes.append(_note("upper half of a row: planned; lower half: measured"))
    figure.update_layout(
        barmode="overlay", bargap=0, yaxis=rank_axis, xaxis=time_axis, annotations=notes,
        margin={"l": 70, "r": 84, "t": 104, "b": 50},
        legend={"xref": "container", "x": 0.01, "yref": "container", "y": 1 - 38 / height, "yanchor": "top"},
    )
    if below:
        held = max([memory_limit or 0.0, *(line.peak for line in layout.memory)])
        words, span = {"text": "activations held"}, [0, 1.08 * held]
        figure.update_layout(yaxis2={"domain": [0, share], "title": words, "range": span, "gridcolor": GRID})
        if memory_limit is not None:
            figure.add_shape(
                type="line", x0=0, x1=1, xref="x domain", y0=memory_limit, y1=memory_limit, yref="y2",
                line={"dash": "dash", "color": INK, "width": 1},
            )  # fmt: skip
    return figure


def _kind_traces(layout: PipelineLayout, kind: str, unit: float, row_height: int) -> list[go.Bar]:
    """The planned blocks of a kind, and the measured ones; both have an entry in a legend that shows them together."""
    numbered = len(layout.blocks) <= MAX_NUMBERED and row_height >= 12
    size = 11 if max((len(block.text) for block in layout.blocks), default=0) < 2 else 9
    traces = []
    for blocks, how in ((layout.blocks, "planned"), (layout.measured, "measured")):
        blocks = [block for block in blocks if block.kind == kind]
        if not blocks:
            continue
        traces.append(
            go.Bar(
                name=f"{kind} {WORDS[kind]}", legendgroup=kind, showlegend=how == "planned", orientation="h", meta=how,
                y=[block.rank + 0.42 - 0.84 * (block.low + block.high) / 2 for block in blocks],
                width=[0.84 * (block.high - block.low) for block in blocks],
                base=[block.start_ns / unit for block in blocks],
                x=[(block.end_ns - block.start_ns) / unit for block in blocks],
                text=_texts(blocks, layout) if numbered else None, textposition="inside", textangle=0,
                insidetextanchor="middle", textfont={"color": "white", "size": size}, constraintext="inside",
                hovertext=[block.hover for block in blocks], hoverinfo="text",
                marker={
                    "color": COLOURS[kind], "opacity": [max(0.45, 1 - 0.22 * block.depth) for block in blocks],
                    "line": {"width": 0.8, "color": "white"},
                },
            )
        )  # fmt: skip
    return traces


def _texts(blocks: list[Block], layout: PipelineLayout) -> list[str]:
    """The numbers of blocks that have room for them, on a page of usual width."""
    pixels = 900 / layout.end_ns
    return [b.text if (b.end_ns - b.start_ns) * pixels >= 4 + 4 * len(b.text) else "" for b in blocks]


def _legend_entry(kind: str) -> go.Bar:
    """What a colour of the cells means."""
    return go.Bar(name=f"{kind} {WORDS[kind]}", x=[None], y=[None], orientation="h", marker={"color": COLOURS[kind]})


def _memory_traces(layout: PipelineLayout, unit: float) -> list[go.Scatter]:
    traces = []
    for number, line in enumerate(layout.memory):
        times = [time * NANOSECONDS / unit for time in (*line.times_s, layout.end_ns / NANOSECONDS)]
        traces.append(
            go.Scatter(
                name=f"rank {line.rank}", x=times, y=[*line.amounts, line.amounts[-1]], yaxis="y2", mode="lines",
                line={"shape": "hv", "width": 1.6, "color": SERIES[number]},
                hovertemplate=f"<b>rank {line.rank}</b>: %{{y:.4g}} activations at %{{x:.4g}}<br>"
                f"at most {line.peak:.4g}<extra></extra>",
            )
        )  # fmt: skip
    return traces


def _bubble_notes(layout: PipelineLayout) -> list[dict]:
    """The idle share at the right end of each row."""
    words = {"xref": "paper", "x": 1.005, "xanchor": "left", "showarrow": False, "font": {"size": 11, "color": INK}}
    return [words | {"yref": "y", "y": rank, "text": text} for rank, text in enumerate(layout.bubbles)]


def _note(text: str) -> dict:
    """A line above the rows, at the right."""
    return {
        "xref": "paper", "x": 1, "xanchor": "right", "yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False,
        "text": text, "font": {"size": 11, "color": INK},
    }


def _ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def _count(number: int, word: str) -> str:
    plural = "es" if word.endswith("h") else "s"
    return f"{number:,} {word}{'' if number == 1 else plural}"
