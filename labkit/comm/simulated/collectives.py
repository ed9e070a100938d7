"""Collective calls of a simulated communicator (see :mod:`.communicator`).

They are made of messages between simulated ranks, by the algorithms of :mod:`labkit.mpi.library`,
which stands in for the library behind mpi4py. That package stands above this one, so it is found by
its name when the first collective is called. The messages travel on a hidden communicator with the
same members, so they cannot meet those of the program.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

import numpy as np
from mpi4py import MPI
from mpi4py.util import dtlib

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.buffers import check_buffer, is_plain
from labkit.comm.simulated.checks import check_reduction, check_same_size, of_the_call
from labkit.comm.source_lines import cell_line
from labkit.errors import NotAvailableError, UsageError

LIBRARY = "labkit.mpi.library"
IN_PLACE = MPI.IN_PLACE
TAG = 0


@functools.cache
def library() -> ModuleType:
    """The algorithms behind the collectives."""
    return importlib.import_module(LIBRARY)


def as_array(buffer):
    """A buffer argument as a flat array; IN_PLACE and None stay what they are."""
    if buffer is None or buffer is IN_PLACE or isinstance(buffer, type(IN_PLACE)):
        return buffer
    return as_blocks(buffer)[0]


def as_blocks(buffer):
    """(flat array, counts, displacements) of a buffer argument; None where it has none."""
    if is_plain(buffer):
        return buffer.reshape(-1), None, None
    if not isinstance(buffer, (list, tuple)):
        check_buffer(buffer)
        array = np.asarray(buffer if hasattr(buffer, "__array__") else memoryview(buffer))
        return array.reshape(-1, order="A"), None, None  # in the order of memory, as MPI goes
    data, *rest = buffer
    datatype = None
    if rest and isinstance(rest[-1], (MPI.Datatype, str)):
        datatype = rest.pop()
        datatype = MPI.Datatype.fromcode(datatype) if isinstance(datatype, str) else datatype
    elif len(rest) == 2:
        raise TypeError(f"buffer of {len(buffer)} parts: the last is a datatype, not {type(rest[-1]).__name__}")
    if len(rest) == 1 and isinstance(rest[0], tuple) and len(rest[0]) == 2 and not np.isscalar(rest[0][0]):
        rest = list(rest[0])  # (counts, displacements)
    counts, displacements = [*rest, None, None][:2]
    flat = as_blocks(data)[0] if data is not None else np.empty(0, np.uint8)
    if datatype is not None:
        if not datatype.is_predefined:
            raise NotAvailableError("derived datatypes in collectives are not simulated: copy to a contiguous buffer.")
        flat = flat.view(np.uint8).view(dtlib.to_numpy_dtype(datatype))
    if counts is not None and np.isscalar(counts):
        return flat[: int(counts)], None, None
    as_ints = [None if numbers is None else [int(n) for n in numbers] for numbers in (counts, displacements)]
    return flat, *as_ints


class Collectives:
    """Buffer and object collectives. Their nonblocking forms are made from these in :mod:`.nonblocking`."""

    def who(self, name: str, root: int | None) -> str:
        """The beginning of an error: which rank calls what."""
        return f"rank {self.rank}: {name}({f'root={root}' if root is not None else ''}){self.where}"

    def enter(self, name: str, root: int | None, num_bytes: int = 0) -> int:
        """Note a collective call, and check it against the calls of the other members; return its number."""
        if root is not None and not 0 <= root < self.size:
            raise MPIError(MPI.ERR_ROOT, f"{self.who(name, root)}: the ranks are 0 to {self.size - 1}")
        me, line = self.me, cell_line()
        number = me.log_collective(self.context, self.members, name, root, line)
        call = me.collectives[self.context][number]
        first = self.shared.calls.setdefault(number, [call, 0, self.rank, num_bytes])
        first[1] += 1
        if not call.matches(first[0]):
            self.world.mismatch = self.world.mismatch or f"{name} and {first[0].name}"
            self.world.ending = True
            if self.world.failed_at is None:
                self.world.failed_at = me.now  # the others may come to this time, and say what they call
            me.advance_to(me.now)
        if first[1] == self.size:
            del self.shared.calls[number]
        if num_bytes != first[3]:
            check_same_size(self.who(name, root), name, num_bytes, *first[2:])
        return number

    def hidden(self):
        """The communicator on which the messages of collectives travel."""
        if self._inner is None:
            if self.shared.library is None:
                self.shared.library = type(self.shared)(self.world, self.members, self.context)
            self._inner = self.shared.library.comm_of(self.rank)
            self._inner.is_hidden = True
        return self._inner

    def _call(self, name: str, root, run, num_bytes: int = 0):
        """A blocking collective: ``run(comm)`` on the hidden communicator."""
        number = self.enter(name, root, num_bytes)
        me = self.me
        start = me.now
        comm = self.hidden()
        comm.collective = (f"{name}(root={root})" if root is not None else f"{name}()") + self.where, number, self
        me.inside = comm
        try:
            result = run(comm)
        except (MPIError, UsageError) as error:
            raise of_the_call(self.who(name, root), error) from None
        finally:
            me.inside = None
        if me.recorder is not None:
            peer = self.members[root] if root is not None else None
            me.recorder.span(name, "collective", start, self, peer=peer, num_bytes=num_bytes, sequence=number)
        return result

    # -- buffers --------------------------------------------------------------------------------

    def Barrier(self):
        return self._call("Barrier", None, lambda comm: library().barrier(comm))

    def Bcast(self, buf, root=0):
        array = as_array(buf)
        return self._call("Bcast", root, lambda comm: library().broadcast(comm, array, root), array.nbytes)

    def Scatter(self, sendbuf, recvbuf, root=0):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        return self._call("Scatter", root, lambda comm: library().scatter(comm, send, recv, root), _bytes(send, recv))

    def Scatterv(self, sendbuf, recvbuf, root=0):
        send, counts, displs = (None, None, None) if sendbuf is None else as_blocks(sendbuf)
        recv = as_array(recvbuf)
        return self._call(
            "Scatterv", root, lambda comm: library().scatterv(comm, send, counts, displs, recv, root), _bytes(send, recv)
        )

    def Gather(self, sendbuf, recvbuf, root=0):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        return self._call("Gather", root, lambda comm: library().gather(comm, send, recv, root), _bytes(send, recv))

    def Gatherv(self, sendbuf, recvbuf, root=0):
        send = as_array(sendbuf)
        recv, counts, displs = (None, None, None) if recvbuf is None else as_blocks(recvbuf)
        return self._call(
            "Gatherv", root, lambda comm: library().gatherv(comm, send, recv, counts, displs, root), _bytes(send, recv)
        )

    def Allgather(self, sendbuf, recvbuf):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        return self._call("Allgather", None, lambda comm: library().allgather(comm, send, recv), _bytes(send, recv))

    def Allgatherv(self, sendbuf, recvbuf):
        send = as_array(sendbuf)
        recv, counts, displs = as_blocks(recvbuf)
        return self._call(
            "Allgatherv", None, lambda comm: library().allgatherv(comm, send, recv, counts, displs), _bytes(send, recv)
        )

    def Alltoall(self, sendbuf, recvbuf):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        return self._call("Alltoall", None, lambda comm: library().alltoall(comm, send, recv), _bytes(send, recv))

    def Alltoallv(self, sendbuf, recvbuf):
        recv = as_blocks(recvbuf)
        send = as_blocks(recv[0].copy())[:1] + recv[1:] if as_array(sendbuf) is IN_PLACE else as_blocks(sendbuf)
        return self._call("Alltoallv", None, lambda comm: library().alltoallv(comm, *send, *recv), _bytes(send[0], recv[0]))

    def Reduce(self, sendbuf, recvbuf, op=MPI.SUM, root=0):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        check_reduction(self.who("Reduce", root), send, recv if self.rank == root else None, op)
        return self._call("Reduce", root, lambda comm: library().reduce(comm, send, recv, op, root), _bytes(send, recv))

    def Allreduce(self, sendbuf, recvbuf, op=MPI.SUM):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        check_reduction(self.who("Allreduce", None), send, recv, op)
        return self._call("Allreduce", None, lambda comm: library().allreduce(comm, send, recv, op), _bytes(send, recv))

    def Reduce_scatter(self, sendbuf, recvbuf, recvcounts=None, op=MPI.SUM):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        check_reduction(self.who("Reduce_scatter", None), send, recv, op)
        return self._call(
            "Reduce_scatter", None, lambda comm: library().reduce_scatter(comm, send, recv, recvcounts, op),
            _bytes(send, recv),
        )

    def Reduce_scatter_block(self, sendbuf, recvbuf, op=MPI.SUM):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        check_reduction(self.who("Reduce_scatter_block", None), send, recv, op)
        return self._call(
            "Reduce_scatter_block", None, lambda comm: library().reduce_scatter(comm, send, recv, None, op),
            _bytes(send, recv),
        )

    def Scan(self, sendbuf, recvbuf, op=MPI.SUM):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        check_reduction(self.who("Scan", None), send, recv, op)
        return self._call("Scan", None, lambda comm: library().scan(comm, send, recv, op), _bytes(send, recv))

    def Exscan(self, sendbuf, recvbuf, op=MPI.SUM):
        send, recv = as_array(sendbuf), as_array(recvbuf)
        check_reduction(self.who("Exscan", None), send, recv, op)
        return self._call("Exscan", None, lambda comm: library().exscan(comm, send, recv, op), _bytes(send, recv))

    # -- objects --------------------------------------------------------------------------------

    barrier = Barrier

    def bcast(self, obj, root=0):
        return self._call("bcast", root, lambda comm: _broadcast(comm, obj, root))

    def gather(self, sendobj, root=0):
        return self._call("gather", root, lambda comm: _gather(comm, sendobj, root))

    def scatter(self, sendobj, root=0):
        objects = self._one_a_rank("scatter", sendobj) if self.rank == root else None
        return self._call("scatter", root, lambda comm: _scatter(comm, objects, root))

    def allgather(self, sendobj):
        return self._call("allgather", None, lambda comm: _broadcast(comm, _gather(comm, sendobj, 0), 0))

    def alltoall(self, sendobj):
        objects = self._one_a_rank("alltoall", sendobj)
        return self._call("alltoall", None, lambda comm: _all_to_all(comm, objects))

    def reduce(self, sendobj, op=MPI.SUM, root=0):
        return self._call("reduce", root, lambda comm: _reduce(comm, sendobj, op, root))

    def allreduce(self, sendobj, op=MPI.SUM):
        return self._call("allreduce", None, lambda comm: _broadcast(comm, _reduce(comm, sendobj, op, 0), 0))

    def scan(self, sendobj, op=MPI.SUM):
        return self._call("scan", None, lambda comm: functools.reduce(op, _before(comm, sendobj) + [sendobj]))

    def exscan(self, sendobj, op=MPI.SUM):
        def run(comm):
            before = _before(comm, sendobj)
            return functools.reduce(op, before) if before else None

        return self._call("exscan", None, run)

    def _one_a_rank(self, name, objects):
        objects = list(objects) if objects is not None else []
        if len(objects) != self.size:
            raise ValueError(f"{name}: expecting {self.size} items, one a rank, got {len(objects)}")
        return objects


def _bytes(send, recv) -> int:
    """Of the first of the two that has any."""
    for array in (send, recv):
        if isinstance(array, np.ndarray) and array.nbytes:
            return array.nbytes
    return 0


def _broadcast(comm, obj, root):
    """Binomial tree."""
    me, size = (comm.rank - root) % comm.size, comm.size
    mask = 1
    while mask < size and not me & mask:
        mask *= 2
    if me:
        obj = comm.recv(source=(me - mask + root) % size, tag=TAG)
    while (mask := mask // 2) >= 1:
        if me + mask < size:
            comm.send(obj, (me + mask + root) % size, TAG)
    return obj


def _gather(comm, obj, root):
    """Binomial tree: each parent collects the objects of its children."""
    me, size = (comm.rank - root) % comm.size, comm.size
    found, mask = [obj], 1
    while mask < size and not me & mask:
        if me + mask < size:
            found += comm.recv(source=(me + mask + root) % size, tag=TAG)
        mask *= 2
    if me:
        comm.send(found, (me - mask + root) % size, TAG)
        return None
    return found[size - root :] + found[: size - root]  # from root's order to that of the ranks


def _scatter(comm, objects, root):
    """Binomial tree: each parent passes on what belongs to its children."""
    me, size = (comm.rank - root) % comm.size, comm.size
    mask = 1
    while mask < size and not me & mask:
        mask *= 2
    if me:
        mine = comm.recv(source=(me - mask + root) % size, tag=TAG)
    else:
        mine = objects[root:] + objects[:root]
    while (mask := mask // 2) >= 1:
        if me + mask < size:
            comm.send(mine[mask:], (me + mask + root) % size, TAG)
            mine = mine[:mask]
    return mine[0]


def _all_to_all(comm, objects):
    """Pairwise exchange."""
    result = list(objects)
    for step in range(1, comm.size):
        dest, source = (comm.rank + step) % comm.size, (comm.rank - step) % comm.size
        result[source] = comm.sendrecv(objects[dest], dest, TAG, None, source, TAG)
    return result


def _reduce(comm, obj, op, root):
    objects = _gather(comm, obj, root)
    return functools.reduce(op, objects) if objects is not None else None


def _before(comm, obj) -> list:
    """The objects of the ranks below."""
    return _broadcast(comm, _gather(comm, obj, 0), 0)[: comm.rank]
