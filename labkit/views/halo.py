"""A halo exchange: the blocks of a grid, the frames of ghost points, and the strips that travel to fill them.

::

    . . . . . .      . . . . . .      . ghost points      x own points
    . x x x # .  ->  . # x x x .      # edges: own points that the neighbour needs
    . x x x # .  <-  . # x x x .
    . . . . . .      . . . . . .
"""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.mpi.point_to_point.decomposition import block_range, process_grid
from labkit.views.theme import ACCENT, INK, SERIES, base_layout


@dataclass(frozen=True, slots=True)
class Strip:
    """Points of ``source``'s block that travel to ``dest``: rows and columns ``[start, stop)`` of the whole grid."""

    source: int
    dest: int
    direction: str  # the way it moves: "up", "down", "left" or "right"
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def num_points(self) -> int:
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


@dataclass(frozen=True, slots=True)
class HaloLayout:
    """The blocks as (rank, rows, columns), in order of rank, and the strips of one exchange."""

    grid_shape: tuple[int, int]
    process_shape: tuple[int, int]
    width: int
    blocks: tuple[tuple[int, tuple[int, int], tuple[int, int]], ...]
    strips: tuple[Strip, ...]

    @property
    def num_travelling(self) -> int:
        """Values that travel in one exchange, of all ranks."""
        return sum(strip.num_points for strip in self.strips)


DIRECTIONS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


def halo_layout(
    grid_shape: tuple[int, int], num_ranks: int, *, process_shape: tuple[int, int] | None = None, width: int = 1,
    periodic: bool = False,
) -> HaloLayout:
    """Which points of which block travel where in one exchange.

    Raises
    ------
    UsageError
        No rank, no points, a frame without width, blocks that are not one a rank, or blocks smaller than the frame
        that their neighbours need.

    Examples
    --------
    >>> layout = halo_layout((8, 8), 4)
    >>> layout.process_shape, len(layout.strips), layout.num_travelling
    ((2, 2), 8, 32)
    >>> layout.strips[0]
    Strip(source=0, dest=2, direction='down', rows=(3, 4), columns=(0, 4))
    """
    height, length = grid_shape
    num_rows, num_columns = process_shape or process_grid(num_ranks, grid_shape)
    _check(grid_shape, num_ranks, (num_rows, num_columns), width, given=process_shape is not None)
    blocks, strips = [], []
    for rank in range(num_rows * num_columns):
        row, column = divmod(rank, num_columns)
        rows, columns = block_range(height, num_rows, row), block_range(length, num_columns, column)
        blocks.append((rank, rows, columns))
        for direction, (down, right) in DIRECTIONS.items():
            to_row, to_column = row + down, column + right
            if periodic:
                to_row, to_column = to_row % num_rows, to_column % num_columns
            dest = to_row * num_columns + to_column
            if not (0 <= to_row < num_rows and 0 <= to_column < num_columns) or dest == rank:
                continue
            edge = {
                "up": ((rows[0], rows[0] + width), columns), "down": ((rows[1] - width, rows[1]), columns),
                "left": (rows, (columns[0], columns[0] + width)), "right": (rows, (columns[1] - width, columns[1])),
            }[direction]
            strips.append(Strip(rank, dest, direction, *edge))
    return HaloLayout(grid_shape, (num_rows, num_columns), width, tuple(blocks), tuple(strips))


def _check(grid_shape, num_ranks: int, process_shape, width: int, *, given: bool) -> None:
    (height, length), (num_rows, num_columns) = grid_shape, process_shape
    if height < 1 or length < 1:
        raise UsageError(
            f"halo_layout: a grid needs at least 1 x 1 points, but it has {height} x {length}. Pass a larger grid."
        )
    if width < 1:
        raise UsageError(f"halo_layout: the frame is at least 1 point wide, but width={width}. Pass a width of 1 or more.")
    if given and (num_rows < 1 or num_columns < 1 or num_rows * num_columns != num_ranks):
        raise UsageError(
            f"halo_layout: every rank has one block, but process_shape={num_rows} x {num_columns} does not make {num_ranks} "
            "of them. Pass a shape whose product is the number of ranks, or none."
        )
    for points, parts, words in ((height, num_rows, "rows"), (length, num_columns, "columns")):
        if parts > 1 and points // parts < width:
            raise UsageError(
                f"halo_layout: a block needs as many {words} as the frame of its neighbour is wide, but with {points} "
                f"{words} on {parts} blocks the smallest has {points // parts} and width={width}. Pass a larger grid, "
                "fewer ranks or a smaller width."
            )


def halo_figure(
    grid_shape: tuple[int, int], num_ranks: int, *, process_shape: tuple[int, int] | None = None, width: int = 1,
    periodic: bool = False,
) -> go.Figure:
    """A grid cut into blocks, the frame of ghost points around each, and the strips that travel to fill them.

    Parameters
    ----------
    grid_shape : (int, int)
        Rows and columns of points.
    num_ranks : int
    process_shape : (int, int), optional
        Rows and columns of blocks; by default :func:`.decomposition.process_grid`, which makes the edges short.
    width : int
        Of the frame, in points.
    periodic : bool
        Whether the ends of the grid are neighbours. A rank that would be its own neighbour sends no message here.

    Raises
    ------
    UsageError
        As :func:`halo_layout`.
    """
    layout = halo_layout(grid_shape, num_ranks, process_shape=process_shape, width=width, periodic=periodic)
    height, length = grid_shape
    gap = max(3 * width + 1, 0.09 * max(height, length))  # between blocks: two frames and the arrows
    num_rows, num_columns = layout.process_shape
    scale = min(820 / (length + gap * num_columns), 620 / (height + gap * num_rows))
    pixels = round(scale * (height + gap * num_rows))
    share = layout.num_travelling / (height * length)
    title = (
        f"{height} × {length} points on {num_rows} × {num_columns} ranks: {len(layout.strips)} messages an exchange, "
        f"{layout.num_travelling} values, {100 * share:.3g} % of the grid"
    )
    figure = go.Figure(layout=base_layout(title, max(240, pixels + 96)))
    blocks = {rank: (rows, columns, *divmod(rank, num_columns)) for rank, rows, columns in layout.blocks}

    def box(rank, rows, columns):
        """Corners of points of a block, in units of the picture."""
        _, _, row, column = blocks[rank]
        return columns[0] + gap * column, rows[0] + gap * row, columns[1] + gap * column, rows[1] + gap * row

    def outline(boxes):
        xs, ys = [], []
        for x0, y0, x1, y1 in boxes:
            xs += [x0, x1, x1, x0, x0, None]
            ys += [y0, y0, y1, y1, y0, None]
        return {"x": xs, "y": ys, "hoverinfo": "skip"}

    framed = [box(rank, (r[0] - width, r[1] + width), (c[0] - width, c[1] + width)) for rank, r, c in layout.blocks]
    figure.add_trace(go.Scatter(
        name="ghost points", mode="lines", line={"color": INK, "dash": "dot", "width": 1}, fill="toself",
        fillcolor="rgba(128,128,128,0.10)", **outline(framed),
    ))
    own = [box(rank, rows, columns) for rank, rows, columns in layout.blocks]
    figure.add_trace(go.Scatter(
        name="own points", mode="lines", line={"color": SERIES[0], "width": 1.5}, fill="toself", fillcolor="rgba(0,114,178,0.22)",
        **outline(own),
    ))
    edges = [box(s.source, s.rows, s.columns) for s in layout.strips]
    figure.add_trace(go.Scatter(
        name="edges that travel", mode="lines", line={"color": SERIES[1], "width": 0.8}, fill="toself",
        fillcolor="rgba(213,94,0,0.45)", **outline(edges),
    ))
    figure.add_trace(_strip_arrows(layout, edges, gap))
    figure.add_trace(go.Scatter(
        x=[(x0 + x1) / 2 for x0, _, x1, _ in own], y=[(y0 + y1) / 2 for _, y0, _, y1 in own], mode="text", showlegend=False,
        text=[f"<b>{rank}</b>" for rank, _, _ in layout.blocks], textfont={"color": INK, "size": 14 if num_ranks <= 36 else 9},
        hovertext=[
            f"<b>rank {rank}</b><br>rows {r[0]} to {r[1] - 1}, columns {c[0]} to {c[1] - 1}<br>"
            f"{(r[1] - r[0]) * (c[1] - c[0])} points, sends {sum(s.num_points for s in layout.strips if s.source == rank)}"
            for rank, r, c in layout.blocks
        ],
        hoverinfo="text",
    ))
    air = gap if periodic else width + 0.6
    figure.update_layout(
        margin={"l": 16, "r": 16, "t": 78, "b": 12},
        legend={"yref": "container", "y": 1 - 40 / figure.layout.height, "yanchor": "top"},
        xaxis={"visible": False, "range": [-air, length + gap * (num_columns - 1) + air], "constrain": "domain"},
        yaxis={"visible": False, "range": [height + gap * (num_rows - 1) + air, -air], "scaleanchor": "x", "constrain": "domain"},
    )
    return figure


def _strip_arrows(layout: HaloLayout, edges, gap: float) -> go.Scatter:
    """From the middle of each strip across the gap, beside the arrow that comes the other way."""
    xs, ys, texts, sizes = [], [], [], []
    for strip, (x0, y0, x1, y1) in zip(layout.strips, edges, strict=True):
        down, right = DIRECTIONS[strip.direction]
        share = 0.4 if strip.direction in ("down", "right") else 0.6
        x, y = (x0 + share * (x1 - x0), (y0 + y1) / 2) if down else ((x0 + x1) / 2, y0 + share * (y1 - y0))
        text = f"rank {strip.source} → rank {strip.dest}, {strip.direction}: {strip.num_points} values"
        xs += [x, x + right * gap, None]
        ys += [y, y + down * gap, None]
        texts += [text, text, ""]
        sizes += [0, 9, 0]
    return go.Scatter(
        name="message", x=xs, y=ys, mode="lines+markers", hovertext=texts, hoverinfo="text", line={"color": ACCENT, "width": 1.5},
        marker={"symbol": "arrow", "angleref": "previous", "size": sizes, "color": ACCENT, "opacity": 1, "line": {"width": 0}},
    )
