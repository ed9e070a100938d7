"""The column of a C-order array: sent where it lies, by a derived datatype, or through a copy.

::

    array (3, 4)   . X . .      elements of a column lie 4 apart:
                   . X . .      Create_vector(count=3, blocklength=1, stride=4)
                   . X . .
"""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError
from labkit.mpi.arguments import check_count, usage_error


def is_mpi_dtype(dtype: np.dtype) -> bool:
    """Whether MPI has a type for it: numbers, in the byte order of this machine."""
    return dtype.kind in "biufc" and dtype.isnative


def column_type(array: np.ndarray, num_rows: int | None = None):
    """A committed MPI datatype: one element of each of ``num_rows`` rows of ``array``. Free it after use.

    Parameters
    ----------
    array : ndarray, shape (rows, columns), C order
        Only its dtype and shape are read.
    num_rows : int, optional
        Default: all rows.

    Returns
    -------
    mpi4py.MPI.Datatype
        Receiving it from, or sending it to, a contiguous array of ``num_rows`` elements is allowed.

    Raises
    ------
    UsageError
        The dtype holds Python objects, which have no bytes to send.

    Notes
    -----
    Numbers get their MPI type. Other dtypes of a fixed size (structures, dates, text) travel as bytes; then
    the other side must use bytes as well, and both machines must store them alike.
    """
    from mpi4py import MPI

    num_rows = array.shape[0] if num_rows is None else num_rows
    if array.dtype.hasobject:
        raise UsageError(
            f"column_type: a column of dtype {array.dtype} holds Python objects, which MPI cannot send from where "
            "they lie. Send them with comm.send(array[:, column].tolist(), dest)."
        )
    if is_mpi_dtype(array.dtype):
        element, num_items = MPI.Datatype.fromcode(array.dtype.char), 1
    else:
        element, num_items = MPI.BYTE, array.itemsize
    return element.Create_vector(num_rows, num_items, array.shape[1] * num_items).Commit()


def send_column(comm, array: np.ndarray, column: int, dest: int, *, tag: int = 0) -> None:
    """Send one column of a 2-D array without copying it first.

    Parameters
    ----------
    comm : Communicator
    array : ndarray, shape (rows, columns), C order
    column : int
        ``0 <= column < columns``.
    dest, tag : int

    Raises
    ------
    UsageError
        The array is not 2-D in C order, has no such column, or holds Python objects.

    Notes
    -----
    One message of ``rows * itemsize`` bytes. MPI gathers the elements itself: it is spared a buffer, not the
    strided walk through memory, so whether it beats :func:`send_column_copied` is a matter of measuring.

    References
    ----------
    MPI: A Message-Passing Interface Standard 4.1, section 5.1, Derived Datatypes.
    """
    check_column(comm, "send_column", array, column)
    column_of = column_type(array)
    try:
        comm.Send([array.reshape(-1)[column:], 1, column_of], dest, tag)
    finally:
        column_of.Free()


def recv_column(comm, array: np.ndarray, column: int, source: int, *, tag: int = 0) -> None:
    """Receive into one column of a 2-D array; the other columns stay as they are.

    Parameters, errors and cost as in :func:`send_column`.
    """
    check_column(comm, "recv_column", array, column)
    column_of = column_type(array)
    try:
        comm.Recv([array.reshape(-1)[column:], 1, column_of], source, tag)
    finally:
        column_of.Free()


def send_column_copied(comm, array: np.ndarray, column: int, dest: int, *, tag: int = 0) -> None:
    """Send one column through a contiguous copy; it fits :func:`recv_column` on the other side."""
    check_column(comm, "send_column_copied", array, column)
    packed = np.ascontiguousarray(array[:, column])
    comm.Send(_as_sendable(packed), dest, tag)


def recv_column_copied(comm, array: np.ndarray, column: int, source: int, *, tag: int = 0) -> None:
    """Receive one column through a contiguous buffer; it fits :func:`send_column` on the other side.

    What does not arrive stays as it is, as in :func:`recv_column`: from ``PROC_NULL`` comes nothing, and a message
    may be shorter than the column.
    """
    check_column(comm, "recv_column_copied", array, column)
    packed = array[:, column].copy()
    comm.Recv(_as_sendable(packed), source, tag)
    array[:, column] = packed


def check_column(comm, call: str, array, column) -> None:
    """``array`` is 2-D, in C order, of plain data, and has the column.

    Raises
    ------
    UsageError
        One of these does not hold.
    """
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not array.flags.c_contiguous:
        what = f"{array.ndim}-D with strides {array.strides}" if isinstance(array, np.ndarray) else type(array).__name__
        raise usage_error(
            comm, call, f"array must be a 2-D NumPy array in C order, but it is {what}. Use np.ascontiguousarray(array)."
        )
    if array.dtype.hasobject:
        raise usage_error(
            comm, call, f"array holds Python objects (dtype {array.dtype}). Send them with comm.send(array[:, {column}])."
        )
    if check_count(comm, call, "column", column) >= array.shape[1]:
        raise usage_error(
            comm, call, f"there is no column {column} in an array of shape {array.shape}. "
            f"Columns are 0 to {array.shape[1] - 1}.",
        )


def _as_sendable(packed: np.ndarray) -> np.ndarray:
    """The array itself if MPI knows its dtype, else its bytes."""
    return packed if is_mpi_dtype(packed.dtype) else packed.view(np.uint8)
