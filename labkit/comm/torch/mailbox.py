"""Which message goes to which receive, on processes: MPI's rules, at one rank on one communicator.

The same duties as :class:`labkit.comm.simulated.matching.Mailbox`, without virtual time: messages come when they come.
Messages of one rank are matched in the order in which they were sent, receives in the order in which they were
posted, and a receive from anybody takes what has come first. All calls hold the world's lock.
"""

from __future__ import annotations

from mpi4py import MPI

from labkit.comm.simulated.matching import Message

NOW = 0  # time is real: what has happened is complete, and carries this as its time


class Mailbox:
    """What has come for one member of a communicator, and what it has asked for.

    Parameters
    ----------
    world : labkit.comm.torch.world.World
    members : tuple of int
        World ranks of the communicator's members.
    """

    def __init__(self, world, members: tuple[int, ...]):
        self.world, self.members = world, members
        self.unexpected: list[Message] = []  # in the order of their coming
        self.posted: list = []  # receives, in the order of their posting
        self.probes: list = []

    def deliver(self, message: Message) -> None:
        """A message has come, whole."""
        with self.world.changed:
            request = self.claim(message.source, message.tag)
            if request is not None:
                self.match(request, message)
                return
            self.unexpected.append(message)
            for probe in [p for p in self.probes if p.accepts(message)]:
                self.probes.remove(probe)
                probe.message = message
                probe.set_done(NOW)
            self.world.changed.notify_all()

    def claim(self, source: int, tag: int):
        """Take away the receive that such a message goes to; None if there is none yet."""
        for request in self.posted:
            if request.peer in (source, MPI.ANY_SOURCE) and request.tag in (tag, MPI.ANY_TAG):
                self.posted.remove(request)
                return request
        return None

    def post(self, request) -> None:
        """A receive has been started."""
        with self.world.changed:
            message = self.find(request.peer, request.tag)
            if message is None:
                self.posted.append(request)
            else:
                self.unexpected.remove(message)
                self.match(request, message)

    def find(self, source: int, tag: int, now=None) -> Message | None:
        """The message that a receive or a probe would take."""
        with self.world.changed:
            for message in self.unexpected:
                if source in (message.source, MPI.ANY_SOURCE) and tag in (message.tag, MPI.ANY_TAG):
                    return message
        return None

    def take(self, message: Message) -> None:
        """Remove a message that a matched probe has found."""
        with self.world.changed:
            self.unexpected.remove(message)

    def probe(self, request) -> None:
        """A blocking probe: ``request`` completes when a message that it accepts has come."""
        with self.world.changed:
            message = self.find(request.peer, request.tag)
            if message is None:
                self.probes.append(request)
            else:
                request.message = message
                request.set_done(NOW)

    def withdraw(self, request) -> bool:
        """Take back a receive or probe; False if it was not waiting here any more."""
        with self.world.changed:
            for queue in (self.posted, self.probes):
                if request in queue:
                    queue.remove(request)
                    return True
        return False

    def match(self, request, message: Message) -> None:
        """This message is for this receive; a synchronous send hears of it."""
        with self.world.changed:
            request.message = message
            request.set_done(NOW)
            if message.sender is not None:
                self.world.tell_sender(message.sender)
            self.world.changed.notify_all()
