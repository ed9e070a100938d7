"""The processes of a parameter server as the one that started them sees them: what they tell, and who of them is gone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

from labkit.errors import TrainingError, UsageError
from labkit.training.options import TrainingOptions
from labkit.training.parameter_server.process_main import ServerJob, WorkerJob, run_server, run_worker
from labkit.training.progress import Progress


class World:
    """Servers, replicas and workers.

    Attributes
    ----------
    rows : list of list of tuple
        By worker, what it told of each step: loss, gradients missing, four moments in ns.
    blocks : dict
        By server: its block of the weights at the end, and the updates it applied.
    failures : list of (int, int, str)
        Workers that raised: which, at which step, its words.
    events : list of str
        Who died, and what was done.
    """

    def __init__(self, folder: Path, progress, options: TrainingOptions, num_workers: int):
        self.folder, self.options, self.num_workers = folder, options, num_workers
        self.authkey = os.urandom(32)
        self.jobs: list[ServerJob] = []
        self.processes: dict[tuple[str, int], multiprocessing.process.BaseProcess] = {}
        self.rows: list[list[tuple]] = [[] for _ in range(num_workers)]
        self.buffers: dict[int, dict] = {}
        self.failures: list[tuple[int, int, str]] = []  # worker, step, words
        self.blocks: dict[int, tuple] = {}  # by server: weights, applied updates
        self.events: list[str] = []
        self._pipes: dict = {}
        self._bar = Progress(options.num_steps * num_workers, progress)
        self._context = multiprocessing.get_context("forkserver")
        # torch is loaded once, and not by every process.
        self._context.set_forkserver_preload(["labkit.training.parameter_server.process_main"])

    def add_server(self, job: ServerJob) -> None:
        self.jobs.append(job)
        if job.replica_address is not None:
            self._start("replica", job.number, run_server, job, True)
        self._start("server", job.number, run_server, job, False)

    def add_worker(self, job: WorkerJob) -> None:
        self._start("worker", job.number, run_worker, job)

    def _start(self, role: str, number: int, target: Callable, *arguments) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=target, args=(*arguments, theirs), daemon=True, name=f"{role} {number}")
        try:
            process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(
                f"train_on_processes: the {role} cannot be sent to another process ({error}): take a model and a loss that "
                f"are defined in a module, not in a notebook."
            ) from error
        theirs.close()
        self.processes[role, number] = process
        self._pipes[ours] = role, number

    def run(self) -> None:
        """Until every block of weights has come home."""
        while len(self.blocks) < len(self.jobs):
            if not self._pipes:
                raise TrainingError(f"all servers are gone: {'; '.join(self.events)}. Run with replicas or with checkpoints.")
            for pipe in wait(list(self._pipes)):
                role, number = self._pipes[pipe]
                try:
                    told = pipe.recv()
                except (EOFError, OSError):
                    del self._pipes[pipe]
                    pipe.close()
                    self._ended(role, number)
                    continue
                self._told(role, number, told)
        self._bar.close()

    def _told(self, role: str, number: int, told: tuple) -> None:
        kind, *values = told
        if kind == "step":
            self.rows[number].append(tuple(values))
            self._bar.update(sum(map(len, self.rows)), values[0])
        elif kind == "buffers":
            self.buffers[number] = values[0]
        elif kind == "failure":
            self.failures.append((number, *values))
        elif kind == "event":
            self.events.append(values[0])
        elif kind == "block":
            if values[0] is not None:
                self.blocks.setdefault(number, tuple(values))
        else:
            raise AssertionError(told)

    def _ended(self, role: str, number: int) -> None:
        """The pipe of a process has ended: it is done, or gone."""
        process = self.processes[role, number]
        process.join(10)
        if process.exitcode == 0 or (role != "worker" and number in self.blocks):
            return
        code = process.exitcode
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with status {code}"
        if role == "worker":
            self.events.append(f"worker {number} died {how} at step {len(self.rows[number])}; the others went on")
        elif role == "replica":
            self.events.append(f"the replica of server {number} died {how}; the server went on without one")
        else:
            self._replace(number, how)

    def _replace(self, number: int, how: str) -> None:
        job = self.jobs[number]
        replica = self.processes.get(("replica", number))
        if replica is not None and replica.is_alive():
            self.events.append(f"server {number} died {how}; its replica took over")
        elif job.checkpoint is not None and Path(job.checkpoint).exists():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(job.address)
            again = job.restarted()
            self.jobs[number] = again
            self._start("server", number, run_server, again, False)
        else:
            raise TrainingError(
                f"server {number} died {how}, and its block of the weights with it: run with_replicas=True, or with "
                f"checkpoint_every=10, for example. {'; '.join(self.events)}"
            )

    def end(self) -> None:
        """No process stays behind."""
        for process in self.processes.values():
            if process.is_alive():
                process.kill()
        for process in self.processes.values():
            process.join(10)
        for pipe in self._pipes:
            pipe.close()
