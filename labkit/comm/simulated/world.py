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

import greenlet
from mpi4py import MPI

from labkit.comm.network.model import Network
from labkit.comm.simulated.agenda import Agenda
from labkit.comm.simulated.ranks import Released, SimulatedRank
from labkit.comm.simulated.transport import Transport
from labkit.errors import UsageError

HOPELESS_POLLS = 200_000  # ranks that poll so often, all together, while nothing at all happens are stuck
BEFORE_RANKS = 1 << 62  # taken from the tie-breaker of what is no rank

_stubborn: list[greenlet.greenlet] = []  # ranks that no exception ends: they stay where they are


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
