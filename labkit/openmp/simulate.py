"""A loop schedule run on threads that are only thought of: who executes which chunk when."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import LONGEST_S, number_array, seconds, whole_number
from labkit.openmp.schedule import MOST_THREADS, Schedule, chunk_arrays
from labkit.trace.events import Span
from labkit.trace.timeline import Timeline

MOST_SPANS = 500_000  # of a timeline


@dataclass(frozen=True, eq=False)
class ScheduleRun:
    """A loop that has been executed under a schedule. Arrays by chunk are in the order of the iterations.

    Attributes
    ----------
    schedule : Schedule
    num_threads, num_iterations : int
    starts, stops : ndarray of int64, shape (num_chunks,)
        Chunk c holds the iterations ``starts[c]`` to ``stops[c] - 1``.
    thread_nums : ndarray of int64, shape (num_chunks,)
        Who executed it.
    taken_s, begin_s, end_s : ndarray of float64, shape (num_chunks,)
        When the thread went for the chunk, began its first iteration, and had finished its last.
    start_s : ndarray of float64, shape (num_threads,)
        When each thread reached the loop.
    """

    schedule: Schedule
    num_threads: int
    num_iterations: int
    starts: np.ndarray
    stops: np.ndarray
    thread_nums: np.ndarray
    taken_s: np.ndarray
    begin_s: np.ndarray
    end_s: np.ndarray
    start_s: np.ndarray

    @property
    def num_chunks(self) -> int:
        return len(self.starts)

    @cached_property
    def finish_s(self) -> np.ndarray:
        """When each thread had nothing left to do and waited at the barrier, shape (num_threads,)."""
        finish = self.start_s.copy()
        np.maximum.at(finish, self.thread_nums, self.end_s)
        return finish

    @property
    def duration_s(self) -> float:
        """From time 0 until the last thread reached the barrier."""
        return float(self.finish_s.max())

    @cached_property
    def busy_s(self) -> np.ndarray:
        """Time in iterations by thread, shape (num_threads,)."""
        return np.bincount(self.thread_nums, self.end_s - self.begin_s, self.num_threads)

    @cached_property
    def overhead_s(self) -> np.ndarray:
        """Time spent on taking chunks by thread, shape (num_threads,)."""
        return np.bincount(self.thread_nums, self.begin_s - self.taken_s, self.num_threads)

    @property
    def idle_s(self) -> np.ndarray:
        """Time at the barrier by thread, shape (num_threads,)."""
        return self.duration_s - self.finish_s

    @property
    def iterations_of_threads(self) -> np.ndarray:
        """Number of iterations by thread, int64, shape (num_threads,)."""
        count = np.zeros(self.num_threads, np.int64)
        np.add.at(count, self.thread_nums, self.stops - self.starts)
        return count

    @property
    def load_imbalance(self) -> float:
        """``max(busy) / mean(busy) - 1``: 0 is perfect, p - 1 is one thread doing it all."""
        mean = self.busy_s.mean()
        return float(max(self.busy_s.max() / mean - 1, 0.0)) if mean > 0 else 0.0

    @property
    def speedup(self) -> float:
        """Time of all iterations on one thread, without any overhead, over the duration; 1 for an empty loop."""
        work = float(self.busy_s.sum())
        return work / self.duration_s if self.duration_s > 0 and self.num_chunks else 1.0

    @property
    def efficiency(self) -> float:
        """Speed-up over the number of threads."""
        return self.speedup / self.num_threads

    def timeline(self) -> Timeline:
        """The run as a timeline, a thread a row: chunks ``compute``, taking them ``other``, the barrier ``wait``.

        Raises
        ------
        UsageError
            More than 250 000 chunks.
        """
        if 2 * self.num_chunks + self.num_threads > MOST_SPANS:
            raise UsageError(
                f"timeline: {self.num_chunks} chunks are too many to list as events, at most {MOST_SPANS // 2}: use "
                f"the arrays of the run, or a larger chunk size."
            )
        spans = []
        for thread, start, stop, taken, begin, end in zip(
            self.thread_nums.tolist(), self.starts.tolist(), self.stops.tolist(),
            *(np.rint(times * 1e9).astype(np.int64).tolist() for times in (self.taken_s, self.begin_s, self.end_s)),
            strict=True,
        ):  # fmt: skip
            if begin > taken:
                spans.append(Span(thread, "openmp", "take a chunk", "other", taken, begin))
            spans.append(Span(thread, "openmp", f"iterations {start}-{stop - 1}", "compute", begin, end))
        last = round(self.duration_s * 1e9)
        for thread, finish in enumerate(np.rint(self.finish_s * 1e9).astype(np.int64).tolist()):
            if finish < last:
                spans.append(Span(thread, "openmp", "barrier", "wait", finish, last, waiting_ns=last - finish))
        return Timeline(
            num_ranks=self.num_threads, spans=tuple(sorted(spans, key=lambda s: (s.rank, s.start_ns, -s.end_ns))),
            clock_offsets_ns=(0,) * self.num_threads, start_ns=0, end_ns=last,
        )


def simulate_schedule(
    schedule: str | Schedule, costs_s, num_threads: int, *, chunk_s: float = 0.0, start_s: float | np.ndarray = 0.0
) -> ScheduleRun:
    """Execute a loop under a schedule in virtual time.

    Parameters
    ----------
    schedule : str or Schedule
    costs_s : array_like, shape (num_iterations,)
        Time of each iteration in s; may be empty.
    num_threads : int
        1 to 10 000.
    chunk_s : float
        Time to take a chunk from the shared counter in s. Static schedules have no such counter and pay nothing.
    start_s : float or array_like, shape (num_threads,)
        When the threads, or each of them, reach the loop, in s.

    Returns
    -------
    ScheduleRun

    Raises
    ------
    UsageError
        No such schedule; sizes out of range; a time that is negative, infinite or NaN.

    Notes
    -----
    Under dynamic and guided a chunk goes to the thread that is free first, of several the one with the lowest
    number: list scheduling, whose duration is at most ``work / p + (1 - 1/p) * longest chunk`` when taking chunks
    costs nothing (Graham, "Bounds on multiprocessing timing anomalies", 1969). Threads do not hinder each other,
    neither at the counter nor in memory; on a real machine they do. The last look at the counter, which finds
    nothing, is free.

    Examples
    --------
    >>> run = simulate_schedule("dynamic", [3.0, 1.0, 1.0, 1.0], 2)
    >>> run.thread_nums.tolist(), run.duration_s
    ([0, 1, 1, 1], 3.0)
    >>> simulate_schedule("static", [3.0, 1.0, 1.0, 1.0], 2).duration_s
    4.0
    """
    schedule = Schedule.parse(schedule)
    p = whole_number("num_threads", num_threads, 1, MOST_THREADS)
    costs = number_array("costs_s", costs_s)
    if costs.max(initial=0.0) * max(len(costs), 1) > LONGEST_S:
        raise UsageError(f"costs_s: together the iterations may take longer than {LONGEST_S:g} s: pass smaller costs.")
    chunk_s = seconds("chunk_s", chunk_s) * (not schedule.is_static)
    start = _start_times(start_s, p)
    starts, stops, threads = chunk_arrays(schedule, len(costs), p)
    # Each chunk is summed for itself: differences of one running sum would cancel.
    work = np.add.reduceat(costs, starts) if len(starts) else np.zeros(0)
    if schedule.is_static:
        begin, end = _run_in_turn(threads, work, start)
        taken = begin
    else:
        threads, taken, end = _run_greedily(work, start, chunk_s)
        begin = taken + chunk_s
    return ScheduleRun(schedule, p, len(costs), starts, stops, threads, taken, begin, end, start)


def _start_times(start_s, p: int) -> np.ndarray:
    if np.ndim(start_s) == 0:
        return np.full(p, seconds("start_s", start_s))
    start = number_array("start_s", start_s)
    if len(start) != p:
        raise UsageError(f"start_s: one time, or one a thread: {len(start)} were given for {p} threads: pass {p}.")
    return start


def _run_in_turn(threads: np.ndarray, work: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end of chunks whose threads are known: each thread does its own, one after the other."""
    begin, end = np.empty(len(work)), np.empty(len(work))
    order = np.argsort(threads, kind="stable")
    bounds = np.searchsorted(threads[order], np.arange(len(start) + 1))
    for thread, (low, high) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        if low < high:
            mine = order[low:high]
            times = np.cumsum(np.concatenate([start[thread : thread + 1], work[mine]]))
            begin[mine], end[mine] = times[:-1], times[1:]
    return begin, end


def _run_greedily(work: np.ndarray, start: np.ndarray, chunk_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thread, time of taking and end of chunks that go to whoever is free first."""
    free = [(time, thread) for thread, time in enumerate(start.tolist())]
    heapq.heapify(free)
    threads, taken, ends = [], [], []
    for cost in work.tolist():
        time, thread = free[0]
        end = time + chunk_s + cost
        heapq.heapreplace(free, (end, thread))
        threads.append(thread)
        taken.append(time)
        ends.append(end)
    return np.array(threads, np.int64), np.array(taken, np.float64), np.array(ends, np.float64)
