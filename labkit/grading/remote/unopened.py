"""Objects and operations of an answer, in the simulation of the judge: never opened, never executed there."""

from __future__ import annotations

import numpy as np

from labkit.comm.simulated.operations import Op

PROTOCOL_BYTES, FRAME_BYTES, STOP_BYTES = 2, 9, 1
FRAME = 0x95


class Opaque(bytes):
    """A pickled object of the answer, which is passed on as it is."""


class Unopened:
    """Stands for ``MPI.pickle`` in a simulation: objects travel by reference, and count as their pickles do."""

    def __init__(self):
        self._travelling: dict[int, tuple] = {}

    def dumps(self, value) -> bytes:
        """Bytes as large as the pickle of ``value``: an Opaque, or a list of them inside a collective."""
        data = bytes(bytearray(value) if isinstance(value, Opaque) else _pickle_size(value))  # an object of its own
        self._travelling[id(data)] = data, value
        return data

    def loads(self, data: bytes):
        """What :meth:`dumps` was called with."""
        return self._travelling.pop(id(data))[1]


def _pickle_size(items: list) -> int:
    """Bytes of the pickle of a list, from the pickles of its items: without their beginnings and ends.

    Exact unless items share objects (such as texts of one letter), which a pickle would contain once.
    """
    bodies = 0
    for item in items:
        framed = len(item) > PROTOCOL_BYTES and item[PROTOCOL_BYTES] == FRAME
        bodies += len(item) - PROTOCOL_BYTES - framed * FRAME_BYTES - STOP_BYTES
    marks = {0: 0, 1: 1}.get(len(items), 2)  # one item is appended, more stand between two marks
    content = 2 + bodies + marks + STOP_BYTES
    return PROTOCOL_BYTES + (FRAME_BYTES if content >= 4 else 0) + content


class AnswerOp(Op):
    """An operation of the answer: its process combines two values when the judge asks for it."""

    @classmethod
    def of(cls, server, number: int, commute: bool) -> AnswerOp:
        """The operation that the rank of ``server`` knows by this number."""
        op = cls()
        op.server, op.number, op.commute = server, number, commute
        return op

    def Reduce_local(self, inbuf, inoutbuf):
        blocks = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (inbuf, inoutbuf)]
        found = np.frombuffer(self.server.combined(self.number, inoutbuf.dtype.str, blocks), np.uint8)
        inoutbuf[...] = found.view(inoutbuf.dtype).reshape(inoutbuf.shape)

    def __call__(self, x, y):
        return Opaque(self.server.combined(self.number, None, [bytes(x), bytes(y)]))
