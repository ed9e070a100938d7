"""Limits of a process (setrlimit), and the end of its privileges."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path

from labkit.grading.confinement.libc import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl, syscall
from labkit.grading.confinement.syscalls import number_of

RESERVED_BYTES = 1 << 30  # address space that thread stacks and malloc reserve and never touch


def set_limits(
    *, memory_bytes: int, cpu_seconds: float, file_bytes: int = 1 << 20, num_processes: int | None = None,
    open_files: int = 64,
) -> None:
    """Lower the limits of this process and its children, for good.

    Parameters
    ----------
    memory_bytes : int
        What it may allocate from now on: more raises MemoryError.
    cpu_seconds : float
        Processor time from now on, all threads together; then SIGXCPU, a second later SIGKILL.
    file_bytes : int
        No file grows beyond this (also one that stdout was directed to): OSError.
    num_processes : int, optional
        Processes and threads of this user, the ones outside too: begin with :func:`count_threads`. The kernel
        does not hold root to it.
    open_files : int
        File descriptors.

    Notes
    -----
    Memory is held by two limits. RLIMIT_DATA counts private writable memory, which is what arrays and lists are,
    and not the libraries and reserved addresses of NumPy. RLIMIT_AS counts every address, also shared memory, which
    RLIMIT_DATA misses; it has 1 GiB of room for addresses that are reserved and never used. Both start from
    what is in use now, because a forked process has inherited NumPy. macOS enforces neither.
    """
    all_addresses, private = _used_bytes()
    _lower(resource.RLIMIT_DATA, private + memory_bytes)
    _lower(resource.RLIMIT_AS, all_addresses + memory_bytes + RESERVED_BYTES)
    used_s = math.ceil(time.process_time() + cpu_seconds)
    _lower(resource.RLIMIT_CPU, used_s, used_s + 1)
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_CORE, 0)
    if sys.platform.startswith("linux"):
        if num_processes is not None:
            _lower(resource.RLIMIT_NPROC, num_processes)
        _lower(resource.RLIMIT_MEMLOCK, 0)
        _lower(resource.RLIMIT_MSGQUEUE, 0)


def end_with_the_parent() -> None:
    """This process is killed when the thread that has started it ends. Only on Linux; elsewhere nothing happens."""
    if sys.platform.startswith("linux"):
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_privileges() -> None:
    """No new privileges by exec, no capabilities, unreadable for debuggers, dead when the parent thread is dead.

    Only on Linux; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    end_with_the_parent()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    if os.uname().machine in ("x86_64", "aarch64"):
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface; 0 is the calling thread
        nothing = (ctypes.c_uint32 * 6)()
        syscall(number_of("capset", os.uname().machine), header, nothing)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit; a stricter one stays, and one that this system does not take is left out."""
    old_soft, old_hard = resource.getrlimit(kind)
    hard = _smaller(soft if hard is None else hard, old_hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (min(_smaller(soft, old_soft), hard), hard))


def _smaller(new: int, old: int) -> int:
    return new if old == resource.RLIM_INFINITY else min(new, old)


def _used_bytes() -> tuple[int, int]:
    """Address space and private writable memory of this process; 0 where the system does not tell."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0, 0
    page = resource.getpagesize()
    return int(fields[0]) * page, int(fields[5]) * page


def count_threads() -> int:
    """Threads of this user, in the processes that can be seen."""
    found, user = 0, os.getuid()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                status = os.stat(f"/proc/{name}/task")
                found += status.st_nlink - 2 if status.st_uid == user else 0
    return found
