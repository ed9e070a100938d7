"""Which message goes to which receive: MPI's rules, at one rank on one communicator.

Messages of a pair are matched in the order in which they were sent, receives in the order in which
they were posted. A receive from a named rank can be matched as soon as its message is sent, for
nothing that comes later can take its place. A receive from MPI.ANY_SOURCE takes what arrives first:
while one is open, messages are held back until the virtual time of their arrival.
"""

from __future__ import annotations

from itertools import takewhile

from mpi4py import MPI

from labkit.comm.simulated.buffers import taken

ANY_SOURCE, ANY_TAG = MPI.ANY_SOURCE, MPI.ANY_TAG
NONBLOCKING = ("Irecv", "irecv", "Recv_init")  # of these a rank can have several open at a time


class Message:
    """A message on its way. ``arrival`` is that of its envelope; ``sender`` a request that waits for the match."""

    __slots__ = ("source", "tag", "data", "num_bytes", "arrival", "round", "sender")

    def __init__(self, source, tag, data, num_bytes, arrival, round_, sender=None):
        self.source, self.tag, self.data, self.num_bytes = source, tag, data, num_bytes
        self.arrival, self.round, self.sender = arrival, round_, sender


class Mailbox:
    """What has been sent to one member of a communicator, and what it has asked for.

    Parameters
    ----------
    owner : SimulatedRank
    members : tuple of int
        World ranks of the communicator's members.
    """

    def __init__(self, owner, members: tuple[int, ...]):
        self.owner, self.members = owner, members
        self.world = owner.world
        self.unexpected: dict[int, list[Message]] = {}  # by source
        self.posted: dict[int, list] = {}  # receives from named ranks, by source
        self.wild: list = []  # receives from anybody
        self.probes: list = []  # ranks that wait in Probe: requests that take nothing
        self.num_held = 0  # messages held back until they arrive
        self.held_until: dict[int, float] = {}  # by source: arrival of the last one held back

    # -- the side of the sender -----------------------------------------------------------------

    def deliver(self, message: Message) -> None:
        """A message has been sent to here."""
        self.world.idle_polls = 0
        if self.wild or self.probes or self.num_held:
            self._hold(message)
            return
        queue = self.posted.get(message.source)
        if queue:
            for request in queue:
                if request.tag == message.tag or request.tag == ANY_TAG:
                    queue.remove(request)
                    self.match(request, message)
                    return
        queue = self.unexpected.get(message.source)
        if queue is None:
            queue = self.unexpected[message.source] = []
        queue.append(message)

    def set_out(self, time, message: Message) -> None:
        """A message that had to wait at its sender's port is leaving."""
        source = self.members[message.source]
        message.arrival = self.world.transport.travel(source, self.owner.rank, message.num_bytes, time)
        self.deliver(message)

    def announce(self, time, message: Message) -> None:
        """The envelope of a message that waits for its receive is leaving."""
        source = self.members[message.source]
        message.arrival = self.world.transport.announce(source, self.owner.rank, time)
        self.deliver(message)

    def _hold(self, message: Message) -> None:
        self.num_held += 1
        # A short announcement does not overtake a long message of the same pair.
        held_until = self.held_until.get(message.source, 0)
        if message.arrival < held_until:
            message.arrival = held_until
        self.held_until[message.source] = message.arrival
        self.world.at(message.arrival, self._arrive, message)

    def _arrive(self, time, message: Message) -> None:
        """A message that was held back has arrived."""
        self.num_held -= 1
        found = None
        for request in self.posted.get(message.source, ()):
            if request.tag in (message.tag, ANY_TAG):
                found = request
                break
        for request in self.wild:
            if request.tag in (message.tag, ANY_TAG):
                if found is None or request.order < found.order:
                    found = request
                break
        if found is not None:
            self.withdraw(found)
            self.match(found, message)
            return
        self.unexpected.setdefault(message.source, []).append(message)
        for probe in [p for p in self.probes if p.accepts(message)]:
            self.probes.remove(probe)
            probe.message = message
            probe.set_done(time)

    # -- the side of the receiver ---------------------------------------------------------------

    def post(self, request) -> None:
        """A receive has been started."""
        source = request.peer
        if source == ANY_SOURCE:
            message = self.find(ANY_SOURCE, request.tag, self.owner.now)
            if message is None:
                self.wild.append(request)
                self._hold_what_comes()
                return
        else:
            message = None
            for candidate in self.unexpected.get(source, ()):
                if request.tag == candidate.tag or request.tag == ANY_TAG:
                    message = candidate
                    break
            if message is None:
                queue = self.posted.get(source)
                if queue is None:
                    queue = self.posted[source] = []
                queue.append(request)
                return
        self.unexpected[message.source].remove(message)
        self.match(request, message)

    def _hold_what_comes(self) -> None:
        """Messages that were sent and have not arrived yet are held back until they do."""
        now = self.owner.now
        for source, queue in self.unexpected.items():
            arrived = list(takewhile(lambda message: message.arrival <= now, queue))
            if len(arrived) < len(queue):
                self.unexpected[source] = arrived
                for message in list(queue)[len(arrived) :]:
                    self._hold(message)

    def find(self, source: int, tag: int, now) -> Message | None:
        """The message that a receive or probe at time ``now`` would take: of several, the first to arrive."""
        sources = self.unexpected if source == ANY_SOURCE else (source,)
        found = []
        for one in sources:
            for message in self.unexpected.get(one, ()):
                if tag in (message.tag, ANY_TAG):
                    if message.arrival <= now:
                        found.append(message)
                    break
        if not found:
            return None
        if self.world.random is not None:
            return self.world.random.choice(found)  # MPI leaves it open which of them is taken
        return min(found, key=lambda message: message.arrival)

    def comes_at(self, probe):
        """When the first message that ``probe`` accepts arrives of those that are on their way; None if none is known."""
        queues = self.unexpected.values()
        return min((message.arrival for queue in queues for message in queue if probe.accepts(message)), default=None)

    def take(self, message: Message) -> None:
        """Remove a message that a matched probe has found."""
        self.unexpected[message.source].remove(message)

    def probe(self, request) -> None:
        """A blocking probe: ``request`` completes when a message that it accepts has arrived."""
        message = self.find(request.peer, request.tag, self.owner.now)
        if message is not None:
            request.message = message
            request.set_done(self.owner.now)
            return
        self.probes.append(request)
        self._hold_what_comes()

    def withdraw(self, request) -> bool:
        """Take back a receive or probe; False if it was not waiting here any more."""
        for queue in (self.posted.get(request.peer, ()), self.wild, self.probes):
            if request in queue:
                queue.remove(request)
                return True
        return False

    def match(self, request, message: Message) -> None:
        """This message is for this receive: when will it be there?"""
        request.message = message
        ready = message.arrival if message.arrival > request.posted_at else request.posted_at
        world = self.world
        sender = message.sender
        transport = world.transport
        cost = transport.cost
        if transport.ranks_per_node > 1:
            cost = transport.cost_between(self.members[message.source], self.owner.rank)
        if sender is None:
            if cost.overhead_s:
                self._arrived(request, ready, cost.overhead_s)
            else:
                request.set_done(ready)
        elif cost.latency_s:  # the sender must hear of it first
            world.at(ready + cost.latency_s, self._transfer, (request, message))
        else:
            self._transfer(ready, (request, message))

    def _transfer(self, time, pair) -> None:
        """The receive is there: now a large message is sent."""
        request, message = pair
        source, dest = self.members[message.source], self.owner.rank
        transport, sender = self.world.transport, message.sender
        if message.data is None:
            message.data = sender.data if sender.data is not None else taken(sender.buffer)
        begin, left = transport.depart(source, dest, message.num_bytes, time)
        sender.set_done(left)
        if begin > time:
            self.world.at(begin, self._travel, pair)
        else:
            self._travel(begin, pair)

    def _travel(self, time, pair) -> None:
        """A large message is leaving."""
        request, message = pair
        source, dest = self.members[message.source], self.owner.rank
        transport = self.world.transport
        arrival = transport.travel(source, dest, message.num_bytes, time)
        self._arrived(request, arrival, transport.cost_between(source, dest).overhead_s)

    def _arrived(self, request, time, overhead) -> None:
        """The processor has ``overhead`` to do: at once if it waits for this one only, or when asked for it."""
        if request.call in NONBLOCKING:
            request.overhead_s = overhead
            request.set_done(time)
        else:
            request.set_done(time + overhead)
