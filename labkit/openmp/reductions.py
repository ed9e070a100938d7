"""Loops that reduce: each thread combines what the kernel gives for its chunks, then the threads' results are combined.

The result of a sum of floats depends on who got which chunk. The reproducible form cuts the loop into blocks that
depend on its length alone, keeps a result of each block, and combines neighbours: the same bits for any number of
threads and any schedule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.cache import keep_on_disk
from labkit.openmp.intrinsics import load, num_threads, run_region, thread_num
from labkit.openmp.loops import make_caller_with_result, next_chunk, reset
from labkit.openmp.shared import GOING_ON, LINE, ROW_START, ROW_STOP, ROWS, STOP

MOST_BLOCKS = 1024  # of a reproducible reduction, while blocks are short
LONGEST_BLOCK = 4096  # iterations


@njit(inline="always")
def add(a, b):
    return a + b


@njit(inline="always")
def multiply(a, b):
    return a * b


@njit(inline="always")
def smaller(a, b):
    return a if a < b or a != a else b  # NaN wins, as in NumPy


@njit(inline="always")
def larger(a, b):
    return a if a > b or a != a else b


@njit(inline="always")
def both(a, b):
    return bool(a) and bool(b)


@njit(inline="always")
def either(a, b):
    return bool(a) or bool(b)


OPERATIONS = {"+": add, "*": multiply, "min": smaller, "max": larger, "and": both, "or": either}


def check_operation(reduction) -> str:
    """The name of a reduction, or a UsageError."""
    if reduction not in OPERATIONS:
        raise UsageError(f"reduction: one of {', '.join(OPERATIONS)}, not {reduction!r}: pass one of them.")
    return reduction


def result_type(reduction: str, dtype: np.dtype, kernel_name: str) -> np.dtype:
    """The type in which results of type ``dtype`` are combined: sums of small whole numbers in 64 bits.

    Raises
    ------
    UsageError
        The operation is not defined for it.
    """
    if reduction in ("and", "or"):
        return np.dtype(np.bool_)
    if dtype.kind == "c" and reduction in ("min", "max"):
        raise UsageError(f"reduction={reduction!r}: {kernel_name} returns {dtype}, which has no order: use '+' or '*'.")
    if reduction in ("+", "*") and dtype.kind in "bi":
        return np.dtype(np.int64)
    if reduction in ("+", "*") and dtype.kind == "u":
        return np.dtype(np.uint64)
    return dtype


def identity_of(reduction: str, dtype: np.dtype):
    """What changes nothing: the result of a loop without iterations."""
    if reduction in ("+", "or"):
        return dtype.type(0)
    if reduction in ("*", "and"):
        return dtype.type(1)
    if dtype.kind == "f":
        return dtype.type(np.inf if reduction == "min" else -np.inf)
    if dtype.kind == "b":
        return dtype.type(reduction == "min")
    return dtype.type(np.iinfo(dtype).max if reduction == "min" else np.iinfo(dtype).min)


def make_reduction(kernel: Callable, reduction: str, num_dims: int = 1) -> Callable:
    """Compiled ``launch(num_threads, rule, n, chunk_size, width, shared, partials, arguments)``.

    ``partials`` has shape (num_threads, entries of a cache line) and the result's type, and holds what changes nothing.
    Gives what STOP says at the end, and the result.
    """
    combine = OPERATIONS[reduction]
    call = make_caller_with_result(kernel, combine, num_dims)

    @njit
    def share(rule, n, chunk_size, width, shared, partials, arguments):
        thread, threads = thread_num(), num_threads()
        row = ROWS + thread * LINE
        start, total = -1, partials[thread, 0]
        while load(shared, STOP) == GOING_ON:
            start, stop = next_chunk(shared, rule, n, chunk_size, start, thread, threads)
            if stop == 0:
                break
            shared[row + ROW_START], shared[row + ROW_STOP] = start, stop
            total = combine(total, call(start, stop, width, arguments))
        partials[thread, 0] = total

    @njit(nogil=True)
    def launch(team_size, rule, n, chunk_size, width, shared, partials, arguments):
        reset(shared)
        run_region(share, team_size, shared, (rule, n, chunk_size, width, shared, partials, arguments))
        total = partials[0, 0]
        for k in range(1, team_size):
            total = combine(total, partials[k, 0])
        return shared[STOP], total

    return keep_on_disk(launch, kernel, "reduction", reduction, num_dims)


def block_length(num_iterations: int) -> int:
    """Iterations of a block of a reproducible reduction: depends on the length of the loop alone."""
    return min(max(-(-num_iterations // MOST_BLOCKS), 1), LONGEST_BLOCK)


def make_reproducible_reduction(kernel: Callable, reduction: str, num_dims: int = 1) -> Callable:
    """As :func:`make_reduction`; ``n``, not 0, and ``chunk_size`` count blocks, of which ``partials`` has an entry each."""
    combine = OPERATIONS[reduction]
    call = make_caller_with_result(kernel, combine, num_dims)

    @njit
    def share(rule, num_blocks, chunk_size, length, n, width, shared, partials, arguments):
        thread, threads = thread_num(), num_threads()
        row = ROWS + thread * LINE
        start = -1
        while load(shared, STOP) == GOING_ON:
            start, stop = next_chunk(shared, rule, num_blocks, chunk_size, start, thread, threads)
            if stop == 0:
                break
            for block in range(start, stop):
                first, last = block * length, min((block + 1) * length, n)
                shared[row + ROW_START], shared[row + ROW_STOP] = first, last
                partials[block] = call(first, last, width, arguments)

    @njit(nogil=True)
    def launch(team_size, rule, num_blocks, chunk_size, length, n, width, shared, partials, arguments):
        reset(shared)
        run_region(
            share, team_size, shared, (rule, num_blocks, chunk_size, length, n, width, shared, partials, arguments)
        )
        left = num_blocks
        while left > 1:  # neighbours, level by level: the tree depends on the number of blocks alone
            half = left // 2
            for k in range(half):
                partials[k] = combine(partials[2 * k], partials[2 * k + 1])
            if left % 2:
                partials[half] = partials[left - 1]
            left = half + left % 2
        return shared[STOP], partials[0]

    return keep_on_disk(launch, kernel, "reproducible", reduction, num_dims)
