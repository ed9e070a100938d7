"""The rank's side: a communicator whose every call is made by the judge on the simulated network.

This runs in the process of the answer. What it says is believed about the answer's own values only.
"""

from __future__ import annotations

import inspect
import math
import sys
from operator import index

from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.cartesian import SimulatedCartcomm
from labkit.comm.simulated.communicator import _FREED, COMM_SELF, NotSimulatedError, SimulatedComm
from labkit.comm.simulated.names import _NoWindows
from labkit.comm.simulated.operations import Op
from labkit.errors import UsageError
from labkit.grading.remote.arguments import Arguments, Wires
from labkit.grading.remote.calls import COLLECTIVES, NONBLOCKING, OBJECT_COLLECTIVES, SELF, WORLD
from labkit.grading.remote.requests import RemotePrequest, RemoteRequest, returned

ANY_SOURCE, ANY_TAG, PROC_NULL = MPI.ANY_SOURCE, MPI.ANY_TAG, MPI.PROC_NULL


class RemoteComm:
    """Stands for a communicator of the judge's simulation; names and meaning are mpi4py's."""

    def __init__(self, wires: Wires, handle: int, rank: int, size: int, where: str = "", context: str = "comm"):
        self._wires, self._handle, self._freed = wires, handle, False
        self.rank, self.size, self.where, self.context = rank, size, where, context

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    def Get_name(self):
        return self.context

    name = property(Get_name)

    def Is_inter(self):
        return False

    def Is_intra(self):
        return True

    is_inter, is_intra = property(Is_inter), property(Is_intra)

    def Get_topology(self):
        return MPI.UNDEFINED

    def Get_attr(self, keyval):
        return COMM_SELF.Get_attr(keyval)

    def Set_errhandler(self, errhandler):
        """Nothing: errors are raised."""

    def __repr__(self):
        return f"<{self.where.removeprefix(' on ') or 'comm'}: simulated rank {self.rank} of {self.size}>"

    def _make(self, method, args, arguments: Arguments | None = None, statuses=()):
        blocks, rooms = (arguments.blocks, arguments.rooms) if arguments is not None else ((), ())
        value, got, _ = self._wires.call(self._handle, method, args, blocks, [rooms], statuses)
        if value is None:
            return None
        if isinstance(value, dict):
            if "comm" in value:
                return _comm_of(self._wires, *value["comm"])
            if "null" in value:
                return MPI.COMM_NULL
        return returned(self._wires, value, got, rooms)

    # -- point to point -------------------------------------------------------------------------

    def Recv(self, buf, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        arguments = Arguments(self._wires)
        self._make("Recv", [arguments.room(buf, source), index(source), index(tag)], arguments, [status])

    def recv(self, buf=None, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        return self._make("recv", [None, index(source), index(tag)], None, [status])

    def Irecv(self, buf, source=ANY_SOURCE, tag=ANY_TAG):
        arguments = Arguments(self._wires)
        return self._make("Irecv", [arguments.room(buf, source), index(source), index(tag)], arguments)

    def irecv(self, buf=None, source=ANY_SOURCE, tag=ANY_TAG):
        return self._make("irecv", [None, index(source), index(tag)])

    def Recv_init(self, buf, source=ANY_SOURCE, tag=ANY_TAG):
        arguments = Arguments(self._wires)
        return self._make("Recv_init", [arguments.room(buf, source), index(source), index(tag)], arguments)

    def Sendrecv(self, sendbuf, dest, sendtag=0, recvbuf=None, source=ANY_SOURCE, recvtag=ANY_TAG, status=None):
        arguments = Arguments(self._wires)
        room = arguments.room(recvbuf, source)
        args = [arguments.data(_sent(sendbuf, dest)), index(dest), index(sendtag), room, index(source), index(recvtag)]
        self._make("Sendrecv", args, arguments, [status])

    def Sendrecv_replace(self, buf, dest, sendtag=0, source=ANY_SOURCE, recvtag=ANY_TAG, status=None):
        arguments = Arguments(self._wires)
        peer = PROC_NULL if dest == source == PROC_NULL else None
        arguments.room(buf, peer)
        args = [arguments.data(_sent(buf, peer)), index(dest), index(sendtag), index(source), index(recvtag)]
        self._make("Sendrecv_replace", args, arguments, [status])

    def sendrecv(self, sendobj, dest, sendtag=0, recvbuf=None, source=ANY_SOURCE, recvtag=ANY_TAG, status=None):
        arguments = Arguments(self._wires)
        args = [arguments.object(sendobj), index(dest), index(sendtag), None, index(source), index(recvtag)]
        return self._make("sendrecv", args, arguments, [status])

    # -- making communicators, and the rest -----------------------------------------------------

    def Dup(self, info=None):
        return self._make("Dup", [])

    Clone = Dup

    def Split(self, color=0, key=0):
        return self._make("Split", [index(color), index(key)])

    def Split_type(self, split_type, key=0, info=None):
        return self._make("Split_type", [index(split_type), index(key)])

    def Create_cart(self, dims, periods=None, reorder=False):
        dims = [int(extent) for extent in dims]
        if periods is not None:
            periods = [periods] * len(dims) if isinstance(periods, (bool, int)) else periods
            periods = [bool(wraps) for wraps in periods]
        return self._make("Create_cart", [dims, periods])

    def Free(self):
        self._make("Free", [])
        self.__class__ = FreedComm

    free = Free

    def Abort(self, errorcode=0):
        self._make("Abort", [index(errorcode)])

    def charge_reduction(self, num_elements: int, num_bytes: int) -> None:
        """Counted with the next call."""
        self._wires.charges.append([0, self._handle, int(num_elements), int(num_bytes)])

    def charge_compute(self, seconds: float) -> None:
        """Virtual time that passes before the next call."""
        if not 0 <= seconds < math.inf:
            raise UsageError(f"a rank cannot compute for {seconds} s; pass a number from 0 on.")
        self._wires.charges.append([1, self._handle, float(seconds), 0])

    def __getattr__(self, name):
        if name.startswith("_") or not hasattr(MPI.Intracomm, name):
            raise AttributeError(f"a communicator has no {name!r}")
        raise NotSimulatedError(
            f"{name} is not simulated: run this on real ranks, or use the calls of labkit.comm.protocol."
        )


class RemoteCart(RemoteComm):
    """Stands for ranks on a grid; what follows from its extents is computed here."""

    def __init__(self, wires, handle, rank, size, where, context, extents, wraps):
        super().__init__(wires, handle, rank, size, where, context)
        self.extents, self.wraps = tuple(extents), tuple(wraps)

    def Sub(self, remain_dims):
        return self._make("Sub", [[bool(keep) for keep in remain_dims]])


for _name in (
    "dims", "periods", "coords", "Get_topology", "Get_dim", "ndim", "dim", "Get_topo", "topo", "Get_coords",
    "Get_cart_rank", "Shift", "_neighbor",
):
    setattr(RemoteCart, _name, vars(SimulatedCartcomm)[_name])


class FreedComm(RemoteComm):
    """What a communicator is after ``Free``."""

    def __getattribute__(self, name):
        if name in _FREED:
            rank, where = (object.__getattribute__(self, word) for word in ("rank", "where"))
            raise MPIError(MPI.ERR_COMM, f"rank {rank}: {name}{where}: this communicator has been freed")
        return super().__getattribute__(name)

    def __eq__(self, other):
        return self is other or other == MPI.COMM_NULL

    __hash__ = object.__hash__


def _comm_of(wires, handle, rank, size, where, context, extents, wraps):
    if extents is None:
        return RemoteComm(wires, handle, rank, size, where, context)
    return RemoteCart(wires, handle, rank, size, where, context, extents, wraps)


def _sent(buf, dest):
    """The buffer of a send: of one to MPI.PROC_NULL, MPI does not look at it."""
    return b"" if dest == PROC_NULL else buf


def _sends(name: str):
    is_persistent, is_started = name.endswith("_init"), name.startswith("I")

    def method(self, buf, dest, tag=0):
        buf = _sent(buf, dest)
        arguments = Arguments(self._wires)
        found = self._make(name, [arguments.data(buf), index(dest), index(tag)], arguments)
        if is_started:
            found.note_sent(f"{name}(dest={dest}, tag={tag})", buf, arguments.blocks[0])
        elif is_persistent:
            found.words, found.buffer = f"{name}(dest={dest}, tag={tag})", buf
        return found

    return method


def _sends_object(name: str):
    def method(self, obj, dest, tag=0):
        arguments = Arguments(self._wires)
        return self._make(name, [arguments.object(obj), index(dest), index(tag)], arguments)

    return method


def _probes(name: str):
    def method(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        return self._make(name, [index(source), index(tag)], None, [status])

    return method


def _collective(name: str, letters: str):
    """A collective whose parameters are those of the simulated one, each of which travels by its letter."""
    parameters = list(inspect.signature(getattr(SimulatedComm, name)).parameters.values())[1:]
    words = [parameter.name for parameter in parameters]
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}

    def method(self, *args, **kwargs):
        given = defaults | dict(zip(words, args, strict=False)) | kwargs
        if len(args) > len(words) or len(given) != len(words) or given.keys() - set(words):
            raise TypeError(f"{name}() takes {', '.join(words) or 'no arguments'}")
        arguments, travelling = Arguments(self._wires), []
        for word, letter in zip(words, letters, strict=True):
            travelling.append(_travelling(self, name, letter, given[word], arguments, travelling, given))
        return self._make(name, travelling, arguments)

    method.__name__ = name
    return method


def _travelling(comm, name, letter, value, arguments, before, given):
    if letter in "iw":
        return arguments.array(value, written=letter == "w", beside=before[0] if before else None)
    if letter == "p":
        return arguments.op(value, of_objects=name.islower())
    if letter == "s":
        return None if value is None else [int(number) for number in value]
    if letter == "n":
        return index(value)
    if name in ("bcast", "scatter") and comm.rank != given["root"]:  # only the root's counts
        return arguments.object(None) if letter == "o" else None
    if letter == "O":
        return None if value is None else [arguments.object(item) for item in value]
    return arguments.object(value)


for _word in ("send", "ssend", "rsend", "bsend"):
    for _name in (_word.capitalize(), f"I{_word}", f"{_word.capitalize()}_init"):
        setattr(RemoteComm, _name, _sends(_name))
for _name in ("send", "ssend", "bsend", "isend", "issend", "ibsend"):
    setattr(RemoteComm, _name, _sends_object(_name))
for _name in ("Probe", "Iprobe", "Mprobe", "Improbe", "probe", "iprobe", "mprobe", "improbe"):
    setattr(RemoteComm, _name, _probes(_name))
for _name, _letters in (COLLECTIVES | NONBLOCKING | OBJECT_COLLECTIVES).items():
    setattr(RemoteComm, _name, _collective(_name, _letters))


def world_of(wires: Wires, rank: int, size: int) -> RemoteComm:
    """The communicator of all ranks. In this process, names of mpi4py's module mean the remote forms from now on."""
    comm = RemoteComm(wires, WORLD, rank, size)
    MPI.COMM_WORLD = comm
    MPI.COMM_SELF = RemoteComm(wires, SELF, 0, 1, f" on COMM_SELF of ranks {rank}", f"comm/COMM_SELF#{rank}")
    MPI.Request, MPI.Prequest, MPI.Op, MPI.Win = RemoteRequest, RemotePrequest, Op, _NoWindows
    MPI.Wtime = lambda: wires.call(WORLD, "wtime")[0]
    sys.modules["mpi4py.MPI"] = MPI
    return comm
