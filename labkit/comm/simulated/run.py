"""Run a function on simulated ranks: what it returned, how long it took, how much it sent."""

from __future__ import annotations

import contextlib
import linecache
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral

from labkit.comm.deadlock import find_mismatch, find_stuck, ranks_text
from labkit.comm.network.model import Network, alpha_beta
from labkit.comm.network.presets import find_network
from labkit.comm.simulated.communicator import WHOLE_WORLD, Shared
from labkit.comm.simulated.names import simulated_names
from labkit.comm.simulated.ranks import SimulatedRank
from labkit.comm.simulated.recorder import Recorder
from labkit.comm.simulated.world import World
from labkit.comm.source_lines import cell_frame, line_and_source
from labkit.comm.verdict import statuses_of, statuses_text, verdict_text
from labkit.comm.waits import Operation, RankStatus, Unreceived, WaitReport
from labkit.errors import (
    CellInterruptedError,
    CollectiveMismatchError,
    DeadlockError,
    RankFailedError,
    UsageError,
)
from labkit.trace.timeline import Timeline

DEFAULT_NETWORK = alpha_beta(1e-6, 1e-9, 1e-10, eager_limit_bytes=65536)


@dataclass(frozen=True, slots=True)
class Counts:
    """The traffic of a simulation, exactly.

    Attributes
    ----------
    num_messages, num_bytes : int
        Of all ranks.
    num_rounds : int
        The longest chain of messages of which each had to wait for the one before, when a rank
        sends one message and receives one at a time.
    path_bytes, path_reduced_bytes : int
        The largest message, and the largest reduction, of each round, added up.
    max_bytes_sent, max_bytes_received : int
        Of the rank with the most.
    num_reduced_elements, num_reduced_bytes : int
        Combined by ``reduce_local``, all ranks together.
    """

    num_messages: int
    num_bytes: int
    num_rounds: int
    path_bytes: int
    path_reduced_bytes: int
    max_bytes_sent: int
    max_bytes_received: int
    num_reduced_elements: int
    num_reduced_bytes: int

    def __str__(self) -> str:
        words = f"{_count(self.num_messages, 'message')}, {_count(self.num_bytes, 'byte')}, {_count(self.num_rounds, 'round')}"
        if self.num_reduced_elements:
            words += f", {_count(self.num_reduced_elements, 'reduced element')}"
        return words


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


@dataclass
class SimulatedRun:
    """What a simulation has brought.

    Attributes
    ----------
    results : list
        What the function returned, by rank.
    time_s : float
        Virtual time until the last rank ended, in s.
    times_s : list of float
        The same by rank.
    counts : Counts
    timeline : labkit.trace.timeline.Timeline or None
        With ``trace``.
    left_over : dict of int to list of str
        By rank: requests that were never completed.
    num_unreceived : int
        Messages on the world communicator that nobody has received.
    """

    results: list
    time_s: float
    times_s: list
    counts: Counts
    timeline: Timeline | None = None
    left_over: dict[int, list[str]] = field(default_factory=dict)
    num_unreceived: int = 0


def simulate(
    num_ranks: int,
    function: Callable,
    *,
    network: Network | str = DEFAULT_NETWORK,
    seed: int | None = None,
    jitter: float = 1.0,
    trace: bool = False,
    check_unsafe_sends: bool = False,
) -> SimulatedRun:
    """Run ``function(comm)`` on simulated ranks, in this process and one thread.

    Messages are really delivered; time is virtual and passes in communication and reductions only.
    A run depends on nothing but its arguments.

    Parameters
    ----------
    num_ranks : int
        At least 1.
    function : callable
        Called on every rank with its communicator, which has the methods of mpi4py's.
    network : Network or str
        A string is read by :func:`labkit.comm.network.presets.find_network`.
    seed : int, optional
        With a seed, every message takes up to ``1 + jitter`` times as long, at random, and a wildcard
        takes any message that MPI would allow: run with several seeds to look for races.
    jitter : float
    trace : bool
        Record a timeline.
    check_unsafe_sends : bool
        Every Send waits for its receive, however small.

    Returns
    -------
    SimulatedRun

    Raises
    ------
    DeadlockError
        Nothing can move any more.
    CollectiveMismatchError
        Members of a communicator called different collectives.
    RankFailedError
        A rank raised an exception, which is the error's ``__cause__``.
    UsageError
        No ranks, no such network, or called on a simulated rank.

    Examples
    --------
    >>> def ring(comm):
    ...     return comm.sendrecv(comm.rank, (comm.rank + 1) % comm.size, 0, None, (comm.rank - 1) % comm.size)
    >>> run = simulate(5, ring)
    >>> run.results, run.counts.num_messages, run.counts.num_rounds
    ([4, 0, 1, 2, 3], 5, 1)
    """
    simulation = Simulation(
        num_ranks, network=network, seed=seed, jitter=jitter, trace=trace, check_unsafe_sends=check_unsafe_sends
    )
    simulation.run(function)
    return simulation.outcome()


class Simulation:
    """A world of simulated ranks that runs once: :func:`simulate` in its parts."""

    def __init__(
        self, num_ranks: int, *, network: Network | str = DEFAULT_NETWORK, seed: int | None = None, jitter: float = 1.0,
        trace: bool = False, check_unsafe_sends: bool = False,
    ):
        if isinstance(num_ranks, bool) or not isinstance(num_ranks, Integral) or num_ranks < 1:
            raise UsageError(f"a simulation has at least 1 rank, not {num_ranks!r}; pass a whole number.")
        if isinstance(network, str):
            network = find_network(network)
        if not isinstance(network, Network):
            raise UsageError(f"a network is a Network or its name, for example 'ethernet-10g', not {network!r}.")
        num_ranks = int(num_ranks)
        self.world = World(num_ranks, network, seed=seed, jitter=jitter, check_unsafe_sends=check_unsafe_sends)
        shared = Shared(self.world, tuple(range(num_ranks)), WHOLE_WORLD)
        self.comms = [shared.comm_of(rank) for rank in range(num_ranks)]
        self.trace = trace
        if trace:
            for rank in self.world.ranks:
                rank.recorder = Recorder(rank)

    def run(self, function: Callable, *, own_names: bool = True) -> None:
        """Run it; what went wrong is raised by :meth:`outcome` or told by :meth:`error`.

        With ``own_names``, names of mpi4py's module mean the simulated forms meanwhile, for the whole process;
        without, several simulations can run at a time, each in a thread of its own.
        """
        with simulated_names(self.world, self.comms) if own_names else contextlib.nullcontext():
            try:
                self.world.run(function, self.comms)
                self.states = [_state_of(rank) for rank in self.world.ranks]
                self.left_over = {r.rank: left for r in self.world.ranks if (left := _left_over(r))}
                self.num_unreceived = sum(len(_unreceived(comm)) for comm in self.comms)
            finally:
                self.world.end()

    def error(self):
        """The error that describes what went wrong, or None."""
        world = self.world
        logs = {rank.rank: rank.collective_logs() for rank in world.ranks}
        mismatch = find_mismatch(logs) if world.mismatch else ""
        if mismatch:
            return CollectiveMismatchError(
                f"the ranks called different collectives.\n{mismatch}", statuses=statuses_of(self.states),
                graph=find_stuck(self.states, logs),
            )
        failed = [rank for rank in world.ranks if rank.failure is not None]
        if failed:
            return self._failed(failed, logs)
        if world.interrupted:
            statuses = statuses_of(self.states)
            return CellInterruptedError(
                f"the simulation was stopped. At that time:\n{statuses_text(statuses)}", statuses=statuses,
                graph=find_stuck(self.states, logs),
            )
        if any(isinstance(state, WaitReport) for state in self.states):
            graph = find_stuck(self.states, logs, at_rest=True)
            reports = {s.rank: s for s in self.states if isinstance(s, WaitReport)}
            return DeadlockError(verdict_text(graph, reports), statuses=graph.statuses, graph=graph)
        mismatch = find_mismatch(logs)
        if mismatch:
            return CollectiveMismatchError(
                f"the ranks did not make the same collective calls.\n{mismatch}", statuses=statuses_of(self.states),
                graph=find_stuck(self.states, logs),
            )
        return None

    def _failed(self, failed: list[SimulatedRank], logs):
        first = failed[0].failure
        words = _words(first)
        same = [rank.rank for rank in failed if _words(rank.failure) == words and type(rank.failure) is type(first)]
        trace = "".join(traceback.format_exception(first)).rstrip()
        statuses = statuses_of(self.states)
        others = [s for s in statuses if s.state in ("waiting", "computing")]
        text = f"{ranks_text(same)} raised {type(first).__name__}: {words}\n{trace}"
        if others:
            text += f"\nThe simulation was ended; at that time\n{statuses_text(others)}"
        error = RankFailedError(text, statuses=statuses, graph=find_stuck(self.states, logs))
        error.__cause__ = first
        return error

    def counts(self) -> Counts:
        """The traffic so far."""
        ranks = self.world.ranks
        return Counts(
            num_messages=sum(r.num_sent for r in ranks),
            num_bytes=sum(r.bytes_sent for r in ranks),
            num_rounds=max(max(r.sent_round, r.depth) for r in ranks),
            path_bytes=sum(self.world.largest_of_round),
            path_reduced_bytes=sum(self.world.largest_reduction_of_round),
            max_bytes_sent=max(r.bytes_sent for r in ranks),
            max_bytes_received=max(r.bytes_received for r in ranks),
            num_reduced_elements=sum(r.num_reduced for r in ranks),
            num_reduced_bytes=sum(r.bytes_reduced for r in ranks),
        )

    def timeline(self) -> Timeline | None:
        """With ``trace``: the timeline of all ranks."""
        if not self.trace:
            return None
        end = max(rank.now for rank in self.world.ranks)
        return Timeline.from_records([rank.recorder.record(end) for rank in self.world.ranks])

    def outcome(self) -> SimulatedRun:
        """The results; raises :meth:`error` if there is one."""
        error = self.error()
        if error is not None:
            raise error
        ranks = self.world.ranks
        return SimulatedRun(
            results=[rank.result for rank in ranks],
            time_s=max(rank.now for rank in ranks),
            times_s=[rank.now for rank in ranks],
            counts=self.counts(),
            timeline=self.timeline(),
            left_over=self.left_over,
            num_unreceived=self.num_unreceived,
        )


def _words(failure: BaseException) -> str:
    """What an exception says, if it can be made to say it."""
    try:
        return str(failure)
    except Exception:
        return "(its message could not be made)"


def _state_of(me: SimulatedRank) -> RankStatus | WaitReport:
    """What a rank does when the simulation has come to its end."""
    if me.state == "failed":
        return RankStatus(me.rank, "failed", f"has failed with {type(me.failure).__name__}")
    if me.state == "finished":
        return RankStatus(me.rank, "finished", "has finished")
    line, source = _where(me)
    waiting = [request for request in me.waiting if request.done_at is None]
    if not waiting:
        return RankStatus(me.rank, "computing", "computes" + (f", line {line}" if line else ""), line)
    call = me.waiting_call or waiting[0].text()
    operations = tuple(request.operation() for request in waiting)
    if me.inside is not None:  # in a collective: that is what the student called
        call, number, comm = me.inside.collective
        operations = (Operation("collective", call, comm.context, comm.members, sequence=number, line=line),)
    elif me.waiting_call:
        call = _family_text(me)
    return WaitReport(
        rank=me.rank, wait_id=1, call=call, operations=operations, need="any" if me.waiting_any else "all",
        posted=tuple(r.operation() for r in me.posted.values() if r.done_at is None and r not in waiting),
        unreceived=tuple(_messages_at(me)), collectives=me.collective_logs(), line=line, source=source,
    )


def _where(me: SimulatedRank) -> tuple[int | None, str]:
    """Line and text of the cell that a rank is in."""
    for frame, line in reversed(list(traceback.walk_tb(me.stopped_at))):
        if cell_frame(frame) is frame:
            return line, linecache.getline(frame.f_code.co_filename, line).strip()
    frame = me.greenlet.gr_frame if me.greenlet is not None else None
    return line_and_source(cell_frame(frame) if frame is not None else None)


def _family_text(me: SimulatedRank) -> str:
    waiting = [request.text() for request in me.waiting if request.done_at is None]
    call = me.waiting_call
    if call in ("Wait", "wait", "Test", "test"):
        return f"{call} of {waiting[0]}"
    if len(me.waiting) == 1:
        return waiting[0]
    return f"{call}({len(me.waiting)} requests, {len(waiting)} not complete: {'; '.join(waiting[:3])})"


def _messages_at(me: SimulatedRank):
    for request in me.waiting:
        if request.comm.is_hidden or request.kind == "collective":
            continue
        for queue in request.comm.mailbox.unexpected.values():
            for message in list(queue)[:2]:
                yield Unreceived(
                    request.comm.context, request.comm.members[message.source], message.tag, message.num_bytes
                )


def _unreceived(comm) -> list:
    return [message for queue in comm.mailbox.unexpected.values() for message in queue]


def _left_over(me: SimulatedRank) -> list[str]:
    return [
        request.text() + (f", line {request.line}" if request.line else "")
        for request in me.posted.values()
        if request.active and (request.kind != "send" or request.done_at is None)
    ]
