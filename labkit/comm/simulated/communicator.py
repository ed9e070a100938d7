"""The communicator of a simulated rank: mpi4py's names on virtual time."""

from __future__ import annotations

import math

from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.collectives import Collectives
from labkit.comm.simulated.matching import Mailbox
from labkit.comm.simulated.nonblocking import NonblockingCollectives
from labkit.comm.simulated.point_to_point import PointToPoint
from labkit.comm.simulated.requests import Request
from labkit.comm.source_lines import cell_line
from labkit.errors import NotAvailableError, UsageError

WHOLE_WORLD = "comm"
COMM_SELF = MPI.COMM_SELF  # while a simulation runs, the name in MPI means a simulated one


class Aborted(Exception):
    """A simulated rank has called ``Abort``."""


class NotSimulatedError(NotAvailableError, AttributeError):
    """A method of mpi4py's communicators that simulated ones lack; for ``hasattr`` it is not there."""


class Meeting:
    """A place where all members of a communicator come together, outside the network."""

    def __init__(self):
        self.values: dict[int, object] = {}
        self.requests: list[Request] = []


class Shared:
    """What the members of one simulated communicator have in common.

    ``calls`` remembers the first member's call of each collective until the last member has made it,
    so that a mismatch is found at once.
    """

    def __init__(self, world, members: tuple[int, ...], context: str):
        self.world, self.members, self.context = world, members, context
        self.mailboxes = [Mailbox(world.ranks[rank], members) for rank in members]
        self.calls: dict[int, list] = {}  # number of the collective -> [call, how many have made it]
        self.meetings: dict[int, Meeting] = {}
        self.started: dict[int, Shared] = {}  # hidden communicators of nonblocking collectives, by number
        self.library: Shared | None = None  # where the messages of collectives travel

    def comm_of(self, rank: int, cls=None) -> SimulatedComm:
        """The communicator as member ``rank`` holds it."""
        return (cls or SimulatedComm)(self, rank)


class SimulatedComm(PointToPoint, Collectives, NonblockingCollectives):
    """A communicator of simulated ranks, with the methods and the meaning of ``mpi4py.MPI.Intracomm``.

    Made by :func:`labkit.comm.simulated.run.simulate`. Time is virtual; see :mod:`.world`.

    Attributes
    ----------
    rank, size : int
    members : tuple of int
        World rank of each member.
    context : str
        Its identity: equal on all members.
    """

    is_hidden = False

    def __init__(self, shared: Shared, rank: int):
        self.shared, self.rank = shared, rank
        self.world, self.members, self.context = shared.world, shared.members, shared.context
        self.size = len(shared.members)
        self.me = shared.world.ranks[shared.members[rank]]
        self.mailboxes = shared.mailboxes
        self.mailbox = shared.mailboxes[rank]
        self._inner = None

    # -- identity -------------------------------------------------------------------------------

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    @property
    def is_whole_world(self) -> bool:
        return self.context == WHOLE_WORLD

    @property
    def where(self) -> str:
        """For messages: which communicator, if it is not the whole world."""
        return "" if self.is_whole_world else f" on {self.describe()}"

    def describe(self) -> str:
        """In words, for example ``"Split of ranks 0, 2"``."""
        if self.is_whole_world:
            return "comm"
        made_by = self.context.rsplit("/", 1)[1].split("#")[0]
        members = ", ".join(map(str, self.members[:8])) + (", ..." if len(self.members) > 8 else "")
        return f"{made_by} of ranks {members}"

    def __repr__(self) -> str:
        return f"<{self.describe()}: simulated rank {self.rank} of {self.size}>"

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

    # -- making communicators -------------------------------------------------------------------

    def Dup(self, info=None):
        return self._make("Dup", lambda values: {rank: tuple(range(self.size)) for rank in values}, None)

    Clone = Dup

    def Split(self, color=0, key=0):
        if color < 0 and color != MPI.UNDEFINED:
            raise MPIError(MPI.ERR_ARG, f"rank {self.rank}: Split(color={color}): a color is not negative, or MPI.UNDEFINED")

        def groups(values):
            chosen: dict[int, list] = {}
            for rank, (its_color, its_key) in values.items():
                if its_color != MPI.UNDEFINED:
                    chosen.setdefault(its_color, []).append((its_key, rank))
            made = {}
            for members in chosen.values():
                ranks = tuple(rank for _, rank in sorted(members))
                made |= dict.fromkeys(ranks, ranks)
            return made

        return self._make("Split", groups, (color, key))

    def Split_type(self, split_type, key=0, info=None):
        if split_type == MPI.UNDEFINED:
            return self.Split(MPI.UNDEFINED, key)
        return self.Split(self.me.rank // self.world.network.ranks_per_node, key)

    def Create_cart(self, dims, periods=None, reorder=False):
        from labkit.comm.simulated.cartesian import make_cart

        return make_cart(self, dims, periods)

    def Free(self):
        self.__class__ = FreedComm  # its requests and messages go on

    free = Free

    def _make(self, call: str, groups, value, cls=None, on_make=None):
        """Collective: a new communicator of the members of each group; None for a rank in none."""
        meeting, number = self._meet(call, value)
        if "groups" not in meeting.__dict__:
            meeting.groups = groups(meeting.values)
            meeting.made = {}
        ranks = meeting.groups.get(self.rank)
        if ranks is None:
            return MPI.COMM_NULL
        if ranks not in meeting.made:
            context = f"{self.context}/{call}#{number}" + (f".{ranks[0]}" if ranks[0] else "")
            members = tuple(self.members[rank] for rank in ranks)
            meeting.made[ranks] = Shared(self.world, members, context)
        return meeting.made[ranks].comm_of(ranks.index(self.rank), cls)

    def _meet(self, call: str, value) -> tuple[Meeting, int]:
        """Wait until all members have come here; they all get the same meeting. Costs no messages."""
        me, start = self.me, self.me.now
        number = self.enter(call, None)
        meeting = self.shared.meetings.setdefault(number, Meeting())
        meeting.values[self.rank] = value
        request = Request("collective", f"{call}(){self.where}", self, None, None)
        request.sequence, request.line = number, cell_line()
        meeting.requests.append(request)
        if len(meeting.requests) == self.size:
            del self.shared.meetings[number]
            for one in meeting.requests:
                one.set_done(self.me.now)
        me.wait_for((request,), call)
        if me.recorder is not None:
            me.recorder.span(call, "collective", start, self, sequence=number)
        return meeting, number

    # -- errors and time ------------------------------------------------------------------------

    def Abort(self, errorcode=0):
        raise Aborted(f"rank {self.rank} has called Abort({errorcode})")

    def Set_errhandler(self, errhandler):
        """Nothing: simulated ranks always raise."""

    def Get_attr(self, keyval):
        return COMM_SELF.Get_attr(keyval)

    def charge_reduction(self, num_elements: int, num_bytes: int) -> None:
        """Count a reduction of so many elements, and let the time pass that it takes."""
        me = self.me
        me.note_reduction(num_elements, num_bytes)
        gamma = self.world.network.gamma_s_per_byte
        if gamma and num_bytes:
            me.advance_to(me.now + gamma * num_bytes)

    def charge_compute(self, seconds: float) -> None:
        """Let virtual time pass, as if the rank computed."""
        if not 0 <= seconds < math.inf:
            raise UsageError(f"rank {self.rank}: a rank cannot compute for {seconds} s; pass a finite number from 0 on.")
        me = self.me
        start = me.now
        me.computed_s += seconds
        me.advance_to(me.now + seconds)
        if me.recorder is not None:
            me.recorder.span("compute", "compute", start, self)


class NotSimulated:
    """Stands for a method of mpi4py's communicators that simulated ones lack, to say so.

    There is one for each, and no ``__getattr__``: with that, Python looks up all attributes of a communicator the slow way,
    and each message takes a tenth longer.
    """

    def __init__(self, name: str):
        self.name = name

    def __get__(self, comm, owner=None):
        raise NotSimulatedError(
            f"{self.name} is not simulated: run this on real ranks, or use the calls of labkit.comm.protocol."
        )


_FREED = {name for name in dir(MPI.Intracomm) if not name.startswith("_")} - {"rank", "size"}
for _name in _FREED:
    if not hasattr(SimulatedComm, _name):
        setattr(SimulatedComm, _name, NotSimulated(_name))


class FreedComm(SimulatedComm):
    """What a communicator is after ``Free``: equal to MPI.COMM_NULL, and good for nothing."""

    def __getattribute__(self, name):
        if name in _FREED:
            raise MPIError(MPI.ERR_COMM, f"rank {self.rank}: {name}{self.where}: this communicator has been freed")
        return super().__getattribute__(name)

    def __eq__(self, other):
        return self is other or other == MPI.COMM_NULL

    __hash__ = object.__hash__
