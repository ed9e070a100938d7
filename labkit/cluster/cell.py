"""Running one MPI cell on engines: watching it, and always coming back.

:func:`run_cell` starts the cell on every rank, passes on what they print, reads the reports of
waiting ranks and decides: all have finished, one has failed, nothing can move, time is up, the
user said stop, or a process is gone. Ranks that still run are then released by SIGINT, which
their wait loops turn into a ``KeyboardInterrupt``; a rank that does not react is ended.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from concurrent.futures import wait

from labkit.cluster.engines import Engines
from labkit.cluster.outcome import RESTART, CellOutcome, Listener, failures_text, status_of
from labkit.comm.deadlock import find_mismatch, find_stuck, ranks_text
from labkit.comm.verdict import logs_of, statuses_of, statuses_text, verdict_text
from labkit.comm.waits import RankStatus, WaitGraph, WaitReport
from labkit.errors import (
    CellError,
    CellInterruptedError,
    CellTimeoutError,
    CollectiveMismatchError,
    DeadlockError,
    RankDiedError,
    RankFailedError,
)

POLL_S = 0.05
OUTPUT_TIMEOUT_S = 2.0
CONFIRMING_REPORTS = 3  # of every stuck rank after the last one got stuck
EQUAL_FAILURES_S = 0.2  # how long other ranks may take to fail in the same way
SIGNAL_AGAIN_S = 1.0
GIVE_UP_S = 6.0  # then a rank that does not react to SIGINT is ended


def run_cell(
    engines: Engines,
    source: str,
    *,
    ranks: Sequence[int] | None = None,
    timeout_s: float | None = None,
    trace: bool = False,
    check_unsafe_sends: bool = False,
    listener: Listener | None = None,
) -> CellOutcome:
    """Run the text of a cell on all ranks, or on ``ranks``, and return when all are idle again.

    With ``trace``, a listener that has ``part`` is told what the ranks record while the cell runs.

    Raises
    ------
    CellError
        One of its kinds, when the cell did not end well; ``statuses`` and ``graph`` say more.
    """
    cell = _RunningCell(engines, ranks, listener or Listener())
    return cell.run(
        source,
        timeout_s,
        ranks=list(ranks) if ranks is not None else None,
        trace=trace,
        live=trace and cell.listener.part is not None,
        check_unsafe_sends=check_unsafe_sends,
    )


class _RunningCell:
    def __init__(self, engines: Engines, ranks, listener: Listener):
        self.engines = engines
        self.listener = listener
        self.events: queue.SimpleQueue = queue.SimpleQueue()
        chosen = set(ranks) if ranks is not None else {r.rank for r in engines.ranks}
        self.states: list[RankStatus | WaitReport] = [
            RankStatus(r.rank, "computing", "computes")
            if r.rank in chosen
            else RankStatus(r.rank, "absent", "takes no part in this cell")
            for r in engines.ranks
        ]
        self.pending = {r.rank: r for r in engines.ranks}
        self.futures: dict[int, object] = {}
        self.outcomes: dict[int, dict] = {}
        self.num_reports = {r.rank: 0 for r in engines.ranks}
        self.suspicion: tuple | None = None  # (stuck waits, reports each had sent by then)

    # -- the life of a cell ---------------------------------------------------------------------

    def run(self, source: str, timeout_s: float | None, **options) -> CellOutcome:
        started = time.monotonic()
        error: CellError | None = None
        stopped = False
        try:
            self._send(source, options)
            error = self._watch(started, timeout_s)
        except KeyboardInterrupt:
            stopped = True
        timed_out = bool(self.pending) and error is None and not stopped
        if self.pending and not self.engines.lost():
            self._release_patiently()
        self._drain()
        if stopped:  # worded only now, when the interrupted ranks have told their line
            error = self._stopped()
        elif timed_out:
            error = self._timed_out(timeout_s)
        self.listener.idle()
        if self.engines.lost() and not isinstance(error, RankDiedError):
            error = self._died(error)
        if error is None:
            error = self._mismatch()
        damaged = next((o["damaged"] for o in self.outcomes.values() if o.get("damaged")), "")
        if damaged and self.engines.ranks:
            self.engines.end_ranks()
            error.args = (f"{error}\n{damaged}: {RESTART}",) if error else ()
        outcome = self._outcome(time.monotonic() - started)
        self.engines.forget(self.futures)
        if error is not None:
            error.outcome = outcome
            raise error
        return outcome

    def _send(self, source: str, options: dict) -> None:
        self.engines.num_cells += 1
        # What ipyparallel's client hears, in its thread, becomes events for our loop.
        put = self.events.put
        self.futures = self.engines.submit_to_all(
            _run_cell,
            source,
            self.engines.num_cells,
            on_message=lambda rank, message: put((rank, message)),
            on_done=lambda rank: put((rank, None)),
            **options,
        )

    def _watch(self, started: float, timeout_s: float | None) -> CellError | None:
        """Until all ranks have ended, or something ends the cell."""
        failed_at = None
        while self.pending:
            self._handle_events()
            now = time.monotonic()
            if self.engines.lost():
                return self._died(None)
            if failed_at is None and any(o["status"] == "error" for o in self.outcomes.values()):
                failed_at = now
            if failed_at is not None and (not self.pending or now - failed_at > EQUAL_FAILURES_S):
                return self._failed()
            if (graph := self._confirmed_deadlock()) is not None:
                return self._deadlocked(graph)
            if timeout_s is not None and now - started > timeout_s:
                return None
        return self._failed() if failed_at or self._any_failed() else None

    def _any_failed(self) -> bool:
        return any(outcome["status"] == "error" for outcome in self.outcomes.values())

    def _handle_events(self, wait_s: float = POLL_S) -> None:
        """Handle what has arrived, waiting a little for the first event."""
        try:
            self._handle(*self.events.get(timeout=wait_s))
            while True:
                self._handle(*self.events.get_nowait())
        except queue.Empty:
            self.listener.idle()

    def _handle(self, rank: int, message: dict | None) -> None:
        if message is None:
            self._check_done(rank)
            return
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            self.listener.text(rank, content["name"], content["text"])
        elif kind == "display_data":
            self.listener.display(rank, content)
        elif kind == "data_message":
            self._handle_data(rank, content.get("keys"))

    def _handle_data(self, rank: int, keys: list[str] | None) -> None:
        """Handle what a rank has published under ``keys``; None means that this is not known."""
        data = self.futures[rank].output.metadata["data"]
        for key in list(data) if keys is None else keys:
            if key.startswith("live "):
                part = data.pop(key, None)  # it may have been taken when its key was not known
                if part is not None and self.listener.part is not None:
                    self.listener.part(part)
        if rank in self.pending and (keys is None or "wait" in keys):
            report = data.get("wait")
            if report is None:
                self.states[rank] = RankStatus(rank, "computing", "computes")
            else:
                self.states[rank] = report
                self.num_reports[rank] += 1

    def _check_done(self, rank: int) -> None:
        if rank not in self.pending:
            return
        future = self.futures[rank]
        wait([future.output], OUTPUT_TIMEOUT_S)  # what it printed may arrive after its answer
        try:
            outcome = future.result()
        except Exception as error:
            outcome = error
        if isinstance(outcome, Exception):
            if getattr(outcome, "ename", "") == "EngineError":
                return  # the rank is gone: engines.lost() says so next
            outcome = {"status": "interrupted", "line": None}  # outside the cell's own text
        del self.pending[rank]
        self.outcomes[rank] = outcome
        self.states[rank] = status_of(rank, outcome)

    def _drain(self) -> None:
        while not self.events.empty():
            self._handle(*self.events.get())

    # -- verdicts -------------------------------------------------------------------------------

    @property
    def logs(self) -> dict:
        return logs_of(
            self.states, {r: o.get("collectives", {}) for r, o in self.outcomes.items()}
        )

    def _graph(self) -> WaitGraph:
        return find_stuck(self.states, self.logs)

    def _confirmed_deadlock(self) -> WaitGraph | None:
        """A deadlock that has lasted for several reports of every stuck rank."""
        if not any(isinstance(state, WaitReport) for state in self.states):
            self.suspicion = None
            return None
        graph = self._graph()
        waits = {rank: self.states[rank].wait_id for rank in graph.stuck}
        if not waits:
            self.suspicion = None
            return None
        if self.suspicion is None or self.suspicion[0] != waits:
            self.suspicion = waits, dict(self.num_reports)
            return None
        before = self.suspicion[1]
        if all(self.num_reports[r] - before[r] >= CONFIRMING_REPORTS for r in waits):
            return graph
        return None

    def _reports(self) -> dict[int, WaitReport]:
        return {s.rank: s for s in self.states if isinstance(s, WaitReport)}

    def _deadlocked(self, graph: WaitGraph) -> CellError:
        mismatch = find_mismatch(self.logs)
        text = verdict_text(graph, self._reports())
        if mismatch and "called nothing" not in mismatch:
            return CollectiveMismatchError(
                f"the ranks called different collectives, so nobody can go on.\n{mismatch}\n{text}",
                statuses=graph.statuses, graph=graph,
            )
        return DeadlockError(text, statuses=graph.statuses, graph=graph)

    def _failed(self) -> CellError:
        mismatch = find_mismatch(self.logs)
        text = failures_text(self.outcomes, self._statuses())
        if mismatch and "called nothing" not in mismatch:
            return CollectiveMismatchError(
                f"the ranks called different collectives.\n{mismatch}\nThen {text}",
                statuses=self._statuses(), graph=self._graph(),
            )
        return RankFailedError(text, statuses=self._statuses(), graph=self._graph())

    def _timed_out(self, timeout_s: float) -> CellError:
        return CellTimeoutError(
            f"the cell ran longer than its --timeout of {timeout_s:g} s. When it was ended:\n"
            f"{statuses_text(self._statuses())}",
            statuses=self._statuses(), graph=self._graph(),
        )

    def _stopped(self) -> CellError:
        return CellInterruptedError(
            f"the cell was stopped. At that time:\n{statuses_text(self._statuses())}",
            statuses=self._statuses(), graph=self._graph(),
        )

    def _died(self, earlier: CellError | None) -> CellError:
        statuses = self._statuses()
        rank, cause = self.engines.cause_of_loss()
        self.pending.clear()
        who = f"rank {rank}" if rank is not None else "a rank"
        others = [s for s in statuses if s.rank != rank and s.state != "absent"]
        text = f"{who} {cause}. {RESTART}"
        if others:
            text += f"\nThe other ranks, which ended with it:\n{statuses_text(others)}"
        if earlier is not None:
            text = f"{earlier}\n{text}"
        statuses = tuple(
            RankStatus(s.rank, "died", cause, s.line) if s.rank == rank else s for s in statuses
        )
        return RankDiedError(text, statuses=statuses)

    def _mismatch(self) -> CellError | None:
        mismatch = find_mismatch(self.logs)
        if not mismatch:
            return None
        return CollectiveMismatchError(
            f"the ranks did not call the same collectives, and MPI did not notice: its results "
            f"are wrong or it would hang with other sizes.\n{mismatch}",
            statuses=self._statuses(), graph=self._graph(),
        )

    def _statuses(self) -> tuple[RankStatus, ...]:
        return statuses_of(self.states)

    # -- the end --------------------------------------------------------------------------------

    def _release_patiently(self) -> None:
        """Release the ranks, also if the user presses Stop again and again meanwhile."""
        try:
            self._release()
        except KeyboardInterrupt:
            self.engines.end_ranks()
            self.pending.clear()

    def _release(self) -> None:
        frozen = list(self.states)  # what they did when the cell was ended, not how they were freed
        began = time.monotonic()
        signalled = 0.0
        while self.pending:
            now = time.monotonic()
            if now - signalled > SIGNAL_AGAIN_S:
                self.engines.interrupt(list(self.pending.values()))
                signalled = now
            self._handle_events()
            if self.engines.lost():
                break
            if now - began > GIVE_UP_S:
                deaf = sorted(self.pending)
                self.engines.end_ranks()
                self.pending.clear()
                self.listener.text(
                    deaf[0], "stderr",
                    f"{ranks_text(deaf)} did not react to an interrupt for "
                    f"{GIVE_UP_S:g} s and had to be ended. {RESTART}\n",
                )
        for rank, state in enumerate(frozen):
            outcome = self.outcomes.get(rank, {})
            if getattr(state, "state", "") == "computing" and outcome.get("line"):
                frozen[rank] = status_of(rank, outcome)
        self.states = frozen

    def _outcome(self, seconds: float) -> CellOutcome:
        outcome = CellOutcome(seconds=seconds)
        for rank, values in sorted(self.outcomes.items()):
            if "result" in values:
                outcome.results[rank] = values["result"]
            if values.get("left_over"):
                outcome.left_over[rank] = values["left_over"]
        records = [o["record"] for _, o in sorted(self.outcomes.items()) if "record" in o]
        if records:
            from labkit.trace.timeline import Timeline

            outcome.timeline = Timeline.from_records(records)
        return outcome


def _run_cell(source, number, **options):
    from labkit.cluster.rank import run_cell

    return run_cell(source, number, **options)
