"""A simulated rank: its clock, its books, what it waits for, and how it looks in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING

from labkit.comm.waits import CollectiveCall, CollectiveLog
from labkit.errors import UsageError

if TYPE_CHECKING:
    import greenlet

    from labkit.comm.simulated.world import World

POLL_S = 1e-7  # what a Test or Iprobe that finds nothing costs
PATIENT_POLLS = 64  # after so many in a row, a polling rank lets others go first
AT_ONCE = -1  # before all virtual times


class Released(BaseException):
    """Raised in the ranks that are left when a simulation ends early."""


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
