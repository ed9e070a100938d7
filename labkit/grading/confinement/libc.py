"""Calls of the C library, with Python's exceptions."""

from __future__ import annotations

import ctypes
import functools
import os

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_GET_NAME = 16
PR_SET_NO_NEW_PRIVS = 38


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments) -> int:
    """A system call by its number; integers travel as C longs.

    Raises
    ------
    OSError
        With the call's errno.
    """
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    function = _libc().syscall
    function.restype = ctypes.c_long
    return _checked(function(ctypes.c_long(number), *values), f"system call {number}")


def prctl(option: int, value: int) -> int:
    """``prctl(option, value, 0, 0, 0)``; OSError as in :func:`syscall`."""
    zero = ctypes.c_ulong(0)
    return _checked(_libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), f"prctl({option})")


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
