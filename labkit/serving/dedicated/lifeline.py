"""A process that ends when its owner does, even if the owner is killed.

The owner holds the writing end of a pipe that nobody writes to. When the owner is gone, however it went, the system
closes that end, and a thread of the child that reads gets the end of the file. On Linux the system also kills the child
at once, if the thread that started it ends: a child that holds the interpreter's lock and reads nothing ends too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
OWNER_IS_GONE = 79  # exit status


def die_with_owner(pipe: int, owner: int) -> None:
    """In the child, first of all.

    Parameters
    ----------
    pipe : int
        The reading end.
    owner : int
        The process that started this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner:  # it ended before
        os._exit(OWNER_IS_GONE)
    threading.Thread(target=_watch, args=(pipe,), name="lifeline", daemon=True).start()


def _watch(pipe: int) -> None:
    try:
        while os.read(pipe, 1):
            pass
    except OSError:
        pass
    os._exit(OWNER_IS_GONE)
