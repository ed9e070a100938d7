"""The rank's side of a call: its arguments on their way, and what comes back."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

import labkit.comm.simulated.buffers as buffers
from labkit import errors
from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.collectives import as_blocks
from labkit.comm.simulated.operations import Op
from labkit.comm.source_lines import cell_line
from labkit.grading.remote.raised import raised
from labkit.grading.remote.wire import Link

REFUSALS = {
    kind.__name__: kind
    for kind in (
        TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError, RuntimeError, OverflowError,
        BufferError,
    )
} | {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.LabkitError)
}
PREDEFINED = {
    getattr(MPI, name).handle: name
    for name in ("SUM", "PROD", "MAX", "MIN", "LAND", "BAND", "LOR", "BOR", "LXOR", "BXOR", "MAXLOC", "MINLOC")
}
IN_PLACE = type(MPI.IN_PLACE)


class Wires:
    """What all communicators and requests of a rank share."""

    def __init__(self, link: Link):
        self.link = link
        self.charges: list = []  # reductions and computing since the last call
        self.ops: list = []  # operations of the answer, by number
        self.failure: BaseException | None = None  # that one of them has raised

    def call(self, handle: int, method: str, args=(), blocks=(), rooms=((),), statuses=()):
        """Make a call; fill buffers and statuses; return its value, its blocks, and which requests have ended.

        Parameters
        ----------
        rooms : sequence of sequence
            Buffers that this call may fill: those of each request, in a wait.
        statuses : list of mpi4py.MPI.Status or None
        """
        charges, self.charges = self.charges, []
        self.link.send(["call", handle, method, args, cell_line(), charges], blocks)
        reply, got = self.link.receive()
        while reply[0] == "combine":
            self.combine(reply, got)
            reply, got = self.link.receive()
        word, value, found, filled, ended = reply
        for index, number, block in filled:
            if len(got[block]):  # from MPI.PROC_NULL comes nothing, and the buffer may be none
                buffers.put(np.frombuffer(got[block], np.uint8), rooms[index][number])
        for status, words in zip(statuses, found, strict=False):
            if status is not None and words is not None:
                status.source, status.tag = words[0], words[1]
                status.Set_elements(MPI.BYTE, words[2])
                status.Set_cancelled(words[3])
        if word == "error":
            error = self._error(*value)
            error.ended = ended
            raise error
        return value, got, ended

    def _error(self, kind, error_class, text) -> BaseException:
        if kind == "raised":
            failure, self.failure = self.failure, None
            return failure
        return MPIError(error_class, text) if kind == "MPIError" else REFUSALS.get(kind, RuntimeError)(text)

    def combine(self, order, got) -> None:
        """The judge asks for two values combined by an operation of the answer."""
        _, number, code = order
        op, (left, right) = self.ops[number], got
        try:
            if code is None:
                blocks = [MPI.pickle.dumps(op(MPI.pickle.loads(left), MPI.pickle.loads(right)))]
            else:
                result = np.frombuffer(right, code).copy()
                op.Reduce_local(np.frombuffer(left, code).copy(), result)
                blocks = [result.view(np.uint8)]
        except BaseException as error:
            self.failure = error
            self.link.send(["failed", *raised(error)])
            return
        self.link.send(["combined"], blocks)


class Arguments:
    """Arguments of a call: JSON, blocks of bytes, and the buffers that it fills."""

    def __init__(self, wires: Wires):
        self.wires, self.blocks, self.rooms = wires, [], []

    def block(self, data) -> int:
        self.blocks.append(data)
        return len(self.blocks) - 1

    def data(self, buf) -> int:
        """What a send sends."""
        taken = buf if buffers.is_plain(buf) else buffers.taken(buf)
        return self.block(taken.reshape(-1).view(np.uint8) if taken.size else b"")

    def room(self, buf, source=None) -> int:
        """Where a receive puts it; from MPI.PROC_NULL it is not looked at."""
        size = buffers.room_of(buf, source)
        self.rooms.append(buf)
        return size

    def object(self, value) -> int:
        """A pickled object; the judge passes it on unopened."""
        return self.block(MPI.pickle.dumps(value))

    def array(self, buf, *, written: bool, beside=None):
        """A buffer of a collective; ``beside`` is what has been made of the other one."""
        if buf is None:
            return None
        if isinstance(buf, IN_PLACE) and not isinstance(buf, (list, tuple, np.ndarray)):
            return "in place"
        flat, counts, displacements = as_blocks(buf)
        if written:
            self.rooms.append(flat)
        address = flat.__array_interface__["data"][0] if flat.size else None
        if isinstance(beside, dict) and address is not None and beside["at"] == [address, flat.nbytes]:
            return "the same"
        return {
            "array": self.block(flat.view(np.uint8) if flat.size else b""), "type": flat.dtype.str, "counts": counts,
            "displacements": displacements, "at": [address, flat.nbytes],
        }

    def op(self, op, *, of_objects: bool = False):
        """A predefined operation by its name; others stay here, by number, and the judge asks for them."""
        is_own = isinstance(op, Op) and getattr(op, "function", None) is not None
        if not of_objects and not is_own:
            if op.handle not in PREDEFINED:
                raise MPIError(
                    MPI.ERR_OP, f"{op!r} is no operation: pass one such as MPI.SUM, or make one with MPI.Op.Create"
                )
            return PREDEFINED[op.handle]
        ops = self.wires.ops
        number = next((number for number, known in enumerate(ops) if known is op), len(ops))
        if number == len(ops):
            ops.append(op)
        return [number, bool(op.Is_commutative()) if is_own else False]
