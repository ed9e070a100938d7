"""One-sided communication: windows whose synchronisation can be interrupted.

Collective calls on a window go through the gate of its communicator. Calls that wait for another
rank (a lock, a flush, a post) have no nonblocking form in MPI; they run in a thread of their own.
A passive target must take part in MPI now and then, or ``Get`` and ``Accumulate`` wait for it: as
long as a rank has a window, a thread of that rank looks into MPI every 0.2 ms.
"""

from __future__ import annotations

import threading
import time
import weakref

from mpi4py import MPI

from labkit.comm.interruptible.worker import call_in_worker

_Win, _WORLD = MPI.Win, MPI.COMM_WORLD
PROGRESS_EVERY_S = 2e-4
# By id, for windows cannot be hashed.
_open_windows: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_progress = threading.Lock()


def _keep_progressing() -> None:
    """Look into MPI while there are windows, so that passive targets answer."""
    with _progress:
        while len(_open_windows):
            _WORLD.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG)
            time.sleep(PROGRESS_EVERY_S)


def _ensure_progress() -> None:
    if not _progress.locked() and MPI.Query_thread() == MPI.THREAD_MULTIPLE:
        threading.Thread(target=_keep_progressing, daemon=True, name="labkit progress").start()


def _constructor(name: str, comm_position: int):
    create = getattr(_Win, name)

    def method(cls, *args, **kwargs):
        args = list(args)
        if len(args) > comm_position:
            comm = args[comm_position]
        else:
            comm = kwargs.get("comm", MPI.COMM_SELF)
        if not hasattr(comm, "pass_gate"):
            return create(*args, **kwargs)
        if len(args) > comm_position:
            args[comm_position] = comm.raw
        else:
            kwargs["comm"] = comm.raw
        start_ns = comm.recorder.now() if comm.recorder is not None else 0
        call = comm.pass_gate(f"Win.{name}")
        window = cls(create(*args, **kwargs))
        call.record(start_ns)
        window.comm = comm
        _open_windows[id(window)] = window
        _ensure_progress()
        return window

    method.__doc__ = create.__doc__
    return classmethod(method)


def _collective(name: str):
    call_of_mpi = getattr(_Win, name)

    def method(self, *args, **kwargs):
        if self.comm is None:
            return call_of_mpi(self, *args, **kwargs)
        start_ns = self.comm.recorder.now() if self.comm.recorder is not None else 0
        call = self.comm.pass_gate(f"Win.{name}")
        if name == "Free":
            _open_windows.pop(id(self), None)
        result = call_of_mpi(self, *args, **kwargs)
        call.record(start_ns)
        return result

    method.__doc__ = call_of_mpi.__doc__
    return method


def _waiting(name: str):
    call_of_mpi = getattr(_Win, name)

    def method(self, *args, **kwargs):
        if self.comm is None:
            return call_of_mpi(self, *args, **kwargs)
        comm = self.comm
        start_ns = comm.recorder.now() if comm.recorder is not None else 0
        words = ", ".join([*map(str, args), *(f"{key}={value}" for key, value in kwargs.items())])
        text = f"Win.{name}({words})"
        result = call_in_worker(
            comm, text, lambda: call_of_mpi(self, *args, **kwargs), f"{text} was interrupted"
        )
        if comm.recorder is not None:
            comm.recorder.span(f"Win.{name}", "window", start_ns, comm)
        return result

    method.__doc__ = call_of_mpi.__doc__
    return method


class Win(_Win):
    """A window of ``mpi4py.MPI.Win``, interruptible when its communicator is."""

    comm = None

    Create = _constructor("Create", 3)
    Allocate = _constructor("Allocate", 3)
    Allocate_shared = _constructor("Allocate_shared", 3)
    Create_dynamic = _constructor("Create_dynamic", 1)

    Fence = _collective("Fence")
    Free = _collective("Free")

    Lock = _waiting("Lock")
    Lock_all = _waiting("Lock_all")
    Unlock = _waiting("Unlock")
    Unlock_all = _waiting("Unlock_all")
    Flush = _waiting("Flush")
    Flush_all = _waiting("Flush_all")
    Flush_local = _waiting("Flush_local")
    Flush_local_all = _waiting("Flush_local_all")
    Start = _waiting("Start")
    Complete = _waiting("Complete")
    Wait = _waiting("Wait")

    def free(self):
        self.Free()
