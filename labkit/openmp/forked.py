"""Calls in a thread of their own, for forked children: the pool of the first thread stayed in the parent."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


@functools.cache
def _executor(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="labkit openmp")


def call_in_thread(function: Callable):
    """``function()``, in the one thread of this process that has a pool of OpenMP threads."""
    import os

    return _executor(os.getpid()).submit(function).result()
