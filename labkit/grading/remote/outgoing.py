"""What the judge tells a rank: values, statuses, buffers."""

from __future__ import annotations

import functools

import numpy as np
from mpi4py import MPI

from labkit.comm.simulated.cartesian import SimulatedCartcomm
from labkit.comm.simulated.communicator import SimulatedComm
from labkit.comm.simulated.point_to_point import MatchedMessage
from labkit.comm.simulated.requests import Prequest, Request
from labkit.grading.remote.unopened import Opaque
from labkit.grading.remote.wire import encode

UNTOUCHED = -32_001  # a tag that no message has


def told(value, out: list, keep):
    """What a call returned, as JSON; bytes are appended to ``out``; ``keep(thing)`` gives the handle of what stays here."""
    if isinstance(value, Opaque):
        out.append(bytes(value))
        return {"object": len(out) - 1}
    if isinstance(value, Prequest):
        return {"persistent": keep(value)}
    if isinstance(value, Request):
        return {"request": keep(value)}
    if isinstance(value, MatchedMessage):
        return {"message": keep(value)}
    if isinstance(value, SimulatedComm):
        grid = [value.extents, value.wraps] if isinstance(value, SimulatedCartcomm) else [None, None]
        return {"comm": [keep(value), value.rank, value.size, value.where, value.context, *grid]}
    if isinstance(value, MPI.Comm):
        return {"null": 1}
    if isinstance(value, (list, tuple)):
        return {"items": [told(item, out, keep) for item in value]}
    return encode(value, out)


def block_of(array: np.ndarray, out: list) -> int:
    """The bytes of an array as a block."""
    out.append(array.reshape(-1).view(np.uint8) if array.size else b"")
    return len(out) - 1


def fresh_statuses(number: int) -> list:
    """Statuses that know whether they have been filled."""
    statuses = [MPI.Status() for _ in range(number)]
    for status in statuses:
        status.tag = UNTOUCHED
    return statuses


def words_of(status) -> list | None:
    """What a status says; None if it has not been filled."""
    if status.tag == UNTOUCHED:
        return None
    return [status.source, status.tag, status.Get_count(MPI.BYTE), bool(status.Is_cancelled())]


@functools.lru_cache(maxsize=4096)
def cell_of(file: str, line: int):
    """Code that makes a call from this line of the answer, so that verdicts and timelines name it."""
    return compile("\n" * (line - 1) + "found = call()", file, "exec")
