"""The supervisor of an elastic run: it forms worlds of the workers that are there, and a new one when something happens.

A world ends when a worker dies (the connections of the others break), when one has a notice (all ranks take a
checkpoint after the same step, and it leaves), when a machine comes back (all ranks take a checkpoint and make room),
or when nothing has moved for ``stall_s`` (the one that is behind is killed). The next world goes on from the last
complete checkpoint; nothing that is in the memory of the workers is trusted.
"""

from __future__ import annotations

import selectors
import shutil
import tempfile
import time
from pathlib import Path

from labkit.errors import TrainingError, UsageError
from labkit.training.elastic.job import Job
from labkit.training.elastic.plan import Fault, FaultPlan
from labkit.training.elastic.processes import WorkerProcess
from labkit.training.elastic.report import ElasticReport, Happening, StepDone, World, find_recoveries
from labkit.training.progress import progress_text

GRACE_S = 15.0  # from the end of a world until its workers have said so
LOOK_EVERY_S = 0.1
IN_PEACE = "a wish to regroup"  # until the worker that wished it has been heard
MOST_EMPTY_WORLDS = 4


def run_elastic(
    job: Job | None = None, num_workers: int = 2, *, folder=None, every_steps: int | None = 10,
    every_s: float | None = None, plan: str | FaultPlan | None = None, num_spares: int = 0, stall_s: float = 20.0, timeout_s: float = 60.0,
    notice_folder=None, progress=None,
) -> ElasticReport:  # fmt: skip
    """Train on workers that may leave, die, stall and come.

    Parameters
    ----------
    job : Job, optional
        By default digits with a small MLP.
    num_workers : int
        To begin with. Each ``join`` of the plan is one more, started at once and idle until then.
    folder : str or Path, optional
        Of the checkpoints; an earlier run there is gone on with. By default a temporary one.
    every_steps, every_s
        As for :class:`labkit.training.checkpoint.hook.CheckpointHook`.
    plan : str or FaultPlan, optional
        What goes wrong.
    num_spares : int
        Workers that are started at once and take the places of those that are lost.
    stall_s : float
        Longer than a step ever takes: after so long without a step, the worker that is behind is killed. (Before the
        first step of a world, after ``timeout_s``.)
    timeout_s : float
        How long ranks wait for each other.
    notice_folder : str or Path, optional
        A file ``worker-K`` that appears there is a notice to worker K, as the metadata of a cloud tell it. (SIGTERM to the
        worker's process is another way to say so.)
    progress : callable, optional
        Is told in words how far it is, several times a second; what it raises stops the run.

    Returns
    -------
    ElasticReport

    Raises
    ------
    UsageError
        A plan that is none, numbers that make no sense.
    TrainingError
        Training itself failed, or no worker is left. The checkpoints stay.

    Notes
    -----
    On the same number of ranks throughout, losses and weights are those of a run without faults, bit by bit.
    """
    plan = FaultPlan.parse(plan)
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or not 1 <= num_workers <= 64:
        raise UsageError(f"num_workers is a whole number from 1 to 64, not {num_workers!r}.")
    if isinstance(num_spares, bool) or not isinstance(num_spares, int) or not 0 <= num_spares <= 64:
        raise UsageError(f"num_spares is a whole number from 0 to 64, not {num_spares!r}.")
    if not stall_s > 0 or not timeout_s > 0:
        raise UsageError(f"stall_s and timeout_s are more than 0 s, not {stall_s!r} and {timeout_s!r}.")
    scratch = Path(tempfile.mkdtemp(prefix="labkit-elastic-"))
    try:
        run = _Run(
            job or Job(), num_workers, num_spares, Path(folder) if folder else scratch / "checkpoints", every_steps, every_s, plan, stall_s,
            timeout_s, Path(notice_folder) if notice_folder else None, progress, scratch,
        )  # fmt: skip
        return run.go()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Run:
    def __init__(
        self, job, num_workers, num_spares, folder, every_steps, every_s, plan, stall_s, timeout_s, notice_folder, progress, scratch
    ):
        self.job, self.folder, self.every_steps, self.every_s = job, folder, every_steps, every_s
        self.stall_s, self.timeout_s, self.notice_folder = stall_s, timeout_s, notice_folder
        self.progress, self.scratch = progress, scratch
        self.faults: list[Fault] = list(plan)
        self.waiting_joins = sum(fault.kind == "join" for fault in plan)
        self.num_started = num_workers + num_spares + self.waiting_joins
        self.wanted_size = num_workers
        self.workers: list[WorkerProcess] = []
        self.members: list[WorkerProcess] = []
        self.worlds: list[World] = []
        self.steps: list[StepDone] = []
        self.happenings: list[Happening] = []
        self.done: dict | None = None
        self.ending: tuple[float, str] | None = None  # of the world: since when, and why
        self.selector = selectors.DefaultSelector()
        self.started = time.monotonic()
        self.moved = self.started
        self.num_done = 0
        self.change: str | None = None  # why the ranks of this world are about to part in peace

    def now(self) -> float:
        return time.monotonic() - self.started

    def note(self, kind: str, text: str, worker: WorkerProcess | None = None) -> None:
        number, rank = (None, None) if worker is None else (worker.number, worker.rank)
        step = self.steps[-1].step if self.steps else 0
        self.happenings.append(Happening(self.now(), kind, text, number, rank, step))

    def go(self) -> ElasticReport:
        try:
            for _ in range(self.num_started):
                self._start_worker()
            while not (self.done is not None and all(w.state in ("done", "gone", "idle") for w in self.members)):
                self._tell_progress()
                if not self.members or self.ending is not None:
                    self._form_if_ready()
                for key, _ in self.selector.select(LOOK_EVERY_S):
                    self._hear(key.data)
                self._look_for_stalls()
            self._close_world("the end")
            for fault in self.faults:
                self.note("unused", f"did not happen: {fault}")
            return self._report()
        finally:
            self._end_all()

    # -- worlds -------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        number = len(self.workers)
        worker = WorkerProcess.start(number, self.scratch / f"worker-{number}.log")
        worker.order("prepare", job=self._job())
        self.workers.append(worker)
        self.selector.register(worker.events, selectors.EVENT_READ, worker)

    def _form_if_ready(self) -> None:
        """Form a world once every worker that will be in it waits for one."""
        alive = [w for w in self.workers if w.state != "gone"]
        if not alive:
            raise TrainingError(self._no_worker_left())
        first = not self.worlds and not self.members
        if first:
            chosen = alive[: self.wanted_size]
            if any(w.state == "starting" for w in chosen):
                return
        else:
            members = [w for w in self.members if w.state != "gone" and not w.leaving]
            late = [w for w in members if w.state == "training"]
            if late and time.monotonic() - self.ending[0] < GRACE_S:
                return
            for worker in late:  # it has not noticed that the world is gone: it starts anew
                self.note("restart", f"worker {worker.number} did not come back, and was started anew", worker)
                worker.kill()
                self._start_worker()
                return
            reserve = [w for w in alive if w not in self.members and not w.leaving]
            usable = min(len(reserve) - self.waiting_joins, self.wanted_size - len(members))
            chosen = members + reserve[: max(0, usable)]
            if any(w.state == "starting" for w in chosen):
                return
            if not chosen:  # all are gone: whoever was to join later comes now
                self.waiting_joins = max(0, self.waiting_joins - 1)
                if not reserve:
                    raise TrainingError(self._no_worker_left())
                return
            self._close_world(self.ending[1])
        self._form(sorted(chosen, key=lambda w: w.number))

    def _form(self, chosen: list[WorkerProcess]) -> None:
        number = len(self.worlds)
        if len(self.worlds) >= MOST_EMPTY_WORLDS and all(w.last_step == w.first_step for w in self.worlds[-MOST_EMPTY_WORLDS:]):
            raise TrainingError(
                f"{MOST_EMPTY_WORLDS} worlds in a row ended without a step: {self.worlds[-1].ended_by}. The checkpoints "
                f"are in {self.folder}."
            )
        self.members, self.ending, self.formed = chosen, None, self.now()
        self.change: str | None = None
        self.first_step: int | None = None
        self.moved = time.monotonic()
        for rank, worker in enumerate(chosen):
            worker.rank, worker.state, worker.step = rank, "training", 0
            notice = None if self.notice_folder is None else str(self.notice_folder / f"worker-{worker.number}")
            worker.order(
                "form", rank=rank, size=len(chosen), meeting=str(self.scratch / f"world-{number}"), folder=str(self.folder),
                job=self._job(), every_steps=self.every_steps, every_s=self.every_s, timeout_s=self.timeout_s, notice_file=notice,
                plan="; ".join(map(str, self.faults)),
            )
        self.note("world", f"world {number}: {len(chosen)} ranks")

    def _job(self) -> dict:
        return {"make": self.job.make, "arguments": self.job.arguments, "strategy": self.job.strategy}

    def _close_world(self, why: str) -> None:
        """Write down the world that ended."""
        if why == IN_PEACE and self.change is not None:
            why = self.change
        number = len(self.worlds)
        mine = [s for s in self.steps if s.world == number]
        ended = self.now() if self.ending is None else self.ending[0] - self.started
        first = self.first_step if self.first_step is not None else self.num_done
        self.worlds.append(
            World(
                number, tuple(w.number for w in self.members), first, mine[-1].step if mine else first, self.formed,
                mine[0].time_s if mine else ended, ended, why,
            )
        )

    def _end_world(self, why: str, is_cause: bool = False) -> None:
        """The first word of its end sets the time; a cause replaces what others have noticed of it."""
        if self.ending is None:
            self.ending = time.monotonic(), why
        elif is_cause:
            self.ending = self.ending[0], why

    # -- what workers tell -----------------------------------------------------------------------------

    def _hear(self, worker: WorkerProcess) -> None:
        events, is_gone = worker.read()
        for event in events:
            getattr(self, f"_on_{event['event']}")(worker, event)
        if is_gone:
            self.selector.unregister(worker.events)
            was_training = worker.state == "training"
            how = worker.reap()
            if worker.leaving:
                how = "left after its notice"
            self.note("gone", f"worker {worker.number} {how}", worker)
            if worker in self.members and was_training:
                self._end_world(f"rank {worker.rank} {how}", is_cause=True)

    def _on_ready(self, worker, event) -> None:
        worker.state = "idle"

    def _on_resumed(self, worker, event) -> None:
        self.moved = time.monotonic()
        worker.step = event["step"]
        if worker.rank == 0:
            self.first_step = self.num_done = event["step"]
            for text in event["notes"]:
                self.note("checkpoint", text, worker)

    def _on_step(self, worker, event) -> None:
        worker.step = event["step"]
        self.moved = time.monotonic()
        if worker.rank == 0:
            self.num_done = event["step"]
            at = event["at"] - self.started  # the clock that all processes of a machine share
            self.steps.append(StepDone(len(self.worlds), event["step"], event["loss"], at))

    def _on_fault(self, worker, event) -> None:
        fault = next((fault for fault in self.faults if str(fault) == event["fault"]), None)
        if fault is not None:
            self.faults.remove(fault)
            if fault.kind == "join":
                self.waiting_joins = max(0, self.waiting_joins - 1)
                self.wanted_size += 1
                self.change = "a machine that joins"
            elif fault.kind == "notice":
                self._is_leaving(worker)
        self.note("fault", event["fault"], worker)

    def _on_notice(self, worker, event) -> None:
        self._is_leaving(worker)
        self.note("notice", f"worker {worker.number} has a notice", worker)

    def _is_leaving(self, worker) -> None:
        worker.leaving = True
        self.change = f"the notice to rank {worker.rank}"

    def _on_saved(self, worker, event) -> None:
        if worker.rank == 0:
            self.note("saved", f"checkpoint of step {event['step']}", worker)

    def _on_idle(self, worker, event) -> None:
        worker.state = "idle"
        if event["why"] == "left":
            self._end_world(IN_PEACE)
        else:
            self._end_world("broken connections")
            self.note("broken", event["text"], worker)

    def _on_done(self, worker, event) -> None:
        worker.state = "done"
        if worker.rank == 0:
            self.done = event

    def _on_failed(self, worker, event) -> None:
        raise TrainingError(f"rank {worker.rank}: {event['text']} The checkpoints are in {self.folder}.")

    # -- watching -------------------------------------------------------------------------------------

    def _look_for_stalls(self) -> None:
        training = [w for w in self.members if w.state == "training"]
        has_begun = bool(self.steps) and self.steps[-1].world == len(self.worlds)
        limit_s = self.stall_s if has_begun else max(self.stall_s, self.timeout_s)
        if self.ending is not None or not training or time.monotonic() - self.moved < limit_s:
            return
        stopped = [w for w in training if w.is_stopped]
        behind = min(training, key=lambda w: w.step)
        worker = stopped[0] if stopped else behind
        self.note("stall", f"worker {worker.number} has not moved for {limit_s:g} s, and was killed", worker)
        worker.kill()
        self.moved = time.monotonic()

    def _tell_progress(self) -> None:
        if self.progress is None:
            return
        total = self.job.arguments.get("num_steps") if isinstance(self.job.arguments, dict) else None
        if not self.steps:
            words = f"{sum(w.state == 'idle' for w in self.workers)} of {self.num_started} workers are ready"
        elif total:
            words = progress_text(self.num_done, total, self.steps[-1].loss, self.now())
        else:
            words = f"step {self.num_done}, loss {self.steps[-1].loss:.4f}"
        ranks = len([w for w in self.members if w.state == "training"])
        latest = f"; {self.happenings[-1].text}" if self.happenings else ""
        self.progress(f"{words}; {ranks} ranks{latest}")

    def _no_worker_left(self) -> str:
        words = next((w.last_words() for w in self.workers if w.last_words()), "")
        return f"no worker is left to go on. The checkpoints are in {self.folder}. {words}".strip()

    def _report(self) -> ElasticReport:
        worlds, steps = tuple(self.worlds), tuple(self.steps)
        return ElasticReport(
            losses=tuple(self.done["losses"]), accuracy=self.done["accuracy"], digests=tuple(self.done["digests"]),
            worlds=worlds, steps=steps, happenings=tuple(self.happenings), recoveries=find_recoveries(worlds, steps),
            seconds=self.now(),
        )

    def _end_all(self) -> None:
        """End the workers, those that are well by an order, and what is left by force."""
        for worker in self.workers:
            worker.order("end") if worker.state in ("idle", "done") else worker.kill()
        deadline = time.monotonic() + 5
        for worker in self.workers:
            if worker.state != "gone":
                while worker.process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
                worker.kill()
                worker.reap()
        self.selector.close()
