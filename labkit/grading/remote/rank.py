"""The rank's side: a communicator whose every call is made by the judge on the simulated network.

This runs in the process of the answer. What it says is believed about the answer's own values only.
"""

from __future__ import annotations

import functools
import sys
from operator import index

import numpy as np
from mpi4py import MPI

import labkit.comm.simulated.buffers as buffers
from labkit import errors
from labkit.comm.mpi_errors import MPIError
from labkit.comm.source_lines import cell_line
from labkit.grading.remote.wire import Link, decode, encode

REFUSALS = {
    kind.__name__: kind
    for kind in (TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError, RuntimeError)
} | {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.LabkitError)}


class Wires:
    """What all communicators and requests of a rank share: the connection, and buffers that wait to be filled."""

    def __init__(self, link: Link):
        self.link = link
        self.waiting: dict[int, object] = {}  # buffers by number
        self.num_buffers = 0
        self.charges: list = []  # reductions and computing since the last call

    def keep(self, buffer) -> int:
        """Remember a buffer that a call, or a wait later on, will fill."""
        self.num_buffers += 1
        self.waiting[self.num_buffers] = buffer
        return self.num_buffers

    def call(self, handle: int, method: str, args: list, blocks: list, statuses=(), *, keeps: bool = False):
        """Make a call; fill buffers and statuses; return its value and the blocks that it refers to."""
        charges, self.charges = self.charges, []
        self.link.send(["call", handle, method, args, cell_line(), charges], blocks)
        reply, got = self.link.receive()
        if reply[0] == "error":
            _, kind, error_class, text = reply
            raise MPIError(error_class, text) if kind == "MPIError" else REFUSALS.get(kind, RuntimeError)(text)
        _, value, found, filled = reply
        for number, block in filled:
            buffer = self.waiting[number] if keeps else self.waiting.pop(number)
            _fill(buffer, np.frombuffer(got[block], np.uint8))
        for status, words in zip(statuses, found, strict=False):
            if status is not None and words is not None:
                status.source, status.tag = words[0], words[1]
                status.Set_elements(MPI.BYTE, words[2])
                status.Set_cancelled(words[3])
        return value, got


def _fill(buffer, data) -> None:
    if isinstance(buffer, np.ndarray):
        if buffer.flags.c_contiguous:
            buffer.reshape(-1).view(np.uint8)[: data.size] = data
        else:
            buffers.put(data, buffer)
    else:
        buffers.put(data, buffer)


class _Arguments:
    """Arguments of a call on their way: JSON, and blocks of bytes."""

    def __init__(self, wires: Wires):
        self.wires, self.blocks, self.kept = wires, [], []

    def block(self, data) -> int:
        self.blocks.append(data)
        return len(self.blocks) - 1

    def data(self, buf):
        """What a send sends."""
        taken = buffers.taken(buf)
        return {"data": self.block(taken.reshape(-1).view(np.uint8) if taken.size else b"")}

    def room(self, buf):
        """Where a receive puts it."""
        size = buffers.room_of(buf)
        number = self.wires.keep(buf)
        self.kept.append(number)
        return {"room": size, "out": number}

    def array(self, buf, *, out: bool):
        """A buffer of a collective, with its type, counts and displacements."""
        if buf is None:
            return None
        if isinstance(buf, type(MPI.IN_PLACE)) and not isinstance(buf, (list, tuple, np.ndarray)):
            return {"place": 1}
        if isinstance(buf, (list, tuple)):
            return {"parts": [self._part(item, out) for item in buf]}
        if not isinstance(buf, np.ndarray):
            buf = np.asarray(buf) if hasattr(buf, "__array__") else np.frombuffer(buf, np.uint8)
        if not buf.flags.c_contiguous:
            raise ValueError("ndarray is not contiguous")
        found = {"array": self.block(buf.reshape(-1).view(np.uint8) if buf.size else b""), "type": buf.dtype.str, "shape": buf.shape}
        if out:
            number = self.wires.keep(buf)
            self.kept.append(number)
            found["out"] = number
        return found

    def _part(self, item, out):
        if item is None or isinstance(item, (int, np.integer)):
            return item if item is None else int(item)
        if isinstance(item, MPI.Datatype):
            return {"datatype": _datatype_name(item)}
        if isinstance(item, str):
            return {"datatype": _datatype_name(MPI.Datatype.fromcode(item))}
        if isinstance(item, (list, tuple)):
            if all(number is None or isinstance(number, (list, tuple, np.ndarray)) for number in item):
                return {"pair": [None if number is None else [int(n) for n in number] for number in item]}
            return [int(number) for number in item]
        if isinstance(item, np.ndarray) and item.dtype.kind in "iu" and self.blocks:  # counts, behind the data
            return [int(number) for number in item]
        return self.array(item, out=out)

    def object(self, value):
        """A pickled object; the judge passes it on unopened."""
        return {"object": self.block(MPI.pickle.dumps(value))}

    def op(self, op):
        for name in ("SUM", "PROD", "MAX", "MIN", "LAND", "BAND", "LOR", "BOR", "LXOR", "BXOR", "MAXLOC", "MINLOC"):
            if op == getattr(MPI, name):
                return {"op": name}
        raise NotImplementedError("operations made by MPI.Op.Create are not known to the judge's collectives; use reduce_local")


def _datatype_name(datatype) -> str:
    if not datatype.is_predefined:
        raise errors.NotAvailableError("derived datatypes in collectives are not simulated: copy to a contiguous buffer.")
    return datatype.Get_name().removeprefix("MPI_")


class RemoteRequest:
    """Stands for a request that the judge holds."""

    def __init__(self, wires: Wires, handle: int, *, buffer=None, sent=None, words="", is_persistent=False):
        self.wires, self.handle, self.buffer, self.is_persistent = wires, handle, buffer, is_persistent
        self.sent, self.words, self.line = sent, words, cell_line()  # sent: what the buffer of a send held

    def _check_unchanged(self) -> None:
        """A buffer that is being sent may not change before the request is complete."""
        if self.sent is None:
            return
        sent, self.sent = self.sent, None
        if not np.array_equal(buffers.taken(self.buffer).reshape(-1).view(np.uint8), sent):
            where = f" of line {self.line}" if self.line else ""
            raise errors.UsageError(
                f"the buffer of {self.words}{where} changed before the request was complete: wait for the send first, or "
                "send from another array."
            )

    def Wait(self, status=None):
        _family("Wait", [self], [status])
        return True

    def wait(self, status=None):
        return _family("wait", [self], [status])

    def Test(self, status=None):
        return _family("Test", [self], [status])

    def test(self, status=None):
        return tuple(_family("test", [self], [status]))

    def Get_status(self, status=None):
        return _family("Get_status", [self], [status])

    def Cancel(self):
        _family("Cancel", [self], ())

    cancel = Cancel

    def Free(self):
        _family("Free", [self], ())

    def Start(self):
        arguments = _Arguments(self.wires)
        content = None
        if self.words.startswith("send"):
            content = arguments.data(self.buffer)
            self.sent = np.array(arguments.blocks[0], np.uint8, copy=True) if len(arguments.blocks[0]) else None
        self.wires.call(self.handle, "Start", [content], arguments.blocks)

    @classmethod
    def Startall(cls, requests):
        for request in requests:
            request.Start()

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__


def _family(method: str, requests, statuses=()):
    """A wait or test on requests, at the judge."""
    live = [request for request in requests if isinstance(request, RemoteRequest)]
    if not live:
        return _of_nothing(method, requests)
    if method.lower().startswith("wait"):
        for request in live:
            request._check_unchanged()
    handles = [request.handle if isinstance(request, RemoteRequest) else -1 for request in requests]
    value, got = live[0].wires.call(0, "requests", [method, handles], [], statuses, keeps=True)
    return _value(live[0].wires, value, got)


def _of_nothing(method: str, requests):
    """What MPI says when no request of a family is active."""
    word = method.lower()
    if word.endswith("any"):
        return {"Waitany": MPI.UNDEFINED, "Testany": [MPI.UNDEFINED, True], "testany": [MPI.UNDEFINED, True, None]}.get(
            method, [MPI.UNDEFINED, None]
        )
    if word.endswith("some"):
        return None if method[0].isupper() else [None, None]
    objects = [None] * len(requests)
    return {"waitall": objects, "testall": [True, objects], "wait": None, "test": [True, None]}.get(method, True)


def _statuses_of(requests, statuses):
    if statuses is None:
        return ()
    statuses += [MPI.Status() for _ in range(len(requests) - len(statuses))]
    return statuses


for _name in ("Waitall", "waitall", "Testall", "testall", "Waitsome", "waitsome", "Testsome", "testsome"):

    def _method(cls, requests, statuses=None, *, _name=_name):
        found = _family(_name, requests, _statuses_of(requests, statuses))
        return tuple(found) if _name in ("testall", "waitsome", "testsome") else found

    setattr(RemoteRequest, _name, classmethod(_method))
for _name in ("Waitany", "waitany", "Testany", "testany"):

    def _method(cls, requests, status=None, *, _name=_name):
        found = _family(_name, requests, [status])
        return found if _name == "Waitany" else tuple(found)

    setattr(RemoteRequest, _name, classmethod(_method))


class RemoteMessage:
    """Stands for a message that ``Mprobe`` has found."""

    def __init__(self, wires: Wires, handle: int):
        self.wires, self.handle = wires, handle

    def Recv(self, buf, status=None):
        arguments = _Arguments(self.wires)
        self.wires.call(self.handle, "Recv", [arguments.room(buf)], arguments.blocks, [status])

    def recv(self, status=None):
        return _value(self.wires, *self.wires.call(self.handle, "recv", [], [], [status]))

    def Irecv(self, buf):
        arguments = _Arguments(self.wires)
        return _value(self.wires, *self.wires.call(self.handle, "Irecv", [arguments.room(buf)], arguments.blocks))

    def irecv(self):
        return _value(self.wires, *self.wires.call(self.handle, "irecv", [], []))


def _value(wires: Wires, value, got):
    """What a call returns."""
    if isinstance(value, dict):
        ((word, content),) = value.items()
        if word == "request":
            return RemoteRequest(wires, content)
        if word == "message":
            return RemoteMessage(wires, content)
        if word == "comm":
            handle, rank, size, is_cart = content
            return (RemoteCart if is_cart else RemoteComm)(wires, handle, rank, size)
        if word == "null":
            return MPI.COMM_NULL
        if word == "object":
            return MPI.pickle.loads(got[content])
        if word == "items":
            return [_value(wires, item, got) for item in content]
    return decode(value, got)


class RemoteComm:
    """Stands for a communicator of the judge's simulation; names and meaning are mpi4py's."""

    def __init__(self, wires: Wires, handle: int, rank: int, size: int):
        self._wires, self._handle, self.rank, self.size = wires, handle, rank, size

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    def _make(self, method, args, blocks=(), statuses=()):
        return _value(self._wires, *self._wires.call(self._handle, method, args, list(blocks), statuses))

    def _plain(self, method, *args):
        return self._make(method, [encode(arg, []) for arg in args])

    # -- point to point -------------------------------------------------------------------------

    def Recv(self, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        arguments = _Arguments(self._wires)
        self._make("Recv", [arguments.room(buf), index(source), index(tag)], arguments.blocks, [status])

    def recv(self, buf=None, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        return self._make("recv", [None, index(source), index(tag)], (), [status])

    def Irecv(self, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG):
        arguments = _Arguments(self._wires)
        return self._make("Irecv", [arguments.room(buf), index(source), index(tag)], arguments.blocks)

    def irecv(self, buf=None, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG):
        return self._make("irecv", [None, index(source), index(tag)])

    def Recv_init(self, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG):
        arguments = _Arguments(self._wires)
        request = self._make("Recv_init", [arguments.room(buf), index(source), index(tag)], arguments.blocks)
        request.buffer, request.is_persistent, request.words = buf, True, "recv"
        return request

    def Sendrecv(
        self, sendbuf, dest, sendtag=0, recvbuf=None, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG, status=None
    ):
        arguments = _Arguments(self._wires)
        data = arguments.data(sendbuf)
        args = [data, index(dest), index(sendtag), arguments.room(recvbuf), index(source), index(recvtag)]
        self._make("Sendrecv", args, arguments.blocks, [status])

    def Sendrecv_replace(self, buf, dest, sendtag=0, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG, status=None):
        self.Sendrecv(buf, dest, sendtag, buf, source, recvtag, status)

    def sendrecv(
        self, sendobj, dest, sendtag=0, recvbuf=None, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG, status=None
    ):
        arguments = _Arguments(self._wires)
        args = [arguments.object(sendobj), index(dest), index(sendtag), None, index(source), index(recvtag)]
        return self._make("sendrecv", args, arguments.blocks, [status])

    def Probe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        return self._make("Probe", [index(source), index(tag)], (), [status])

    def Iprobe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        return self._make("Iprobe", [index(source), index(tag)], (), [status])

    def Mprobe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        return self._make("Mprobe", [index(source), index(tag)], (), [status])

    def Improbe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        return self._make("Improbe", [index(source), index(tag)], (), [status])

    probe, iprobe, mprobe, improbe = Probe, Iprobe, Mprobe, Improbe

    # -- objects --------------------------------------------------------------------------------

    def barrier(self):
        self._make("barrier", [])

    def bcast(self, obj, root=0):
        return self._with_object("bcast", obj if self.rank == root else None, root)

    def gather(self, sendobj, root=0):
        return self._with_object("gather", sendobj, root)

    def allgather(self, sendobj):
        return self._with_object("allgather", sendobj)

    def scatter(self, sendobj, root=0):
        return self._with_objects("scatter", sendobj if self.rank == root else None, root)

    def alltoall(self, sendobj):
        return self._with_objects("alltoall", sendobj)

    def reduce(self, sendobj, op=MPI.SUM, root=0):
        found = self.gather(sendobj, root)
        return functools.reduce(op, found) if found is not None else None

    def allreduce(self, sendobj, op=MPI.SUM):
        return functools.reduce(op, self._with_object("allgather", sendobj))

    def scan(self, sendobj, op=MPI.SUM):
        return functools.reduce(op, self._with_object("allgather", sendobj)[: self.rank + 1])

    def exscan(self, sendobj, op=MPI.SUM):
        before = self._with_object("allgather", sendobj)[: self.rank]
        return functools.reduce(op, before) if before else None

    def _with_object(self, method, obj, *root):
        arguments = _Arguments(self._wires)
        return self._make(method, [arguments.object(obj), *map(index, root)], arguments.blocks)

    def _with_objects(self, method, objects, *root):
        arguments = _Arguments(self._wires)
        items = None if objects is None else {"list": [arguments.object(item) for item in objects]}
        return self._make(method, [items, *map(index, root)], arguments.blocks)

    # -- making communicators, and the rest -----------------------------------------------------

    def Dup(self, info=None):
        return self._make("Dup", [])

    Clone = Dup

    def Split(self, color=0, key=0):
        return self._make("Split", [index(color), index(key)])

    def Split_type(self, split_type, key=0, info=None):
        return self._make("Split_type", [index(split_type), index(key)])

    def Create_cart(self, dims, periods=None, reorder=False):
        periods = None if periods is None else [bool(p) for p in np.atleast_1d(periods)]
        return self._make("Create_cart", [[int(d) for d in np.atleast_1d(dims)], periods])

    def Free(self):
        self._make("Free", [])

    free = Free

    def Abort(self, errorcode=0):
        self._make("Abort", [int(errorcode)])

    def Is_inter(self):
        return False

    def Set_errhandler(self, errhandler):
        """Nothing: errors are raised."""

    def charge_reduction(self, num_elements: int, num_bytes: int) -> None:
        """Counted with the next call."""
        self._wires.charges.append([0, self._handle, int(num_elements), int(num_bytes)])

    def charge_compute(self, seconds: float) -> None:
        """Virtual time that passes before the next call."""
        self._wires.charges.append([1, self._handle, float(seconds), 0])

    def __getattr__(self, name):
        if name.startswith("_") or not hasattr(MPI.Intracomm, name):
            raise AttributeError(f"a communicator has no {name!r}")
        raise errors.NotAvailableError(f"{name} is not simulated: use the calls of labkit.comm.protocol.")


class RemoteCart(RemoteComm):
    """Stands for ranks on a grid."""

    def Get_coords(self, rank):
        return self._plain("Get_coords", index(rank))

    def Get_cart_rank(self, coords):
        return self._plain("Get_cart_rank", [int(c) for c in coords])

    def Shift(self, direction, disp):
        return tuple(self._plain("Shift", index(direction), index(disp)))

    def Get_topo(self):
        return tuple(self._plain("Get_topo"))

    def Get_dim(self):
        return self._plain("Get_dim")

    def Sub(self, remain_dims):
        return self._plain("Sub", [bool(keep) for keep in remain_dims])

    coords = property(lambda self: self.Get_coords(self.rank))
    dims = property(lambda self: self.Get_topo()[0])
    periods = property(lambda self: self.Get_topo()[1])
    topo = property(Get_topo)
    dim = ndim = property(Get_dim)


def _sends(name: str, *, starts: bool, prepares: bool = False):
    def method(self, buf, dest, tag=0):
        arguments = _Arguments(self._wires)
        data = arguments.data(buf)
        found = self._make(name, [data, index(dest), index(tag)], arguments.blocks)
        if starts:
            found.buffer, found.words = buf, f"{name}(dest={dest}, tag={tag})"
            found.sent = np.array(np.frombuffer(arguments.blocks[0], np.uint8))
        elif prepares:
            found.buffer, found.words, found.is_persistent = buf, "send", True
        return found

    return method


def _sends_object(name: str):
    def method(self, obj, dest, tag=0):
        arguments = _Arguments(self._wires)
        return self._make(name, [arguments.object(obj), index(dest), index(tag)], arguments.blocks)

    return method


for _name in ("Send", "Ssend", "Rsend", "Bsend"):
    setattr(RemoteComm, _name, _sends(_name, starts=False))
    setattr(RemoteComm, "I" + _name.lower(), _sends("I" + _name.lower(), starts=True))
    setattr(RemoteComm, _name + "_init", _sends(_name + "_init", starts=False, prepares=True))
for _name in ("send", "ssend", "bsend", "isend", "issend", "ibsend"):
    setattr(RemoteComm, _name, _sends_object(_name))

# Buffer collectives: how each argument travels. i: read, o: written too, k: a number, n: counts, p: an operation.
COLLECTIVES = {
    "Barrier": "", "Bcast": "ok", "Scatter": "iok", "Scatterv": "iok", "Gather": "iok", "Gatherv": "iok", "Allgather": "io",
    "Allgatherv": "io", "Alltoall": "io", "Alltoallv": "io", "Reduce": "iopk", "Allreduce": "iop", "Reduce_scatter": "ionp",
    "Reduce_scatter_block": "iop", "Scan": "iop", "Exscan": "iop",
}
NAMES = {"i": "sendbuf", "o": "recvbuf", "k": "root", "n": "recvcounts", "p": "op"}
DEFAULTS = {"k": 0, "n": None, "p": MPI.SUM}


def _collective(name: str, letters: str):
    words = ["buf" if name.lower().endswith("bcast") and letter == "o" else NAMES[letter] for letter in letters]

    def method(self, *args, **kwargs):
        given = dict(zip(words, args, strict=False)) | kwargs
        if len(args) > len(words) or set(given) - set(words):
            raise TypeError(f"{name}() takes {', '.join(words) or 'no arguments'}")
        arguments = _Arguments(self._wires)
        travelling = []
        for letter, word in zip(letters, words, strict=True):
            if word not in given and letter not in DEFAULTS:
                raise TypeError(f"{name}() is called without {word}")
            value = given.get(word, DEFAULTS.get(letter))
            if letter in "io":
                travelling.append(arguments.array(value, out=letter == "o"))
            elif letter == "p":
                travelling.append(arguments.op(value))
            else:
                travelling.append(None if value is None else index(value) if letter == "k" else [int(n) for n in value])
        return self._make(name, travelling, arguments.blocks)

    method.__name__ = name
    return method


for _name, _letters in COLLECTIVES.items():
    setattr(RemoteComm, _name, _collective(_name, _letters))
    setattr(RemoteComm, "I" + _name.lower(), _collective("I" + _name.lower(), _letters))


def stand_in_names(comm: RemoteComm) -> None:
    """In this process, names of mpi4py's module mean the remote forms."""
    MPI.COMM_WORLD = comm
    MPI.Request = MPI.Prequest = RemoteRequest
    MPI.Wtime = lambda: comm._plain("wtime")
    sys.modules["mpi4py.MPI"] = MPI
