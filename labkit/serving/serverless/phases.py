"""The phases of a cold start, from the marks that the bootstrap writes.

::

    spawned      imports begin                     ready          first answer
       |-- process --|-- imports (without the model) --|-- first_call --|
                              |-- model --|                |-- model --|      a handler may load it as late as this
"""

from __future__ import annotations

import os
import time


class Phases:
    """Reads marks; all times are of the machine's steady clock, which is the same in all processes."""

    def __init__(self):
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.spawned_ns = time.monotonic_ns()
        self.imports_ns = self.ready_ns = self.first_answer_ns = self.first_call_ns = 0
        self.model_ns = 0  # before it was ready
        self.late_model_ns = 0  # in the first call

    def close_write_end(self) -> None:
        os.close(self.write_end)

    def close(self) -> None:
        os.close(self.read_end)

    def ready(self) -> None:
        """The environment asked for its first request."""
        self.ready_ns = time.monotonic_ns()
        self._read()

    def first_call(self, started_ns: int, ended_ns: int) -> None:
        """The first call is answered."""
        self._read()
        self.first_call_ns = ended_ns - started_ns

    def _read(self):
        try:
            text = os.read(self.read_end, 65_536).decode("ascii", "replace")
        except BlockingIOError:
            return
        for line in text.splitlines():
            name, *times = line.split()
            if not all(word.isdigit() for word in times):
                continue
            if name == "imports" and len(times) == 1:
                self.imports_ns = int(times[0])
            elif name == "model" and len(times) == 2:
                start, end = map(int, times)
                if self.ready_ns and start >= self.ready_ns:
                    self.late_model_ns += end - start
                else:
                    self.model_ns += end - start

    @property
    def init_ns(self) -> int:
        """From the start of the process to the first "next"; 0 as long as it has not come."""
        return self.ready_ns - self.spawned_ns if self.ready_ns else 0

    def seconds(self) -> dict[str, float]:
        """The phases that are over."""
        if not self.ready_ns:
            return {}
        imports_ns = self.imports_ns or self.ready_ns  # a handler that was imported before any hook could see it
        phases_ns = {
            "process": imports_ns - self.spawned_ns,
            "imports": self.ready_ns - imports_ns - self.model_ns,
            "model": self.model_ns + self.late_model_ns,
        }
        if self.first_call_ns:
            phases_ns["first_call"] = self.first_call_ns - self.late_model_ns
        return {name: max(0, value) / 1e9 for name, value in phases_ns.items()}
