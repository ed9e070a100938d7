"""Communicators of processes that ``torch.distributed`` connects: mpi4py's names over Gloo.

Calls, matching, statuses, requests and errors are those of simulated ranks (:mod:`labkit.comm.simulated`), and so
are the collectives: labkit's own algorithms. The messages travel on the links of a :class:`.world.World`. Three
collectives that trainers call with megabytes are Gloo's own.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from operator import index

import torch
import torch.distributed as dist
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated import cartesian, collectives
from labkit.comm.simulated.buffers import is_plain, taken
from labkit.comm.simulated.checks import check_reduction
from labkit.comm.simulated.communicator import FreedComm, SimulatedComm
from labkit.comm.simulated.requests import Request, posted_line
from labkit.comm.torch.mailbox import NOW
from labkit.comm.torch.world import World
from labkit.errors import NotAvailableError, UsageError

IN_PLACE = MPI.IN_PLACE
COLLECTIVE_TIMEOUT = timedelta(minutes=30)  # torch's own default
SYNCHRONOUS_CALLS = ("Ssend", "ssend", "Issend", "issend", "Ssend_init")
REDUCE_OPS = {
    op.handle: name
    for op, name in ((MPI.SUM, "SUM"), (MPI.PROD, "PRODUCT"), (MPI.MAX, "MAX"), (MPI.MIN, "MIN"))
}
GLOO_TYPES = frozenset("bBilqfd")  # that torch has too, and whose sums Gloo knows


class Meeting:
    """What all members have brought to a collective that makes communicators."""

    def __init__(self, values: dict[int, object]):
        self.values = values


class Distributed:
    """What differs from simulated ranks: where messages go, how members meet, and that time is real."""

    charge_reduction = charge_compute = None

    def __init__(self, world: World, members: tuple[int, ...], context: str):
        self.world, self.members, self.context, self.me = world, members, context, world.me
        self.rank, self.size = members.index(world.rank), len(members)
        self.mailbox = world.open_mailbox(context, members)
        self.number = next(number for number, box in world.mailboxes.items() if box is self.mailbox)
        self._inner = self._group = None

    def __repr__(self) -> str:
        return f"<{self.describe()}: torch.distributed rank {self.rank} of {self.size}>"

    def __getattr__(self, name: str):
        if name.startswith("_") or not hasattr(MPI.Intracomm, name):
            raise AttributeError(f"a communicator has no {name!r}")
        raise NotOfferedError(
            f"{name} is not offered over torch.distributed: use the calls of labkit.comm.protocol, or start the program "
            "with mpiexec and use MPI.COMM_WORLD."
        )

    # -- point to point -------------------------------------------------------------------------

    def _launch(self, call, buf, dest, tag, synchronous, buffered=False, request=None, num_bytes=None):
        """Send a message: the time when the sender can go on (now), or the request that will know it."""
        dest, tag = index(dest), index(tag)
        self._check_dest(call, dest, tag)
        if dest == MPI.PROC_NULL:
            return NOW
        is_bytes = type(buf) is bytes
        data = buf if is_bytes or is_plain(buf) else taken(buf)
        num_bytes = len(data) if is_bytes else data.nbytes
        if buffered and not is_bytes:
            data = data.copy()
        if request is None:
            request = Request("send", call, self, dest, tag, buf, num_bytes)
        request.is_synchronous = call in SYNCHRONOUS_CALLS
        if self.world.post(self, dest, tag, data, num_bytes, request) or buffered:
            request.set_done(NOW)
        return request

    # -- collectives ----------------------------------------------------------------------------

    def enter(self, name, root, num_bytes=0) -> int:
        """Count a collective call; return its number."""
        if root is not None and not 0 <= root < self.size:
            raise MPIError(MPI.ERR_ROOT, f"{self.who(name, root)}: the ranks are 0 to {self.size - 1}")
        number = self.me.collectives.get(self.context, 0)
        self.me.collectives[self.context] = number + 1
        return number

    def hidden(self):
        if self._inner is None:
            self._inner = self._hidden("collectives")
        return self._inner

    def _hidden(self, word: str) -> DistributedComm:
        comm = DistributedComm(self.world, self.members, f"{self.context}/{word}#")
        comm.is_hidden = True
        return comm

    def start_collective(self, name, root, run, num_bytes=0):
        """A nonblocking collective: a thread runs the blocking one, on a communicator made for it."""
        number = self.enter(name, root)
        words = f"{name}(root={root})" if root is not None else f"{name}()"
        request = Request("collective", words + self.where, self, None, None, num_bytes=num_bytes)
        hidden = self._hidden(f"{name}.{number}")
        failures = []

        def main():
            try:
                run(hidden)
            except BaseException as failure:
                failures.append(failure)
            self.world.close_mailbox(hidden.context)
            self.world.tell_sender(request)

        def complete(request):
            if failures:
                raise failures[0]

        request.mark = complete
        posted_line(request)
        threading.Thread(target=main, name=words, daemon=True).start()
        return request

    def group(self):
        """Gloo's group for the collectives of this communicator; made at the first one.

        Raises
        ------
        MPIError
            A member is gone: Gloo would wait for it.
        """
        gone = [f"rank {self.members.index(p)} {why}" for p, why in self.world.lost.items() if p in self.members]
        if gone:
            raise MPIError(
                MPI.ERR_OTHER, f"rank {self.rank}: a collective{self.where} needs all ranks, but {', '.join(gone)}"
            )
        if self._group is None:
            self._group = self.world.group_of(f"{self.context}/gloo", self.members, COLLECTIVE_TIMEOUT)
        return self._group

    def Bcast(self, buf, root=0):
        if not (self.size > 1 and is_plain(buf) and buf.dtype.char in GLOO_TYPES and 0 <= root < self.size):
            return super().Bcast(buf, root)
        options = dist.BroadcastOptions()
        options.rootRank = root
        self._wait(self.group().broadcast([torch.from_numpy(buf.reshape(-1))], options))

    def Allreduce(self, sendbuf, recvbuf, op=MPI.SUM):
        send = recvbuf if sendbuf is IN_PLACE else sendbuf
        fits = is_plain(recvbuf) and is_plain(send) and send.dtype == recvbuf.dtype and send.size == recvbuf.size
        if not (self.size > 1 and fits and recvbuf.dtype.char in GLOO_TYPES and op.handle in REDUCE_OPS):
            return super().Allreduce(sendbuf, recvbuf, op)
        check_reduction(self.who("Allreduce", None), sendbuf, recvbuf, op)
        if send is not recvbuf:
            recvbuf.reshape(-1)[...] = send.reshape(-1)
        options = dist.AllreduceOptions()
        options.reduceOp = getattr(dist.ReduceOp, REDUCE_OPS[op.handle])
        self._wait(self.group().allreduce([torch.from_numpy(recvbuf.reshape(-1))], options))

    def Allgather(self, sendbuf, recvbuf):
        fits = is_plain(recvbuf) and is_plain(sendbuf) and sendbuf.dtype == recvbuf.dtype
        if not (self.size > 1 and fits and recvbuf.dtype.char in GLOO_TYPES and sendbuf.size * self.size == recvbuf.size):
            return super().Allgather(sendbuf, recvbuf)
        blocks = torch.from_numpy(recvbuf.reshape(self.size, sendbuf.size))
        self._wait(self.group().allgather([list(blocks)], [torch.from_numpy(sendbuf.reshape(-1))]))

    def _wait(self, work) -> None:
        try:
            work.wait()
        except RuntimeError as error:
            raise MPIError(
                MPI.ERR_OTHER, f"rank {self.rank}: a collective{self.where} failed in Gloo, most often because a rank is "
                f"gone: {str(error).splitlines()[0][:200]}"
            ) from None

    # -- making communicators -------------------------------------------------------------------

    def _meet(self, call, value):
        number = self.enter(call, None)
        comm = self.hidden()
        brought = collectives._broadcast(comm, collectives._gather(comm, (call, value), 0), 0)
        calls = {rank: its_call for rank, (its_call, _) in enumerate(brought)}
        if len(set(calls.values())) > 1:
            raise MPIError(MPI.ERR_COMM, f"{self.who(call, None)}: the ranks called different collectives: {calls}")
        return Meeting({rank: its_value for rank, (_, its_value) in enumerate(brought)}), number

    def _make(self, call, groups, value, cls=None, on_make=None):
        meeting, number = self._meet(call, value)
        ranks = groups(meeting.values).get(self.rank)
        if ranks is None:
            return MPI.COMM_NULL
        context = f"{self.context}/{call}#{number}" + (f".{ranks[0]}" if ranks[0] else "")
        cls = DistributedCartcomm if cls is cartesian.SimulatedCartcomm else DistributedComm
        return cls(self.world, tuple(self.members[rank] for rank in ranks), context)

    def Split_type(self, split_type, key=0, info=None):
        if split_type == MPI.UNDEFINED:
            return self.Split(MPI.UNDEFINED, key)
        nodes = self.allgather(MPI.Get_processor_name())
        return self.Split(nodes.index(nodes[self.rank]), key)

    def Free(self):
        self.__class__ = FreedComm

    free = Free

    def Abort(self, errorcode=0):
        """End this process; the others notice that it is gone."""
        import os
        import sys

        print(f"rank {self.rank} has called Abort({errorcode})", file=sys.stderr, flush=True)
        os._exit(errorcode or 1)


class NotOfferedError(NotAvailableError, AttributeError):
    """A method of mpi4py's communicators that these lack; for ``hasattr`` it is not there."""


class DistributedComm(Distributed, SimulatedComm):
    """A communicator over ``torch.distributed``, with the methods and the meaning of ``mpi4py.MPI.Intracomm``.

    Buffers are those of the protocol: NumPy arrays, bytes, ``[data, count, datatype]``.
    :class:`.tensors.TensorComm` adds tensors of all kinds.
    """


class DistributedCartcomm(Distributed, cartesian.SimulatedCartcomm):
    """The same on a grid."""


def distributed_world() -> DistributedComm:
    """The communicator of all ranks of the default group of ``torch.distributed``, which has been initialised.

    Raises
    ------
    UsageError
        There is no default group.
    """
    if not dist.is_initialized():
        raise UsageError(
            "torch.distributed is not initialised: call torch.distributed.init_process_group first, or let "
            "labkit.comm.torch.communicator() do it."
        )
    store = dist.distributed_c10d._get_default_store()
    if _worlds.get("store") is not store:  # a second initialisation makes a second world
        _worlds.update(store=store, comm=None)
        world = World()
        _worlds["comm"] = DistributedComm(world, tuple(range(world.size)), "comm")
    return _worlds["comm"]


_worlds: dict[str, object] = {}
