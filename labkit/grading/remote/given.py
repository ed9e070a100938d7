"""The judge's side of a call: its arguments, checked one by one, for nothing of a rank is to be trusted."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from labkit.grading.remote.unopened import AnswerOp, Opaque
from labkit.grading.remote.wire import WireError, plain_dtype

OPS = {
    name: getattr(MPI, name)
    for name in ("SUM", "PROD", "MAX", "MIN", "LAND", "BAND", "LOR", "BOR", "LXOR", "BXOR", "MAXLOC", "MINLOC")
}
MAX_INT = 2**62
MAX_OPS = 100_000


class Given:
    """The arguments of one call.

    Attributes
    ----------
    rooms : list of numpy.ndarray
        What the call fills, in the order of the rank's buffers.
    num_bytes : int
        That these take.
    """

    def __init__(self, server, letters: str, args, blocks: list, limit: int):
        self.server, self.blocks, self.limit = server, blocks, limit
        self.rooms: list = []
        self.num_bytes = 0
        if not isinstance(args, list) or len(args) != len(letters):
            raise WireError(f"{letters!r} needs {len(letters)} arguments")
        self.values: list = []
        for letter, arg in zip(letters, args, strict=True):
            self.values.append(getattr(self, f"_{letter}" if letter != "_" else "_nothing")(arg))

    def _block(self, number) -> memoryview:
        if type(number) is not int or not 0 <= number < len(self.blocks):
            raise WireError(f"there is no block {number!r:.40}")
        return self.blocks[number]

    def _nothing(self, arg):
        if arg is not None:
            raise WireError("an argument where none belongs")

    def _n(self, arg) -> int:
        return whole_number(arg)

    def _c(self, arg) -> tuple:
        if arg is None:
            raise WireError("no numbers")
        return tuple(self._s(arg))

    def _s(self, arg):
        if arg is not None and not isinstance(arg, list):
            raise WireError(f"{arg!r:.40} is no list of numbers")
        return None if arg is None else [whole_number(number) for number in arg]

    def _t(self, arg):
        if arg is not None and not (isinstance(arg, list) and all(isinstance(flag, bool) for flag in arg)):
            raise WireError(f"{arg!r:.40} is no list of truth values")
        return arg

    def _d(self, arg):
        return np.frombuffer(self._block(arg), np.uint8)

    def _x(self, arg):
        array = self._d(arg).copy()
        self._keep(array)
        return array

    def _r(self, arg):
        size = whole_number(arg)
        if not 0 <= size <= self.limit:
            raise WireError(f"a receive buffer of {size} bytes: there is room for {self.limit}")
        array = np.empty(size, np.uint8)
        self._keep(array)
        return array

    def _keep(self, array) -> None:
        self.rooms.append(array)
        self.num_bytes += array.nbytes
        if self.num_bytes > self.limit:
            raise WireError(f"buffers of {self.num_bytes} bytes: there is room for {self.limit}")

    def _o(self, arg):
        return Opaque(self._block(arg))

    def _O(self, arg):  # noqa: N802  the letter of calls.py
        if arg is not None and not isinstance(arg, list):
            raise WireError("no list of objects")
        return None if arg is None else [self._o(number) for number in arg]

    def _i(self, arg):
        if arg is None:
            return None
        if arg == "in place":
            return MPI.IN_PLACE
        if not isinstance(arg, dict):
            raise WireError(f"{arg!r:.40} is no buffer")
        dtype = plain_dtype(arg.get("type"))
        if dtype.kind not in "biufc":
            raise TypeError(f"arrays of {dtype} cannot be sent")
        block = self._block(arg.get("array"))
        if len(block) % dtype.itemsize:
            raise WireError(f"{len(block)} bytes are no array of {dtype}")
        array = np.frombuffer(block, dtype).copy()
        self._keep_bytes(array.nbytes)
        counts, displacements = self._s(arg.get("counts")), self._s(arg.get("displacements"))
        self._check_blocks(array.size, counts, displacements)
        return array if counts is None else [array, (counts, displacements)]

    def _keep_bytes(self, number: int) -> None:
        self.num_bytes += number
        if self.num_bytes > self.limit:
            raise WireError(f"buffers of {self.num_bytes} bytes: there is room for {self.limit}")

    @staticmethod
    def _check_blocks(size: int, counts, displacements) -> None:
        if displacements is not None and (counts is None or len(counts) != len(displacements)):
            raise WireError("as many displacements as counts")

    def _w(self, arg):
        if arg == "the same":
            found = self.values[0] if self.values else None
            if found is None or found is MPI.IN_PLACE:
                raise WireError("the same as nothing")
        else:
            found = self._i(arg)
        if found is not None and found is not MPI.IN_PLACE:
            self.rooms.append(found[0] if isinstance(found, list) else found)
        return found

    def _p(self, arg):
        if isinstance(arg, str) and arg in OPS:
            return OPS[arg]
        if not isinstance(arg, list) or len(arg) != 2 or not isinstance(arg[1], bool):
            raise WireError(f"{arg!r:.40} is no operation")
        return AnswerOp.of(self.server, whole_number(arg[0]), arg[1])


def whole_number(value) -> int:
    """An integer that MPI could take; WireError for anything else."""
    if type(value) is not int or not -MAX_INT < value < MAX_INT:
        raise WireError(f"{value!r:.40} is no integer")
    return value
