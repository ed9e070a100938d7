"""Workers: started, watched, started again when they die, and ended together."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from labkit.serving.dedicated.counters import Counters
from labkit.serving.dedicated.settings import ServerSettings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0  # before a worker that dies at once is started again
LIVED_S = 5.0  # a worker that was ready this long did not die at once
TICK_S = 0.2


@dataclass(slots=True)
class Worker:
    """A worker's place; the processes in it change.

    Attributes
    ----------
    number, num_starts : int
    process : subprocess.Popen or None
    is_ready : bool
    """

    number: int
    process: subprocess.Popen | None = None
    report: int = -1  # where it says that it is ready
    is_ready: bool = False
    num_starts: int = 0
    ready_at_s: float = 0.0
    start_at_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    deaths: list = field(default_factory=list)  # exit statuses


class Supervisor:
    """A thread that keeps workers running.

    The thread starts all of them itself: Linux ends a child with the thread that started it.
    """

    def __init__(self, package: Path, settings: ServerSettings, listener: socket.socket, log: Path):
        self.package, self.settings, self.listener, self.log = package, settings, listener, log
        self.counters = Counters(settings.num_workers, settings.max_batch)
        self.workers = [Worker(number) for number in range(settings.num_workers)]
        self.changed = threading.Condition()
        self._is_stopping = False
        self._wake_read, self._wake_write = os.pipe()
        self._life_read, self._life_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="serving supervisor", daemon=True)
        self._thread.start()

    @property
    def num_ready(self) -> int:
        """Workers that answer."""
        return sum(worker.is_ready for worker in self.workers)

    @property
    def pids(self) -> list[int]:
        """Of the workers that run, by number."""
        return [w.process.pid for w in self.workers if w.process is not None and w.process.poll() is None]

    def stop(self, timeout_s: float) -> int:
        """End all: each answers what it took. Returns how many had to be killed after ``timeout_s``."""
        with self.changed:
            if self._is_stopping:
                return 0
            self._is_stopping = True
        os.write(self._wake_write, b"x")
        limit, num_killed = time.monotonic() + timeout_s, 0
        self._signal(signal.SIGTERM)
        while self.pids and time.monotonic() < limit:
            time.sleep(0.01)
        num_killed = len(self.pids)
        self._signal(signal.SIGKILL)
        self._thread.join()
        for worker in self.workers:
            if worker.process is not None:
                worker.process.wait()
            self._forget(worker)
        self._selector.close()
        for descriptor in (self._wake_read, self._wake_write, self._life_read, self._life_write):
            os.close(descriptor)
        self.counters.close()
        return num_killed

    def _signal(self, number: int) -> None:
        for worker in self.workers:
            if worker.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(number)

    def _run(self) -> None:
        while True:
            with self.changed:
                if self._is_stopping:
                    break
                now = time.monotonic()
                for worker in self.workers:
                    if worker.process is None and now >= worker.start_at_s:
                        self._start(worker)
            for key, _ in self._selector.select(TICK_S):
                if key.data is not None:
                    self._hear(key.data)
            for worker in self.workers:
                if worker.process is not None and worker.process.poll() is not None:
                    self._died(worker)
        while any(w.process is not None and w.process.poll() is None for w in self.workers):
            time.sleep(0.02)  # this thread must not end before its children

    def _start(self, worker: Worker) -> None:
        report_read, report_write = os.pipe()
        descriptors = {
            "socket": self.listener.fileno(), "pipe": self._life_read, "report": report_write,
            "counters": self.counters.descriptor,
        }
        order = {
            "package": str(self.package), "settings": self.settings.as_dict(), "worker": worker.number,
            "owner": os.getpid(), **descriptors,
        }
        threads = str(self.settings.num_threads)
        environment = {
            **os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join(filter(None, [_root(), os.environ.get("PYTHONPATH", "")])),
        }
        command = [sys.executable, "-m", "labkit.serving.dedicated.worker", json.dumps(order)]
        with open(self.log, "ab") as log:
            worker.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
                pass_fds=tuple(descriptors.values()),
            )
        os.close(report_write)
        worker.report, worker.num_starts = report_read, worker.num_starts + 1
        self._selector.register(report_read, selectors.EVENT_READ, worker)

    def _hear(self, worker: Worker) -> None:
        """It is ready, or it has ended."""
        said = os.read(worker.report, 100)
        if not said:
            self._selector.unregister(worker.report)
            os.close(worker.report)
            worker.report = -1
            return
        with self.changed:
            worker.is_ready, worker.ready_at_s = True, time.monotonic()
            self.changed.notify_all()

    def _died(self, worker: Worker) -> None:
        now = time.monotonic()
        lived = worker.is_ready and now - worker.ready_at_s > LIVED_S
        worker.pause_s = FIRST_PAUSE_S if lived else min(LONGEST_PAUSE_S, 2 * worker.pause_s)
        with self.changed:
            worker.deaths.append(worker.process.returncode)
            worker.is_ready, worker.process = False, None
            worker.start_at_s = now if lived else now + worker.pause_s
            self.changed.notify_all()
        self._forget(worker)
        for gauge in ("ready", "queue_rows"):
            self.counters.set(worker.number, gauge, 0)

    def _forget(self, worker: Worker) -> None:
        if worker.report >= 0:
            self._selector.unregister(worker.report)
            os.close(worker.report)
            worker.report = -1


def _root() -> str:
    """Where labkit is, for a process that starts in another folder."""
    return str(Path(__file__).parents[3])
