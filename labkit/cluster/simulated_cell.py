"""``%%mpi --sim``: run a cell on simulated ranks in the notebook's own process."""

from __future__ import annotations

import _thread
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from labkit.cluster.execution import compile_cell, execute
from labkit.cluster.outcome import CellOutcome, Listener, failures_text, status_of
from labkit.cluster.shared_process import RandomNumbers, names_by_rank, same_folder, streams_by_rank
from labkit.errors import CellError, CellInterruptedError, CellTimeoutError, RankFailedError, UsageError

MAX_RANKS = 16384
PROGRESS_EVERY_S = 0.5


@dataclass
class SimulatedOutcome(CellOutcome):
    """What a simulated cell has brought.

    Attributes
    ----------
    time_s : float
        Virtual time, in s.
    counts : labkit.comm.simulated.run.Counts
    network : labkit.comm.network.model.Network
    """

    time_s: float = 0.0
    counts: object | None = None
    network: object | None = None


class SimulatedRanks:
    """Namespaces of simulated ranks, which keep their variables from cell to cell."""

    def __init__(self):
        self.namespaces: list[dict] = []
        self.random_numbers = RandomNumbers()
        self.num_cells = 0

    @property
    def num_ranks(self) -> int:
        """0 before the first cell."""
        return len(self.namespaces)

    def start(self, num_ranks: int) -> None:
        """Fresh namespaces; those of another number of ranks are lost.

        Raises
        ------
        UsageError
            No such number of ranks.
        """
        check_num_simulated(num_ranks)
        if num_ranks != self.num_ranks:
            import numpy as np
            from mpi4py import MPI

            self.random_numbers = RandomNumbers()
            self.namespaces = [
                {"__name__": "__main__", "MPI": MPI, "np": np, "exit": sys.exit, "quit": sys.exit} for _ in range(num_ranks)
            ]


def check_num_simulated(num_ranks: int) -> None:
    """A number of ranks that can be simulated here."""
    if not 1 <= num_ranks <= MAX_RANKS:
        raise UsageError(f"--sim {num_ranks}: choose 1 to {MAX_RANKS} simulated ranks.")


def run_simulated_cell(
    ranks: SimulatedRanks,
    shell,
    source: str,
    *,
    network=None,
    seed: int | None = None,
    timeout_s: float | None = None,
    trace: bool = False,
    check_unsafe_sends: bool = False,
    listener: Listener | None = None,
    progress: Callable[[str], None] | None = None,
) -> SimulatedOutcome:
    """Run a cell on all simulated ranks.

    Parameters
    ----------
    ranks : SimulatedRanks
        Started.
    shell : IPython shell
        Of the notebook.
    source : str
    network : labkit.comm.network.model.Network, optional
    seed : int, optional
        Vary delays and wildcards at random; see :func:`labkit.comm.simulated.run.simulate`.
    timeout_s : float, optional
        Real seconds.
    trace, check_unsafe_sends : bool
    listener : Listener, optional
    progress : callable, optional
        Is given a sentence now and then during a long simulation.

    Returns
    -------
    SimulatedOutcome

    Raises
    ------
    CellError
        As on real ranks: a rank failed, a deadlock, a mismatch, the time limit, the Stop button. Its
        ``outcome`` holds what there is.
    """
    from labkit.comm.simulated.run import DEFAULT_NETWORK, Simulation
    from labkit.comm.simulated.ranks import Released

    listener = listener or Listener()
    network = network or DEFAULT_NETWORK
    ranks.num_cells += 1
    program = compile_cell(shell, source, f"<mpi cell simulated {ranks.num_cells}>")
    simulation = Simulation(
        ranks.num_ranks, network=network, seed=seed, trace=trace, check_unsafe_sends=check_unsafe_sends
    )
    outcomes: dict[int, dict] = {}

    def run_rank(comm):
        namespace = ranks.namespaces[comm.rank]
        namespace["comm"] = comm
        outcome = execute(shell, program, namespace, passing=(Released, KeyboardInterrupt))
        outcomes[comm.rank] = outcome
        if outcome["status"] == "error":
            raise _RankFailed(outcome["name"])

    started = time.monotonic()
    watch = _Watch(simulation.world, timeout_s, progress)
    names = names_by_rank(simulation.world, ranks.namespaces)
    numbers = ranks.random_numbers.of_ranks(simulation.world)
    with same_folder(), numbers, streams_by_rank(simulation.world, listener), names, watch:
        simulation.run(run_rank)
    error = _error_of(simulation, outcomes, watch.timed_out, timeout_s)
    outcome = SimulatedOutcome(
        results={r: o["result"] for r, o in sorted(outcomes.items()) if "result" in o},
        timeline=simulation.timeline(),
        left_over=simulation.left_over,
        seconds=time.monotonic() - started,
        time_s=float(max(rank.now for rank in simulation.world.ranks)),
        counts=simulation.counts(),
        network=network,
    )
    if error is not None:
        error.outcome = outcome
        raise error
    return outcome


class _RankFailed(Exception):
    """The cell has raised on this rank."""


def _error_of(simulation, outcomes: dict[int, dict], timed_out: bool, timeout_s) -> CellError | None:
    error = simulation.error()
    if isinstance(error, RankFailedError):
        statuses = tuple(
            status_of(status.rank, outcomes[status.rank]) if status.rank in outcomes else status
            for status in error.statuses
        )
        return RankFailedError(failures_text(outcomes, statuses), statuses=statuses, graph=error.graph)
    if isinstance(error, CellInterruptedError) and timed_out:
        text = str(error).split("\n", 1)[1]
        return CellTimeoutError(
            f"the cell ran longer than its --timeout of {timeout_s:g} s. When it was ended:\n{text}",
            statuses=error.statuses, graph=error.graph,
        )
    return error


class _Watch:
    """While a simulation runs: its time limit, and its progress."""

    def __init__(self, world, timeout_s: float | None, progress):
        self.world, self.timeout_s, self.progress = world, timeout_s, progress
        self.over = threading.Event()
        self.timed_out = False

    def __enter__(self):
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        began = time.monotonic()
        while not self.over.wait(PROGRESS_EVERY_S if self.timeout_s is None else min(PROGRESS_EVERY_S, self.timeout_s / 4)):
            if self.timeout_s is not None and time.monotonic() - began > self.timeout_s and not self.timed_out:
                self.timed_out = True
                _thread.interrupt_main()
            if self.progress is not None:
                ranks = self.world.ranks
                self.progress(
                    f"simulating: {sum(rank.num_sent for rank in ranks):,} messages, virtual time "
                    f"{max(rank.now for rank in ranks):.6g} s, "
                    f"{sum(rank.state == 'finished' for rank in ranks):,} of {len(ranks):,} ranks have finished"
                )
