"""Receives of collective algorithms: a message must have exactly the size of its room.

MPI lets a message be shorter than its receive buffer. In a collective that means that ranks disagree
about the size of the data, and the result would be wrong without a word. ``receive`` is ``comm.Recv``,
``exchange`` is ``comm.Sendrecv``, ``wait_received`` is ``Waitall``, and all of them look at the status.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError


def receive(comm, room: np.ndarray, source: int, tag: int) -> None:
    """``comm.Recv(room, source, tag)`` of a message that fills the room.

    Raises
    ------
    MPIError
        The message is shorter (MPI_ERR_COUNT) or longer (MPI_ERR_TRUNCATE) than its room.
    """
    status = MPI.Status()
    try:
        comm.Recv(room, source, tag, status)
    except MPI.Exception as error:
        _explain(comm, room, source, error)
        raise
    if status.Get_count(MPI.BYTE) != room.nbytes:
        raise _too_short(comm, room, status)


def exchange(comm, data: np.ndarray, dest: int, room: np.ndarray, source: int, tag: int) -> None:
    """``comm.Sendrecv(data, dest, tag, room, source, tag)``, with the same check as :func:`receive`."""
    status = MPI.Status()
    try:
        comm.Sendrecv(data, dest, tag, room, source, tag, status)
    except MPI.Exception as error:
        _explain(comm, room, source, error)
        raise
    if status.Get_count(MPI.BYTE) != room.nbytes and source != MPI.PROC_NULL:
        raise _too_short(comm, room, status)


def wait_received(comm, receives: Sequence, rooms: Sequence[np.ndarray]) -> None:
    """``Waitall`` for receives that were started with ``comm.Irecv``, with the same check as :func:`receive`."""
    if not receives:
        return
    statuses = [MPI.Status() for _ in receives]
    try:
        type(receives[0]).Waitall(receives, statuses)
    except MPI.Exception as error:
        if not isinstance(error, MPIError):  # simulated requests have said all there is to say
            _explain(comm, max(rooms, key=len), None, error)
        raise
    for room, status in zip(rooms, statuses, strict=True):
        if status.Get_count(MPI.BYTE) != room.nbytes:
            raise _too_short(comm, room, status)


def _explain(comm, room, source, error) -> None:
    """Raise a truncation again, with names and numbers in it."""
    if error.Get_error_class() in (MPI.ERR_TRUNCATE, MPI.ERR_IN_STATUS):
        whose = "a message" if source is None else f"the message from rank {source}"
        raise MPIError(
            MPI.ERR_TRUNCATE,
            f"rank {comm.rank} of {comm.size}: {_algorithm()}: {whose} is longer than the {room.nbytes} bytes expected "
            f"({room.size} x {room.dtype}): all ranks pass sizes, counts and types that agree",
        ) from error


def _too_short(comm, room, status) -> MPIError:
    return MPIError(
        MPI.ERR_COUNT,
        f"rank {comm.rank} of {comm.size}: {_algorithm()}: the message from rank {status.Get_source()} has "
        f"{status.Get_count(MPI.BYTE)} bytes, but {room.nbytes} were expected ({room.size} x {room.dtype}): "
        "all ranks pass sizes, counts and types that agree",
    )


def _algorithm() -> str:
    """The collective that was called: the outermost function of this package. Looked up for errors only."""
    frame, name = sys._getframe(1), ""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
            name = frame.f_code.co_name
        frame = frame.f_back
    return name
