"""The processes of a ``torch.distributed`` world, and how a rank waits in it.

A :class:`World` has a Gloo group of its own for messages, a :class:`.links.Link` to every other rank, and a
mailbox for each communicator. Its :class:`Rank` stands where a simulated rank has one
(:class:`labkit.comm.simulated.world.SimulatedRank`): a wait sleeps until a thread of a link brings what it waits for.
So the calls of a communicator (:mod:`labkit.comm.simulated.communicator`) are the same code on simulated ranks and
on processes; here time is real.
"""

from __future__ import annotations

import atexit
import hashlib
import itertools
import threading
import time
from datetime import timedelta

import numpy as np
import torch.distributed as dist
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.buffers import is_plain
from labkit.comm.simulated.matching import Message
from labkit.comm.torch.links import DATA, GOODBYE, SYNCHRONOUS, TAKEN, Envelope, Link
from labkit.comm.torch.mailbox import NOW, Mailbox

EMPTY = np.empty(0, np.uint8)
ENDLESS = timedelta(days=3650)  # a receive may wait as long as it likes, as in MPI
WAKE_S = 0.1  # how often a waiting rank looks up, for the Stop button and for lost ranks


def context_number(context: str) -> int:
    """A communicator's name as a number that all ranks compute alike."""
    return int.from_bytes(hashlib.blake2b(context.encode(), digest_size=8).digest(), "little", signed=True)


class Rank:
    """This process: the part of a simulated rank that communicator calls use."""

    recorder = inside = None
    now = NOW

    def __init__(self, world: World):
        self.world, self.rank = world, world.rank
        self.posted: dict[int, object] = {}
        self.collectives: dict[str, int] = {}  # calls so far, by communicator
        self.num_polls = 0

    def wait_for(self, requests, call: str, *, any_of_them: bool = False) -> None:
        """Sleep until all (or one) of the requests are complete."""
        changed, check = self.world.changed, any if any_of_them else all
        with changed:
            while not check(request.done_at is not None for request in requests):
                self.world.check_lost(requests, any_of_them)
                changed.wait(WAKE_S)

    def end_with(self, request) -> None:
        self.wait_for((request,), "")

    def poll(self, call: str, requests) -> None:
        """A look that found nothing: the threads of the links get their turn."""
        with self.world.changed:
            self.world.check_lost(requests, True)
        time.sleep(2e-5)

    def advance_to(self, time) -> None:
        """Nothing: time is real."""

    end_at = advance_to

    def note_received(self, message) -> None:
        """Nothing: who wants counts reads them from the timeline."""


class World:
    """All processes of the default group of ``torch.distributed``.

    Attributes
    ----------
    rank, size : int
    store : torch.distributed.Store
        Where further groups find each other.
    """

    check_unsafe_sends = False

    def __init__(self):
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.store = dist.distributed_c10d._get_default_store()
        self.pickle = MPI.pickle
        self.events = itertools.count(1).__next__
        self.changed = threading.Condition(threading.RLock())
        self.me = Rank(self)
        self.mailboxes: dict[int, Mailbox] = {}
        self.early: dict[int, list] = {}  # messages for communicators that are not made here yet
        self.waiting_sends: dict[int, object] = {}  # synchronous sends that nobody has taken, by number
        self.lost: dict[int, str] = {}
        self.links: dict[int, Link] = {}
        if self.size > 1:
            group = self.group_of("messages", tuple(range(self.size)))
            self.links = {peer: Link(group, peer, self) for peer in range(self.size) if peer != self.rank}
        atexit.register(self.leave)

    def group_of(self, name: str, members: tuple[int, ...], timeout: timedelta = ENDLESS):
        """A Gloo group for one use: all members ask for it, with the same name."""
        store = dist.PrefixStore(f"labkit/{name}", self.store)
        return dist.ProcessGroupGloo(store, members.index(self.rank), len(members), timeout=timeout)

    def leave(self) -> None:
        """Tell the others that nothing more will come from here, and wait until they have said so too.

        As MPI_Finalize does. Python must not end while a thread is inside Gloo: it would be cut off there, which
        ends the process with a signal. A rank that is lost is not waited for.
        """
        atexit.unregister(self.leave)
        for link in self.links.values():
            link.send(Envelope(GOODBYE, 0))
        for link in self.links.values():
            for thread in link.threads:
                thread.join()

    # -- mailboxes ------------------------------------------------------------------------------

    def open_mailbox(self, context: str, members: tuple[int, ...]) -> Mailbox:
        """The mailbox of a communicator that is made here; what has come for it is in it."""
        number = context_number(context)
        with self.changed:
            box = self.mailboxes[number] = Mailbox(self, members)
            for message in self.early.pop(number, ()):
                message.source = members.index(message.source)
                box.deliver(message)
        return box

    def close_mailbox(self, context: str) -> None:
        """Forget a communicator that nothing is sent to any more."""
        with self.changed:
            self.mailboxes.pop(context_number(context), None)

    # -- called by links ------------------------------------------------------------------------

    def room_for(self, peer: int, envelope: Envelope):
        """(Where a large message is to be received, the receive that it is for or None).

        A receive that is waiting for it gets it into its own buffer: no copy is made.
        """
        with self.changed:
            box = self.mailboxes.get(envelope.context)
            request = box.claim(box.members.index(peer), envelope.tag) if box is not None else None
        if request is not None:
            buffer = request.buffer
            if is_plain(buffer) and buffer.flags.writeable and envelope.num_bytes <= buffer.nbytes:
                return buffer.reshape(-1).view(np.uint8)[: envelope.num_bytes], request
        return np.empty(envelope.num_bytes, np.uint8), request

    def arrived(self, peer: int, envelope: Envelope, data: np.ndarray, request=None) -> None:
        """A message is here."""
        if envelope.kind == TAKEN:
            self.tell_sender(self.waiting_sends.pop(envelope.serial))
            return
        sender = (peer, envelope.serial) if envelope.kind == SYNCHRONOUS else None
        message = Message(peer, envelope.tag, data, envelope.num_bytes, NOW, 0, sender)
        with self.changed:
            box = self.mailboxes.get(envelope.context)
            if box is None:
                self.early.setdefault(envelope.context, []).append(message)
                return
            message.source = box.members.index(peer)
            if request is None:
                box.deliver(message)
                return
            if is_plain(request.buffer) and data.nbytes and np.may_share_memory(data, request.buffer):
                message.data = EMPTY  # it is where it should be
            box.match(request, message)

    def left(self, peer: int, reason: str) -> None:
        """Nothing will come from this rank any more."""
        with self.changed:
            self.lost.setdefault(peer, reason)
            self.changed.notify_all()

    # -- sending --------------------------------------------------------------------------------

    def post(self, comm, dest: int, tag: int, data, num_bytes: int, request) -> bool:
        """Send ``data`` to a member; True if the send is complete, else ``request`` will be."""
        peer, synchronous = comm.members[dest], request.is_synchronous
        if peer == self.rank:
            copy = np.frombuffer(bytes(data), np.uint8) if isinstance(data, bytes) else data.copy()
            comm.mailbox.deliver(Message(dest, tag, copy, num_bytes, NOW, 0, request if synchronous else None))
            return not synchronous
        kind, serial = (SYNCHRONOUS, self.events()) if synchronous else (DATA, 0)
        if synchronous:
            self.waiting_sends[serial] = request

        def on_sent(failure) -> None:
            if failure is not None:
                self.left(peer, "has been lost")
            elif not synchronous:
                self.tell_sender(request)

        envelope = Envelope(kind, comm.number, tag, num_bytes, serial)
        if num_bytes:
            data = data if isinstance(data, bytes) else data.reshape(-1).view(np.uint8)
        try:
            return self.links[peer].send(envelope, data if num_bytes else b"", on_sent) and not synchronous
        except RuntimeError:
            self.left(peer, "has been lost")
            self.check_lost((request,), False)
            raise

    def tell_sender(self, sender) -> None:
        """A send is complete: of this process, or (rank, number) of another one."""
        if isinstance(sender, tuple):
            peer, serial = sender
            self.links[peer].send(Envelope(TAKEN, 0, serial=serial))
            return
        with self.changed:
            sender.set_done(NOW)
            self.changed.notify_all()

    # -- ranks that are gone --------------------------------------------------------------------

    def check_lost(self, requests, any_of_them: bool) -> None:
        """Raise if what is waited for cannot come any more, because its rank is gone."""
        if not self.lost:
            return
        hopeless = [r for r in requests if r.done_at is None and self._is_hopeless(r)]
        pending = [r for r in requests if r.done_at is None]
        if hopeless and (not any_of_them or len(hopeless) == len(pending)):
            request = hopeless[0]
            gone = [f"rank {request.comm.members.index(p)} {why}" for p, why in self.lost.items() if p in request.comm.members]
            raise MPIError(
                MPI.ERR_OTHER, f"rank {request.comm.rank}: {request.text()}: {', '.join(gone)}, so this can never complete: "
                "look at what that rank printed last, and start the program again"
            )

    def _is_hopeless(self, request) -> bool:
        if request.kind == "collective" or request.peer is None:
            return False  # the receives inside it notice
        members = request.comm.members
        others = [m for m in members if m != self.rank]
        if request.peer == MPI.ANY_SOURCE:
            return any(self.lost.get(m) == "has been lost" for m in others) or (
                bool(others) and all(m in self.lost for m in others))
        return request.peer >= 0 and members[request.peer] in self.lost
