"""The judge's side of a rank: makes the calls that the rank asks for on the simulated communicator."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.cartesian import SimulatedCartcomm
from labkit.comm.simulated.communicator import SimulatedComm
from labkit.comm.simulated.point_to_point import MatchedMessage
from labkit.comm.simulated.requests import Prequest, Request
from labkit.comm.source_lines import CELL_FILENAME
from labkit.errors import LabkitError, NotAvailableError
from labkit.grading.remote.rank import COLLECTIVES
from labkit.grading.remote.wire import Link, WireError, decode, encode

ANSWER_FILE = f"{CELL_FILENAME}answer>"
REFUSED = (LabkitError, MPI.Exception, TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError)
OPS = {name: getattr(MPI, name) for name in ("SUM", "PROD", "MAX", "MIN", "LAND", "BAND", "LOR", "BOR", "LXOR", "BXOR", "MAXLOC", "MINLOC")}
REQUEST_CALLS = {
    "Wait", "wait", "Test", "test", "Get_status", "Cancel", "Free", "Waitall", "waitall", "Waitany", "waitany", "Waitsome",
    "waitsome", "Testall", "testall", "Testany", "testany", "Testsome", "testsome",
}
RECEIVES = {"Recv", "Irecv", "Recv_init", "Sendrecv"}
WITH_STATUS = {"Recv", "recv", "Sendrecv", "sendrecv", "Probe", "Iprobe", "Mprobe", "Improbe"}
COMM_CALLS = (
    {f"{prefix}{name}" for name in ("Send", "Ssend", "Rsend", "Bsend") for prefix in ("",)}
    | {"Isend", "Issend", "Irsend", "Ibsend", "Send_init", "Ssend_init", "Rsend_init", "Bsend_init"}
    | {"send", "ssend", "bsend", "isend", "issend", "ibsend", "recv", "irecv", "sendrecv", "Probe", "Iprobe", "Mprobe", "Improbe"}
    | {"barrier", "bcast", "gather", "scatter", "allgather", "alltoall"} | RECEIVES
    | {"Dup", "Split", "Split_type", "Create_cart", "Free", "Abort", "Get_coords", "Get_cart_rank", "Shift", "Get_topo", "Get_dim", "Sub"}
    | set(COLLECTIVES) | {"I" + name.lower() for name in COLLECTIVES}
)
MAX_ROOM_BYTES = 1 << 28


class AnswerRaised(Exception):
    """The answer raised an exception: its type, its words, and its traceback as text."""

    def __init__(self, kind: str, words: str, trace: str, line: int | None):
        super().__init__(f"{kind}: {words}")
        self.kind, self.words, self.trace, self.line = kind, words, trace, line


class ForbiddenCall(Exception):
    """The answer made a call that the exercise forbids."""

    def __init__(self, name: str, line: int | None):
        super().__init__(name)
        self.name, self.line = name, line


class Opaque(bytes):
    """A pickled object of the answer, which is passed on unopened."""


class _Inactive:
    """Stands for MPI.REQUEST_NULL in a list of requests."""

    active, kind = False, "null"

    def __init__(self, comm):
        self.comm = comm

    def finish(self, status=None):
        return None


@functools.lru_cache(maxsize=4096)
def _at_line(line: int):
    """Code that makes a call from this line of the answer, so that verdicts and timelines name it."""
    return compile("\n" * (line - 1) + "found = call()", ANSWER_FILE, "exec")


class RankServer:
    """Makes the calls of one rank in one simulation."""

    def __init__(self, link: Link, comm: SimulatedComm, forbidden: frozenset[str]):
        self.link, self.comm, self.forbidden = link, comm, forbidden
        self.things: dict[int, object] = {1: comm}
        self.rooms: dict[int, list] = {}  # request handle -> [(number of the rank's buffer, array)]
        self.line: int | None = None

    def run(self, arguments: list, blocks: list):
        """Let the rank call the answer; return ``{"return": ..., 0: ..., ...}``.

        Raises
        ------
        AnswerRaised, ForbiddenCall, Closed, Late, WireError
        """
        self.link.send(["run", self.comm.rank, self.comm.size, arguments], blocks)
        while True:
            message, got = self.link.receive()
            try:
                kind = message[0]
                if kind == "call":
                    _, handle, method, args, line, charges = message
                elif kind == "result":
                    self._charge(message[2])
                    return decode(message[1], got)
                elif kind == "raised":
                    raise AnswerRaised(str(message[1]), str(message[2])[:4000], str(message[3])[:20000], message[4])
                elif kind == "unconfined":
                    raise NotAvailableError(f"a process could not be confined: {str(message[1])[:500]}. Run labkit doctor.")
                else:
                    raise ValueError(kind)
            except (ValueError, TypeError, IndexError, KeyError) as error:
                raise WireError(f"not a message of a rank: {error}") from None
            self.line = line if isinstance(line, int) and 0 < line < 100_000 else None
            reply, out = self._answer(handle, method, args, charges, got)
            self.link.send(reply, out)

    def _charge(self, charges) -> None:
        for kind, handle, amount, num_bytes in charges:
            comm = self.things[handle]
            if kind == 0:
                comm.charge_reduction(max(0, int(amount)), max(0, int(num_bytes)))
            elif 0 <= amount < 1e9:
                comm.charge_compute(float(amount))

    def _answer(self, handle, method, args, charges, got):
        """The reply to a call: its value, or the error that it raised."""
        out: list = []
        try:
            self._charge(charges)
            value, statuses, filled = self._from_line(lambda: self._make(handle, method, args, got, out))
        except ForbiddenCall:
            raise
        except REFUSED as error:
            if isinstance(error, MPI.Exception):
                text = error.text if isinstance(error, MPIError) else str(error)
                return ["error", "MPIError", error.Get_error_class(), text], []
            return ["error", type(error).__name__, 0, str(error)], []
        return ["ok", value, statuses, filled], out

    def _from_line(self, call: Callable):
        if self.line is None:
            return call()
        names = {"call": call}
        exec(_at_line(self.line), names)
        return names["found"]

    def _make(self, handle, method, args, got, out):
        if method == "requests":
            return self._requests(*args, out)
        if method == "wtime":
            return float(self.comm.me.now), [], []
        thing = self.things[handle]
        self._check_allowed(method)
        statuses = []
        if isinstance(thing, Prequest) and method == "Start":
            if args[0] is not None:
                thing.buffer[:] = np.frombuffer(got[args[0]["data"]], np.uint8)
            thing.Start()
            return None, [], []
        if isinstance(thing, MatchedMessage):
            allowed = {"Recv", "recv", "Irecv", "irecv"}
        else:
            allowed = COMM_CALLS if isinstance(thing, SimulatedComm) else set()
        if method not in allowed:
            raise AttributeError(f"a {type(thing).__name__} has no {method!r}")
        rooms: list = []
        given = [self._argument(arg, got, rooms) for arg in args]
        if method in WITH_STATUS:
            statuses = [MPI.Status()]
            value = getattr(thing, method)(*given, status=statuses[0])
        else:
            value = getattr(thing, method)(*given)
        told = self._value(value, out)
        filled = []
        if isinstance(value, Request):
            self.rooms[told["request"]] = rooms
        else:
            for number, array in rooms:
                part = array
                if method in RECEIVES:
                    part = array[: statuses[0].Get_count(MPI.BYTE)]
                filled.append([number, _block(part, out)])
        return told, [_words(status) for status in statuses], filled

    def _check_allowed(self, method: str) -> None:
        plain = method.lower()
        if plain in self.forbidden or (plain[:1] == "i" and plain[1:] in self.forbidden):
            raise ForbiddenCall(method, self.line)

    def _requests(self, method, handles, out):
        """A wait or test on requests."""
        if method not in REQUEST_CALLS:
            raise AttributeError(f"a request has no {method!r}")
        requests = [self.things[handle] if handle != -1 else _Inactive(self.comm) for handle in handles]
        if not all(isinstance(request, (Request, _Inactive)) for request in requests):
            raise TypeError(f"{method}: these are no requests")
        was_active = [request.active for request in requests]
        statuses = [MPI.Status() for _ in requests]
        word = method.lower()
        if word in ("cancel", "free"):
            value = getattr(requests[0], method)()
        elif word in ("wait", "test", "get_status"):
            value = getattr(requests[0], method)(statuses[0])
        elif word.endswith("any"):
            value = getattr(Request, method)(requests, statuses[0])
        else:
            value = getattr(Request, method)(requests, statuses)
        filled = []
        for handle, request, was in zip(handles, requests, was_active, strict=True):
            if was and not request.active:
                for number, array in self.rooms.get(handle, ()):
                    message = request.message
                    part = array if request.kind == "collective" else array[: message.num_bytes if message is not None else 0]
                    filled.append([number, _block(part, out)])
        return self._value(value, out), [_words(status) for status in statuses], filled

    def _argument(self, arg, got, rooms):
        """An argument of a call."""
        if not isinstance(arg, dict):
            return arg
        if "data" in arg:
            return np.frombuffer(got[arg["data"]], np.uint8).copy()
        if "room" in arg:
            room = np.empty(_checked_size(arg["room"]), np.uint8)
            rooms.append((arg["out"], room))
            return room
        if "array" in arg:
            dtype = np.dtype(arg["type"])
            if dtype.kind not in "biufc":
                raise TypeError(f"arrays of {dtype} cannot be sent")
            array = np.frombuffer(got[arg["array"]], dtype).reshape(arg["shape"]).copy()
            if "out" in arg:
                rooms.append((arg["out"], array))
            return array
        if "parts" in arg:
            return [self._argument(part, got, rooms) for part in arg["parts"]]
        if "pair" in arg:
            return tuple(arg["pair"])
        if "list" in arg:
            return [self._argument(part, got, rooms) for part in arg["list"]]
        if "object" in arg:
            return Opaque(got[arg["object"]])
        if "place" in arg:
            return MPI.IN_PLACE
        if "op" in arg:
            return OPS[arg["op"]]
        if "datatype" in arg:
            datatype = getattr(MPI, str(arg["datatype"]), None)
            if not isinstance(datatype, MPI.Datatype):
                raise TypeError(f"there is no datatype {arg['datatype']!r}")
            return datatype
        raise WireError(f"an argument of an unknown kind: {list(arg)[:3]}")

    def _value(self, value, out):
        """What a call returned, for the rank."""
        if isinstance(value, Opaque):
            out.append(bytes(value))
            return {"object": len(out) - 1}
        if isinstance(value, Request):
            return {"request": self._handle(value)}
        if isinstance(value, MatchedMessage):
            return {"message": self._handle(value)}
        if isinstance(value, SimulatedComm):
            return {"comm": [self._handle(value), value.rank, value.size, isinstance(value, SimulatedCartcomm)]}
        if isinstance(value, MPI.Comm):
            return {"null": 1}
        if isinstance(value, (list, tuple)):
            return {"items": [self._value(item, out) for item in value]}
        return encode(value, out)

    def _handle(self, thing) -> int:
        number = len(self.things) + 1
        self.things[number] = thing
        return number


def _checked_size(size) -> int:
    if not isinstance(size, int) or not 0 <= size <= MAX_ROOM_BYTES:
        raise ValueError(f"a receive buffer of {size} bytes: at most {MAX_ROOM_BYTES} are simulated")
    return size


def _block(array, out) -> int:
    out.append(array.reshape(-1).view(np.uint8) if array.size else b"")
    return len(out) - 1


def _words(status) -> list:
    """What a status says."""
    return [status.source, status.tag, status.Get_count(MPI.BYTE), bool(status.Is_cancelled())]
