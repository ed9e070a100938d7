"""The notebook's end of a running program: what it prints as it comes, how it ended; it can always be ended."""

from __future__ import annotations

import codecs
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit.openmp.cell.runtime import REPORT_FD

SUPERVISOR = Path(__file__).with_name("supervise.py")
IDLE_EVERY_S = 0.1
END_WITHIN_S = 5.0
MOST_REPORT_BYTES = 1 << 20


@dataclass
class ChildEnd:
    """How a program ended.

    Attributes
    ----------
    status : int or None
        The exit status; minus the signal; None if that was not learnt.
    wall_s, cpu_s : float
        From start to end of the process; processor time of all its threads.
    report : list of str
        Lines that the parts of labkit in the program have written.
    timed_out : bool
        Whether it was ended because of the time limit.
    """

    status: int | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    report: list[str] = field(default_factory=list)
    timed_out: bool = False


def run_program(
    command: Sequence[str], environment: Mapping[str, str], *, fds: Sequence[int] = (), deadline: float | None = None,
    text: Callable[[str, str], None] = lambda stream, text: None, same_addresses: bool = False,
) -> ChildEnd:  # fmt: skip
    """Run a program to its end in a process that cannot outlive this one.

    Parameters
    ----------
    command, environment
        What to run, and all of its environment.
    fds : sequence of int
        File descriptors that it inherits under the same numbers.
    deadline : float, optional
        When it is ended, on ``time.monotonic``'s clock.
    text : callable
        Gets ``"stdout"`` or ``"stderr"`` and a piece of text as it comes; what it raises ends the program.
    same_addresses : bool
        Without random addresses, which a thread sanitizer may need.
    """
    end = ChildEnd()
    with Pipes() as pipes:
        control_read, control_write = pipes.new()
        report_read, report_write = pipes.new()
        stdout_read, stdout_write = pipes.new()
        stderr_read, stderr_write = pipes.new()
        order = json.dumps({
            "command": list(command), "environment": {**environment, REPORT_FD: str(report_write)},
            "control": control_read, "report": report_write, "same_addresses": same_addresses,
        })  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR), order], stdin=subprocess.DEVNULL, stdout=stdout_write,
            stderr=stderr_write, pass_fds=[control_read, report_write, *fds], start_new_session=True,
        )  # fmt: skip
        try:
            for fd in (control_read, report_write, stdout_write, stderr_write):
                pipes.close(fd)
            streams = {stdout_read: "stdout", stderr_read: "stderr", report_read: "report"}
            report = _pump(streams, pipes, control_write, deadline, text, end)
        finally:
            pipes.close(control_write)  # tells the supervisor to end the program
            _wait(process)
    _read_report(report, end)
    return end


def _pump(streams, pipes: Pipes, control: int, deadline: float | None, text, end: ChildEnd) -> str:
    """Pass on what comes until all streams have ended."""
    decoders = {fd: codecs.getincrementaldecoder("utf-8")("replace") for fd in streams}
    report: list[str] = []
    num_report = 0
    with selectors.DefaultSelector() as selector:
        for fd in streams:
            selector.register(fd, selectors.EVENT_READ)
        ended_at = None
        while selector.get_map():
            for key, _ in selector.select(IDLE_EVERY_S):
                piece = os.read(key.fd, 1 << 16)
                words = decoders[key.fd].decode(piece, final=not piece)
                if streams[key.fd] != "report":
                    if words:
                        text(streams[key.fd], words)
                elif num_report < MOST_REPORT_BYTES or "\nend {" in words:
                    num_report += len(words)
                    report.append(words)
                if not piece:
                    selector.unregister(key.fd)
            now = time.monotonic()
            if deadline is not None and now > deadline and not end.timed_out:
                end.timed_out = True
                pipes.close(control)
                ended_at = now
            if ended_at is not None and now > ended_at + END_WITHIN_S:
                break  # something holds the pipes open that could not be ended
    return "".join(report)


def _wait(process: subprocess.Popen) -> None:
    """The supervisor ends by itself; if it does not, it is ended, and the system ends the program with it."""
    try:
        process.wait(END_WITHIN_S)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise


def _read_report(report: str, end: ChildEnd) -> None:
    for line in report.splitlines():
        if line.startswith("end {"):
            values = json.loads(line.removeprefix("end "))
            end.status, end.wall_s, end.cpu_s = values["status"], values["wall_ns"] * 1e-9, values["cpu_s"]
        elif line:
            end.report.append(line)


class Pipes:
    """Pipes whose ends are closed once each, at the latest when the block ends."""

    def __init__(self):
        self._open: set[int] = set()

    def __enter__(self) -> Pipes:
        return self

    def __exit__(self, *exc_info) -> None:
        for fd in list(self._open):
            self.close(fd)

    def new(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def close(self, fd: int) -> None:
        if fd in self._open:
            self._open.discard(fd)
            os.close(fd)
