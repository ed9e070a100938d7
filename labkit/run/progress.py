"""Which cell of a notebook runs, and for how long, on stderr."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time


class CellProgress:
    """Which cell runs: a line on a terminal that is replaced, and elsewhere a line at the start of each cell."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.started = time.monotonic()
        self.text = ("kernel", "starting")

    def clock(self) -> str:
        """The time since the start, as ``0:14`` or ``1:02:03``."""
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def start(self, where: str, source: str) -> None:
        """A cell starts."""
        self.text = (where, next(line.strip() for line in source.splitlines() if line.strip()))
        self.redraw()

    def redraw(self) -> None:
        """The line with the time of now."""
        where, what = self.text
        line = "".join(c if c.isprintable() else " " for c in f"{where}, {self.clock()}, {what}")
        width = shutil.get_terminal_size().columns if self.terminal else 120
        line = line if len(line) < width else f"{line[: width - 5]} ..."
        say(f"\r\x1b[K{line}" if self.terminal else line, end="" if self.terminal else "\n")

    def clear(self) -> None:
        """Make room for other text."""
        if self.terminal:
            say("\r\x1b[K", end="")


def say(text: str, end: str = "\n") -> None:
    """Print to stderr; a terminal that is gone does not end the run."""
    with contextlib.suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)
