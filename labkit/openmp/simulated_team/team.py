"""``SimulatedTeam``: the methods of a team, on threads that take turns."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from labkit.errors import DeadlockError, UsageError
from labkit.openmp.checks import whole_number
from labkit.openmp.schedule import Schedule, chunk_arrays
from labkit.openmp.simulated_team.arrays import WatchedArray, data_of, watched
from labkit.openmp.simulated_team.fibers import TooLong
from labkit.openmp.simulated_team.now import now
from labkit.openmp.simulated_team.python_form import python_form
from labkit.openmp.simulated_team.regions import Region, kernel_error
from labkit.openmp.simulated_team.report import Report

MOST_THREADS = 64


class SimulatedTeam:
    """Threads that take turns, one step at a time, in an order that a seed decides.

    Parameters
    ----------
    num_threads : int
        1 to 64.
    seed : int
        Another seed, another order.
    raises : bool
        A deadlock raises DeadlockError. Otherwise the report tells of it.
    num_recorded : int
        So many accesses are kept in ``Report.steps``, for ``print(report.table())``.

    Attributes
    ----------
    report : Report or None
        Of the last region.
    reports : list of Report
        Of all regions of this team.

    Raises
    ------
    UsageError
        A number of threads out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from labkit.openmp.simulated_team.constructs import static_block
    >>> def add(team, x, total):
    ...     start, stop = static_block(len(x))
    ...     for i in range(start, stop):
    ...         total[0] += x[i]
    >>> report = SimulatedTeam(2, seed=1).parallel(add, np.ones(4), np.zeros(1))
    >>> len(report.races), report.races[0].element
    (2, 'total[0]')
    """

    def __init__(self, num_threads: int = 4, seed: int = 0, *, raises: bool = False, num_recorded: int = 0):
        self.num_threads = whole_number("num_threads", num_threads, 1, MOST_THREADS)
        self.seed, self.raises, self.num_recorded = whole_number("seed", seed, 0), raises, num_recorded
        self.report: Report | None = None
        self.reports: list[Report] = []
        self.cores = None

    def __repr__(self) -> str:
        return f"SimulatedTeam({self.num_threads}, seed={self.seed})"

    def parallel(self, body: Callable, *arguments) -> Report:
        """Every thread runs ``body(team, *arguments)``, as :meth:`labkit.openmp.team.Team.parallel`; gives a report.

        Raises
        ------
        UsageError
            ``body`` is no function, or an array of Python objects was passed.
        KernelError
            It raised on some thread.
        DeadlockError
            If the team ``raises``.
        """
        form = python_form(body, "the body of parallel")
        given = _named(body, arguments, 1)
        return self._run(lambda region: region.run_threads(lambda thread: lambda: form(None, *given)), body)

    def tasks(self, root: Callable, *arguments) -> Report:
        """Thread 0 runs ``root(team, *arguments)``, all run its tasks; gives a report. Raises as :meth:`parallel`."""
        form = python_form(root, "the body of tasks")
        given = _named(root, arguments, 1)
        return self._run(lambda region: region.run_tasks(lambda: form(None, *given)), root)

    def sections(self, *sections: tuple) -> Report:
        """Each of ``(function, argument, ...)`` is run once, by a thread that is free. Raises as :meth:`parallel`."""
        calls = [(python_form(function, "a section"), _named(function, own, 0)) for function, *own in sections]

        def function_of(region):
            def share():
                while True:
                    region.pause()
                    if region.counter >= len(calls):
                        return
                    region.counter += 1
                    function, own = calls[region.counter - 1]
                    function(*own)

            return lambda thread: share

        return self._run(lambda region: region.run_threads(function_of(region)), sections[0][0] if sections else None)

    def parallel_for(
        self, kernel: Callable, num_iterations: int | tuple[int, int], *arguments, schedule: str | Schedule = "static",
        reduction: str | None = None, reproducible: bool = False, trace: bool = False,
    ):
        """``kernel(start, stop, *arguments)`` for the chunks of a loop: :meth:`labkit.openmp.team.Team.parallel_for`.

        Returns
        -------
        None or a number
            The result of the reduction. The report is in ``report``.

        Raises
        ------
        UsageError
            As there, and for ``trace=True``: simulated threads have no clock.
        KernelError, DeadlockError
            As :meth:`parallel`.
        """
        if trace:
            raise UsageError("trace=True: simulated threads have no clock: use simulate_schedule, or a Team.")
        from labkit.openmp.simulated_team.loops import Loop

        rows = num_iterations if isinstance(num_iterations, tuple) else (num_iterations,)
        if not 1 <= len(rows) <= 2:
            raise UsageError(
                f"num_iterations: one number, or two for collapsed loops, not {num_iterations!r}: pass those."
            )
        sizes = tuple(whole_number("num_iterations", n, 0, 10**7) for n in rows)
        plan = Schedule.parse(schedule)
        loop = Loop(
            python_form(kernel), sizes, _named(kernel, arguments, 1 + len(sizes)), plan, self.num_threads, reduction,
            reproducible,
        )
        chunk_arrays(plan, loop.num_dealt, self.num_threads)  # or a UsageError: too many chunks
        self._run(lambda region: region.run_threads(loop.shares(region)), kernel)
        return loop.result()

    def _run(self, start: Callable, kernel) -> Report:
        if now.region is not None:
            raise UsageError("a region inside of a region has one thread in OpenMP; call what is inside as a function.")
        region = Region(self.num_threads, self.seed + len(self.reports), self.num_recorded)
        report, failed = start(region)
        self.report = report
        self.reports.append(report)
        if failed is not None:
            if isinstance(failed.error, KeyboardInterrupt):
                raise failed.error
            if isinstance(failed.error, TooLong):
                raise UsageError(f"simulated threads: {failed.error}")
            raise kernel_error(failed, getattr(kernel, "__name__", "the kernel"), self.num_threads) from failed.error
        if report.deadlock and self.raises:
            raise DeadlockError(report.deadlock)
        return report


def _named(function, arguments, num_given: int) -> tuple:
    """The arguments, arrays watched under the names of the parameters."""
    names = list(inspect.signature(getattr(function, "py_func", function)).parameters)[num_given:]
    names += [f"argument {k}" for k in range(len(names), len(arguments))]
    return tuple(_watched_again(value, name) for value, name in zip(arguments, names, strict=False))


def _watched_again(value, name):
    return watched(data_of(value) if isinstance(value, WatchedArray) else value, name)
