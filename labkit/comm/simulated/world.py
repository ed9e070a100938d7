"""The simulation: ranks that take turns in the order of their virtual clocks.

Each rank is a greenlet: a function with a stack of its own, which stops in the middle of a blocking
call and goes on later. There is one list of things to come, ordered by virtual time; whoever has to
wait takes the next one from it. So the rank that runs is always the one whose clock is the earliest,
and nothing it sees can still change. Everything happens in one thread; with the same seed, every
run is the same. Virtual time passes in communication and in reductions only.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from itertools import count
from math import inf
from numbers import Real
from operator import attrgetter

import greenlet
from mpi4py import MPI

from labkit.comm.network.model import Network
from labkit.comm.simulated.agenda import Agenda
from labkit.comm.simulated.transport import Transport
from labkit.comm.waits import CollectiveCall, CollectiveLog
from labkit.errors import UsageError

POLL_S = 1e-7  # what a Test or Iprobe that finds nothing costs
PATIENT_POLLS = 64  # after so many in a row, a polling rank lets others go first
HOPELESS_POLLS = 200_000  # ranks that poll so often, all together, while nothing at all happens are stuck
AT_ONCE = -1  # before all virtual times


_stubborn: list[greenlet.greenlet] = []  # ranks that no exception ends: they stay where they are


class Released(BaseException):
    """Raised in the ranks that are left when a simulation ends early."""

BEFORE_RANKS = 1 << 62  # taken from the tie-breaker of what is no rank


class SimulatedRank:
    """One rank: its clock, its books, and what it waits for."""

    __slots__ = (  # a thousand ranks take turns: what each of them touches should be small
        "world", "rank", "now", "token", "waiting", "waiting_call", "waiting_any", "num_unknown", "until", "num_polls",
        "sent_round", "received_round", "depth", "num_sent", "bytes_sent", "num_received", "bytes_received", "num_reduced",
        "bytes_reduced", "reduced_in_round", "reducing_round", "posted", "collectives", "members", "recorder", "inside",
        "own", "computed_s", "state", "result", "failure", "stopped_at", "greenlet", "may_run_ahead", "is_hurried",
        "patient_until", "looked_at",
    )

    def __init__(self, world: World, rank: int):
        self.world, self.rank = world, rank
        self.now = 0  # virtual time in s
        self.token = 0  # wake-ups that were meant for an earlier wait carry an older one
        self.waiting: tuple = ()  # requests it is blocked on
        self.waiting_call = ""
        self.waiting_any = False
        self.num_unknown = 0
        self.until = 0
        self.num_polls = 0  # looks in vain since it has found something
        self.patient_until = PATIENT_POLLS  # the last of them that does not jump
        self.looked_at = -1  # when the last one ended
        # Counts. Rounds: a rank sends one message and receives one in a round.
        self.sent_round = self.received_round = self.depth = 0
        self.num_sent = self.bytes_sent = self.num_received = self.bytes_received = 0
        self.num_reduced = self.bytes_reduced = self.reduced_in_round = self.reducing_round = 0
        self.posted: dict[int, object] = {}  # nonblocking requests that the program holds
        self.collectives: dict[str, list[CollectiveCall]] = {}
        self.members: dict[str, tuple[int, ...]] = {}
        self.recorder = None
        self.inside = None  # the hidden communicator of the collective it is in
        self.own = None  # its COMM_SELF
        self.computed_s = 0  # virtual time that it has computed, in s
        self.state, self.result, self.failure = "computing", None, None
        self.stopped_at = None  # the traceback, if the Stop button hit this rank
        self.greenlet: greenlet.greenlet | None = None
        self.may_run_ahead = False  # the end of a call may return before virtual time has come to it
        self.is_hurried = False

    def run(self, main: Callable, comm) -> None:
        """The life of the rank."""
        try:
            self.result = main(comm)
            self.state = "finished"
        except Released:
            pass
        except KeyboardInterrupt as stop:
            self.stopped_at = stop.__traceback__
            self.world.interrupted = self.world.ending = True
        except BaseException as failure:
            self.state, self.failure = "failed", failure
            if self.world.failed_at is None:
                self.world.failed_at = self.now
            self.world.ending = True
        self.world.idle_polls = 0

    def advance_to(self, time) -> None:
        """Let virtual time pass; ranks with earlier clocks go first."""
        world = self.world
        first = world.agenda.first()
        if first is not None and (first[0] < time or first[0] == time and first[1] < 0):  # negative: no rank, see at()
            if threading.get_ident() != world.thread:
                self._refuse_thread()
            world.agenda.add((time, world.order(), self, self.token))
            world.run_next(self)
            self.token += 1
        elif world.ending:
            world.run_next(self)
        else:
            self.now = time

    def end_at(self, time) -> None:
        """As :meth:`advance_to`, where nothing but the end of a call follows.

        A rank whose program runs elsewhere (``may_run_ahead``) can hear the result as soon as it is known: so programs
        compute side by side. It is to :meth:`catch_up` before its next call.
        """
        if self.may_run_ahead:
            self.now = time
        else:
            self.advance_to(time)

    def end_with(self, request) -> None:
        """Block until one request is complete, where nothing but the end of a call follows (see :meth:`end_at`)."""
        start = self.now
        if request.done_at is None:
            if threading.get_ident() != self.world.thread:
                self._refuse_thread()
            request.awaited = True
            self.num_unknown, self.until, self.is_hurried = 1, start, self.may_run_ahead
            self.waiting, self.waiting_call, self.waiting_any = (request,), "", False
            self.world.run_next(self)
            self.token += 1
            self.waiting, self.is_hurried = (), False
        if self.may_run_ahead:
            self.now = max(start, request.done_at)
        elif request.done_at > self.now:
            self.advance_to(request.done_at)
        self.num_polls = 0

    def catch_up(self) -> None:
        """Let virtual time come to where this rank is: ranks with earlier clocks go first, also when the run ends."""
        world = self.world
        first = world.agenda.first()
        if world.ending or (first is not None and first[0] < self.now):
            world.agenda.add((self.now, world.order(), self, self.token))
            world.run_next(self)
            self.token += 1

    def wait_for(self, requests, call: str, *, any_of_them: bool = False) -> None:
        """Block until all (or one) of the requests are known to complete, and then until they do."""
        start = self.now
        if any_of_them:
            known = [r.done_at for r in requests if r.done_at is not None]
            if not known or min(known) > self.now:
                if known:
                    self.world.agenda.add((min(known), self.world.order(), self, self.token))
                self._block(requests, call, True)
        else:
            for request in requests:
                if request.done_at is None:
                    self._block(requests, call, False)
                    break
            if self.world.transport.has_overhead:
                self.handle(requests, start)
            else:
                time = max(request.done_at for request in requests)
                if time > self.now:
                    self.advance_to(time)
        self.num_polls = 0

    def handle(self, requests, time) -> None:
        """From ``time`` on the processor handles one message after the other, each once it is there: LogGP's o."""
        for request in sorted(requests, key=attrgetter("done_at")):
            time = max(time, request.done_at) + request.overhead_s
            request.overhead_s = 0
        if time > self.now:
            self.advance_to(time)

    def _refuse_thread(self) -> None:
        """All ranks share one thread, and take turns in it."""
        raise UsageError(
            f"rank {self.rank}: a simulated rank communicates from its own program, not from a thread that it "
            "started: all ranks share one thread. Use Isend and Irecv, or real ranks."
        )

    def _block(self, requests, call: str, any_of_them: bool) -> None:
        if threading.get_ident() != self.world.thread:
            self._refuse_thread()
        self.num_unknown, self.until = 0, self.now
        for request in requests:
            if request.done_at is None:
                request.awaited = True
                self.num_unknown += 1
        self.waiting, self.waiting_call, self.waiting_any = requests, call, any_of_them
        self.world.run_next(self)
        self.token += 1
        for request in requests:
            request.awaited = False
        self.waiting = ()

    def learn(self, time) -> None:
        """One of the requests it is blocked on will complete at ``time``."""
        if not self.waiting_any:
            self.num_unknown -= 1
            if time > self.until:
                self.until = time
            if self.num_unknown:
                return
            time = self.until
        world = self.world
        if self.is_hurried:
            world.agenda.add((AT_ONCE, world.events(), self, self.token))
        else:
            world.agenda.add((time, world.order(), self, self.token))

    def poll(self, call: str, requests) -> None:
        """A look that found nothing: virtual time passes, so that a loop of such looks ends.

        A rank that has looked often, and done nothing else between, lets virtual time jump to the next thing that may
        change what it sees. If nothing is to come but ranks that look in vain, for long, it is blocked on ``requests``.
        """
        world, agenda = self.world, self.world.agenda
        if self.now != self.looked_at or not self.num_polls:
            self.patient_until = self.num_polls + PATIENT_POLLS
        self.num_polls += 1
        time = self.now
        if self.num_polls > PATIENT_POLLS:
            coming = [known for request in requests if (known := comes_at(request)) is not None]
            if not coming and (not agenda or looks_in_vain(agenda.first())):
                world.idle_polls += 1
                if world.idle_polls > world.hopeless_polls:
                    if all(map(looks_in_vain, agenda)):
                        for request in requests:
                            if request.kind == "probe":
                                request.comm.mailbox.probe(request)
                        self.wait_for(requests, call, any_of_them=call not in ("Testall", "testall"))
                        return
                    world.idle_polls = 0
            if self.num_polls > self.patient_until:
                if agenda:
                    first = agenda.first()
                    coming.append(first[0])
                    if self.num_polls % PATIENT_POLLS == 0 and is_look(first):
                        coming[-1] = min((entry[0] for entry in agenda if not is_look(entry)), default=first[0])
                time = min(coming, default=time)
        self.looked_at = max(time, self.now) + POLL_S
        self.advance_to(self.looked_at)

    def note_received(self, message) -> None:
        """Count a message, and which round it belongs to."""
        this_round = message.round
        if this_round <= self.received_round:
            this_round = self.received_round + 1
        self.received_round = this_round
        if this_round > self.depth:
            self.depth = this_round
        num_bytes = message.num_bytes
        self.num_received += 1
        self.bytes_received += num_bytes
        largest = self.world.largest_of_round
        while this_round >= len(largest):
            largest.append(0)
        if num_bytes > largest[this_round]:
            largest[this_round] = num_bytes

    def note_reduction(self, num_elements: int, num_bytes: int) -> None:
        """Count a reduction, and which round it belongs to."""
        self.num_reduced += num_elements
        self.bytes_reduced += num_bytes
        if self.reducing_round != self.depth:
            self.reducing_round, self.reduced_in_round = self.depth, 0
        self.reduced_in_round += num_bytes
        largest = self.world.largest_reduction_of_round
        while self.depth >= len(largest):
            largest.append(0)
        if self.reduced_in_round > largest[self.depth]:
            largest[self.depth] = self.reduced_in_round

    def log_collective(self, context: str, members: tuple[int, ...], name: str, root, line) -> int:
        """Note a collective call; return its number on its communicator."""
        self.members[context] = members
        calls = self.collectives.setdefault(context, [])
        calls.append(CollectiveCall(name, root, line))
        return len(calls) - 1

    def collective_logs(self) -> dict[str, CollectiveLog]:
        """As :func:`labkit.comm.deadlock.find_stuck` reads them."""
        return {
            context: CollectiveLog(self.members[context], len(calls), tuple(calls[-256:]))
            for context, calls in self.collectives.items()
        }


def looks_in_vain(entry) -> bool:
    """Whether an entry of the agenda is but a rank that has looked often in vain, whatever it does between looks."""
    _, _, target, token = entry
    return type(target) is SimulatedRank and (target.num_polls > PATIENT_POLLS or target.token != token)


def is_look(entry) -> bool:
    """Whether it is but the next look of such a rank, and not the end of what it does between looks."""
    return looks_in_vain(entry) and (entry[0] == entry[2].looked_at or entry[2].token != entry[3])


def comes_at(request):
    """When a request will be complete, or a message that a probe looks for will be there, if that is known."""
    return request.comm.mailbox.comes_at(request) if request.kind == "probe" else request.done_at


class World:
    """All ranks of one simulation, the network between them, and what will happen when."""

    def __init__(
        self, num_ranks: int, network: Network, *, seed: int | None = None, jitter: float = 1.0,
        check_unsafe_sends: bool = False,
    ):
        if isinstance(jitter, bool) or not isinstance(jitter, Real) or not 0 <= jitter < inf:
            raise UsageError(
                f"jitter={jitter!r}: a message takes up to 1 + jitter times as long, and none arrives before it can; pass a "
                "number that is neither negative nor infinite, for example 1.0."
            )
        self.num_ranks, self.network = num_ranks, network
        self.seed = seed
        self.pickle = MPI.pickle  # dumps and loads the objects of messages
        self.random = random.Random(seed) if seed is not None else None
        self.transport = Transport(network, num_ranks, self.random, jitter)
        self.check_unsafe_sends = check_unsafe_sends
        # (time, tie-breaker, rank or function, token or argument)
        self.agenda = Agenda()
        self.events = count(1).__next__  # ties go in order,
        self.order = self.random.random if self.random else self.events  # but ranks at random with a seed
        self.ranks = [SimulatedRank(self, rank) for rank in range(num_ranks)]
        self.helpers: list[SimulatedRank] = []  # that run nonblocking collectives
        self.arguments: dict[SimulatedRank, tuple] = {}  # of those that have not begun
        self.current: SimulatedRank | None = None
        self.largest_of_round = [0]  # the largest message of each round, in bytes
        self.largest_reduction_of_round = [0]
        self.idle_polls = 0  # looks since anything has happened
        self.hopeless_polls = HOPELESS_POLLS
        self.ending = self.interrupted = False
        self.failed_at = None
        self.mismatch = ""

    def underway(self) -> tuple[int, int]:
        """Messages that were sent and not received: how many, and their bytes."""
        ranks = self.ranks + self.helpers
        num_messages = sum(rank.num_sent - rank.num_received for rank in ranks)
        return num_messages, sum(rank.bytes_sent - rank.bytes_received for rank in ranks)

    def at(self, time, function: Callable, argument) -> None:
        """Call ``function(time, argument)`` when virtual time has come to ``time``, before ranks go on from then.

        So a message that waits for its sender's port leaves before one that is sent at the moment the port is free.
        """
        self.agenda.add((time, self.events() - BEFORE_RANKS, function, argument))

    def run(self, main: Callable, comms) -> None:
        """Run ``main(comm)`` on every rank until all have ended or nothing can move."""
        self.hub = greenlet.getcurrent()
        self.thread = threading.get_ident()
        for rank, comm in zip(self.ranks, comms, strict=True):
            self.begin(rank, main, comm)
        try:
            self._loop()
        except KeyboardInterrupt:
            self.interrupted = True

    def begin(self, rank: SimulatedRank, main: Callable, comm) -> None:
        """Let ``rank`` run ``main(comm)`` from its virtual time on; ranks that are not of the world are helpers."""
        rank.greenlet = greenlet.greenlet(rank.run, parent=self.hub)
        self.arguments[rank] = main, comm
        if rank is not self.ranks[rank.rank]:
            self.helpers.append(rank)
        self.agenda.add((rank.now, self.order(), rank, 0))

    def _loop(self) -> None:
        pop = self.agenda.pop
        while (entry := pop()) is not None:
            time, _, target, argument = entry
            if self.ending and (self.failed_at is None or time > self.failed_at):
                return
            if type(target) is not SimulatedRank:
                target(time, argument)
            elif target.token == argument:
                target.now = time
                self.current = target
                if target.greenlet:  # it has begun
                    target.greenlet.switch()
                else:
                    target.greenlet.switch(*self.arguments.pop(target))

    def run_next(self, rank: SimulatedRank) -> None:
        """Called in the greenlet of ``rank``, which waits: others go on until its turn comes."""
        pop = self.agenda.pop
        while not self.ending and (entry := pop()) is not None:
            time, _, target, argument = entry
            if type(target) is not SimulatedRank:
                target(time, argument)
            elif target.token == argument:
                target.now = time
                if target is rank:
                    return
                its_own = target.greenlet
                if not its_own:  # only the hub starts ranks
                    self.agenda.add((time, -1, target, argument))
                    break
                self.current = target
                its_own.switch()
                return
        self.hub.switch()

    def end(self) -> None:
        """Release every rank that has not ended."""
        self.ending = True
        for rank in self.helpers + self.ranks:
            for _ in range(100):  # a rank may catch even this, but not for ever
                if not rank.greenlet or rank.greenlet.dead:
                    break
                self.current = rank
                rank.greenlet.throw(Released)
            if rank.greenlet:
                _stubborn.append(rank.greenlet)
            rank.greenlet = None
        self.current = None
        self.agenda.clear()
