"""The processes of workers: each leads a process group of its own, and only these groups are ever signalled."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False)
class WorkerProcess:
    """A worker as its supervisor sees it.

    Attributes
    ----------
    number : int
    process : subprocess.Popen
    events : int
        Descriptor to read events from.
    state : str
        ``starting``, ``idle``, ``training``, ``done`` or ``gone``.
    step : int
        The last one it has told of, in this world.
    rank : int or None
        In the world of now, or the last one.
    """

    number: int
    process: subprocess.Popen
    events: int
    log: Path
    state: str = "starting"
    step: int = 0
    rank: int | None = None
    leaving: bool = False
    _rest: bytes = field(default=b"", repr=False)

    @classmethod
    def start(cls, number: int, log: Path) -> WorkerProcess:
        """Start a process."""
        reading, writing = os.pipe()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        package = str(Path(__file__).parents[3])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        try:
            with open(log, "ab") as words:
                process = subprocess.Popen(
                    [sys.executable, "-m", "labkit.training.elastic.worker", str(writing)], stdin=subprocess.PIPE,
                    stdout=words, stderr=words, pass_fds=[writing], start_new_session=True, env=environment,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        return cls(number, process, reading, log)

    def order(self, order: str, **details) -> None:
        """Send an order; a worker that is gone does not hear it."""
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write((json.dumps({"order": order, **details}) + "\n").encode())
            self.process.stdin.flush()

    def read(self) -> tuple[list[dict], bool]:
        """The events that have come, and whether the worker is gone."""
        is_gone = False
        while True:
            try:
                part = os.read(self.events, 65536)
            except BlockingIOError:
                break
            if not part:
                is_gone = True
                break
            self._rest += part
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines], is_gone

    @property
    def is_stopped(self) -> bool:
        """Whether the process was stopped by a signal."""
        with contextlib.suppress(OSError, IndexError):
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        return False

    def kill(self) -> None:
        """End it and what it has started, at once."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def reap(self) -> str:
        """Wait for its end, and say how it ended."""
        status = self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self.events)
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()
        self.state = "gone"
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return "left" if status == 0 else f"ended with status {status}"

    def last_words(self) -> str:
        """The end of what it has printed."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""
