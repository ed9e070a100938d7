"""Halo exchange: every block gets the neighbours' edge points into the frame around it.

::

    1-D blocks of rows                    2-D blocks, frame of ghost points g
      g g g g    <- last row of rank r-1     g g g g      rows are contiguous;
      x x x x                                g x x g      columns are strided: a derived datatype
      x x x x                                g x x g      sends them where they lie
      g g g g    <- first row of rank r+1    g g g g      (corners are not exchanged)
"""

from __future__ import annotations

import numpy as np

from labkit.mpi.arguments import check_count, usage_error
from labkit.mpi.point_to_point.datatypes import column_type, is_mpi_dtype
from labkit.mpi.requests import wait_all

# The direction a message moves in is its tag: on a periodic axis of 2 ranks both neighbours are one rank.
UP, DOWN, LEFT, RIGHT = 11, 12, 13, 14


def exchange_halo_1d(comm, block: np.ndarray, *, width: int = 1, periodic: bool = False) -> None:
    """Fill the first and last ``width`` rows of ``block`` with the edges of the neighbouring ranks' blocks.

    Two shifts, each one ``Sendrecv`` that cannot deadlock: everything moves down, then everything up.

    Parameters
    ----------
    comm : Communicator
        Rank r owns the rows between those of rank r - 1 and of rank r + 1.
    block : ndarray, shape (width + n + width, ...), C order
        ``n >= width`` rows of this rank between two frames of ghost rows.
    width : int
        Rows of each frame, 1 or more.
    periodic : bool
        The last rank and rank 0 are neighbours. Else their outer ghost rows are left as they are.

    Raises
    ------
    UsageError
        Fewer than ``width`` rows between the frames, not in C order, or of a dtype that MPI does not know.

    Notes
    -----
    2 messages a rank, of ``width`` rows each.
    """
    from mpi4py import MPI

    width = check_count(comm, "exchange_halo_1d", "width", width, 1)
    _check_block(comm, "exchange_halo_1d", block, width, block.ndim if isinstance(block, np.ndarray) else 1)
    above, below = comm.rank - 1, comm.rank + 1
    if periodic:
        above, below = above % comm.size, below % comm.size
    else:
        above = MPI.PROC_NULL if above < 0 else above
        below = MPI.PROC_NULL if below == comm.size else below
    last = len(block) - width
    comm.Sendrecv(block[last - width : last], below, DOWN, block[:width], above, DOWN)
    comm.Sendrecv(block[width : 2 * width], above, UP, block[last:], below, UP)


def exchange_halo_2d(cart, block: np.ndarray, *, columns: str = "datatype") -> None:
    """Fill the frame of ``block`` with the edges of the four neighbours, without the corners.

    Four receives are posted, four sends started, then all are waited for. ``Shift`` names the neighbours and
    gives ``PROC_NULL`` beyond an end that is not periodic: that part of the frame is left as it is.

    Parameters
    ----------
    cart : Cartesian communicator
        Of two dimensions, from ``comm.Create_cart``; axis 0 runs down, axis 1 to the right.
    block : ndarray, shape (1 + rows + 1, 1 + columns + 1), C order
        At least one point inside the frame. Neighbours agree in the length of the edge they share.
    columns : {"datatype", "copy"}
        Send columns by ``Create_vector``, or through contiguous copies.

    Raises
    ------
    UsageError
        The block is not 2-D in C order, has nothing inside the frame, or is of a dtype that MPI does not know;
        ``columns`` is neither word; the communicator is not Cartesian.

    Notes
    -----
    4 messages a rank: 2 of ``columns`` and 2 of ``rows`` elements. The five-point stencil needs no corners.
    The datatype is made anew in each exchange; a production code keeps it.
    """
    call = "exchange_halo_2d"
    _check_block(cart, call, block, 1, 2)
    if columns not in ("datatype", "copy"):
        raise usage_error(cart, call, f'columns must be "datatype" or "copy", but it is {columns!r}. Pass one of them.')
    if not hasattr(cart, "Shift"):
        raise usage_error(
            cart, call, f"needs a Cartesian communicator, which knows its neighbours, but it is a {type(cart).__name__}. "
            "Make one with comm.Create_cart(dims).",
        )
    above, below = cart.Shift(0, 1)
    left, right = cart.Shift(1, 1)
    rows = {"receive": [(block[0, 1:-1], above, DOWN), (block[-1, 1:-1], below, UP)],
            "send": [(block[1, 1:-1], above, UP), (block[-2, 1:-1], below, DOWN)]}
    exchange = _exchange_columns_in_place if columns == "datatype" else _exchange_columns_copied
    exchange(cart, block, left, right, rows)


def _exchange_columns_in_place(cart, block, left, right, rows) -> None:
    """Rows as they are; columns as one element of a strided datatype that starts at a point of row 1."""
    length = block.shape[1]
    flat = block.reshape(-1)
    column = column_type(block, block.shape[0] - 2)

    def spec(index):
        return [flat[length + index :], 1, column]  # column `index`, from row 1 on

    try:
        receives = [*rows["receive"], (spec(0), left, RIGHT), (spec(length - 1), right, LEFT)]
        sends = [*rows["send"], (spec(1), left, LEFT), (spec(length - 2), right, RIGHT)]
        _exchange(cart, receives, sends)
    finally:
        column.Free()


def _exchange_columns_copied(cart, block, left, right, rows) -> None:
    """Rows as they are; columns through contiguous buffers. A frame without a neighbour keeps its values."""
    from_left, from_right = block[1:-1, 0].copy(), block[1:-1, -1].copy()
    receives = [*rows["receive"], (from_left, left, RIGHT), (from_right, right, LEFT)]
    sends = [*rows["send"], (block[1:-1, 1].copy(), left, LEFT), (block[1:-1, -2].copy(), right, RIGHT)]
    _exchange(cart, receives, sends)
    block[1:-1, 0], block[1:-1, -1] = from_left, from_right


def _exchange(cart, receives, sends) -> None:
    """Post every receive, start every send, wait for all."""
    requests = [cart.Irecv(*receive) for receive in receives]
    requests += [cart.Isend(*send) for send in sends]
    wait_all(requests)


def _check_block(comm, call: str, block, width: int, num_dims: int) -> None:
    """A C-order array of ``num_dims``, of numbers, with something between its frames of ``width``."""
    if not isinstance(block, np.ndarray) or block.ndim != num_dims or not block.flags.c_contiguous:
        what = f"of shape {block.shape}, strides {block.strides}" if isinstance(block, np.ndarray) else type(block).__name__
        raise usage_error(
            comm, call, f"block must be a {num_dims}-D NumPy array in C order, but it is {what}. "
            "Use np.ascontiguousarray(block).",
        )
    if not is_mpi_dtype(block.dtype):
        raise usage_error(
            comm, call, f"block must hold numbers in this machine's byte order, but its dtype is {block.dtype.str}, which "
            'MPI does not know. Convert it, for example with block.astype(float), or dates with block.view("i8").',
        )
    framed = block.shape if num_dims == 2 and call == "exchange_halo_2d" else block.shape[:1]
    if min(framed) < 3 * width:
        raise usage_error(
            comm, call, f"block needs {width} or more of its own points between frames of {width}, but its shape is "
            f"{block.shape}. Use fewer ranks or a larger grid.",
        )
