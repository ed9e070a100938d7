"""A ping-pong with the line through it, and a halo exchange: blocks of a grid with the strips that travel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.mpi.point_to_point.decomposition import block_range, process_grid
from labkit.mpi.point_to_point.ping_pong import AlphaBetaFit, PingPongResult
from labkit.views.theme import ACCENT, INK, SERIES, base_layout, bytes_text, time_text

# -- ping-pong ----------------------------------------------------------------------------------------


def ping_pong_figure(
    results: Sequence[PingPongResult], fit: AlphaBetaFit, *, eager_limit_bytes: float | None = None
) -> go.Figure:
    """Time and bandwidth of messages by size, with the line ``alpha + beta * bytes`` and how far off it is.

    Parameters
    ----------
    results : sequence of PingPongResult
    fit : AlphaBetaFit
        Of the same results.
    eager_limit_bytes : float, optional
        Where it is known: a larger message waits for its receive.

    Returns
    -------
    plotly.graph_objects.Figure
        Three panels: time, bandwidth, residuals. An empty message has no place on a logarithmic axis; its time is
        in the title.
    """
    shown = [r for r in results if r.num_bytes > 0]
    residuals = dict(zip(fit.sizes_bytes, fit.relative_residuals, strict=True))
    sizes = [r.num_bytes for r in shown] or [1, 1024]
    steps = 60
    line = [min(sizes) * (max(sizes) / min(sizes)) ** (k / steps) for k in range(steps + 1)]
    best = 1 / fit.beta_s_per_byte if fit.beta_s_per_byte else math.inf
    title = f"Ping-pong: alpha = {time_text(1e9 * fit.alpha_s)}, 1 / beta = {_rate(best)}"
    title += "".join(f"; 0 B takes {time_text(1e9 * r.seconds_one_way)}" for r in results if not r.num_bytes)
    figure = go.Figure(layout=base_layout(title, 520))
    fitted, measured = {"color": SERIES[1], "width": 2}, {"color": SERIES[0], "size": 8}
    words = [f"{bytes_text(r.num_bytes)}: {time_text(1e9 * r.seconds_one_way)}, {_rate(r.bandwidth)}" for r in shown]
    for axis, line_y, point_y in (
        ("", [fit.predict_s(x) for x in line], [r.seconds_one_way for r in shown]),
        ("2", [x / fit.predict_s(x) if fit.predict_s(x) else None for x in line], [r.bandwidth for r in shown]),
    ):
        figure.add_trace(go.Scatter(
            name="alpha + beta · bytes", x=line, y=line_y, mode="lines", line=fitted, legendgroup="fit", showlegend=not axis,
            xaxis=f"x{axis}", yaxis=f"y{axis}", hoverinfo="text",
            hovertext=[f"{bytes_text(x)}: {time_text(1e9 * fit.predict_s(x))} by the line" for x in line],
        ))
        figure.add_trace(go.Scatter(
            name="measured", x=sizes if shown else [], y=point_y, mode="markers", marker=measured, legendgroup="measured",
            showlegend=not axis, xaxis=f"x{axis}", yaxis=f"y{axis}", hovertext=words, hoverinfo="text",
        ))
    percents = [100 * residuals.get(r.num_bytes, math.nan) for r in shown]
    figure.add_trace(go.Scatter(
        name="off the line", x=sizes if shown else [], y=percents, mode="markers", xaxis="x3", yaxis="y3",
        showlegend=False, marker=measured, error_y={  # a stem from the point to zero
            "type": "data", "symmetric": False, "array": [max(0, -p) for p in percents],
            "arrayminus": [max(0, p) for p in percents], "width": 0, "color": SERIES[0],
        },
        hovertext=[f"{w}<br>{p:+.0f} % of it is not explained by the line" for w, p in zip(words, percents, strict=True)],
        hoverinfo="text",
    ))
    ticks, low, high = _size_ticks(sizes)
    common = {"type": "log", "tickvals": ticks, "ticktext": [bytes_text(t) for t in ticks], "range": [low, high]}
    seconds = [r.seconds_one_way for r in shown] or [1e-6]
    decades = [10.0**k for k in range(math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds))) + 1)]
    largest = 1.15 * max([25, *(abs(p) for p in percents if not math.isnan(p))])
    size_title = {"text": "message size"}
    figure.update_layout(
        margin={"l": 70, "r": 24, "t": 76, "b": 56},
        legend={"yref": "container", "y": 1 - 40 / 520, "yanchor": "top"},
        xaxis={**common, "domain": [0, 0.45], "anchor": "y", "showticklabels": False},
        yaxis={"type": "log", "domain": [0.34, 1], "anchor": "x", "title": {"text": "time, one way"},
               "tickvals": decades, "ticktext": [time_text(1e9 * d) for d in decades]},
        xaxis2={**common, "domain": [0.56, 1], "anchor": "y2", "title": size_title},
        yaxis2={"type": "log", "domain": [0, 1], "anchor": "x2", "title": {"text": "bandwidth (B/s)"}, "exponentformat": "SI",
                "dtick": 1},
        xaxis3={**common, "domain": [0, 0.45], "anchor": "y3", "title": size_title},
        yaxis3={"domain": [0, 0.26], "anchor": "x3", "title": {"text": "off the line"}, "ticksuffix": " %", "nticks": 5,
                "range": [-largest, largest], "zeroline": True, "zerolinecolor": SERIES[1]},
    )
    if math.isfinite(best):
        figure.add_shape(type="line", x0=10**low, x1=10**high, y0=best, y1=best, xref="x2", yref="y2",
                         line={"color": INK, "dash": "dot", "width": 1})
    if eager_limit_bytes is not None and min(sizes) <= eager_limit_bytes <= max(sizes):
        for number in ("", "2", "3"):
            figure.add_shape(type="line", x0=eager_limit_bytes, x1=eager_limit_bytes, y0=0, y1=1, xref=f"x{number}",
                             yref=f"y{number} domain", line={"color": ACCENT, "dash": "dash", "width": 1.5})
        left = math.log10(eager_limit_bytes) < (low + high) / 2  # the text goes where there is room
        figure.add_annotation(
            x=math.log10(eager_limit_bytes), y=1, xref="x", yref="y domain", text=f"eager up to {bytes_text(eager_limit_bytes)}",
            showarrow=False, xanchor="left" if left else "right", yanchor="top", font={"color": ACCENT, "size": 11}, xshift=4 if left else -4,
        )
    return figure


def _size_ticks(sizes) -> tuple[list[float], float, float]:
    """Ticks at powers of 2, and the ends of the axis (logarithms of 10)."""
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    powers = range(math.ceil(math.log2(min(sizes)) - 1e-9), math.floor(math.log2(max(sizes)) + 1e-9) + 1)
    every = max(1, -(-len(powers) // 6))
    return [2.0**k for k in powers if k % every == 0], low - 0.15, high + 0.15


def _rate(value: float) -> str:
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= value < math.inf:
            return f"{value / size:.3g} {prefix}B/s"
    return "no limit" if value == math.inf else f"{value:.3g} B/s"


# -- halo exchange ------------------------------------------------------------------------------------


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
        No rank, or no points.
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
