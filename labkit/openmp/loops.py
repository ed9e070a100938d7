"""A loop of a kernel under a schedule, as compiled code: what ``#pragma omp parallel for`` becomes.

Each thread runs a *share*: it takes chunks by the rules of :mod:`.schedule` (static ones by its number, dynamic and
guided ones from a counter that all threads share) and calls the kernel for each. A *launch* runs the share on a team.
Both are compiled once for a kernel and the types of its arguments; what is compiled is kept on disk if the kernel is.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from labkit.openmp.cache import keep_on_disk
from labkit.openmp.intrinsics import (
    compare_and_swap,
    fetch_add,
    load,
    num_threads,
    run_region,
    thread_num,
)
from labkit.openmp.shared import (
    ARRIVED,
    COUNTER,
    GENERATION,
    GOING_ON,
    LINE,
    LOCKS,
    NUM_LOCKS,
    ROW_SINGLES,
    ROW_START,
    ROW_STOP,
    ROWS,
    SETUP,
    SINGLES,
    STOP,
)  # fmt: skip

BLOCK, ROUND_ROBIN, DYNAMIC, GUIDED = range(4)  # rules of taking chunks


@njit(inline="always")
def reset(shared):
    """Ready for another region."""
    for line in (COUNTER, STOP, ARRIVED, GENERATION, SINGLES):
        if shared[line] != 0:  # a write takes the line from the other caches, a look does not
            shared[line] = 0


@njit
def reset_for_body(shared, threads):
    """Ready for a body that may use all of :mod:`.sync`."""
    reset(shared)
    for k in range(NUM_LOCKS):
        shared[LOCKS + k * LINE] = 0
    for k in range(threads):
        shared[ROWS + k * LINE + ROW_SINGLES] = 0


@njit(inline="always")
def guided_size(left, threads, chunk_size):
    """As :mod:`.schedule` defines it."""
    return min(max(-(-left // threads), chunk_size), left)


@njit(inline="always")
def next_chunk(shared, rule, n, chunk_size, position, thread, threads):
    """The next chunk of this thread: (start, stop); stop is 0 when there is none.

    ``position`` is where its last chunk began, or -1: chunks dealt out beforehand follow from it.
    """
    if rule == DYNAMIC:
        start = fetch_add(shared, COUNTER, chunk_size)
        return start, (min(start + chunk_size, n) if start < n else 0)
    if rule == GUIDED:
        while True:
            start = load(shared, COUNTER)
            if start >= n:
                return start, 0
            stop = start + guided_size(n - start, threads, chunk_size)
            if compare_and_swap(shared, COUNTER, start, stop):
                return start, stop
    if rule == BLOCK:
        if position >= 0:
            return 0, 0
        quotient, rest = n // threads, n % threads
        start = thread * quotient + min(thread, rest)
        return start, (start + quotient + (1 if thread < rest else 0) if quotient or thread < rest else 0)
    start = position + threads * chunk_size if position >= 0 else thread * chunk_size
    return start, (min(start + chunk_size, n) if start < n else 0)


def make_caller(kernel: Callable, num_dims: int) -> Callable:
    """Compiled ``call(start, stop, width, arguments)`` for kernels that return nothing."""
    if num_dims == 1:

        @njit(inline="always")
        def call(start, stop, width, arguments):
            kernel(start, stop, *arguments)

    else:

        @njit(inline="always")
        def call(start, stop, width, arguments):
            while start < stop:  # row by row
                row, column = start // width, start % width
                end = min(column + stop - start, width)
                kernel(row, column, end, *arguments)
                start += end - column

    return call


def make_caller_with_result(kernel: Callable, combine: Callable, num_dims: int) -> Callable:
    """As :func:`make_caller`, for kernels that return a value; those of the rows of a chunk are combined."""
    if num_dims == 1:

        @njit(inline="always")
        def call(start, stop, width, arguments):
            return kernel(start, stop, *arguments)

    else:

        @njit
        def call(start, stop, width, arguments):
            row, column = start // width, start % width
            end = min(column + stop - start, width)
            total = kernel(row, column, end, *arguments)
            start += end - column
            while start < stop:
                end = min(stop - start, width)
                total = combine(total, kernel(start // width, 0, end, *arguments))
                start += end
            return total

    return call


def make_loop(kernel: Callable, num_dims: int = 1) -> Callable:
    """Compiled ``launch(n, shared, arguments)`` -> what STOP says at the end. The setup stands in ``shared``."""
    call = make_caller(kernel, num_dims)

    @njit
    def share(rule, n, chunk_size, width, shared, arguments):
        thread, threads = thread_num(), num_threads()
        row = ROWS + thread * LINE
        start = -1
        while load(shared, STOP) == GOING_ON:
            start, stop = next_chunk(shared, rule, n, chunk_size, start, thread, threads)
            if stop == 0:
                break
            shared[row + ROW_START], shared[row + ROW_STOP] = start, stop
            call(start, stop, width, arguments)

    @njit(nogil=True)
    def launch(n, shared, arguments):
        reset(shared)
        rule, chunk_size, team_size, width = shared[SETUP], shared[SETUP + 1], shared[SETUP + 2], shared[SETUP + 3]
        run_region(share, team_size, shared, (rule, n, chunk_size, width, shared, arguments))
        return shared[STOP]

    return keep_on_disk(launch, kernel, "loop", num_dims)
