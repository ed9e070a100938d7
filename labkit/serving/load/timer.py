"""Waking at a time: to some 50 microseconds, where an event loop on Linux rounds up to the next millisecond."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable

CLOCK_MONOTONIC, ABSOLUTE = 1, 1
NONBLOCKING_CLOSE_ON_EXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class _Times(ctypes.Structure):
    """``struct itimerspec``: interval and first time, each in seconds and nanoseconds."""

    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "first_s", "first_ns")]


class Timer:
    """One time at which one function is called; ``time.monotonic`` is its clock.

    Uses a timer of the kernel that the loop waits for as for a socket; where there is none, the loop's own timers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], None]):
        self.loop, self.function = loop, function
        self.fd, self._handle = _open_timer(), None
        if self.fd is not None:
            loop.add_reader(self.fd, self._ring)

    def set(self, when: float) -> None:
        """Call the function at this time, or at once if it is past; an earlier order is forgotten."""
        if self.fd is None:
            self.cancel()
            self._handle = self.loop.call_at(when, self.function)
            return
        nanoseconds = max(1, int(when * 1e9))  # 0 would switch the timer off
        times = _Times(0, 0, nanoseconds // 10**9, nanoseconds % 10**9)
        if _library.timerfd_settime(self.fd, ABSOLUTE, ctypes.byref(times), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def cancel(self) -> None:
        """Forget the order."""
        if self.fd is not None:
            _library.timerfd_settime(self.fd, ABSOLUTE, ctypes.byref(_Times()), None)
        elif self._handle is not None:
            self._handle.cancel()

    def close(self) -> None:
        """Give the kernel's timer back."""
        self.cancel()
        if self.fd is not None:
            self.loop.remove_reader(self.fd)
            os.close(self.fd)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # set anew in between
            os.read(self.fd, 8)
            self.function()


_library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _open_timer() -> int | None:
    if _library is None or not hasattr(_library, "timerfd_create"):
        return None
    fd = _library.timerfd_create(CLOCK_MONOTONIC, NONBLOCKING_CLOSE_ON_EXEC)
    return fd if fd >= 0 else None
