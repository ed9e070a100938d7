"""What a rank waits for, as values; and who waits for whom, as a graph of those values.

Nothing here communicates or reads a clock. A rank that waits makes :class:`WaitReport` values,
:mod:`labkit.comm.deadlock` reads the reports of all ranks and makes a :class:`WaitGraph`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STATES = ("waiting", "computing", "finished", "failed", "died", "absent")


@dataclass(frozen=True, slots=True)
class Operation:
    """One communication that has started and is not complete.

    Attributes
    ----------
    kind : str
        ``"send"``, ``"recv"``, ``"probe"``, ``"collective"`` or ``"window"``.
    text : str
        The call as a student would write it, for example ``"Recv(source=1, tag=7)"``.
    context : str
        Which communicator: equal on all its members, different for any two communicators.
    peers : tuple of int
        World ranks: the destination of a send, the possible sources of a receive, all members for
        a collective.
    tag : int or None
        None accepts any tag.
    num_bytes : int
        Bytes to send, or room for that many bytes to receive.
    sequence : int or None
        For a collective: how many collectives this rank had called on this communicator before.
    line : int or None
        Line of the cell that started it.
    """

    kind: str
    text: str
    context: str
    peers: tuple[int, ...]
    tag: int | None = None
    num_bytes: int = 0
    sequence: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Unreceived:
    """A message that has arrived at a rank and that no receive has asked for yet (world rank ``source``)."""

    context: str
    source: int
    tag: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class CollectiveCall:
    """One collective call: its name, its root (None if it has none) and the line of the cell."""

    name: str
    root: int | None
    line: int | None

    def __str__(self) -> str:
        return f"{self.name}(root={self.root})" if self.root is not None else f"{self.name}()"

    def matches(self, other: CollectiveCall) -> bool:
        """Whether MPI allows two members to make these calls at the same place in the order."""
        return self.name == other.name and self.root == other.root


@dataclass(frozen=True, slots=True)
class CollectiveLog:
    """The collective calls of one rank on one communicator: how many, and the most recent ones."""

    members: tuple[int, ...]
    count: int
    recent: tuple[CollectiveCall, ...]

    def call(self, index: int) -> CollectiveCall | None:
        """The call number ``index`` (from 0), or None if it was not made or is not remembered."""
        first = self.count - len(self.recent)
        return self.recent[index - first] if first <= index < self.count else None


@dataclass(frozen=True, slots=True)
class WaitReport:
    """What one waiting rank tells about itself.

    Attributes
    ----------
    rank : int
        World rank.
    wait_id : int
        Number of this wait on this rank: a rank that reports the same number twice has not moved.
    call : str
        The blocking call, for example ``"Waitall(2 requests)"``.
    operations : tuple of Operation
        What it waits for.
    need : str
        ``"all"`` or ``"any"`` of the operations.
    posted : tuple of Operation
        Other nonblocking operations of this rank that are not complete.
    unreceived : tuple of Unreceived
        Messages that lie here and that nobody has asked for.
    collectives : mapping of str to CollectiveLog
        By communicator.
    line : int or None
        Line of the cell the rank is in.
    source : str
        The text of that line.
    """

    rank: int
    wait_id: int
    call: str
    operations: tuple[Operation, ...]
    need: str = "all"
    posted: tuple[Operation, ...] = ()
    unreceived: tuple[Unreceived, ...] = ()
    collectives: Mapping[str, CollectiveLog] = field(default_factory=dict)
    line: int | None = None
    source: str = ""

    @property
    def text(self) -> str:
        """For example ``"waits in Recv(source=1, tag=7), line 3"``."""
        return f"waits in {self.call}" + (f", line {self.line}" if self.line else "")


@dataclass(frozen=True, slots=True)
class RankStatus:
    """What one rank is doing: ``state`` is one of ``STATES``, ``text`` says it in words."""

    rank: int
    state: str
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class WaitEdge:
    """Rank ``waiter`` cannot go on before rank ``awaited`` acts; ``reason`` names the call."""

    waiter: int
    awaited: int
    reason: str


@dataclass(frozen=True, slots=True)
class WaitGraph:
    """Who waits for whom.

    Attributes
    ----------
    statuses : tuple of RankStatus
        One a rank, in rank order.
    edges : tuple of WaitEdge
        One for each rank that a waiting rank waits for.
    stuck : tuple of int
        The ranks that can never go on.
    cycle : tuple of int
        A cycle of stuck ranks, each waiting for the next and the last for the first; () if there is none.
    """

    statuses: tuple[RankStatus, ...]
    edges: tuple[WaitEdge, ...]
    stuck: tuple[int, ...] = ()
    cycle: tuple[int, ...] = ()
