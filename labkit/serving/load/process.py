"""The generator's process, as its owner sees it: started, listened to, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from labkit.errors import LabkitError
from labkit.serving.load.sender import STOP

END_S = 10.0  # to give its record after a stop


def run_job(job: dict, progress: Callable[[dict], object] | None) -> dict:
    """Run a job in a process of its own, and return its record.

    The Stop button (KeyboardInterrupt) ends the run and gives the record so far; a second one ends at once.

    Raises
    ------
    LabkitError
        The process ended without a record.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "labkit.serving.load.sender", str(os.getpid())], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True,  # no terminal's Ctrl-C
    )
    words: queue.Queue = queue.Queue()
    complaints: list[bytes] = []
    threads = [
        threading.Thread(target=_listen, args=(process.stdout, words), daemon=True),
        threading.Thread(target=lambda: complaints.append(process.stderr.read()[-4000:]), daemon=True),
    ]
    try:
        for thread in threads:
            thread.start()
        try:
            _give(process, job)
            record = _follow(words, progress)
        except KeyboardInterrupt:
            record = _stop(process, words)
        if record is None:
            raise LabkitError(_end_in_words(process, threads[1], complaints))
        return record
    finally:
        _end(process, threads)


def _give(process: subprocess.Popen, job: dict) -> None:
    content = pickle.dumps(job)
    with contextlib.suppress(BrokenPipeError):  # that it ended is heard in _follow
        process.stdin.write(struct.pack("<Q", len(content)) + content)
        process.stdin.flush()


def _listen(stream, words: queue.Queue) -> None:
    """Put what the process says into a queue; None at its end."""
    try:
        while True:
            words.put(pickle.load(stream))
    except Exception:  # its end, perhaps in mid-word
        words.put(None)


def _follow(words: queue.Queue, progress: Callable[[dict], object] | None, timeout: float | None = None) -> dict | None:
    while (word := words.get(timeout=timeout)) is not None:
        kind, content = word
        if kind == "record":
            return content
        if progress is not None:
            progress(content)
    return None


def _stop(process: subprocess.Popen, words: queue.Queue) -> dict | None:
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(STOP)
        process.stdin.flush()
    with contextlib.suppress(queue.Empty):
        return _follow(words, None, END_S)
    return None


def _end_in_words(process: subprocess.Popen, listener: threading.Thread, complaints: list[bytes]) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    listener.join(1)
    status = process.returncode
    how = "does not answer" if status is None else f"ended with exit status {status}"
    if status is not None and status < 0:
        how = f"was ended by {signal.Signals(-status).name}"
    last = (b"".join(complaints).decode(errors="replace").strip().splitlines() or [""])[-1]
    how += f": {last}" if last else ""
    return f"The process that sends the requests {how}. Nothing was measured: run it again."


def _end(process: subprocess.Popen, threads: list[threading.Thread]) -> None:
    """It ends when its input does; and if not, by force."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for thread in threads:
        thread.join(5)
    process.stdout.close()
    process.stderr.close()
