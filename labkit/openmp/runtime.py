"""The OpenMP runtime of this process: found, loaded once, and known to the compiler of kernels.

It is GCC's libgomp, and the copy that comes with torch, so that there is one in the process. Compiled code calls its
entry points (``GOMP_parallel``, ``GOMP_task``, ...) as the code of a C compiler does. Its worker threads belong to the
thread that called it: two Python threads have a pool each.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
import threading
from ctypes.util import find_library
from pathlib import Path

from labkit.errors import NotAvailableError, UsageError

MOST_TEAM_THREADS = 512  # each has a stack; and a pool that cannot be started ends the process
ENTRY_POINTS = (
    "GOMP_parallel", "GOMP_task", "GOMP_taskwait", "omp_get_thread_num", "omp_get_num_threads", "omp_get_wtime",
)

_most_started = 1  # threads that this process is known to be able to start
_is_forked = False
# Whether a region cannot simply be launched: threads may have to be pinned or let go, or be those of a forked child.
needs_care = False


def _candidates() -> list[str]:
    """Where the library may be, the best place first."""
    found = []
    torch = importlib.util.find_spec("torch")
    if torch is not None and torch.submodule_search_locations:
        root = Path(torch.submodule_search_locations[0])
        found += sorted((root / "lib").glob("libgomp*.so*")) + sorted((root.parent / "torch.libs").glob("libgomp*.so*"))
    name = find_library("gomp")
    return [*map(str, found), *([name] if name else []), "libgomp.so.1"]


@functools.cache
def load() -> ctypes.CDLL:
    """Load the runtime and tell the compiler where its entry points are.

    Raises
    ------
    NotAvailableError
        This machine has no libgomp.
    """
    import llvmlite.binding as llvm

    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
            addresses = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in ENTRY_POINTS}
        except (OSError, AttributeError):
            continue
        for name, address in addresses.items():
            llvm.add_symbol(name, address)
        return library
    raise NotAvailableError(
        f"openmp: no libgomp was found on this {sys.platform} machine: install it, for example 'apt install libgomp1' "
        "or 'conda install libgomp'. Simulated threads (labkit.openmp.simulate) work without it."
    )


def make_room(num_threads: int) -> None:
    """Make sure that so many threads can be started: libgomp ends the process if they cannot.

    Raises
    ------
    UsageError
        The system refuses them.
    """
    global _most_started
    if num_threads <= _most_started:
        return
    go_on = threading.Event()
    started = []
    try:
        for _ in range(num_threads - 1):
            thread = threading.Thread(target=go_on.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        raise UsageError(
            f"num_threads={num_threads}: the system lets this process start {len(started)} more threads now: "
            f"ask for at most {len(started)}, or raise the limit ('ulimit -u', or that of the container)."
        ) from None
    finally:
        go_on.set()
        for thread in started:
            thread.join()
    _most_started = num_threads


def is_forked() -> bool:
    """Whether this process is a forked child: the pool of its first thread did not come along, and waits for ever."""
    return _is_forked


def note_pinned() -> None:
    """From now on, threads of pools may be pinned."""
    global needs_care
    needs_care = True


def _note_fork() -> None:
    global _is_forked, _most_started, needs_care
    _is_forked, _most_started, needs_care = True, 1, True


os.register_at_fork(after_in_child=_note_fork)
