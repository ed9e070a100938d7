"""Buffers of simulated ranks: taken and filled as mpi4py does it.

A contiguous NumPy array of a plain type, which is nearly every buffer, is copied directly. All other
forms that mpi4py knows (``[data, count, datatype]``, derived datatypes, tensors, bytes) go through
MPI itself, as a message of this process to itself: so they mean the same, and fail the same.
"""

from __future__ import annotations

import threading

import numpy as np
from mpi4py import MPI

PLAIN = frozenset(np.dtype(char) for char in "?bhilqBHILQfdFD")
_SELF = MPI.COMM_SELF  # while a simulation runs, the name in MPI means a simulated one
_self: MPI.Intracomm | None = None
_own_lock = threading.Lock()  # simulations in several threads share it


def _own() -> MPI.Intracomm:
    """A communicator of this process alone that nobody else uses."""
    global _self
    if _self is None:
        _self = _SELF.Dup()
    return _self


def is_plain(buffer) -> bool:
    """Whether the buffer is a contiguous array of a type that needs no help of MPI."""
    return type(buffer) is np.ndarray and buffer.flags.c_contiguous and buffer.dtype in PLAIN


def taken(buffer) -> np.ndarray:
    """A copy of what a send of ``buffer`` would send: an array of its type, or of bytes."""
    if is_plain(buffer):
        return buffer.copy()
    if isinstance(buffer, (list, tuple)):
        _room(buffer)
    with _own_lock:
        comm, status = _own(), MPI.Status()
        request = comm.Isend(buffer, 0)
        comm.Probe(0, MPI.ANY_TAG, status)
        data = np.empty(status.count, np.uint8)
        comm.Recv([data, MPI.BYTE], 0)
        request.Wait()
        return data


def check_buffer(buffer) -> None:
    """mpi4py's own checks of a buffer argument."""
    _own().Send_init(buffer, 0).Free()  # nothing is sent


def size_of(buffer, dest=None) -> int:
    """Bytes that a send of ``buffer`` sends; checks that it is a buffer at all, unless it is for MPI.PROC_NULL."""
    if is_plain(buffer):
        return buffer.nbytes
    if dest == MPI.PROC_NULL:
        return 0
    check_buffer(buffer)
    return _room(buffer)


def room_of(buffer, source=None) -> int:
    """Bytes that a receive into ``buffer`` has room for; checks that it can be written, unless it is from MPI.PROC_NULL."""
    if type(buffer) is np.ndarray and buffer.flags.carray and buffer.dtype in PLAIN:  # contiguous and can be written
        return buffer.nbytes
    if source == MPI.PROC_NULL:
        return 0
    _own().Recv_init(buffer, 0).Free()  # mpi4py checks it, and nothing is received
    return _room(buffer)


def _room(buffer) -> int:
    """Bytes of data in a buffer argument: an array, or ``[data, count, displacement, datatype]`` and its short forms.

    Raises
    ------
    ValueError
        The count is larger than the data: MPI would read or write beyond their end.
    """
    if not isinstance(buffer, (list, tuple)):
        return MPI.buffer.frombuffer(buffer, True).nbytes if buffer is not None else 0
    data, *rest = buffer
    available = MPI.buffer.frombuffer(data, True).nbytes if data is not None else 0
    datatype = next((item for item in rest if isinstance(item, MPI.Datatype)), None)
    numbers = [n for item in rest for n in (item if isinstance(item, (list, tuple)) else [item]) if isinstance(n, int)]
    size = datatype.Get_size() if datatype is not None else getattr(data, "itemsize", 1)
    extent = datatype.Get_extent()[1] if datatype is not None else size
    if numbers:
        count, displacement = numbers[0], numbers[1] if len(numbers) > 1 else 0
        span = displacement * extent + (datatype.Get_true_extent()[1] + (count - 1) * extent if datatype else count * size)
        if count and span > available:
            raise ValueError(f"message: {count} items need {span} bytes, and the buffer has {available}")
        return count * size
    return (available // extent) * size if extent else available


def put(data: np.ndarray, buffer) -> None:
    """Fill ``buffer`` with what was ``taken`` at the other end.

    Raises
    ------
    mpi4py.MPI.Exception
        ``MPI_ERR_TRUNCATE``: it does not fit.
    """
    if type(buffer) is np.ndarray and buffer.dtype == data.dtype and buffer.flags.c_contiguous:
        if buffer.shape == data.shape:
            buffer[...] = data  # the usual case
            return
        size = data.size
        if size <= buffer.size:
            buffer.reshape(-1)[:size] = data.reshape(-1)
            return
        raise MPI.Exception(MPI.ERR_TRUNCATE)
    if is_plain(buffer):
        if data.nbytes > buffer.nbytes:
            raise MPI.Exception(MPI.ERR_TRUNCATE)
        if data.nbytes:
            buffer.reshape(-1).view(np.uint8)[: data.nbytes] = data.reshape(-1).view(np.uint8)
        return
    with _own_lock:
        comm = _own()
        request = comm.Irecv(buffer, 0)
        comm.Send([data.reshape(-1).view(np.uint8), MPI.BYTE], 0)
        request.Wait()
