"""Loops that note who ran which chunk, and when: two looks at the clock for each chunk."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from labkit.openmp.cache import keep_on_disk
from labkit.openmp.intrinsics import fetch_add, load, num_threads, run_region, thread_num, wtime
from labkit.openmp.loops import make_caller, make_caller_with_result, reset
from labkit.openmp.reductions import OPERATIONS, add
from labkit.openmp.shared import COUNTER, GOING_ON, LINE, ROW_START, ROW_STOP, ROWS, STOP


def _make_step(kernel: Callable, reduction: str | None, num_dims: int) -> Callable:
    """Compiled ``step(total, start, stop, width, arguments)`` -> the total with these iterations in it."""
    if reduction is None:
        call = make_caller(kernel, num_dims)

        @njit(inline="always")
        def step(total, start, stop, width, arguments):
            call(start, stop, width, arguments)
            return total

    else:
        combine = OPERATIONS[reduction]
        call_with_result = make_caller_with_result(kernel, combine, num_dims)

        @njit(inline="always")
        def step(total, start, stop, width, arguments):
            return combine(total, call_with_result(start, stop, width, arguments))

    return step


def make_traced_loop(kernel: Callable, reduction: str | None, num_dims: int) -> Callable:
    """Compiled ``launch(num_threads, plan, notes, width, shared, partials, arguments)``, partials as in a reduction.

    ``plan`` is (starts, stops, first chunk of each thread, chunks by thread, whether the next free thread takes the
    next chunk), ``notes`` is (thread numbers; times in s of shape (num_chunks, 3): went for it, began, ended; start by
    thread in s). Gives what STOP says at the end, the result, and when the region began.
    """
    step = _make_step(kernel, reduction, num_dims)
    combine = add if reduction is None else OPERATIONS[reduction]

    @njit
    def share(plan, notes, width, shared, partials, arguments):
        starts, stops, firsts, chunks_by_thread, is_free_for_all = plan
        thread_nums, times, start_times = notes
        thread = thread_num()
        row = ROWS + thread * LINE
        now = wtime()
        start_times[thread] = now
        total = partials[thread, 0]
        owner = thread  # whose chunks are run: one's own, and those of threads that the runtime did not give
        position = firsts[owner]
        while load(shared, STOP) == GOING_ON:
            if is_free_for_all:
                chunk = fetch_add(shared, COUNTER, 1)
                if chunk >= starts.size:
                    break
            else:
                while position >= firsts[owner + 1] and owner + num_threads() < firsts.size - 1:
                    owner += num_threads()
                    position = firsts[owner]
                if position >= firsts[owner + 1]:
                    break
                chunk = chunks_by_thread[position]
                position += 1
            start, stop = starts[chunk], stops[chunk]
            shared[row + ROW_START], shared[row + ROW_STOP] = start, stop
            begin = wtime()
            total = step(total, start, stop, width, arguments)
            end = wtime()
            thread_nums[chunk] = thread
            times[chunk, 0], times[chunk, 1], times[chunk, 2] = now, begin, end
            now = end
        partials[thread, 0] = total

    @njit(nogil=True)
    def launch(team_size, plan, notes, width, shared, partials, arguments):
        reset(shared)
        begin = wtime()
        run_region(share, team_size, shared, (plan, notes, width, shared, partials, arguments))
        total = partials[0, 0]
        for k in range(1, team_size):
            total = combine(total, partials[k, 0])
        return shared[STOP], total, begin

    return keep_on_disk(launch, kernel, "traced", reduction, num_dims)
