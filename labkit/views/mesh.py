"""A mesh of ranks as a map: nodes, ranks coloured by stage, and who talks to whom along each axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.theme import GRID, INK, SERIES, base_layout, bytes_text

if TYPE_CHECKING:
    from labkit.training.mesh import Mesh

AXIS_STYLES = {  # axis -> name, colour, dash, how far links are bent, in distances of ranks
    "tp": ("tensor parallel", "#009e73", "solid", 0.18),
    "dp": ("data parallel", "#0072b2", "dash", -0.3),
    "pp": ("pipeline", "#e69f00", "dot", 0.42),
}
MOST_WITH_ALL_LINKS = 16
MOST_NAMED_NODES = 40
NODE_GAP = 0.8


@dataclass(frozen=True, slots=True)
class MeshRank:
    """A rank as drawn: its place, its node and stage, its words."""

    rank: int
    x: float
    y: float
    node: int
    stage: int
    hover: str


@dataclass(frozen=True, slots=True)
class MeshMap:
    """What is drawn: ranks, boxes of nodes as (node, x0, y0, x1, y1), links as (axis, rank, rank)."""

    ranks: tuple[MeshRank, ...]
    nodes: tuple[tuple[int, float, float, float, float], ...]
    links: tuple[tuple[str, int, int], ...]


def mesh_layout(mesh: Mesh, ranks_per_node: int = 8, *, rank: int | None = None) -> MeshMap:
    """Nodes beside and below each other, the ranks of a node in a row (of at most eight); links to neighbours.

    Parameters
    ----------
    mesh : Mesh
    ranks_per_node : int
    rank : int, optional
        Draw the links of this rank's groups alone; without, of all groups if there are at most 16 ranks, else rank 0's.
    """
    num_nodes = -(-mesh.size // ranks_per_node)
    columns = min(ranks_per_node, 8, mesh.size)
    rows = -(-min(ranks_per_node, mesh.size) // columns)
    nodes_across = max(1, min(num_nodes, round(math.sqrt(num_nodes * (rows + NODE_GAP) / (columns + NODE_GAP)))))
    corner = lambda node: (  # noqa: E731
        node % nodes_across * (columns + NODE_GAP), -(node // nodes_across) * (rows + NODE_GAP)
    )
    places = []
    for number in range(mesh.size):
        node, place = divmod(number, ranks_per_node)
        left, top = corner(node)
        where = mesh.coordinates(number)
        words = ", ".join(f"{axis} {index}" for axis, index in where.items())
        places.append(MeshRank(
            number, left + place % columns, top - place // columns, node, where["pp"],
            f"<b>rank {number}</b>, node {node}<br>{words}",
        ))
    boxes = [(node, *corner(node)) for node in range(num_nodes)]
    nodes = tuple((node, x - 0.5, y + 0.5, x + columns - 0.5, y - rows + 0.5) for node, x, y in boxes)
    if rank is None and mesh.size <= MOST_WITH_ALL_LINKS:
        groups = {(axis, group) for axis in AXIS_STYLES for group in mesh.groups(axis)}
    else:
        groups = {(axis, mesh.group(rank or 0, axis)) for axis in AXIS_STYLES}
    links = []
    for axis, group in sorted(groups):
        ring = list(zip(group, group[1:], strict=False))
        if axis != "pp" and len(group) > 2:
            ring.append((group[-1], group[0]))
        links += [(axis, first, second) for first, second in ring]
    return MeshMap(tuple(places), nodes, tuple(links))


def mesh_figure(
    mesh: Mesh, ranks_per_node: int = 8, *, rank: int | None = None, traffic: Mapping[str, float] | None = None,
    title: str | None = None,
) -> go.Figure:
    """The map of a mesh.

    Parameters
    ----------
    mesh : Mesh
    ranks_per_node : int
    rank : int, optional
        Whose groups are shown; see :func:`mesh_layout`.
    traffic : mapping of str to float, optional
        Bytes that a rank sends in a step along each axis (:func:`labkit.training.planner.traffic.axis_traffic`).
    """
    layout = mesh_layout(mesh, ranks_per_node, rank=rank)
    rows = max(box[2] for box in layout.nodes) - min(box[4] for box in layout.nodes)
    figure = go.Figure(layout=base_layout(title or f"Who talks to whom: {mesh}", min(760, 150 + 62 * math.ceil(rows))))
    xs = [x for _, x0, _, x1, _ in layout.nodes for x in (x0, x1, x1, x0, x0, None)]
    ys = [y for _, _, y0, _, y1 in layout.nodes for y in (y0, y0, y1, y1, y0, None)]
    figure.add_trace(go.Scatter(  # all nodes in one: a shape each would take a millisecond each
        showlegend=False, mode="lines", x=xs, y=ys, hoverinfo="skip", line={"color": GRID, "width": 2}, fill="toself",
        fillcolor="rgba(128,128,128,0.07)",
    ))
    figure.update_layout(
        annotations=[
            {"x": x0, "y": y0, "xanchor": "left", "yanchor": "bottom", "text": f"node {node}", "showarrow": False,
             "font": {"size": 10, "color": INK}}
            for node, x0, y0, *_ in layout.nodes if len(layout.nodes) <= MOST_NAMED_NODES
        ],
    )
    for axis, (name, colour, dash, bend) in AXIS_STYLES.items():
        own = [(first, second) for kind, first, second in layout.links if kind == axis]
        if own:
            xs, ys = _curves([(layout.ranks[first], layout.ranks[second]) for first, second in own], bend)
            words = f"{name}, {bytes_text(traffic[axis])} a rank and step" if traffic else name
            figure.add_trace(go.Scatter(
                name=words, mode="lines", x=xs, y=ys, hoverinfo="skip", line={"color": colour, "width": 2, "dash": dash},
            ))
    size = 24 if mesh.size <= 32 else 15 if mesh.size <= 128 else 8
    figure.add_trace(go.Scatter(
        showlegend=False, mode="markers+text" if size > 10 else "markers", x=[r.x for r in layout.ranks],
        y=[r.y for r in layout.ranks], text=[str(r.rank) for r in layout.ranks], hoverinfo="text",
        hovertext=[r.hover for r in layout.ranks], textfont={"color": "white", "size": 11 if size > 20 else 8},
        marker={
            "size": size, "color": [SERIES[r.stage % len(SERIES)] for r in layout.ranks],
            "line": {"color": [INK if r.rank == rank else "white" for r in layout.ranks], "width": 2},
        },
    ))
    blank = {"visible": False, "showgrid": False}
    figure.update_layout(
        xaxis=blank, yaxis={**blank, "scaleanchor": "x"}, margin={"l": 10, "r": 10, "t": 50, "b": 60},
        legend={"x": 0, "y": -0.02, "yanchor": "top"},
    )
    figure.add_annotation(
        xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="bottom", showarrow=False,
        text="a colour a stage", font={"color": INK},
    )
    return figure


def _curves(pairs: list[tuple[MeshRank, MeshRank]], bend: float) -> tuple[list, list]:
    """Points of bent lines from rank to rank, with gaps between them: links along one row do not hide each other."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for first, second in pairs:
        dx, dy = second.x - first.x, second.y - first.y
        length = math.hypot(dx, dy) or 1.0
        height = bend * min(2.0, max(1.0, length / 3))
        for k in range(13):
            t = k / 12
            off = 4 * t * (1 - t) * height
            xs.append(first.x + t * dx - off * dy / length)
            ys.append(first.y + t * dy + off * dx / length)
        xs.append(None)
        ys.append(None)
    return xs, ys
