"""Processes that judge answers, side by side: ``python -m labkit.grading.workers`` is one of them.

The simulator changes what ``MPI.COMM_WORLD`` means while it runs, so one process judges one answer at a time. A
worker reads a line of JSON for every answer and writes one for the verdict; it keeps the process that starts ranks.
A worker that dies or hangs costs its answer a second try, and no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import NotAvailableError
from labkit.grading.exercise import Exercise, load_exercise
from labkit.grading.outcomes import Verdict

LIMIT_S = 900.0  # of one answer, all its cases: far above the limits that the judge keeps itself
ANSWERS_A_PROCESS = 200  # then a fresh one takes over, so that no memory can pile up
MAX_TRIES = 2
START_S = 3.0  # that a process may take before the next one is started
PATIENCE_S = 0.3  # then: to start one more process takes as long as many short answers
READY = b'"ready"\n'
END_S = 5.0
WORDS = 300


@dataclass(frozen=True)
class Task:
    """An answer to judge.

    Attributes
    ----------
    exercise : str
        ``"topic/name"``.
    folder : Path
        Of all exercises.
    source : str or None
    key : str
        Comes back with the verdict; see :func:`~labkit.grading.journal.answer_key`.
    """

    exercise: str
    folder: Path
    source: str | None
    key: str = ""


def in_turn(tasks: Iterable[Task], judge: Callable[[Exercise, str | None], Verdict]) -> Iterator[tuple[Task, Verdict | str]]:
    """Judge in this process, one after the other: (task, verdict), or (task, why there is none)."""
    for task in tasks:
        try:
            yield task, judge(load_exercise(task.exercise, task.folder), task.source)
        except Exception as error:  # of the judge or the exercise: an answer cannot raise here
            yield task, f"{type(error).__name__}: {error}"


def in_processes(
    tasks: Iterable[Task], jobs: int = 1, first: Worker | None = None
) -> Iterator[tuple[Task, Verdict | str]]:
    """Judge in up to ``jobs`` processes; results come as they are ready, tasks are taken when somebody is free.

    Processes start one after the other, as long as there is enough to do. Whatever ends the iteration, also an
    interrupt, ends them. ``first`` is a worker that has been started already.
    """
    waiting: list[tuple[Task, int]] = []
    tasks = iter(tasks)
    workers = [first or Worker(), *(Worker() for _ in range(jobs - 1))]
    next_start = 0.0
    selector = selectors.DefaultSelector()
    try:
        while True:
            for worker in workers:
                if worker.task is None:
                    is_early = worker.process is None and time.monotonic() < next_start
                    if is_early and any(other.task is not None for other in workers):
                        continue
                    task, tries = waiting.pop() if waiting else (next(tasks, None), 0)
                    if task is None:
                        break
                    if not worker.is_ready:
                        next_start = time.monotonic() + START_S
                    worker.begin(task, tries + 1)
                    selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return
            until = min(worker.deadline for worker in busy)
            if len(busy) < jobs and time.monotonic() < next_start:
                until = min(until, next_start)
            ready = {key.data for key, _ in selector.select(timeout=max(0.0, until - time.monotonic()))}
            for worker in busy:
                late = time.monotonic() > worker.deadline
                if worker not in ready and not late:
                    continue
                if worker in ready and not worker.is_ready and worker.hear_ready():
                    next_start = min(next_start, time.monotonic() + PATIENCE_S)
                    continue
                selector.unregister(worker.process.stdout)
                task, tries = worker.task, worker.tries
                result, is_final = worker.result() if worker in ready else worker.give_up(f"no verdict after {LIMIT_S:g} s")
                if is_final or tries >= MAX_TRIES:
                    yield task, result
                else:
                    waiting.append((task, tries))
    finally:
        selector.close()
        for worker in workers:
            worker.close()


class Worker:
    """One process, started when there is something to do."""

    def __init__(self):
        self.process: subprocess.Popen | None = None
        self.log = None
        self.is_ready = False  # it has imported what it needs
        self.task: Task | None = None
        self.tries = 0
        self.deadline = 0.0
        self.num_done = 0

    def begin(self, task: Task, tries: int) -> None:
        """Hand over an answer."""
        self.start()
        self.task, self.tries, self.deadline = task, tries, time.monotonic() + LIMIT_S
        line = json.dumps([task.exercise, str(task.folder), task.source])
        with contextlib.suppress(BrokenPipeError):  # it has died: the reading side will see
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def hear_ready(self) -> bool:
        """Its first line: whether it is ready. If not, it has died."""
        said = self.process.stdout.raw.read(len(READY))  # no more: select does not see what is buffered
        self.is_ready = said == READY
        return self.is_ready

    def result(self) -> tuple[Verdict | str, bool]:
        """The verdict, or why there is none, and whether trying again is pointless."""
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            return self.give_up("the process that judges has died")
        found = json.loads(line)
        self.task = None
        self.num_done += 1
        if self.num_done >= ANSWERS_A_PROCESS:
            self.close()
        return (found, False) if isinstance(found, str) else (Verdict.from_dict(found), True)

    def give_up(self, reason: str) -> tuple[str, bool]:
        """End the process; why, with its last words."""
        self.task = None
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        self.close()
        return f"{reason}: {lines[-1][:WORDS]}" if lines else reason, False

    def close(self) -> None:
        """End the process and, through it, all that it has started."""
        process, self.process = self.process, None
        self.task, self.num_done, self.is_ready = None, 0, False
        if process is None:
            return
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        self.log.close()

    def start(self) -> None:
        """Start the process, if there is none: it imports while others work."""
        if self.process is not None:
            return
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "labkit.grading.workers"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the process that reads the results
        )


def serve() -> None:
    """Read tasks, write verdicts, until the other side closes the pipe or sends SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever an exercise prints must not get between the verdicts
    from labkit.grading.remote.sandboxed import Zygote

    zygote = Zygote(keeps_real_ranks=True)  # it starts while this process imports the rest
    try:
        from labkit.grading.judge import judge

        with contextlib.suppress(NotAvailableError):  # each answer will say so
            zygote.ask(["status", []])
        results.write(READY)
        results.flush()
        for line in sys.stdin.buffer:
            name, folder, source = json.loads(line)
            try:
                if source is not None and zygote is None:
                    zygote = Zygote(keeps_real_ranks=True)
                verdict = judge(load_exercise(name, Path(folder)), source, zygote=zygote, timeline=False)
                found = verdict.to_dict(timeline=False)
            except Exception as error:  # of the exercise or this machine
                found = f"{type(error).__name__}: {error}"
                if zygote is not None:
                    zygote.close()
                    zygote = None
            results.write(json.dumps(found, default=str).encode() + b"\n")
            results.flush()
    finally:
        if zygote is not None:
            zygote.close()


if __name__ == "__main__":
    with contextlib.suppress(SystemExit):
        serve()
    sys.stderr.flush()
    os._exit(0)  # nothing is left to be done, and modules take long to be cleared away
