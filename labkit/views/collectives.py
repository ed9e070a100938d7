"""A collective round by round: a grid of ranks by chunks, and the messages that have just arrived as arrows.

::

    what every rank holds            who has sent to whom
              chunk 0 1 2 3               0
    rank 0        # . : .              3     1       a darker cell is more complete,
    rank 1        : # . .                 2          a framed one has just changed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.collective_rounds import COLUMN_WORDS, RoundLayout, node_place, node_size, round_layout
from labkit.views.collective_times import collective_time_figure, scaling_figure
from labkit.views.theme import GRID, INK, base_layout

if TYPE_CHECKING:
    from labkit.mpi.collectives.rounds import CollectiveRounds

__all__ = [
    "collective_animation_figure", "collective_round_figure", "collective_time_figure", "round_layout", "round_traces",
    "scaling_figure",
]
MAX_TEXT = 20  # ranks and columns up to which a cell has room for a number
MAX_HOVERS = 30_000  # cells of an animation that get a text of their own
FRAME_COLOUR = "#e69f00"
DONE_COLOUR, NODE_COLOUR = "#009e73", "#8a93a0"
FILLS = ([0, "rgba(128,128,128,0.13)"], [0.001, "#d9e8f5"], [0.985, "#79b4dc"], [0.99, "#0072b2"], [1, "#0072b2"])
MANY_RANKS = 20
GRID_DOMAINS = ((0, 0.6), (0, 0.56))  # for few, for many ranks
CIRCLE_DOMAINS = ((0.65, 1), (0.59, 1))


def round_traces(rounds: CollectiveRounds, layout: RoundLayout, *, hovers: bool = True) -> list:
    """The traces of one round, always four: grid, frames of what has changed, messages, ranks."""
    with_text = max(rounds.num_ranks, rounds.num_chunks) <= MAX_TEXT
    grid = go.Heatmap(
        z=layout.fractions, x=list(range(rounds.num_chunks)), y=list(range(rounds.num_ranks)), zmin=0, zmax=1,
        colorscale=FILLS, showscale=False, xgap=1.5, ygap=1.5, text=layout.texts if with_text else None,
        texttemplate="%{text}" if with_text else None, textfont={"size": 12},
        hovertext=layout.hovers if hovers else None,
        hovertemplate="%{hovertext}<extra></extra>" if hovers else "rank %{y}, %{x}: %{z:.0%}<extra></extra>",
    )
    xs, ys = [], []
    for rank, first, last in _runs(layout.changed):
        left, right, top, bottom = first - 0.45, last + 0.45, rank - 0.43, rank + 0.43
        xs += [left, right, right, left, left, None]
        ys += [top, top, bottom, bottom, top, None]
    frames = go.Scatter(x=xs, y=ys, mode="lines", line={"color": FRAME_COLOUR, "width": 2}, hoverinfo="skip", showlegend=False)
    ax, ay, sizes, texts = [], [], [], []
    head = 11 if rounds.num_ranks <= MANY_RANKS else 8
    for arrow in layout.arrows:
        ax += [*(x for x, _ in arrow.points), None]
        ay += [*(y for _, y in arrow.points), None]
        sizes += [0] * (len(arrow.points) - 1) + [head, 0]
        texts += [arrow.hover] * len(arrow.points) + [""]
    arrows = go.Scatter(
        x=ax, y=ay, mode="lines+markers", xaxis="x2", yaxis="y2", hovertext=texts, hoverinfo="text", showlegend=False,
        line={"color": FRAME_COLOUR, "width": 1.6 if rounds.num_ranks <= MANY_RANKS else 1.1},
        marker={"symbol": "arrow", "angleref": "previous", "size": sizes, "color": FRAME_COLOUR, "opacity": 1, "line": {"width": 0}},
    )
    places = [node_place(rank, rounds.num_ranks) for rank in range(rounds.num_ranks)]
    size = node_size(rounds.num_ranks)
    nodes = go.Scatter(
        x=[x for x, _ in places], y=[y for _, y in places], mode="markers+text", xaxis="x2", yaxis="y2", showlegend=False,
        text=[str(rank) for rank in range(rounds.num_ranks)], textposition="middle center",
        textfont={"color": "white", "size": 13 if size > 25 else 11 if size > 20 else 9},
        hovertext=[
            f"rank {rank} {'has its result' if done else 'has not all of its result' if gets else 'gets no result'}"
            for rank, (done, gets) in enumerate(zip(layout.done, layout.gets_result, strict=True))
        ],
        hoverinfo="text",
        marker={"size": size, "color": [DONE_COLOUR if done else NODE_COLOUR for done in layout.done], "opacity": 1},
    )
    return [grid, frames, arrows, nodes]


def _runs(changed) -> list[tuple[int, int, int]]:
    """(rank, first chunk, last chunk) of changed cells side by side: one frame for all of them."""
    runs: list[tuple[int, int, int]] = []
    for rank, chunk in sorted(changed):
        if runs and runs[-1][0] == rank and runs[-1][2] == chunk - 1:
            runs[-1] = (rank, runs[-1][1], chunk)
        else:
            runs.append((rank, chunk, chunk))
    return runs


def figure_height(num_ranks: int) -> int:
    """Pixels of the picture, without the controls of an animation."""
    return 150 + max(300, min(24, 480 // num_ranks + 4) * num_ranks)


def collective_round_figure(rounds: CollectiveRounds, step: int) -> go.Figure:
    """What every rank holds after ``step`` rounds, and the messages of the last of them.

    Parameters
    ----------
    rounds : CollectiveRounds
    step : int
        0 is the start.

    Returns
    -------
    plotly.graph_objects.Figure
        Four traces, see :func:`round_traces`.
    """
    layout = round_layout(rounds, step)
    figure = go.Figure(round_traces(rounds, layout), layout=base_layout(layout.title, figure_height(rounds.num_ranks)))
    many = rounds.num_ranks > MANY_RANKS
    tick_step = 1 if rounds.num_chunks <= 20 else 2 if rounds.num_chunks <= 32 else 8
    plain = {"showgrid": False, "zeroline": False}
    figure.update_layout(
        margin={"l": 66, "r": 16, "t": 46, "b": 86},
        xaxis={
            **plain, "domain": GRID_DOMAINS[many], "title": {"text": COLUMN_WORDS.get(rounds.operation, "chunk"), "standoff": 4},
            "tickvals": list(range(0, rounds.num_chunks, tick_step)), "range": [-0.5, rounds.num_chunks - 0.5],
        },
        yaxis={
            **plain, "range": [rounds.num_ranks - 0.5, -0.5], "tickvals": list(range(rounds.num_ranks)),
            "ticktext": [f"rank {rank}" for rank in range(rounds.num_ranks)], "tickfont": {"size": 9 if many else 12},
        },
        xaxis2={**plain, "domain": CIRCLE_DOMAINS[many], "range": [-1.15, 1.15], "visible": False, "anchor": "y2"},
        yaxis2={**plain, "range": [-1.15, 1.15], "visible": False, "anchor": "x2", "scaleanchor": "x2"},
        annotations=[_key(rounds)],
    )
    return figure


def _key(rounds: CollectiveRounds) -> dict:
    """What the colours mean, below the picture."""
    blue = "<span style='color:#0072b2'>■</span>"
    if rounds.operation in ("barrier", "scan", "exscan"):
        words = f"{blue} has come"
    elif rounds.holds == "blocks":
        words = f"{blue} the rank holds it"
    else:
        words = f"<span style='color:#79b4dc'>■</span> a sum over some ranks (number of them), {blue} over all"
    words += (
        f"; <span style='color:{FRAME_COLOUR}'>□ →</span> arrived in this round; "
        f"<span style='color:{DONE_COLOUR}'>●</span> the rank has its result"
    )
    return {
        "xref": "paper", "yref": "paper", "x": 0, "y": 0, "yshift": -62, "xanchor": "left", "yanchor": "middle",
        "showarrow": False, "text": words, "font": {"size": 12, "color": INK},
    }


def collective_animation_figure(rounds: CollectiveRounds, *, seconds_a_round: float = 0.8) -> go.Figure:
    """All rounds as one figure with a slider and a play button, which work in a static page, too.

    Parameters
    ----------
    rounds : CollectiveRounds
    seconds_a_round : float
        While it plays.
    """
    figure = collective_round_figure(rounds, 0)
    steps = range(rounds.num_rounds + 1)
    hovers = rounds.num_ranks * rounds.num_chunks * len(steps) <= MAX_HOVERS
    frames = []
    for step in steps:
        layout = round_layout(rounds, step)
        frames.append(
            go.Frame(
                name=str(step), data=round_traces(rounds, layout, hovers=hovers), traces=[0, 1, 2, 3],
                layout={"title": {"text": layout.title}},
            )
        )
    figure.frames = frames
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    playing = at_once | {"fromcurrent": True, "frame": {"duration": round(1000 * seconds_a_round), "redraw": True}}
    height = figure.layout.height
    figure.update_layout(
        height=height + 70, margin={"b": 156},
        updatemenus=[{
            "type": "buttons", "direction": "left", "showactive": False, "x": 0, "xanchor": "left",
            "y": 0, "yanchor": "top", "pad": {"t": 90, "l": -50}, "font": {"color": INK},
            "buttons": [
                {"label": "Play", "method": "animate", "args": [None, playing]},
                {"label": "Pause", "method": "animate", "args": [[None], at_once]},
            ],
        }],
        sliders=[{
            "active": 0, "x": 0.11, "len": 0.89, "xanchor": "left", "y": 0, "yanchor": "top", "pad": {"t": 84, "b": 0},
            "currentvalue": {"prefix": "round ", "font": {"color": INK, "size": 12}}, "font": {"color": INK}, "bgcolor": GRID,
            "bordercolor": GRID, "tickcolor": INK, "activebgcolor": INK,
            "steps": [{"label": str(step), "method": "animate", "args": [[str(step)], at_once]} for step in steps],
        }],
    )
    return figure
