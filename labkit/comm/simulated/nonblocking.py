"""Nonblocking collectives of simulated ranks.

Each one is run by a helper of its rank: a simulated rank with a clock and a stack of its own that
runs the blocking algorithm beside it, on a hidden communicator made for this call, through the same
ports. So it makes progress while its rank computes, as with a library that has a progress thread
and a core to spare for it.
"""

from __future__ import annotations

import functools
import inspect

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.checks import of_the_call
from labkit.comm.simulated.collectives import Collectives
from labkit.comm.simulated.ranks import Released, SimulatedRank
from labkit.comm.simulated.requests import Request, posted_line
from labkit.errors import UsageError

COUNTS = ("num_sent", "bytes_sent", "num_received", "bytes_received", "num_reduced", "bytes_reduced")
ROUNDS = ("sent_round", "received_round", "depth")


def begin(comm, name: str, root: int | None, run, num_bytes: int = 0) -> Request:
    """Start ``run(hidden communicator)`` beside the rank; the request is complete when that ends."""
    me, world = comm.me, comm.world
    start = me.now
    number = comm.enter(name, root, num_bytes)
    words = f"{name}(root={root})" if root is not None else f"{name}()"
    request = Request("collective", words + comm.where, comm, None, None, num_bytes=num_bytes)
    request.sequence = number
    hidden = _hidden(comm, number)
    helper = hidden.me
    for count in ROUNDS:
        setattr(helper, count, getattr(me, count))
    helper.now = start

    def main(hidden):
        try:
            run(hidden)
        except Released:
            raise
        except BaseException as failure:
            if isinstance(failure, (MPIError, UsageError)):
                failure = of_the_call(comm.who(name, root), failure)
            me.state, me.failure = "failed", failure
            raise
        for count in COUNTS:
            setattr(me, count, getattr(me, count) + getattr(helper, count))
        world.helpers.remove(helper)
        request.set_done(helper.now)

    def complete(request):
        for count in ROUNDS:
            setattr(me, count, max(getattr(me, count), getattr(helper, count)))

    request.mark = complete
    world.begin(helper, main, hidden)
    posted_line(request)
    if me.recorder is not None:
        peer = comm.members[root] if root is not None else None
        me.recorder.span(name, "collective", start, comm, peer=peer, num_bytes=num_bytes, sequence=number)
    return request


def _hidden(comm, number: int):
    """The communicator of one call: the members' mailboxes are there before the members come."""
    shared = comm.shared.started.get(number)
    if shared is None:
        shared = comm.shared.started[number] = type(comm.shared)(comm.world, comm.members, comm.context)
        shared.num_missing = comm.size
    shared.num_missing -= 1
    if not shared.num_missing:
        del comm.shared.started[number]
    hidden = shared.comm_of(comm.rank)
    hidden.is_hidden = True
    hidden.me = hidden.mailbox.owner = SimulatedRank(comm.world, comm.me.rank)
    return hidden


class _Starting:
    """Stands for a communicator in :class:`.collectives.Collectives`: its calls are started, not waited for."""

    def __init__(self, comm):
        self.comm, self.rank, self.size = comm, comm.rank, comm.size

    def who(self, name, root):
        return self.comm.who("I" + name.lower(), root)

    def _call(self, name, root, run, num_bytes=0):
        return self.comm.start_collective("I" + name.lower(), root, run, num_bytes)


class NonblockingCollectives:
    """``Ibarrier``, ``Ibcast`` and so on: the blocking ones, started."""

    def start_collective(self, name: str, root: int | None, run, num_bytes: int = 0) -> Request:
        """Start ``run(hidden communicator)``; communicators of processes have a way of their own."""
        return begin(self, name, root, run, num_bytes)


def _nonblocking(name: str):
    blocking = getattr(Collectives, name)

    def method(self, *args, **kwargs):
        return blocking(_Starting(self), *args, **kwargs)

    functools.update_wrapper(method, blocking)
    method.__name__ = "I" + name.lower()
    method.__signature__ = inspect.signature(blocking)
    return method


for _name in (
    "Barrier Bcast Scatter Scatterv Gather Gatherv Allgather Allgatherv Alltoall Alltoallv "
    "Reduce Allreduce Reduce_scatter Reduce_scatter_block Scan Exscan"
).split():
    setattr(NonblockingCollectives, "I" + _name.lower(), _nonblocking(_name))
