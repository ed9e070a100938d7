"""The block of memory that the threads of a region share: an int64 array, one cache line for each purpose.

A thread that writes into a line takes it from the caches of all others. So what different threads write, or
write at different times, stands in lines of its own.
"""

from __future__ import annotations

import numpy as np

LINE = 8  # int64 numbers in a cache line of 64 bytes
COUNTER = 0 * LINE  # the next iteration, chunk or section that is free
STOP = 1 * LINE  # 0: go on
ERROR_CODE, ERROR_INFO, ERROR_THREAD = STOP + 1, STOP + 2, STOP + 3  # of the first thread that raised
ARRIVED, GENERATION = 2 * LINE, 3 * LINE  # of the barrier
SINGLES = 4 * LINE  # single constructs that somebody has taken
SETUP = 5 * LINE  # of a plain loop: rule of taking chunks, chunk size, threads, iterations in a row
LOCKS, NUM_LOCKS = 6 * LINE, 16  # of critical sections by number, a line each
ROWS = LOCKS + NUM_LOCKS * LINE  # a line for each thread:
ROW_START, ROW_STOP, ROW_SINGLES = 0, 1, 2  # the iterations it is at, and single constructs it has come to

GOING_ON, FAILED, INTERRUPTED = 0, 1, 2  # what STOP says


def shared_block(num_threads: int) -> np.ndarray:
    """A block for so many threads, int64 of shape (ROWS + 8 num_threads,), zero, at the begin of a cache line."""
    size = ROWS + LINE * num_threads
    memory = np.zeros(size + LINE, np.int64)
    skip = -(memory.ctypes.data // 8) % LINE
    return memory[skip : skip + size]
