"""Heat on a plate, to its steady state: each point becomes the mean of its four neighbours (Jacobi).

::

    new[i, j] = (old[i-1, j] + old[i+1, j] + old[i, j-1] + old[i, j+1]) / 4      ranks own blocks of the grid
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labkit.errors import UsageError
from labkit.mpi.arguments import check_count, usage_error
from labkit.mpi.point_to_point.decomposition import Block, assemble, block_range, process_grid
from labkit.mpi.point_to_point.halo import exchange_halo_2d

BLOCK_TAG = 15


def hot_square(rows: np.ndarray, columns: np.ndarray, grid_shape: tuple[int, int]) -> np.ndarray:
    """A plate at 0 with a square at 100 around its middle: 100 where both indices are in the middle half.

    Examples
    --------
    >>> hot_square(np.arange(4)[:, None], np.arange(4)[None, :], (4, 4))[1].tolist()
    [0.0, 100.0, 100.0, 0.0]
    """
    height, width = grid_shape
    inside = (abs(2 * rows + 1 - height) <= height // 2) & (abs(2 * columns + 1 - width) <= width // 2)
    return np.where(inside, 100.0, 0.0)


def jacobi_heat(
    comm,
    grid_shape: tuple[int, int],
    num_steps: int,
    *,
    boundary: str | float | tuple[float, float, float, float] = 0.0,
    initial: Callable = hot_square,
    columns: str = "datatype",
) -> Block:
    """This rank's block of the grid after ``num_steps`` Jacobi steps; together bitwise the serial result.

    Each rank owns a block with a frame of ghost points around it. A step exchanges the frames and averages.

    Parameters
    ----------
    comm : Communicator
        Any number of ranks; all of them call.
    grid_shape : (int, int)
        Points that are computed: rows, columns; any size from 1 x 1, it need not divide.
    num_steps : int
    boundary : "periodic", float, or (top, bottom, left, right)
        The plate is closed to a torus, or its surroundings are held at these temperatures.
    initial : callable
        ``initial(rows, columns, grid_shape)`` gives the temperatures at index arrays of shapes (r, 1) and
        (1, c): an array of shape (r, c), or what broadcasts to it. It must give a point the same value in
        whatever block the point lies.
    columns : {"datatype", "copy"}
        How columns travel, see :func:`labkit.mpi.point_to_point.halo.exchange_halo_2d`.

    Returns
    -------
    Block
        Float64. Empty on ranks for which there was no place, see :func:`.decomposition.process_grid`.

    Raises
    ------
    UsageError
        A grid without points, a boundary that is none, a number of steps below 0, or an ``initial`` whose
        values do not fill the block.

    Notes
    -----
    4 messages a rank and step, for ``rows * columns / p`` averages: the edge grows with the root of the block,
    so large blocks hide the messages. Each point sees the same additions in the same order as in
    :func:`serial_jacobi`, hence the same bits.

    References
    ----------
    W. Gropp, E. Lusk, A. Skjellum, Using MPI, 3rd edition, 2014, chapter 4.
    """
    call = "jacobi_heat"
    num_steps = check_count(comm, call, "num_steps", num_steps)
    try:
        edges, dims = boundary_values(boundary), process_grid(comm.size, grid_shape)
    except UsageError as error:
        raise usage_error(comm, call, str(error)) from None
    cart = comm.Create_cart(dims, periods=[edges is None] * 2, reorder=False)
    if comm.rank >= dims[0] * dims[1]:
        return Block((0, 0), (0, 0), np.empty((0, 0)))
    row, column = divmod(comm.rank, dims[1])  # ranks of a Cartesian communicator run along the rows
    rows, cols = block_range(grid_shape[0], dims[0], row), block_range(grid_shape[1], dims[1], column)
    try:
        values = initial_values(initial, rows, cols, grid_shape)
    except UsageError as error:
        raise usage_error(comm, call, str(error)) from None
    old, new = _framed(values, edges), _framed(values, edges)
    for _ in range(num_steps):
        exchange_halo_2d(cart, old, columns=columns)
        new[1:-1, 1:-1] = _mean_of_neighbours(old)
        old, new = new, old
    if hasattr(cart, "Free"):
        cart.Free()
    return Block(rows, cols, old[1:-1, 1:-1].copy())


def serial_jacobi(
    grid_shape: tuple[int, int],
    num_steps: int,
    *,
    boundary: str | float | tuple[float, float, float, float] = 0.0,
    initial: Callable = hot_square,
) -> np.ndarray:
    """The same in plain NumPy on one rank: the reference of :func:`jacobi_heat`.

    Returns
    -------
    ndarray of float64, shape ``grid_shape``

    Raises
    ------
    UsageError
        A boundary that is none, or an ``initial`` whose values do not fill the grid.

    Examples
    --------
    >>> serial_jacobi((1, 3), 1, boundary=(4, 0, 0, 8), initial=lambda i, j, shape: 4.0 * j).tolist()
    [[2.0, 3.0, 4.0]]
    """
    edges = boundary_values(boundary)
    height, width = grid_shape
    grid = initial_values(initial, (0, height), (0, width), grid_shape)
    for _ in range(num_steps):
        grid = _mean_of_neighbours(np.pad(grid, 1, mode="wrap") if edges is None else _framed(grid, edges))
    return grid


def gather_grid(comm, block: Block, grid_shape: tuple[int, int], *, root: int = 0) -> np.ndarray | None:
    """The whole grid at ``root``, None elsewhere: p - 1 messages to one rank, so for looking, not for computing."""
    if comm.rank != root:
        comm.send(block, root, BLOCK_TAG)
        return None
    others = [comm.recv(source=rank, tag=BLOCK_TAG) for rank in range(comm.size) if rank != root]
    return assemble([block, *others], grid_shape)


def initial_values(initial: Callable, rows: tuple[int, int], columns: tuple[int, int], grid_shape) -> np.ndarray:
    """The temperatures of a block at the beginning, as an array of its own.

    Raises
    ------
    UsageError
        What ``initial`` returned are no numbers, or they do not broadcast to the shape of the block.

    Examples
    --------
    >>> initial_values(lambda i, j, shape: j, (0, 2), (3, 6), (4, 6)).tolist()
    [[3.0, 4.0, 5.0], [3.0, 4.0, 5.0]]
    """
    i, j = np.arange(*rows)[:, None], np.arange(*columns)[None, :]
    shape = i.size, j.size
    values = initial(i, j, grid_shape)
    try:
        numbers = np.asarray(values)
        if numbers.dtype.kind not in "biuf":  # None would be taken for NaN
            raise TypeError
        return np.broadcast_to(numbers.astype(float), shape).copy()
    except (TypeError, ValueError):
        what = f"of shape {values.shape}, {values.dtype}" if isinstance(values, np.ndarray) else f"{values!r}"
        raise UsageError(
            f"initial must return numbers that fill a block of shape {shape}, but what it returned is {what}. "
            "Compute them from the indices that it is given, of shapes "
            f"{i.shape} and {j.shape}, not from grid_shape alone."
        ) from None


def boundary_values(boundary) -> tuple[float, float, float, float] | None:
    """(top, bottom, left, right), or None for a periodic grid.

    Raises
    ------
    UsageError
        Neither a word, a number, nor four numbers.

    Examples
    --------
    >>> boundary_values("periodic"), boundary_values(5)
    (None, (5.0, 5.0, 5.0, 5.0))
    """
    if isinstance(boundary, str) and boundary == "periodic":
        return None
    try:
        values = tuple(np.broadcast_to(np.asarray(boundary, float), 4).tolist())
    except (TypeError, ValueError):
        values = (np.nan,)
    if any(np.isnan(values)):
        raise UsageError(
            'boundary must be "periodic", a temperature, or (top, bottom, left, right), '
            f"but it is {boundary!r}. Pass one of these."
        )
    return values


def _framed(values, edges) -> np.ndarray:
    """``values`` with a frame around it that holds the temperatures outside; the exchange overwrites inner edges."""
    framed = np.zeros((values.shape[0] + 2, values.shape[1] + 2))
    if edges is not None:
        framed[0], framed[-1], framed[:, 0], framed[:, -1] = edges
    framed[1:-1, 1:-1] = values
    return framed


def _mean_of_neighbours(framed) -> np.ndarray:
    """((above + below) + left) + right, a quarter of it: one order everywhere, for equal bits."""
    return (framed[:-2, 1:-1] + framed[2:, 1:-1] + framed[1:-1, :-2] + framed[1:-1, 2:]) * 0.25
