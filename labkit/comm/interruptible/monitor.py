"""The wait loop of a rank, and what the rank tells about itself while it waits.

A blocking call of an interruptible communicator is a nonblocking call of MPI plus
:meth:`Monitor.wait`. The loop returns to Python between two polls, so a signal (the Stop button)
is served; and from time to time it publishes a :class:`~labkit.comm.waits.WaitReport`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter_ns

from mpi4py import MPI

from labkit.comm.source_lines import cell_frame, cell_line, line_and_source
from labkit.comm.waits import CollectiveCall, CollectiveLog, Operation, Unreceived, WaitReport

REPORT_AFTER_S = 0.1  # a shorter wait is nobody's business
REPORT_EVERY_S = 0.15
MAX_SLEEP_S = 1e-3
REMEMBERED_CALLS = 256  # collective calls a report carries

_iprobe = MPI.Comm.Iprobe


class CellOverError(BaseException):
    """Raised in a left-over thread of a cell that has ended."""


class Monitor:
    """What one rank is waiting for.

    Parameters
    ----------
    rank : int
        World rank.
    publish : callable, optional
        Called with ``{"wait": WaitReport}`` now and then during a long wait, and with
        ``{"wait": None}`` when a wait that was reported is over.
    oversubscribed : bool
        More ranks than cores here: give the core away between polls.
    """

    def __init__(
        self,
        rank: int,
        publish: Callable[[dict], None] | None = None,
        *,
        oversubscribed: bool = False,
    ):
        self.rank = rank
        self.publish = publish
        self.oversubscribed = oversubscribed
        self.spin_polls = 20 if oversubscribed else 400
        self.spin_s = 2e-3 if oversubscribed else 0.1
        self.on_abort: Callable[[int], None] = lambda errorcode: None  # told before MPI ends us all
        self.damaged = ""  # why these ranks cannot be trusted any more, in words
        self.begin_cell(0)

    def begin_cell(self, number: int) -> None:
        """Forget what the cell before has left behind."""
        self.cell_number = number
        self.cell = object()
        self.active: dict[int, object] = {}  # id -> nonblocking request that is not complete
        self.logs: dict[str, tuple[tuple[int, ...], deque, list[int]]] = {}
        self.calls: dict[tuple, CollectiveCall] = {}
        self.probed: dict[str, MPI.Comm] = {}  # communicators to look for unreceived messages on
        self.num_waits = 0
        self.long_wait: tuple[WaitReport, int] | None = None  # that goes on: its last report, when it began, in ns

    # -- collective calls -----------------------------------------------------------------------

    def log_collective(self, comm, name: str, root: int | None) -> int:
        """Note a collective call on ``comm``; return its number on that communicator."""
        log = self.logs.get(comm.context)
        if log is None:
            log = self.logs[comm.context] = (comm.members, deque(maxlen=4096), [0])
        key = name, root, cell_line()
        call = self.calls.get(key)
        if call is None:  # equal calls are one object, so that a long log is small to send
            call = self.calls[key] = CollectiveCall(*key)
        log[1].append(call)
        log[2][0] += 1
        return log[2][0] - 1

    def collective_logs(self, limit: int = REMEMBERED_CALLS) -> dict[str, CollectiveLog]:
        """The collective calls of this cell by communicator, at most ``limit`` of each."""
        return {
            context: CollectiveLog(members, count[0], tuple(calls)[-limit:])
            for context, (members, calls, count) in self.logs.items()
        }

    # -- waiting --------------------------------------------------------------------------------

    def wait(
        self,
        test: Callable[[], bool],
        describe: Callable[[], tuple[str, Iterable[Operation], str]],
    ) -> None:
        """Return as soon as ``test()`` is true.

        ``describe()`` gives the call, the operations it waits for and ``"all"`` or ``"any"``; it
        is asked only when the wait has become long.
        """
        for _ in range(self.spin_polls):
            if test():
                return
        cell = self.cell
        started = time.monotonic()
        report_at = started + REPORT_AFTER_S
        self.num_waits += 1
        wait_id, reported = self.num_waits, False
        try:
            while not test():
                now = time.monotonic()
                if self.cell is not cell:
                    raise CellOverError
                if now >= report_at and self.publish is not None:
                    report = self._report(wait_id, *describe())
                    self.long_wait = report, perf_counter_ns() - round(1e9 * (now - started))
                    self.publish({"wait": report})
                    reported, report_at = True, now + REPORT_EVERY_S
                if now - started > self.spin_s:
                    time.sleep(min(MAX_SLEEP_S, (now - started) / 50))
                elif self.oversubscribed:
                    os.sched_yield()
        finally:
            if reported and self.cell is cell:
                self.long_wait = None
                self.publish({"wait": None})

    def _report(self, wait_id: int, call: str, operations: Iterable[Operation], need: str):
        operations = tuple(operations)
        line, source = line_and_source(cell_frame())
        return WaitReport(
            rank=self.rank,
            wait_id=wait_id,
            call=call,
            operations=operations,
            need=need,
            posted=tuple(
                operation
                for request in list(self.active.values())
                if (operation := request.incomplete()) is not None and operation not in operations
            ),
            unreceived=tuple(self._unreceived()),
            collectives=self.collective_logs(),
            line=line,
            source=source,
        )

    def _unreceived(self) -> Iterable[Unreceived]:
        """The first message on each communicator in use that no receive has asked for."""
        status = MPI.Status()
        for comm in list(self.probed.values()):
            if comm != MPI.COMM_NULL and _iprobe(comm, MPI.ANY_SOURCE, MPI.ANY_TAG, status):
                source = comm.members[status.source]
                yield Unreceived(comm.context, source, status.tag, status.count)
