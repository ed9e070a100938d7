"""Calls of MPI that have no nonblocking form, made interruptible by a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from labkit.comm.interruptible.requests import Pending


def call_in_worker(comm, text: str, call: Callable, reason: str):
    """Return ``call()``, run in a thread of its own while this thread waits interruptibly.

    If the wait is interrupted the thread stays behind inside MPI; these ranks are then marked as
    damaged, for ``reason``, and the next cell gets new ones.
    """
    outcome: dict[str, object] = {}
    over = threading.Event()

    def run():
        try:
            outcome["result"] = call()
        except BaseException as error:  # handed to the calling thread below
            outcome["error"] = error
        finally:
            over.set()

    threading.Thread(target=run, daemon=True, name=f"labkit {text}").start()
    pending = Pending("window", text, comm)
    try:
        if not over.wait(0.01):
            comm.monitor.wait(
                lambda: over.wait(2e-4), lambda: (text, [pending.operation()], "all")
            )
    except BaseException:
        comm.monitor.damaged = reason
        raise
    if "error" in outcome:
        raise outcome["error"]
    return outcome.get("result")
