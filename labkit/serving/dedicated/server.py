"""A dedicated server, started and stopped by a notebook or a program."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from labkit.errors import LabkitError, UsageError
from labkit.serving.dedicated.settings import ServerSettings
from labkit.serving.dedicated.supervisor import Supervisor
from labkit.serving.package.classifier import Classifier, load_package

HOST = "127.0.0.1"  # nobody else is let in
BACKLOG = 2048
NUM_TRIES = 3  # of a worker that dies before it answers
LOG_LINES = 30


class ServerError(LabkitError, RuntimeError):
    """A server did not start; the message has the end of its log."""


class DedicatedServer:
    """A classifier behind HTTP on this machine, in processes that run all the time.

    Parameters
    ----------
    package : path or PackageInfo
        See :func:`labkit.serving.package.save_package`.
    port : int
        0: one that is free.
    start_timeout_s : float
        How long the workers may take until they answer.
    progress : callable, optional
        Called with a sentence now and then while it starts; ``print`` by default, None for silence.
    **settings
        Of :class:`.settings.ServerSettings`: ``num_workers``, ``max_batch``, ``max_wait_s``, ``max_queue``, ...

    Attributes
    ----------
    url : str
        ``http://127.0.0.1:PORT``; requests go to ``url + "/predict"``.
    classifier : Classifier
        What is served.

    Raises
    ------
    UsageError
        A setting breaks a rule, or the port is taken.
    PackageError
        There is no such package, or it is damaged.
    ServerError
        The workers died or did not answer in time.

    Notes
    -----
    All workers accept from one socket, so a request goes to one that is free, and while a worker is started again after
    it died, connections wait for another. A request that a killed process had taken is lost: its connection ends.

    ::

        with DedicatedServer("digits-64.labkit-model", max_batch=32, max_wait_s=0.002) as server:
            requests.post(server.url + "/predict", json={"rows": [[0.0] * 64]}).json()["classes"]
    """

    def __init__(
        self, package, *, port: int = 0, start_timeout_s: float = 60.0, progress: Callable[[str], None] | None = print,
        **settings,
    ):  # fmt: skip
        try:
            self.settings = ServerSettings(**settings)
        except TypeError:
            known = ", ".join(ServerSettings.__dataclass_fields__)
            raise UsageError(
                f"DedicatedServer: {', '.join(settings)} are not all settings; there are {known}: correct the name."
            ) from None
        self.package = Path(os.path.abspath(package))
        self.classifier: Classifier = load_package(self.package)
        self._listener = _listen(port)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self.is_stopped = False
        self._folder = tempfile.mkdtemp(prefix="labkit-serving-")
        self.log_path = Path(self._folder) / "log.txt"
        self.log_path.touch()
        self._last_log, self._last_metrics = "", {}
        self._supervisor = Supervisor(self.package, self.settings, self._listener, self.log_path)
        self._end = weakref.finalize(self, _end, self._supervisor, self._listener, self._folder)
        try:
            self._wait_until_ready(start_timeout_s, progress or (lambda text: None))
        except BaseException:  # the Stop button too
            self.stop(timeout_s=0)
            raise

    def __enter__(self) -> DedicatedServer:
        return self

    def __exit__(self, *exc_info) -> None:
        self.stop()

    def __repr__(self) -> str:
        n = self.settings.num_workers
        state = "stopped" if self.is_stopped else f"{self.num_ready} of {n} worker{'s' * (n > 1)} ready"
        return f"<dedicated server {self.url}, {state}, max_batch={self.settings.max_batch}>"

    @property
    def num_ready(self) -> int:
        """Workers that answer."""
        return 0 if self.is_stopped else self._supervisor.num_ready

    @property
    def pids(self) -> list[int]:
        """Processes of the workers that run."""
        return [] if self.is_stopped else self._supervisor.pids

    @property
    def num_restarts(self) -> int:
        """How often a worker was started again."""
        return sum(max(0, worker.num_starts - 1) for worker in self._supervisor.workers)

    def metrics(self) -> dict:
        """What all workers have counted: see :meth:`.counters.Counters.summary`."""
        return self._last_metrics if self.is_stopped else self._supervisor.counters.summary()

    def logs(self) -> str:
        """What the workers have written."""
        return self._last_log if self.is_stopped else self.log_path.read_text(errors="replace")

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until all workers answer, for example after one was killed; ServerError if they do not."""
        self._wait_until_ready(timeout_s, lambda text: None)

    def stop(self, timeout_s: float = 30.0) -> int:
        """Take no more requests, answer all that were taken, and end the processes. A second call does nothing.

        For ``drain_s`` new requests get 503. Then the port is closed; a connection that came at this very moment, and that no
        worker has accepted yet, is reset by the system: nothing of it was read.

        Returns
        -------
        int
            Workers that were killed, because they had not ended after ``timeout_s``; 0 is what it should be.
        """
        if self.is_stopped:
            return 0
        with contextlib.suppress(OSError):
            self._listener.close()  # the workers' own go on until they have refused what still came
        num_killed = self._supervisor.stop(timeout_s)
        self._last_metrics = self._supervisor.counters.summary()
        self._last_log = self.logs()
        self.is_stopped = True
        self._end.detach()
        shutil.rmtree(self._folder, ignore_errors=True)
        return num_killed

    def _wait_until_ready(self, timeout_s: float, progress: Callable[[str], None]) -> None:
        start, supervisor, n = time.monotonic(), self._supervisor, self.settings.num_workers
        before = [len(worker.deaths) for worker in supervisor.workers]
        progress(f"starting {n} worker{'s' * (n > 1)} for {self.package.name} on {self.url}")
        shown = 0
        with supervisor.changed:
            while (ready := supervisor.num_ready) < n:
                if shown < ready:
                    progress(f"{ready} of {n} workers ready after {time.monotonic() - start:.1f} s")
                    shown = ready
                for worker, earlier in zip(supervisor.workers, before, strict=True):
                    if len(worker.deaths) - earlier >= NUM_TRIES:
                        raise ServerError(
                            f"worker {worker.number} ended {NUM_TRIES} times before it answered (exit statuses "
                            f"{worker.deaths[-NUM_TRIES:]}): mend what the end of its log says.\n{self._log_end()}"
                        )
                left = start + timeout_s - time.monotonic()
                if left <= 0:
                    raise ServerError(
                        f"{ready} of {n} workers answer after {timeout_s:g} s: pass a larger start_timeout_s, or fewer "
                        f"workers.\n{self._log_end()}"
                    )
                supervisor.changed.wait(min(left, 0.5))
        progress(f"{self.url} answers after {time.monotonic() - start:.1f} s")

    def _log_end(self) -> str:
        return "\n".join(self.logs().splitlines()[-LOG_LINES:])


def _listen(port: int) -> socket.socket:
    if type(port) is not int or not 0 <= port <= 65535:
        raise UsageError(f"a port is a whole number from 0 to 65535, not {port!r}: pass 0 for one that is free.")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if isinstance(error, PermissionError):
            raise UsageError(f"port {port} is for the system's administrator: pass a port from 1024, or 0.") from None
        raise UsageError(
            f"port {port} of {HOST} is taken by another program: stop that one, pass another port, or 0 for a free one."
        ) from None
    listener.setblocking(False)
    return listener


def _end(supervisor: Supervisor, listener: socket.socket, folder: str) -> None:
    """Of a server that nobody stopped: at the end of the interpreter, or when it is forgotten."""
    listener.close()
    supervisor.stop(5.0)
    shutil.rmtree(folder, ignore_errors=True)
