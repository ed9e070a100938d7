"""A line that says how far training is: in a notebook, or on a terminal; silent elsewhere."""

from __future__ import annotations

import sys
import time

EVERY_S = 0.2
WIDTH = 24


class Progress:
    """Shows steps done, loss and time left, at most a few times a second.

    Parameters
    ----------
    num_steps : int
    show : bool or callable, optional
        A callable is given the texts. True: on stderr. None: under the cell of a notebook, or on stderr if that is a
        terminal; nowhere if it is a pipe, so that logs and graded cells stay clean. False: nowhere.
    """

    def __init__(self, num_steps: int, show=None):
        self.num_steps, self.started = num_steps, time.monotonic()
        self.shown = -EVERY_S
        self.write, self.close_line = _target(show)

    def update(self, num_done: int, loss: float) -> None:
        """Called after every step."""
        if self.write is None:
            return
        now = time.monotonic()
        if now - self.shown >= EVERY_S or num_done == self.num_steps:
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
    """Where texts go, and what ends them."""
    if callable(show):
        return show, None
    if show is None:
        under_cell = _notebook_line()
        if under_cell is not None:
            return under_cell, None
    if show is False or (show is None and not sys.stderr.isatty()):
        return None, None

    def write(text: str) -> None:
        sys.stderr.write("\r" + text.ljust(78))
        sys.stderr.flush()

    return write, lambda: sys.stderr.write("\n")


def _notebook_line():
    """A line under the cell that is replaced, if this is a notebook's kernel; None elsewhere."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    handle = None

    def write(text: str) -> None:
        nonlocal handle
        if handle is None:
            handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            handle.update({"text/plain": text}, raw=True)

    return write
