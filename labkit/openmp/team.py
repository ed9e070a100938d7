"""A team of threads that runs kernels: OpenMP's constructs, from Python, at the speed of compiled code.

::

    @numba.njit
    def add(start, stop, x, y):          # iterations start to stop - 1
        for i in range(start, stop):
            y[i] += x[i]

    Team(4).parallel_for(add, len(x), x, y, schedule="dynamic,1000")

The threads are those of the real OpenMP runtime (see :mod:`.runtime`), and the interpreter's lock is released while
they run. How chunks are dealt out is in :mod:`.schedule` and :mod:`.loops`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from labkit.errors import UsageError
from labkit.openmp import interrupt, runtime
from labkit.openmp.affinity import pinned, places
from labkit.openmp.checks import whole_number
from labkit.openmp.compiled import Loop, Region, Sections, check_kernel
from labkit.openmp.failures import check_arguments, compile_error, has_raised, kernel_error
from labkit.openmp.runtime import MOST_TEAM_THREADS, is_forked, load, make_room
from labkit.openmp.schedule import Schedule
from labkit.openmp.shared import INTERRUPTED, shared_block
from labkit.openmp.simulate import ScheduleRun

MOST_ITERATIONS = 2**52


class TracedLoop(NamedTuple):
    """What :meth:`Team.parallel_for` gives with ``trace=True``: the result, and who ran which chunk when."""

    result: object
    run: ScheduleRun


class Team:
    """Threads that execute loops and regions together.

    Parameters
    ----------
    num_threads : int, optional
        1 to 512; by default one a usable core. More than cores take turns.
    affinity : str or sequence of int, optional
        ``"spread"`` or ``"close"``: thread k stays on a core, far from or beside the others; or the numbers of the
        logical cores by thread. By default the system moves threads as it likes.

    Raises
    ------
    UsageError
        A number of threads out of range or more than the system starts, or cores that are not there.
    NotAvailableError
        No OpenMP runtime, or a system that pins no threads.

    Notes
    -----
    Calls from several Python threads at once run side by side, each on threads of its own. A call from inside a
    kernel (in Numba's object mode) runs on one thread, as nested regions do in OpenMP by default.

    Examples
    --------
    >>> import numba
    >>> @numba.njit
    ... def squares(start, stop, x):
    ...     total = 0.0
    ...     for i in range(start, stop):
    ...         total += x[i] * x[i]
    ...     return total
    >>> x = np.arange(1000.0)
    >>> Team(2).parallel_for(squares, len(x), x, schedule="guided", reduction="+")
    332833500.0
    """

    def __init__(self, num_threads: int | None = None, *, affinity=None):
        if num_threads is None:
            num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            num_threads = min(num_threads, MOST_TEAM_THREADS)
        self.num_threads = whole_number("num_threads", num_threads, 1, MOST_TEAM_THREADS)
        load()
        make_room(self.num_threads)
        self.cores = places(affinity, self.num_threads)
        # By options: a loop, its compiled form, and for plain loops a block of its own that nobody uses now.
        self._loops: dict[tuple, tuple[Loop, Callable, list[np.ndarray]]] = {}
        self._regions: dict[tuple, Region | Sections] = {}
        self._blocks: list[np.ndarray] = []  # shared blocks that no region uses now

    def __repr__(self) -> str:
        return f"Team({self.num_threads})" if self.cores is None else f"Team({self.num_threads}, affinity={self.cores})"

    def parallel_for(
        self, kernel: Callable, num_iterations: int | tuple[int, int], *arguments, schedule: str | Schedule = "static",
        reduction: str | None = None, reproducible: bool = False, trace: bool = False,
    ):
        """``#pragma omp parallel for``: call ``kernel(start, stop, *arguments)`` for the chunks of a loop.

        Parameters
        ----------
        kernel : function compiled by numba.njit, or a function that can be
            Called with the iterations ``start`` to ``stop - 1`` (int64) and the arguments. For collapsed loops it is
            called as ``kernel(row, start, stop, *arguments)`` with the columns of one row.
        num_iterations : int, or (int, int)
            0 to 2^52. Two numbers are ``collapse(2)``: the iterations of both loops, row by row, are one loop.
        *arguments
            NumPy arrays and numbers. Arrays are shared by all threads.
        schedule : str or Schedule
            See :class:`.Schedule`.
        reduction : str, optional
            ``+``, ``*``, ``min``, ``max``, ``and``, ``or``: combines what the kernel returns.
        reproducible : bool
            The reduction gives the same bits for any number of threads and any schedule: the loop is cut into blocks
            that depend on its length alone (then the schedule's chunks count blocks).
        trace : bool
            Note who runs which chunk when; about 60 ns a chunk.

        Returns
        -------
        None, a number, or TracedLoop
            The result of the reduction; of an empty loop it is what changes nothing (0 for ``+``, inf for ``min``).

        Raises
        ------
        UsageError
            Sizes, schedule or reduction out of range, a kernel that does not compile, or arguments of other types than
            it takes. Nothing was run.
        KernelError
            The kernel raised in some thread: which, and at which iterations. The other threads have stopped after the
            chunk they were at; what was written until then stays.
        KeyboardInterrupt
            The Stop button: threads stop after the chunk they are at.
        """
        options = kernel, schedule, reduction, reproducible, trace, type(num_iterations)
        try:
            loop, compiled, blocks = self._loops[options]
        except (KeyError, TypeError):
            loop, compiled, blocks = self._new_loop(options)
        if not blocks or runtime.needs_care or not 0 <= num_iterations <= MOST_ITERATIONS:
            return self._run(loop, _checked_iterations(num_iterations), arguments)
        shared = blocks.pop()  # the usual way, short because empty loops are timed
        try:
            stopped = compiled(num_iterations, shared, arguments)
        except KeyboardInterrupt:
            interrupt.settle()
            raise
        except Exception as error:
            raise self._failure(error, loop, shared, arguments) from error
        finally:
            blocks.append(shared)
        if stopped == INTERRUPTED:
            raise KeyboardInterrupt

    def parallel(self, body: Callable, *arguments) -> None:
        """``#pragma omp parallel``: every thread runs ``body(team, *arguments)``.

        ``body`` is a compiled function, or can be one; it uses :mod:`labkit.openmp.sync`, which takes ``team``:
        ``thread_num()``, ``num_threads()``, ``barrier(team)``, ``critical_enter(team)``, ``critical_exit(team)``,
        ``single(team)``, ``atomic_add(array, index, value)``, ``static_block(n)``. Raises as :meth:`parallel_for`.
        """
        self._run(self._region(body, "parallel"), 0, arguments)

    def tasks(self, root: Callable, *arguments) -> None:
        """``#pragma omp parallel`` and ``single``: one thread runs ``root(team, *arguments)``, all run its tasks.

        ``root`` and the functions it makes tasks of are compiled, or ``root`` can be; see :mod:`labkit.openmp.tasks`.
        The call ends when all tasks have ended. Raises as :meth:`parallel_for`.
        """
        self._run(self._region(root, "tasks"), 0, arguments)

    def sections(self, *sections: tuple) -> None:
        """``#pragma omp sections``: each of ``(function, argument, ...)`` is run once, by a thread that is free.

        Raises as :meth:`parallel_for`.
        """
        functions = tuple(check_kernel(section[0] if isinstance(section, tuple) and section else section, "a section")
                          for section in sections)
        key = "sections", functions
        if key not in self._regions:
            self._regions[key] = Sections(functions)
        self._run(self._regions[key], len(functions), tuple(tuple(section[1:]) for section in sections))

    # -- parts ----------------------------------------------------------------------------------

    def _new_loop(self, options: tuple) -> tuple[Loop, Callable, list[np.ndarray]]:
        kernel, schedule, reduction, reproducible, trace, kind = options
        num_dims = 2 if kind is tuple else 1
        loop = Loop(
            check_kernel(kernel, "the kernel"), Schedule.parse(schedule), reduction, reproducible, trace, num_dims
        )
        blocks = []
        if kind is int and not loop.has_result:
            blocks.append(self._new_block())
            loop.set_up(blocks[0], self.num_threads)
        self._loops[options] = loop, loop.compiled, blocks
        return self._loops[options]

    def _new_block(self) -> np.ndarray:
        shared = shared_block(self.num_threads)
        interrupt.watch(shared)
        return shared

    def _region(self, body, kind) -> Region:
        key = kind, body
        if key not in self._regions:
            self._regions[key] = Region(check_kernel(body, f"the body of {kind}"), kind)
        return self._regions[key]

    def _run(self, loop, size, arguments):
        """Launch on a shared block that nobody else uses now."""
        try:
            shared = self._blocks.pop()
        except IndexError:
            shared = self._new_block()
        try:
            if runtime.needs_care:
                found = self._run_with_care(loop, size, shared, arguments)
            else:
                found = loop.launch(self.num_threads, size, shared, arguments)
        except UsageError:
            raise
        except KeyboardInterrupt:
            interrupt.settle()
            raise
        except Exception as error:
            raise self._failure(error, loop, shared, arguments) from error
        finally:
            self._blocks.append(shared)
        stopped, result = found if loop.has_result else (found, None)
        if stopped == INTERRUPTED:
            raise KeyboardInterrupt
        return result

    def _failure(self, error, loop, shared, arguments) -> Exception:
        """What went wrong: a kernel that raised, or one that does not compile for these arguments."""
        if has_raised(shared):
            return kernel_error(error, loop, shared, self.num_threads)
        check_arguments(arguments)
        return compile_error(error, loop, arguments)

    def _run_with_care(self, loop, size, shared, arguments):
        """On pinned threads; in a forked child on a thread of its own, which has a pool of its own."""
        def launch():
            with pinned(self.cores, self):
                return loop.launch(self.num_threads, size, shared, arguments)

        if not is_forked():
            return launch()
        from labkit.openmp.forked import call_in_thread

        return call_in_thread(launch)


def _checked_iterations(value):
    if isinstance(value, tuple):
        if len(value) != 2:
            raise UsageError(f"num_iterations: one number, or two for collapsed loops, not {value!r}: pass those.")
        rows, columns = (whole_number("num_iterations", n, 0, MOST_ITERATIONS) for n in value)
        whole_number("num_iterations: rows times columns", rows * columns, 0, MOST_ITERATIONS)
        return rows, columns
    return whole_number("num_iterations", value, 0, MOST_ITERATIONS)
