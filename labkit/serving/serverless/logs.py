"""What a function writes, and the lines that Lambda adds."""

from __future__ import annotations

import os
import time
from collections import deque

from labkit.serving.serverless.records import InvocationRecord

MAX_LINES = 50_000
MAX_LINE_BYTES = 262_144  # as CloudWatch
READ_BYTES = 65_536


class LogBook:
    """The last lines of all environments, in the order in which they came."""

    def __init__(self):
        self.lines: deque[tuple[float, int, str]] = deque(maxlen=MAX_LINES)  # seconds, number of the environment, text
        self.num_lines = 0

    def add(self, environment: int, text: str) -> None:
        self.lines.append((time.time(), environment, text))
        self.num_lines += 1

    def since(self, start: int) -> list[tuple[float, int, str]]:
        """Lines from number `start` on, as far as they are still there."""
        first = self.num_lines - len(self.lines)
        return [line for number, line in enumerate(self.lines, first) if number >= start]


class OutputPipe:
    """Standard output and error of one environment, cut into lines."""

    def __init__(self, book: LogBook, environment: int):
        self.book, self.environment = book, environment
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self._rest = b""

    def close_write_end(self) -> None:
        os.close(self.write_end)

    def read(self, max_reads: int = 16) -> bool:
        """Take what is there; False at its end. A handler that writes without end must not stop everything else."""
        for _ in range(max_reads):
            try:
                data = os.read(self.read_end, READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                self.flush()
                return False
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._add(line)
            if len(self._rest) > MAX_LINE_BYTES:
                self.flush()
        return True

    def flush(self) -> None:
        """What has no end of line yet."""
        if self._rest:
            self._add(self._rest)
        self._rest = b""

    def close(self) -> None:
        self.read()
        self.flush()
        os.close(self.read_end)

    def _add(self, line: bytes) -> None:
        # AWS's client ends the lines within one message with carriage returns
        for part in line[:MAX_LINE_BYTES].decode("utf-8", "replace").split("\r"):
            self.book.add(self.environment, part)


def report_line(record: InvocationRecord, memory_mb: int, init_ms: float) -> str:
    """The REPORT line of a call."""
    line = (
        f"REPORT RequestId: {record.request_id}\tDuration: {record.duration_ms:.2f} ms\t"
        f"Billed Duration: {record.billed_ms} ms\t"
        f"Memory Size: {memory_mb} MB\tMax Memory Used: {record.max_memory_mb:.0f} MB\t"
    )
    if init_ms:
        line += f"Init Duration: {init_ms:.2f} ms\t"
    if record.outcome == "timeout":
        line += "Status: timeout"
    elif record.outcome in ("exit", "killed", "out of memory", "init error", "init timeout"):
        line += "Status: error"
    return line
