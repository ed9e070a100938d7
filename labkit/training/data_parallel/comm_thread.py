"""A thread that communicates while the main thread computes.

A nonblocking collective of MPI moves little unless somebody calls MPI again and again. This thread sits inside a
blocking call instead, which moves all the time and does not hold Python's lock. It has a communicator of its own, so
that its messages never meet those of the main thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from labkit.errors import NotAvailableError

LEAVE_AFTER_S = 2.0  # a thread that is stuck in MPI when a run is broken off is waited for so long


class CommThread:
    """Runs what it is given, one after the other.

    Parameters
    ----------
    comm : communicator
        A duplicate is made. Collective.

    Attributes
    ----------
    comm : communicator
        The duplicate; in a ``%%mpi`` cell the plain one of mpi4py beneath it, because the watch over that cell's waits
        belongs to the main thread.
    """

    def __init__(self, comm):
        self.owner, self.duplicate = comm, comm.Dup()
        self.comm = getattr(self.duplicate, "raw", self.duplicate)
        self.tasks: queue.SimpleQueue[Callable | None] = queue.SimpleQueue()
        self.num_given = self.num_done = 0
        self.changed = threading.Condition()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True, name="labkit communication")
        self.thread.start()

    def give(self, task: Callable) -> None:
        """Run it after those that were given before."""
        self.num_given += 1
        self.tasks.put(task)

    def wait(self) -> None:
        """Return when all is done; raises what a task has raised. The wait can be interrupted."""
        wait_until(self.owner, self._is_done)
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def close(self) -> None:
        """End the thread. If it is stuck in MPI it stays behind, and the ranks of a ``%%mpi`` cell are renewed."""
        monitor = getattr(self.owner, "monitor", None)
        before = getattr(monitor, "damaged", "")
        if monitor is not None:  # first, because a second Stop may end this wait as well
            monitor.damaged = before or "training was broken off while gradients were on their way"
        self.tasks.put(None)
        self.thread.join(LEAVE_AFTER_S)
        if not self.thread.is_alive():
            self.duplicate.Free()
            if monitor is not None:
                monitor.damaged = before

    def _is_done(self, timeout_s: float) -> bool:
        with self.changed:
            if self.num_done < self.num_given:
                self.changed.wait(timeout_s)
            return self.num_done >= self.num_given

    def _run(self) -> None:
        while (task := self.tasks.get()) is not None:
            try:
                if self.error is None:
                    task()
            except BaseException as error:  # handed to the main thread by wait()
                self.error = error
            with self.changed:
                self.num_done += 1
                self.changed.notify_all()


def wait_until(comm, is_done: Callable[[float], bool]) -> None:
    """Wait for gradients: ``is_done(timeout_s)`` sleeps for at most so long. Can be interrupted, also in a cell."""
    monitor = getattr(comm, "monitor", None)
    if monitor is None or is_done(1e-3):
        while not is_done(0.1):
            pass
    else:
        from labkit.comm.interruptible.requests import Pending

        pending = Pending("window", "gradients of the other ranks", getattr(comm, "comm", comm))
        monitor.wait(lambda: is_done(1e-3), lambda: ("training step", [pending.operation()], "all"))


def check_threads() -> None:
    """MPI allows calls from several threads at a time.

    Raises
    ------
    NotAvailableError
        This MPI library, or the way it was started, does not.
    """
    from mpi4py import MPI

    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise NotAvailableError(
            "this MPI was not started with THREAD_MULTIPLE, so a thread cannot communicate beside the main one: use "
            "driver='hooks' or the strategy 'bucketed', or an MPI library with threads."
        )
