"""A line that says how far training is: in a notebook, or on a terminal; silent elsewhere."""

from __future__ import annotations

import sys
import time

EVERY_S = 0.2
LINES_EVERY_S = 2.0  # where a line cannot be replaced
WIDTH = 24


class Progress:
    """Shows steps done, loss and time left, at most a few times a second.

    Parameters
    ----------
    num_steps : int
    show : bool or callable, optional
        A callable is given the texts. True: on stderr. None: under the cell of a notebook; in a ``%%mpi`` cell a line of
        its output every two seconds; on stderr if that is a terminal; nowhere if it is a pipe, so that logs and graded
        cells stay clean. False: nowhere.
    """

    def __init__(self, num_steps: int, show=None):
        self.num_steps, self.started = num_steps, time.monotonic()
        self.write, self.close_line, self.every_s = _target(show)
        self.shown = self.started if self.every_s == LINES_EVERY_S else self.started - EVERY_S

    def update(self, num_done: int, loss: float) -> None:
        """Called after every step."""
        if self.write is None:
            return
        now = time.monotonic()
        is_last = num_done == self.num_steps and self.every_s == EVERY_S
        if now - self.shown >= self.every_s or is_last:
            self.shown = now
            self.write(progress_text(num_done, self.num_steps, loss, now - self.started))

    def close(self) -> None:
        """No more will come."""
        if self.close_line is not None:
            self.close_line()
            self.close_line = None


def progress_text(num_done: int, num_steps: int, loss: float, seconds: float) -> str:
    """The line.

    Examples
    --------
    >>> progress_text(30, 120, 0.52, 4.0)
    '[######------------------] step 30 of 120, loss 0.5200, 12 s left'
    """
    full = WIDTH * num_done // max(num_steps, 1)
    left = seconds / max(num_done, 1) * (num_steps - num_done)
    return f"[{'#' * full}{'-' * (WIDTH - full)}] step {num_done} of {num_steps}, loss {loss:.4f}, {left:.0f} s left"


def _target(show):
    """Where texts go, what ends them, and how often they come."""
    if callable(show):
        return show, None, EVERY_S
    if show is None:
        shell = _shell()
        if shell is not None and type(shell.kernel).__module__.startswith("ipyparallel"):
            return lambda text: print(text, flush=True), None, LINES_EVERY_S
        if shell is not None:
            return _line_under_cell(), None, EVERY_S
    if show is False or (show is None and not sys.stderr.isatty()):
        return None, None, EVERY_S

    def write(text: str) -> None:
        sys.stderr.write("\r" + text.ljust(78))
        sys.stderr.flush()

    return write, lambda: sys.stderr.write("\n"), EVERY_S


def _shell():
    """The shell of a notebook's kernel or of an engine, if this is one; None elsewhere."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None


def _line_under_cell():
    """Shows texts in one line under the cell, the next in place of the last."""
    from IPython.display import display

    handle = None

    def write(text: str) -> None:
        nonlocal handle
        if handle is None:
            handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            handle.update({"text/plain": text}, raw=True)

    return write
