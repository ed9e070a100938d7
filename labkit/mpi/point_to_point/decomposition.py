"""Who owns what: blocks of rows and columns that differ by at most one. Plain arithmetic, no messages.

::

    10 rows on 4 ranks    0 0 0 | 1 1 1 | 2 2 | 3 3       the first 10 % 4 ranks own one more
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Block:
    """A rank's part of a grid: rows ``[start, stop)``, columns ``[start, stop)``, and the values there."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    values: np.ndarray


def block_range(num_items: int, num_parts: int, part: int) -> tuple[int, int]:
    """The items ``[start, stop)`` of one part, if ``num_items`` are dealt to ``num_parts`` in one piece each.

    Raises
    ------
    UsageError
        No such part, or a number of items below 0.

    Examples
    --------
    >>> [block_range(10, 4, part) for part in range(4)]
    [(0, 3), (3, 6), (6, 8), (8, 10)]
    >>> [block_range(2, 3, part) for part in range(3)]
    [(0, 1), (1, 2), (2, 2)]
    """
    if num_items < 0 or not 0 <= part < num_parts:
        raise UsageError(
            f"block_range: part must be in 0..num_parts-1 and num_items at least 0, but they are part={part}, "
            f"num_parts={num_parts}, num_items={num_items}. Pass comm.size and comm.rank."
        )
    base, extra = divmod(num_items, num_parts)
    return part * base + min(part, extra), (part + 1) * base + min(part + 1, extra)


def process_grid(num_ranks: int, grid_shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of ranks for a grid of points: no rank without points, few ranks idle, short edges.

    A rank exchanges the edges of its block, so of all process grids with the most ranks the one with the
    shortest edges is taken. Ranks that do not fit (more ranks than points, or 5 ranks on 2 x 2) stay idle.

    Raises
    ------
    UsageError
        No rank, or a grid without points.

    Examples
    --------
    >>> process_grid(6, (100, 100)), process_grid(6, (1000, 10)), process_grid(5, (2, 2))
    ((2, 3), (6, 1), (2, 2))
    """
    height, width = grid_shape
    if num_ranks < 1 or height < 1 or width < 1:
        raise UsageError(
            f"process_grid: needs a rank and a grid of at least 1 x 1 points, but got {num_ranks} ranks and "
            f"{height} x {width}. Pass a larger grid."
        )
    fitting = [(rows, min(num_ranks // rows, width)) for rows in range(1, min(num_ranks, height) + 1)]
    # Edge of the largest block: its rows plus its columns, each rounded up.
    return min(fitting, key=lambda dims: (-dims[0] * dims[1], -(-height // dims[0]) - (-width // dims[1]), dims))


def assemble(blocks, grid_shape: tuple[int, int]) -> np.ndarray:
    """The whole grid of its blocks; NaN where no block lies.

    Examples
    --------
    >>> parts = [Block((0, 1), (0, 2), np.array([[1.0, 2]])), Block((1, 2), (0, 2), np.array([[3.0, 4]]))]
    >>> assemble(parts, (2, 2)).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    grid = np.full(grid_shape, np.nan)
    for block in blocks:
        grid[slice(*block.rows), slice(*block.columns)] = block.values
    return grid
