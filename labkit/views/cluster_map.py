"""The map of a cluster: a box a node, in it a cell a rank, coloured by what the rank does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.views.theme import INK, KIND_COLOURS, base_layout

STATE_COLOURS = {
    "idle": KIND_COLOURS["compute"], "computing": KIND_COLOURS["send"], "waiting": KIND_COLOURS["wait"],
    "died": KIND_COLOURS["window"],
}
WIDTH_PX, MAX_HEIGHT_PX = 760, 520  # of the boxes, on a page of usual width
CELL_PX = 40  # at most
NAME_PX, GAP_PX, PAD_PX = 22, 10, 4  # the line with a node's name; between boxes; between a box and its cells
LEAST_BOX_PX = 62  # so that a name can be read
CHARACTER_PX = 7.2  # of a name
MAX_COLUMNS = 24  # of cells in a box
DARK = "#16191d"  # text on light cells


@dataclass(frozen=True, slots=True)
class MapRank:
    """A rank on the map: ``state`` is a key of ``STATE_COLOURS``, ``text`` says more, ``gpu`` is its own device."""

    rank: int
    state: str
    text: str = ""
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class MapNode:
    """A node and its ranks; ``num_cpus`` is 0 where it is not known."""

    name: str
    ranks: tuple[MapRank, ...] = ()
    num_cpus: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """A rank in the picture; pixels from the top left corner."""

    rank: int
    state: str
    x: float
    y: float
    hover: str


@dataclass(frozen=True, slots=True)
class NodeBox:
    """A node in the picture; ``label`` is as much of its name as there is room for."""

    name: str
    label: str
    x: float
    y: float
    hover: str


@dataclass(frozen=True, slots=True)
class ClusterMapLayout:
    """Boxes and cells in pixels, and the sentence above."""

    boxes: tuple[NodeBox, ...]
    cells: tuple[Cell, ...]
    box_size: tuple[float, float]
    cell_size: float
    size: tuple[float, float]
    title: str


def cluster_map_layout(nodes: Sequence[MapNode]) -> ClusterMapLayout:
    """Where the boxes and cells of a map are.

    Parameters
    ----------
    nodes : sequence of MapNode
        1 to 64 nodes with 1 to 256 ranks in all are readable; more are drawn, smaller.

    Raises
    ------
    ValueError
        A rank has a state that there is not, or a rank is there twice.
    """
    ranks = [rank for node in nodes for rank in node.ranks]
    for rank in ranks:
        if rank.state not in STATE_COLOURS:
            raise ValueError(f"rank {rank.rank} is {rank.state!r}, but a rank is one of {', '.join(STATE_COLOURS)}.")
    if len({rank.rank for rank in ranks}) < len(ranks):
        raise ValueError("a rank is on one node only: the numbers of the ranks must differ.")
    if not nodes:
        return ClusterMapLayout((), (), (0, 0), 0, (WIDTH_PX, 0), "No ranks are running")
    cell, columns, per_row = _best_grid(len(nodes), max(1, *(len(node.ranks) for node in nodes)))
    box = _box_size(cell, columns, max(1, *(len(node.ranks) for node in nodes)))
    boxes, cells = [], []
    room = int(box[0] / CHARACTER_PX)
    for index, node in enumerate(nodes):
        x, y = (index % per_row) * (box[0] + GAP_PX), (index // per_row) * (box[1] + GAP_PX)
        label = _short(node.name, room)
        boxes.append(NodeBox(node.name, label, x, y, _node_text(node)))
        left = x + (box[0] - columns * cell) / 2
        for place, rank in enumerate(node.ranks):
            at = left + (place % columns) * cell, y + NAME_PX + (place // columns) * cell
            cells.append(Cell(rank.rank, rank.state, *at, _rank_text(rank, node)))
    rows = -(-len(nodes) // per_row)
    size = max(WIDTH_PX, per_row * (box[0] + GAP_PX) - GAP_PX), rows * (box[1] + GAP_PX) - GAP_PX
    return ClusterMapLayout(tuple(boxes), tuple(cells), box, cell, size, _title(nodes))


def _short(name: str, room: int) -> str:
    """As much of a node's name as there is room for; its number is the last thing to go.

    Examples
    --------
    >>> _short("node-07.site.org", 20), _short("node-07.site.org", 9), _short("node-07.site.org", 5)
    ('node-07.site.org', 'node-07', '…e-07')
    """
    if len(name) > room and name[:1].isalpha():
        name = name.partition(".")[0]
    return name if len(name) <= room else "…" + name[len(name) - room + 1 :]


def _box_size(cell: float, columns: int, most: int) -> tuple[float, float]:
    rows = -(-most // columns)
    return max(LEAST_BOX_PX, columns * cell + 2 * PAD_PX), NAME_PX + rows * cell + PAD_PX


def _best_grid(num_nodes: int, most: int) -> tuple[float, int, int]:
    """The size of a cell, columns of cells in a box and boxes in a row with which the cells are largest."""
    best, cell, columns, per_row = (0.0, 0, 0), 0.0, 1, 1
    for in_box in range(1, min(most, MAX_COLUMNS) + 1):
        for boxes in range(1, num_nodes + 1):
            rows, lines = -(-num_nodes // boxes), -(-most // in_box)
            wide = (WIDTH_PX + GAP_PX) / boxes - GAP_PX
            high = (MAX_HEIGHT_PX + GAP_PX) / rows - GAP_PX
            size = min(CELL_PX, (wide - 2 * PAD_PX) / in_box, (high - NAME_PX - PAD_PX) / lines)
            merit = (size, -rows * lines, -boxes)  # of equal ones, that which is less high
            if wide >= LEAST_BOX_PX and merit > best:
                best, cell, columns, per_row = merit, size, in_box, boxes
    if cell < 6:  # more than a page holds: it grows downwards
        per_row = max(1, int((WIDTH_PX + GAP_PX) / (LEAST_BOX_PX + GAP_PX)))
        columns = min(most, 4)
        cell = (LEAST_BOX_PX - 2 * PAD_PX) / columns
    return cell, columns, min(per_row, num_nodes)


def _node_text(node: MapNode) -> str:
    parts = [f"{node.num_cpus} CPU{'s' if node.num_cpus != 1 else ''}"] if node.num_cpus else []
    ranks = sorted(rank.rank for rank in node.ranks)
    numbers = f"rank{'s' if len(ranks) > 1 else ''} {_numbers_text(ranks)}"
    parts.append(numbers if ranks else "its ranks are not known here")
    return f"<b>{node.name}</b><br>" + ", ".join(parts)


def _rank_text(rank: MapRank, node: MapNode) -> str:
    lines = [f"<b>rank {rank.rank}</b> on {node.name}", rank.state + (f": {rank.text}" if rank.text else "")]
    if rank.gpu:
        lines.append(f"GPU {rank.gpu}")
    if node.num_cpus:
        lines.append(f"{node.num_cpus} CPU{'s' if node.num_cpus != 1 else ''} for {len(node.ranks)} rank"
                     f"{'s' if len(node.ranks) != 1 else ''} of this node")
    return "<br>".join(lines)


def _numbers_text(numbers: Sequence[int]) -> str:
    """Numbers in words, runs in short.

    Examples
    --------
    >>> _numbers_text([0, 1, 2, 5, 7, 8])
    '0-2, 5, 7, 8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _title(nodes: Sequence[MapNode]) -> str:
    num_ranks = sum(len(node.ranks) for node in nodes)
    where = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    if not num_ranks:
        return f"{where}; its ranks are seen by the notebook that works with them" if len(nodes) == 1 else (
            f"{where}; their ranks are seen by the notebook that works with them"
        )
    return f"{num_ranks} rank{'s' if num_ranks > 1 else ''} on {where}"


def cluster_map_figure(nodes: Sequence[MapNode]) -> go.Figure:
    """The figure of a map; always with one trace a state, so that a figure on the page can be brought up to date.

    Examples
    --------
    >>> figure = cluster_map_figure([MapNode("n1", (MapRank(0, "idle"), MapRank(1, "waiting", "waits in Barrier()")))])
    >>> figure.layout.title.text, [len(trace.x) for trace in figure.data]
    ('2 ranks on 1 node', [1, 0, 1, 0, 1])
    """
    layout = cluster_map_layout(nodes)
    width, height = layout.size
    figure = go.Figure(layout=base_layout(layout.title, round(height) + 100))
    inner = 0.92 * layout.cell_size
    text_size = 14 if layout.cell_size > 30 else 10 if layout.cell_size > 16 else 8
    for state, colour in STATE_COLOURS.items():
        cells = [cell for cell in layout.cells if cell.state == state]
        figure.add_trace(
            go.Bar(
                name=state, showlegend=True, x=[c.x + layout.cell_size / 2 for c in cells], width=[inner] * len(cells),
                base=[c.y + layout.cell_size - inner for c in cells], y=[inner] * len(cells), marker={"color": colour},
                text=[str(c.rank) for c in cells], textposition="inside", insidetextanchor="middle", textangle=0,
                insidetextfont={"color": DARK if state in ("idle", "waiting") else "white", "size": text_size},
                hovertext=[c.hover for c in cells], hoverinfo="text",
            )
        )
    box_width, box_height = layout.box_size
    figure.add_trace(
        go.Scatter(  # the names of the nodes
            x=[box.x + box_width / 2 for box in layout.boxes], y=[box.y + NAME_PX / 2 for box in layout.boxes],
            mode="text", text=[box.label for box in layout.boxes], textfont={"color": INK, "size": 11},
            showlegend=False, hovertext=[box.hover for box in layout.boxes], hoverinfo="text",
        )
    )
    figure.update_layout(
        barmode="overlay",
        shapes=[
            {
                "type": "rect", "x0": box.x, "x1": box.x + box_width, "y0": box.y, "y1": box.y + box_height,
                "layer": "below", "fillcolor": "rgba(128,128,128,0.10)", "line": {"color": INK, "width": 1},
            }
            for box in layout.boxes
        ],
        margin={"l": 10, "r": 10, "t": 70, "b": 20},
        xaxis={"visible": False, "range": [-1, width + 1], "fixedrange": True},
        yaxis={"visible": False, "range": [max(height, 1) + 1, -1], "fixedrange": True},
    )
    return figure
