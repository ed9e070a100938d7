"""Vocabulary-parallel cross-entropy: whose columns, what each rank has, and the messages of the three all-reduces.

::

    logits of a row        brings        all-reduce 1: MAX         has
    rank 0  # # #            2.1      ---o-----o---              4.5
    rank 1        # # #      4.5      ---o  X  o---              4.5
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.softmax.vocabulary_story import VocabularyStory
from labkit.views.theme import ACCENT, INK, SERIES, base_layout, bytes_text

NUM_STEPS = 6  # columns, states, three all-reduces, loss
COLOURS = ([0, "#f7fbff"], [0.5, "#9ec9e6"], [1, "#0072b2"])
EXPLANATIONS = (
    "Each rank has the logits of some classes (columns); the diamond marks the right class.",
    "Each rank computes the state (m, d) of its own columns: their maximum, and the sum of exp(x - m).",
    "All-reduce 1 finds the maximum M of all.",
    "Each rank scales its sum, d exp(m - M); all-reduce 2 adds them up to S.",
    "Who has the right class brings its logit minus M, the others 0; all-reduce 3 adds.",
    "The loss is log(S) minus what all-reduce 3 brought: the same on all ranks. The gradient needs no message.",
)


@dataclass(frozen=True, slots=True)
class VocabularyLayout:
    """What is drawn of a step, of one row of the logits.

    Attributes
    ----------
    step : int
    title : str
    cells : tuple of tuple of (float or None)
        By rank and column: the logit, None where another rank has it.
    target : (int, int)
        Rank and column of the right class.
    before, after : tuple of str
        By rank: what it has before and after the messages of this step.
    lines : tuple of (float, int, float, int)
        Messages: from (round before, source) to (round, dest).
    hovers : tuple of str
        Of the messages.
    """

    step: int
    title: str
    cells: tuple[tuple[float | None, ...], ...]
    target: tuple[int, int]
    before: tuple[str, ...]
    after: tuple[str, ...]
    lines: tuple[tuple[int, int, int, int], ...]
    hovers: tuple[str, ...]


def vocabulary_layout(story: VocabularyStory, step: int, *, row: int = 0) -> VocabularyLayout:
    """What to draw of a step, 0 to 5; others count as the nearest, as rows do."""
    step, row = max(0, min(step, NUM_STEPS - 1)), max(0, min(row, len(story.logits) - 1))
    ranks = range(story.num_ranks)
    cells = tuple(
        tuple(float(x) if first <= k < stop else None for k, x in enumerate(story.logits[row]))
        for first, stop in story.columns
    )
    column = int(story.targets[row])
    owner = next(rank for rank, (first, stop) in enumerate(story.columns) if first <= column < stop)
    before, after, lines, hovers = [""] * story.num_ranks, [""] * story.num_ranks, [], []
    title = "the logits are spread over the ranks"
    if step == 1:
        title = "each rank looks at its own columns"
        after = [f"m {story.own_maxima[r, row]:.3g}, d {story.own_sums[r, row]:.4g}" for r in ranks]
    elif 2 <= step <= 4:
        reduction = story.reductions[step - 2]
        before = [f"{reduction.before[r, row]:.4g}" for r in ranks]
        after = [f"{'MSL'[step - 2]} = {reduction.after[row]:.4g}"] * story.num_ranks
        lines = [(m.round - 1, m.source, m.round, m.dest) for m in reduction.messages]
        hovers = [
            f"round {m.round}: rank {m.source} to {m.dest}, {bytes_text(m.num_bytes)}" for m in reduction.messages
        ]
        title = (
            f"all-reduce {step - 1} of 3, {reduction.op} of {reduction.name}: {len(lines)} messages, "
            f"{bytes_text(reduction.num_bytes)}"
        )
    elif step == 5:
        title = f"the loss, on every rank: {story.losses[row]:.4g} nats"
        s, logit = story.reductions[1].after[row], story.reductions[2].after[row]
        after = [f"log({s:.4g}) - ({logit:.4g}) = {math.log(s) - logit:.4g}"] * story.num_ranks
    return VocabularyLayout(
        step, title, cells, (owner, column), tuple(before), tuple(after), tuple(lines), tuple(hovers)
    )


def vocabulary_figure(story: VocabularyStory, step: int, *, row: int = 0) -> go.Figure:
    """Columns of each rank on the left; on the right what it brings, the messages round by round, what it has then."""
    layout = vocabulary_layout(story, step, row=row)
    p, last = story.num_ranks, max(reduction.num_rounds for reduction in story.reductions)
    last = max(last, 1)
    ranks = list(range(p))
    figure = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.42, 0.58], horizontal_spacing=0.03)
    width = story.logits.shape[1]
    figure.add_trace(
        go.Heatmap(z=layout.cells, x=list(range(width)), y=ranks, colorscale=COLOURS, showscale=False, xgap=1.5, ygap=6,
                   zmin=float(story.logits.min()), zmax=float(story.logits.max()), hoverongaps=False,
                   hovertemplate="rank %{y}, class %{x}: logit %{z:.3g}<extra></extra>"), 1, 1,
    )
    figure.add_trace(
        go.Scatter(x=[layout.target[1]], y=[layout.target[0]], mode="markers", hoverinfo="skip", showlegend=False,
                   marker={"symbol": "diamond", "size": 11, "color": ACCENT, "line": {"color": "white", "width": 1.5}}),
        1, 1,
    )
    xs, ys, sizes, texts = [], [], [], []
    for (x0, y0, x1, y1), hover in zip(layout.lines, layout.hovers, strict=True):
        xs += [x0, (x0 + x1) / 2, x1 - 0.06 * (x1 - x0), None]
        ys += [y0, (y0 + y1) / 2, y1 - 0.06 * (y1 - y0), None]
        sizes += [0, 0, 10, 0]
        texts += [hover] * 3 + [""]
    figure.add_trace(
        go.Scatter(x=xs, y=ys, mode="lines+markers", hovertext=texts, hoverinfo="text", showlegend=False,
                   line={"color": SERIES[4], "width": 1.6},
                   marker={"symbol": "arrow", "angleref": "previous", "size": sizes, "color": SERIES[4], "opacity": 1}),
        1, 2,
    )
    rounds = max((line[2] for line in layout.lines), default=0)
    dots = [(x, rank) for rank in ranks for x in range(rounds + 1)] if rounds else []
    figure.add_trace(
        go.Scatter(x=[x for x, _ in dots], y=[y for _, y in dots], mode="markers", hoverinfo="skip", showlegend=False,
                   marker={"size": 6, "color": INK}), 1, 2,
    )
    font = {"size": 12 if p <= 10 else 10, "color": INK}
    figure.add_trace(
        go.Scatter(x=[-0.05 * last] * p, y=ranks, text=layout.before, mode="text", textposition="middle left",
                   textfont=font, hoverinfo="skip", showlegend=False), 1, 2,
    )
    figure.add_trace(
        go.Scatter(x=[rounds + 0.05 * last if rounds else 0.0] * p, y=ranks, text=layout.after, mode="text",
                   textposition="middle right", textfont=font, hoverinfo="skip", showlegend=False), 1, 2,
    )
    figure.update_layout(base_layout(f"<b>{p} rank{'s' if p > 1 else ''}</b>: {layout.title}", 150 + max(160, 34 * p)))
    figure.update_layout(margin={"l": 70, "r": 10, "t": 50, "b": 50})
    plain = {"showgrid": False, "zeroline": False}
    figure.update_yaxes(
        range=[p - 0.5, -0.5], autorange=False, tickvals=ranks, ticktext=[f"rank {rank}" for rank in ranks], **plain
    )
    figure.update_xaxes(title={"text": "class"}, range=[-0.5, width - 0.5], autorange=False, **plain, col=1)
    span = [-0.35 * last - 0.3, 1.55 * last + 0.5]
    figure.update_xaxes(
        range=span, autorange=False, tickvals=list(range(1, rounds + 1)), **plain,
        title={"text": "round" if rounds else ""}, col=2,
    )
    return figure
