"""Names of mpi4py's module while a simulation runs: what they mean for simulated ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.communicator import WHOLE_WORLD, Shared
from labkit.comm.simulated.operations import Op
from labkit.comm.simulated.ranks import SimulatedRank
from labkit.comm.simulated.requests import Prequest, Request
from labkit.comm.simulated.world import World
from labkit.errors import NotAvailableError, UsageError


@contextlib.contextmanager
def simulated_names(world: World, comms):
    """While a simulation runs, names of mpi4py's module mean the simulated forms.

    So a function that says ``MPI.Request.Waitall(...)``, ``MPI.Wtime()`` or ``MPI.COMM_WORLD`` needs
    no change. All ranks are in this one process: the names find the rank that is running.
    """
    if getattr(MPI, "labkit_simulation", None) is not None:
        raise UsageError(
            "a simulation is running in this process: neither its ranks nor other threads can start another one."
        )
    buffers = world.send_buffers = _SendBuffers(world)
    replaced = {
        "Op": Op, "Request": Request, "Prequest": Prequest, "Wtime": lambda: float(world.current.now),
        "COMM_WORLD": _CurrentComm(lambda: comms[world.current.rank]),
        "COMM_SELF": _CurrentComm(lambda: self_comm(world, world.current)), "Win": _NoWindows, "labkit_simulation": world,
        "Attach_buffer": buffers.attach, "Detach_buffer": buffers.detach,
        # A program of its own ends with Finalize; the process of the simulation goes on.
        "Init": lambda: None, "Finalize": lambda: None,
        "Init_thread": lambda required=MPI.THREAD_MULTIPLE: MPI.Query_thread(),
    }
    missing = object()
    before = {name: getattr(MPI, name, missing) for name in replaced}
    for name, value in replaced.items():
        setattr(MPI, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                delattr(MPI, name)
            else:
                setattr(MPI, name, value)


class _CurrentComm:
    """The world, or the communicator of itself alone, of whichever rank is running."""

    def __init__(self, find: Callable):
        self._find = find

    def __getattr__(self, name):
        return getattr(self._find(), name)


def self_comm(world: World, me: SimulatedRank):
    """The communicator of a rank alone."""
    if me.own is None:
        me.own = Shared(world, (me.rank,), f"{WHOLE_WORLD}/COMM_SELF#{me.rank}").comm_of(0)
    return me.own


class _SendBuffers:
    """The buffer that each rank has attached for Bsend; a process has one, and all ranks are in one process."""

    def __init__(self, world: World):
        self.world, self.by_rank = world, {}

    def attach(self, buf) -> None:
        rank = self.world.current.rank
        if rank in self.by_rank:
            raise MPIError(
                MPI.ERR_BUFFER, f"rank {rank}: Attach_buffer: a rank has one buffer at a time, and one is attached: "
                "call Detach_buffer first"
            )
        self.by_rank[rank] = buf

    def check_room(self, call: str, num_bytes: int) -> None:
        """Whether a message fits; what earlier ones may still take of the buffer is not counted.

        Raises
        ------
        MPIError
            ``MPI_ERR_BUFFER``: it does not fit, or no buffer is attached.
        """
        rank = self.world.current.rank
        buf, needed = self.by_rank.get(rank, b""), num_bytes + MPI.BSEND_OVERHEAD
        if buf is not None and memoryview(buf).nbytes < needed:  # None: MPI sees to it
            raise MPIError(
                MPI.ERR_BUFFER, f"rank {rank}: {call}: {num_bytes} bytes and MPI.BSEND_OVERHEAD ({MPI.BSEND_OVERHEAD}) need "
                f"an attached buffer of {needed} bytes, and it has {memoryview(buf).nbytes}: call MPI.Attach_buffer before"
            )

    def detach(self):
        return self.by_rank.pop(self.world.current.rank, None)


class _NoWindows:
    """Stands for ``MPI.Win``: one-sided communication needs real ranks."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotAvailableError("one-sided windows are not simulated: run this on real ranks.")


_NoWindows = _NoWindows()
