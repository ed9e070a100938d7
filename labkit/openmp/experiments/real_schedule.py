"""A loop schedule on real threads: the plan and the costs that the simulation has, run by a team and noted down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import number_array, whole_number
from labkit.openmp.experiments.rounds import Progress, clocked, silent, usable_cores
from labkit.openmp.schedule import Schedule
from labkit.openmp.simulate import ScheduleRun

MOST_WORK_S = 5.0  # of a loop on one thread
MOST_ROUNDS = 100
NUM_PIECES = 64


@dataclass(frozen=True, eq=False)
class MeasuredSchedule:
    """A loop as it ran on real threads.

    Attributes
    ----------
    run : ScheduleRun
        The fastest round: who ran which chunk when.
    durations_s : tuple of float
        Of the loop, round by round.
    serial_s : float
        The fastest round of the same loop on one thread.
    num_cores : int
        That the threads could use.
    is_right : bool
        Whether all rounds came to the result of the serial loop.
    """

    run: ScheduleRun
    durations_s: tuple[float, ...]
    serial_s: float
    num_cores: int
    is_right: bool

    @property
    def speedup(self) -> float:
        """Time on one thread over time on all, both measured."""
        return self.serial_s / self.run.duration_s if self.run.duration_s > 0 else 1.0

    @property
    def efficiency(self) -> float:
        """Speed-up over the number of threads."""
        return self.speedup / self.run.num_threads


def measure_schedule(
    schedule: str | Schedule, costs_s, num_threads: int, *, num_rounds: int = 3, progress: Progress = silent
) -> MeasuredSchedule:
    """Run a loop whose iterations take given times on real threads.

    Parameters
    ----------
    schedule : str or Schedule
    costs_s : array_like, shape (num_iterations,)
        What each iteration takes on one thread of this machine, in s; all together at most 5 s. They are turned into
        steps of computation, so that threads without a core make no progress.
    num_threads : int
        1 to 512.
    num_rounds : int
        1 to 100; the fastest is given.
    progress : callable

    Returns
    -------
    MeasuredSchedule

    Raises
    ------
    UsageError
        No such schedule, or sizes or times out of range.

    Notes
    -----
    Its arguments are those of :func:`.simulate_schedule`, which says what to expect; what differs is what a machine
    does besides: threads start late, the clock of the processor changes, and others use the cores.

    Examples
    --------
    >>> measured = measure_schedule("static,2", [1e-6] * 10, 2)
    >>> measured.run.thread_nums.tolist(), measured.is_right
    ([0, 1, 0, 1, 0], True)
    """
    from labkit.openmp.experiments.compiled.work import spend_iterations, steps_of
    from labkit.openmp.team import Team

    schedule = Schedule.parse(schedule)
    costs_s = number_array("costs_s", costs_s)
    if costs_s.sum() > MOST_WORK_S:
        raise UsageError(
            f"costs_s: together the iterations take at most {MOST_WORK_S:g} s on a thread, not {costs_s.sum():.3g} s: "
            "pass fewer, or smaller costs."
        )
    num_rounds = whole_number("num_rounds", num_rounds, 1, MOST_ROUNDS)
    team = Team(num_threads)
    progress(f"{schedule} on {team.num_threads} real threads: getting ready ...")
    steps = steps_of(costs_s)
    alone, piece = Team(1), f"static,{max(len(steps) // NUM_PIECES, 1)}"  # in pieces, between which it can be stopped
    expected = alone.parallel_for(spend_iterations, len(steps), steps, schedule=piece, reduction="+")
    serial_s = min(
        clocked(lambda: alone.parallel_for(spend_iterations, len(steps), steps, schedule=piece, reduction="+"))
        for _ in range(num_rounds)
    )
    # Compiled, and the threads awake, before the first round.
    team.parallel_for(spend_iterations, team.num_threads, np.zeros(team.num_threads, np.int64), schedule=schedule,
                      reduction="+", trace=True)
    rounds = []
    for number in range(num_rounds):
        progress(f"{schedule} on {team.num_threads} real threads: round {number + 1} of {num_rounds} ...")
        rounds.append(team.parallel_for(
            spend_iterations, len(steps), steps, schedule=schedule, reduction="+", trace=True
        ))
    best = min(rounds, key=lambda traced: traced.run.duration_s)
    return MeasuredSchedule(
        best.run, tuple(traced.run.duration_s for traced in rounds), serial_s, usable_cores(),
        all(traced.result == expected for traced in rounds),
    )
