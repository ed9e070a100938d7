"""The communicator of a cell: mpi4py's own, with waits that can be interrupted and explained.

:class:`InterruptibleComm` is an ``mpi4py.MPI.Intracomm``, so everything of mpi4py works on it and
every library accepts it. Its blocking calls are replaced: a nonblocking call of MPI, and a wait
that returns to Python between two polls (see :mod:`.monitor`). ``comm.raw`` is the plain object.
"""

from __future__ import annotations

from mpi4py import MPI

from labkit.comm.interruptible.collectives import Collectives, NeighborCollectives
from labkit.comm.interruptible.creation import Creation
from labkit.comm.interruptible.monitor import Monitor
from labkit.comm.interruptible.point_to_point import PointToPoint
from labkit.comm.interruptible.recorder import Recorder

WHOLE_WORLD = "comm"  # the context of the communicator that a cell is given


class Interruptible(PointToPoint, Collectives, Creation):
    """What is added to each kind of communicator of mpi4py."""

    context = WHOLE_WORLD
    recorder: Recorder | None = None
    check_unsafe_sends = False
    interrupted_in = ""  # the collective in which a cell was ended: members may disagree since

    def bind(
        self,
        monitor: Monitor,
        *,
        context: str = WHOLE_WORLD,
        members: tuple[int, ...],
        gate: MPI.Intracomm,
        recorder: Recorder | None = None,
        check_unsafe_sends: bool = False,
    ) -> None:
        """Give the communicator its books: monitor, identity, members as world ranks, gate."""
        self.monitor, self.context, self.members, self.gate = monitor, context, members, gate
        self.is_whole_world = context == WHOLE_WORLD
        self.recorder, self.check_unsafe_sends = recorder, check_unsafe_sends

    @property
    def raw(self):
        """The plain mpi4py communicator: its blocking calls cannot be interrupted."""
        return self._raw_class(self)

    def world_ranks(self, peer: int) -> tuple[int, ...]:
        """The world rank of rank ``peer`` of this communicator; () for MPI.PROC_NULL."""
        return (self.members[peer],) if 0 <= peer < len(self.members) else ()

    def describe(self) -> str:
        """In words, for example ``"Split of ranks 0, 2"``."""
        if self.is_whole_world:
            return "comm"
        made_by = self.context.rsplit("/", 1)[1].split("#")[0].split("@")[0]
        members = ", ".join(map(str, self.members[:8])) + (", ..." if len(self.members) > 8 else "")
        return f"{made_by} of ranks {members}"

    def __repr__(self) -> str:
        if self == MPI.COMM_NULL:
            return "<freed communicator>"
        return f"<{self.describe()}: rank {self.rank} of {self.size}>"

    def Free(self):
        self.monitor.probed.pop(self.context, None)
        if not self.is_whole_world:  # the next cells go through that gate, too
            self.gate.Free()
        super().Free()

    def free(self):
        self.Free()

    def Abort(self, errorcode=0):
        self.monitor.on_abort(errorcode)
        super().Abort(errorcode)

    @staticmethod
    def _class_for(raw):
        return next(cls for cls in _CLASSES if isinstance(raw, cls._raw_class))


class InterruptibleCartcomm(Interruptible, NeighborCollectives, MPI.Cartcomm):
    """A communicator with a Cartesian topology."""

    _raw_class = MPI.Cartcomm


class InterruptibleGraphcomm(Interruptible, NeighborCollectives, MPI.Graphcomm):
    """A communicator with a graph topology."""

    _raw_class = MPI.Graphcomm


class InterruptibleDistgraphcomm(Interruptible, NeighborCollectives, MPI.Distgraphcomm):
    """A communicator with a distributed graph topology."""

    _raw_class = MPI.Distgraphcomm


class InterruptibleComm(Interruptible, MPI.Intracomm):
    """A communicator whose blocking calls can be interrupted, and explained while they wait."""

    _raw_class = MPI.Intracomm


_CLASSES = (
    InterruptibleCartcomm,
    InterruptibleGraphcomm,
    InterruptibleDistgraphcomm,
    InterruptibleComm,
)
