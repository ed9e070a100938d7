"""Collective calls: each blocking call is the nonblocking one and an interruptible wait; persistent ones too.

The pickled (lower-case) collectives are written out here on the buffer ones: first the sizes, then
the bytes. Every call is noted in the monitor's log, so that ranks which called different
collectives can be told apart even when nobody got stuck.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from labkit.comm.interruptible.requests import Pending, message_bytes, track
from labkit.comm.mpi_errors import MPIError
from labkit.errors import UsageError

_Comm, _Intracomm, _Topocomm = MPI.Comm, MPI.Intracomm, MPI.Topocomm
_dumps, _loads = MPI.pickle.dumps, MPI.pickle.loads
SIZE = np.int64  # of the length of a pickled object

# Position of the root among the arguments of the rooted collectives.
ROOT_POSITION = {"Bcast": 1, "Gather": 2, "Gatherv": 2, "Scatter": 2, "Scatterv": 2, "Reduce": 3}


def _root_of(name: str, args, kwargs) -> int | None:
    position = ROOT_POSITION.get(name)
    if position is None:
        return None
    return kwargs.get("root", args[position] if len(args) > position else 0)


def _bytes_of(args, kwargs) -> int:
    """Bytes of the first buffer argument that has any (MPI.IN_PLACE and None have none)."""
    sizes = (message_bytes(buffer) for buffer in (*args[:2], *kwargs.values()))
    return next((size for size in sizes if size), 0)


def _root_error(comm, name: str, root) -> MPIError:
    where = "" if comm.is_whole_world else f" on {comm.describe()}"
    return MPIError(MPI.ERR_ROOT, f"rank {comm.rank}: {name}(root={root}){where}: the ranks are 0 to {comm.size - 1}")


def _started(comm, name: str, root, start, args, kwargs):
    """The request of MPI's nonblocking call; a wrong root is explained."""
    try:
        return start(comm, *args, **kwargs)
    except MPI.Exception as error:
        if error.Get_error_class() == MPI.ERR_ROOT:
            raise _root_error(comm, name, root) from None
        raise


def _named_as(original, method):
    """``method`` with the name, the signature and the docstring of mpi4py's ``original``."""
    method.__name__, method.__doc__ = original.__name__, original.__doc__
    method.__signature__ = inspect.signature(original)
    return method


def _blocking(name: str, owner=_Comm) -> Callable:
    start = getattr(owner, "I" + name.lower())

    def method(self, *args, **kwargs):
        root = _root_of(name, args, kwargs)
        start_ns = self.recorder.now() if self.recorder is not None else 0
        request = _started(self, name, root, start, args, kwargs)
        call = self._enter(name, root, _bytes_of(args, kwargs) if self.recorder is not None else 0)
        call.finish(request)
        call.record(start_ns)

    return _named_as(getattr(owner, name), method)


def _nonblocking(name: str, owner=_Comm) -> Callable:
    start = getattr(owner, name)
    blocking = name[1:].capitalize()

    def method(self, *args, **kwargs):
        root = _root_of(blocking, args, kwargs)
        start_ns = self.recorder.now() if self.recorder is not None else 0
        request = _started(self, name, root, start, args, kwargs)
        call = self._enter(name, root, _bytes_of(args, kwargs))
        call.record(start_ns)
        return track(request, call.pending)

    return _named_as(start, method)


def _persistent(name: str, owner=_Comm) -> Callable:
    start = getattr(owner, name + "_init")

    def method(self, *args, **kwargs):
        root = _root_of(name, args, kwargs)
        request = _started(self, name + "_init", root, start, args, kwargs)
        return track(request, self._enter(name + "_init", root, _bytes_of(args, kwargs)).pending)

    return _named_as(start, method)


class _Call:
    """One collective call of this rank that has been entered."""

    def __init__(self, comm, name: str, root: int | None, num_bytes: int):
        self.comm, self.name, self.root = comm, name, root
        words = f"{name}(root={root})" if root is not None else f"{name}()"
        where = "" if comm.is_whole_world else f" on {comm.describe()}"
        sequence = comm.monitor.log_collective(comm, name, root)
        self.pending = Pending(
            "collective", words + where, comm, root, None, num_bytes, sequence
        )

    def finish(self, request) -> None:
        """Wait for one nonblocking part of the call."""
        if not request.Test():
            self.wait(request.Test)

    def describe(self):
        """For the monitor."""
        return self.pending.call, [self.pending.operation()], "all"

    def wait(self, test) -> None:
        try:
            self.comm.monitor.wait(test, self.describe)
        except BaseException:
            self.comm.interrupted_in = self.pending.call
            raise

    def record(self, start_ns: int) -> None:
        comm, pending = self.comm, self.pending
        if comm.recorder is not None:
            root = comm.members[self.root] if self.root is not None else None
            comm.recorder.span(
                self.name, "collective", start_ns, comm, peer=root, num_bytes=pending.num_bytes,
                sequence=pending.sequence,
            )


def _pickled(name: str) -> Callable:
    """Make a method of ``body(self, call, ...)``: ``call`` is entered before and recorded after."""

    def decorate(body):
        def method(self, *args, root=None, **kwargs):
            rooted = name in ("bcast", "gather", "scatter", "reduce")
            if rooted:
                position = 2 if name == "reduce" else 1
                if root is None:
                    root = args[position] if len(args) > position else 0
                    args = args[:position]
                if not 0 <= root < self.size:
                    raise _root_error(self, name, root)
            start_ns = self.recorder.now() if self.recorder is not None else 0
            call = self._enter(name, root if rooted else None, 0)
            result = body(self, call, *args, **kwargs)
            call.record(start_ns)
            return result

        return _named_as(getattr(_Intracomm, name), method)

    return decorate


class Collectives:
    """Collectives of an interruptible communicator (see :mod:`.communicator`)."""

    def _enter(self, name: str, root: int | None, num_bytes: int) -> _Call:
        if self.interrupted_in:
            raise UsageError(
                f"{name}: {self.describe()} was in {self.interrupted_in} when an earlier cell was "
                f"ended, so its members no longer agree. Make the communicator again."
            )
        return _Call(self, name, root, num_bytes)

    def barrier(self):
        self.Barrier()

    @_pickled("bcast")
    def bcast(self, call, obj):
        return _loads(self._broadcast_bytes(call, obj))

    @_pickled("gather")
    def gather(self, call, sendobj):
        return self._gather_objects(call, sendobj)

    @_pickled("scatter")
    def scatter(self, call, sendobj):
        at_root = self.rank == call.root
        parts = self._dump_each(sendobj) if at_root else None
        size = np.empty(1, SIZE)
        sizes = np.array([len(part) for part in parts], SIZE) if at_root else None
        call.finish(_Comm.Iscatter(self, sizes, size, call.root))
        data = bytearray(int(size[0]))
        sendbuf = [b"".join(parts), sizes, None, MPI.BYTE] if at_root else None
        call.finish(_Comm.Iscatterv(self, sendbuf, [data, MPI.BYTE], call.root))
        call.pending.num_bytes = len(data)
        return _loads(data)

    @_pickled("allgather")
    def allgather(self, call, sendobj):
        return self._allgather_objects(call, sendobj)

    @_pickled("alltoall")
    def alltoall(self, call, sendobj):
        parts = self._dump_each(sendobj)
        sizes, arriving = np.array([len(part) for part in parts], SIZE), np.empty(self.size, SIZE)
        call.finish(_Comm.Ialltoall(self, sizes, arriving))
        data = bytearray(int(arriving.sum()))
        sendbuf = [b"".join(parts), sizes, None, MPI.BYTE]
        call.finish(_Comm.Ialltoallv(self, sendbuf, [data, arriving, None, MPI.BYTE]))
        call.pending.num_bytes = int(sizes.sum())
        return _load_each(data, arriving)

    @_pickled("reduce")
    def reduce(self, call, sendobj, op=MPI.SUM):
        objects = self._gather_objects(call, sendobj)
        return functools.reduce(op, objects) if objects is not None else None

    @_pickled("allreduce")
    def allreduce(self, call, sendobj, op=MPI.SUM):
        call.root = 0  # the same order of operands, so the same bits, on all ranks
        objects = self._gather_objects(call, sendobj)
        result = functools.reduce(op, objects) if objects is not None else None
        data = self._broadcast_bytes(call, result)
        call.root = None
        return _loads(data)

    @_pickled("scan")
    def scan(self, call, sendobj, op=MPI.SUM):
        return functools.reduce(op, self._allgather_objects(call, sendobj)[: self.rank + 1])

    @_pickled("exscan")
    def exscan(self, call, sendobj, op=MPI.SUM):
        before = self._allgather_objects(call, sendobj)[: self.rank]
        return functools.reduce(op, before) if before else None

    # What the pickled ones share ----------------------------------------------------------------

    def _broadcast_bytes(self, call, obj):
        at_root = self.rank == call.root
        data = _dumps(obj) if at_root else b""
        size = np.array([len(data)], SIZE)
        call.finish(_Comm.Ibcast(self, size, call.root))
        data = data if at_root else bytearray(int(size[0]))
        call.finish(_Comm.Ibcast(self, [data, MPI.BYTE], call.root))
        call.pending.num_bytes = len(data)
        return data

    def _gather_objects(self, call, obj):
        at_root = self.rank == call.root
        data = _dumps(obj)
        sizes = np.empty(self.size, SIZE) if at_root else None
        call.finish(_Comm.Igather(self, np.array([len(data)], SIZE), sizes, call.root))
        arrived = bytearray(int(sizes.sum())) if at_root else None
        recvbuf = [arrived, sizes, None, MPI.BYTE] if at_root else None
        call.finish(_Comm.Igatherv(self, [data, MPI.BYTE], recvbuf, call.root))
        call.pending.num_bytes = len(data)
        return _load_each(arrived, sizes) if at_root else None

    def _allgather_objects(self, call, obj):
        data = _dumps(obj)
        sizes = np.empty(self.size, SIZE)
        call.finish(_Comm.Iallgather(self, np.array([len(data)], SIZE), sizes))
        arrived = bytearray(int(sizes.sum()))
        recvbuf = [arrived, sizes, None, MPI.BYTE]
        call.finish(_Comm.Iallgatherv(self, [data, MPI.BYTE], recvbuf))
        call.pending.num_bytes = len(data)
        return _load_each(arrived, sizes)

    def _dump_each(self, objects) -> list[bytes]:
        objects = list(objects) if objects is not None else []
        if len(objects) != self.size:
            raise ValueError(f"expecting {self.size} items, one a rank, got {len(objects)}")
        return [_dumps(obj) for obj in objects]


def _load_each(data: bytearray, sizes: np.ndarray) -> list:
    ends = np.cumsum(sizes)
    view = memoryview(data)
    return [_loads(view[end - size : end]) for end, size in zip(ends.tolist(), sizes.tolist())]


class NeighborCollectives:
    """Neighbourhood collectives of a communicator with a topology."""


for _name in (
    "Barrier Bcast Gather Gatherv Scatter Scatterv Allgather Allgatherv Alltoall Alltoallv "
    "Alltoallw Reduce Allreduce Reduce_scatter Reduce_scatter_block"
).split():
    setattr(Collectives, _name, _blocking(_name))
    setattr(Collectives, "I" + _name.lower(), _nonblocking("I" + _name.lower()))
    setattr(Collectives, _name + "_init", _persistent(_name))
for _name in ("Scan", "Exscan"):
    setattr(Collectives, _name, _blocking(_name, _Intracomm))
    setattr(Collectives, "I" + _name.lower(), _nonblocking("I" + _name.lower(), _Intracomm))
    setattr(Collectives, _name + "_init", _persistent(_name, _Intracomm))
for _name in "allgather allgatherv alltoall alltoallv alltoallw".split():
    _name = f"neighbor_{_name}"
    setattr(NeighborCollectives, _name.capitalize(), _blocking(_name.capitalize(), _Topocomm))
    setattr(NeighborCollectives, "I" + _name, _nonblocking("I" + _name, _Topocomm))
    setattr(NeighborCollectives, _name.capitalize() + "_init", _persistent(_name.capitalize(), _Topocomm))
