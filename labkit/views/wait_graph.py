"""The picture of a wait-for graph: ranks on a circle, an arrow from each to the ranks it waits for."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.comm.waits import WaitGraph
from labkit.views.theme import ACCENT, INK, base_layout

STATE_COLOURS = {
    "waiting": "#e69f00",
    "computing": "#0072b2",
    "finished": "#009e73",
    "failed": "#d55e00",
    "died": "#d55e00",
    "absent": "#9aa0a6",
}
MAX_LABELLED = 12
MAX_EDGES = 150  # beyond, a rank has one arrow
LINE_HEIGHT = 17  # of a label, in pixels


@dataclass(frozen=True, slots=True)
class Node:
    """A rank in the picture; ``label`` is shown beside it, ``hover`` when pointed at."""

    rank: int
    x: float
    y: float
    state: str
    stuck: bool
    label: str
    label_side: str
    hover: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """From a waiting rank to one it waits for; ``in_cycle`` if it is part of the cycle."""

    waiter: int
    awaited: int
    in_cycle: bool


@dataclass(frozen=True, slots=True)
class WaitGraphLayout:
    """Nodes, arrows and the sentence above."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    num_hidden_arrows: int
    title: str


def wait_graph_layout(graph: WaitGraph) -> WaitGraphLayout:
    """Positions, labels and arrows of a wait-for graph."""
    size = len(graph.statuses)
    cycle_edges = set(zip(graph.cycle, graph.cycle[1:] + graph.cycle[:1], strict=True))
    pairs = {(edge.waiter, edge.awaited) for edge in graph.edges}
    shown = pairs if len(pairs) <= MAX_EDGES else _one_a_rank(graph, pairs) | (pairs & cycle_edges)
    ordered = sorted(shown, key=lambda pair: (pair in cycle_edges, pair))  # the cycle is drawn on top
    nodes = []
    for index, status in enumerate(graph.statuses):
        angle = math.pi / 2 - 2 * math.pi * index / size if size > 2 else math.pi * (1 - index)
        x, y = (math.cos(angle), math.sin(angle)) if size > 1 else (0.0, 0.0)
        words = status.text.removeprefix("waits in ")
        label = ""
        if size <= MAX_LABELLED or (status.rank in graph.stuck and len(graph.stuck) <= 6):
            call, _, line = words.rpartition(", line ")
            room = 4 if size <= 6 else 2 if size <= 8 else 1  # lines that keep off the next label
            label = f"{_wrap(call, room)}<br>line {line}" if call else _wrap(words, room + 1)
        nodes.append(
            Node(
                status.rank, x, y, status.state, status.rank in graph.stuck, label,
                _side(x, y, size), f"<b>rank {status.rank}</b> {status.text}",
            )
        )
    return WaitGraphLayout(
        nodes=tuple(nodes),
        arrows=tuple(Arrow(*pair, pair in cycle_edges) for pair in ordered),
        num_hidden_arrows=len(pairs) - len(shown),
        title=_title(graph),
    )


def _one_a_rank(graph: WaitGraph, pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """From each rank one arrow: to a rank that does not wait itself, where there is one."""
    waits = {status.rank: status.state == "waiting" for status in graph.statuses}
    chosen: dict[int, int] = {}
    for waiter, awaited in sorted(pairs, key=lambda pair: (waits.get(pair[1], False), pair)):
        if waiter != awaited:
            chosen.setdefault(waiter, awaited)
    return set(chosen.items())


def _wrap(text: str, max_lines: int, width: int = 28) -> str:
    """Break a long label at its blanks; what is too long for a picture ends in an ellipsis."""
    lines = textwrap.wrap(text, width, max_lines=max_lines, placeholder=" …", break_on_hyphens=False)
    return "<br>".join(lines)


def _side(x: float, y: float, size: int) -> str:
    if size <= 2:
        return "below"
    if abs(x) < 0.35:
        return "above" if y > 0 else "below"
    return "right" if x > 0 else "left"


def _title(graph: WaitGraph) -> str:
    if graph.cycle:
        ranks = [*map(str, graph.cycle), str(graph.cycle[0])]
        path = " → ".join(ranks if len(ranks) <= 10 else [*ranks[:4], "…", *ranks[-2:]])
        return f"Who waits for whom: the cycle {path} can never move"
    if graph.stuck:
        return "Who waits for whom: what the stuck ranks wait for will never come"
    return "Who waited for whom when the cell was ended"


def wait_graph_figure(graph: WaitGraph) -> go.Figure:
    """The figure of a wait-for graph."""
    layout = wait_graph_layout(graph)
    size = len(layout.nodes)
    small = size > 24
    radius = 0.16 if not small else 0.9 * math.pi / size
    at = {node.rank: node for node in layout.nodes}
    labelled = any(node.label for node in layout.nodes)
    above, below = _label_height(layout, "above"), _label_height(layout, "below")
    plot_height = 90 if size <= 2 else 340 if labelled else 540
    height = 80 + above + plot_height + below + 30
    figure = go.Figure(layout=base_layout(layout.title, height))
    for state in dict.fromkeys(node.state for node in layout.nodes):
        nodes = [node for node in layout.nodes if node.state == state]
        figure.add_trace(
            go.Scatter(
                name=state, showlegend=True, x=[n.x for n in nodes], y=[n.y for n in nodes], mode="markers+text",
                text=[f"<b>{n.rank}</b>" for n in nodes], textposition="middle center",
                textfont={"color": "white", "size": 9 if small else 14},
                hovertext=[n.hover for n in nodes], hoverinfo="text",
                marker={
                    "size": 16 if small else 36, "color": STATE_COLOURS.get(state, INK),
                    "line": {"width": [4 if n.stuck else 0 for n in nodes], "color": ACCENT},
                },
            )
        )
    notes = [_arrow_note(at[a.waiter], at[a.awaited], a.in_cycle, radius) for a in layout.arrows]
    notes += [_label_note(node, radius) for node in layout.nodes if node.label]
    if layout.num_hidden_arrows:
        notes.append(
            {
                "xref": "paper", "yref": "paper", "x": 0.01, "y": 0, "yshift": -28 - below, "xanchor": "left",
                "yanchor": "bottom", "showarrow": False,
                "text": f"{layout.num_hidden_arrows:,} more arrows are not drawn",
            }
        )
    figure.update_layout(
        annotations=[note for note in notes if note],
        margin={"l": 10, "r": 10, "t": 80 + above, "b": 30 + below},
        legend={"yref": "container", "y": 1 - 48 / height, "yanchor": "top"},  # above all labels
        xaxis={"visible": False, "range": [-2.2, 2.2] if size <= 2 else [-3.1, 3.1] if labelled else [-1.8, 1.8]},
        yaxis={"visible": False, "range": [-0.45, 0.45] if size <= 2 else [-1.3, 1.3]},
    )
    return figure


def _label_height(layout: WaitGraphLayout, side: str) -> int:
    """Pixels that the labels on one side of the circle need."""
    lines = [node.label.count("<br>") + 1 for node in layout.nodes if node.label and node.label_side == side]
    return LINE_HEIGHT * max(lines, default=0)


def _arrow_note(waiter: Node, awaited: Node, in_cycle: bool, radius: float) -> dict | None:
    """An arrow from one node to another; see ``_ends``."""
    if waiter.rank == awaited.rank:
        return None
    ax, ay, x, y = _ends(waiter, awaited, radius)
    return {
        "x": x, "y": y, "ax": ax, "ay": ay,
        "xref": "x", "yref": "y", "axref": "x", "ayref": "y", "text": "", "showarrow": True,
        "arrowhead": 2, "arrowsize": 1, "arrowwidth": 2.4 if in_cycle else 1.2,
        "arrowcolor": ACCENT if in_cycle else INK,
    }


def _ends(waiter: Node, awaited: Node, radius: float) -> tuple[float, float, float, float]:
    """Between the rims of the nodes, a little to the right so that two arrows can pass.

    Where there are many nodes, between points on a circle inside theirs, to cross none of them.
    """
    dx, dy = awaited.x - waiter.x, awaited.y - waiter.y
    length = math.hypot(dx, dy)
    ux, uy = dx / length, dy / length
    if radius < 0.12:
        inside = 1 - 1.6 * radius
        return waiter.x * inside, waiter.y * inside, awaited.x * inside, awaited.y * inside
    right_x, right_y = 0.05 * uy, -0.05 * ux
    return (
        waiter.x + ux * radius + right_x, waiter.y + uy * radius + right_y,
        awaited.x - ux * radius + right_x, awaited.y - uy * radius + right_y,
    )


def _label_note(node: Node, radius: float) -> dict:
    gap = radius * 1.25
    place = {
        "right": (node.x + gap, node.y, "left", "middle"),
        "left": (node.x - gap, node.y, "right", "middle"),
        "above": (node.x, node.y + gap, "center", "bottom"),
        "below": (node.x, node.y - gap * 1.3, "center", "top"),
    }[node.label_side]
    x, y, xanchor, yanchor = place
    return {
        "x": x, "y": y, "xanchor": xanchor, "yanchor": yanchor, "text": node.label, "showarrow": False,
        "align": {"left": "left", "right": "right", "center": "center"}[xanchor],
        "font": {"size": 12, "color": ACCENT if node.stuck else INK},
    }
