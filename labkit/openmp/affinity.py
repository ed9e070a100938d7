"""Threads that stay on a core of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np

from labkit.errors import NotAvailableError, UsageError
from labkit.openmp.checks import whole_number
from labkit.openmp.runtime import note_pinned

POLICIES = ("spread", "close")

_here = threading.local()  # .cores: how the pool of this Python thread is pinned now


def places(affinity, num_threads: int) -> tuple[int, ...] | None:
    """The logical core of each thread, or None.

    Raises
    ------
    UsageError
        Neither a policy nor numbers of cores that this process may use, one a thread.
    NotAvailableError
        The system pins no threads.
    """
    if affinity is None:
        return None
    cores = _cores(affinity, num_threads)
    note_pinned()
    return cores


def _cores(affinity, num_threads: int) -> tuple[int, ...]:
    if not hasattr(os, "sched_setaffinity"):
        raise NotAvailableError("affinity: this system pins no threads (Linux does): leave affinity out.")
    usable = sorted(os.sched_getaffinity(0))
    if isinstance(affinity, str):
        if affinity not in POLICIES:
            raise UsageError(
                f"affinity: one of {', '.join(POLICIES)}, or a core by thread, not {affinity!r}: pass that."
            )
        if affinity == "close" or num_threads >= len(usable):
            return tuple(usable[k % len(usable)] for k in range(num_threads))
        return tuple(usable[k * len(usable) // num_threads] for k in range(num_threads))
    if not isinstance(affinity, Sequence | np.ndarray) or len(affinity) != num_threads:
        raise UsageError(
            f"affinity: {num_threads} threads need {num_threads} numbers of cores, not {affinity!r}: pass those."
        )
    cores = tuple(whole_number("affinity: a core", core, 0) for core in affinity)
    missing = sorted(set(cores) - set(usable))
    if missing:
        raise UsageError(f"affinity: this process may use the cores {usable}, not {missing}: choose among them.")
    return cores


@contextmanager
def pinned(cores: tuple[int, ...] | None, team):
    """Inside, the threads of ``team`` are on these cores; the calling one is let go again afterwards."""
    if cores is None and getattr(_here, "cores", None) is None:
        yield
        return
    everywhere = os.sched_getaffinity(0)
    if getattr(_here, "cores", None) != cores:
        from labkit.openmp.compiled import thread_ids

        for thread, number in enumerate(thread_ids(team.num_threads)):
            os.sched_setaffinity(number, everywhere if cores is None else {cores[thread]})
        _here.cores = cores
    if cores is not None:
        os.sched_setaffinity(0, {cores[0]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)
