"""What the threads of a region say to each other: :mod:`labkit.openmp.sync` and ``tasks`` on simulated threads.

These stand for the compiled functions of the same names wherever a kernel uses those.
"""

from __future__ import annotations

from labkit.openmp.simulated_team.arrays import WatchedArray, data_of, offset_address, watched
from labkit.openmp.simulated_team.now import now
from labkit.openmp.simulated_team.report import ATOMIC

NUM_LOCKS = 16
NAMES = (
    "thread_num", "num_threads", "barrier", "critical_enter", "critical_exit", "single", "atomic_add", "static_block",
    "fetch_add", "compare_and_swap", "load", "store", "wtime", "yield_core", "task", "task_depend", "taskwait",
)


def thread_num() -> int:
    """The number of this thread, 0 to ``num_threads() - 1``."""
    return now.running().fiber.thread_num


def num_threads() -> int:
    """Threads of the team."""
    return now.running().num_threads


def barrier(team) -> None:
    """``#pragma omp barrier``."""
    region = now.running()
    region.pause()
    region.arrive()


def critical_enter(team, number: int = 0) -> None:
    """``#pragma omp critical``, its begin."""
    region = now.running()
    lock = _lock(region, number)
    region.pause()
    fiber = region.fiber
    while lock.holder is not None:
        lock.waiters.append(fiber)
        region.scheduler.wait(f"for critical section {number}, which thread {lock.holder.thread_num} is in")
    lock.holder = fiber
    region.num_criticals += 1
    if lock.told is not None:
        fiber.strand.hear(*lock.told)


def critical_exit(team, number: int = 0) -> None:
    """The end of a critical section."""
    region = now.running()
    lock = _lock(region, number)
    region.pause()
    fiber = region.fiber
    if lock.holder is not fiber:
        raise RuntimeError(f"critical_exit: thread {fiber.thread_num} is not in critical section {number}")
    lock.told = fiber.strand.tell()
    lock.holder = None
    for waiter in lock.waiters:
        region.scheduler.wake(waiter)
    lock.waiters.clear()


def _lock(region, number):
    if not 0 <= number < NUM_LOCKS:
        raise ValueError("critical sections have the numbers 0 to 15")
    return region.locks[int(number)]


def single(team) -> bool:
    """``#pragma omp single nowait``: True in the first thread that comes here."""
    region = now.running()
    region.pause()
    fiber = region.fiber
    fiber.num_singles += 1
    if fiber.num_singles in region.singles:
        return False
    region.singles.add(fiber.num_singles)
    return True


def static_block(num_iterations: int) -> tuple[int, int]:
    """The iterations (start, stop) of this thread under ``schedule(static)``."""
    thread, threads = thread_num(), num_threads()
    quotient, rest = divmod(int(num_iterations), threads)
    start = thread * quotient + min(thread, rest)
    return start, start + quotient + (thread < rest)


# -- atomic operations ------------------------------------------------------------------------------


def _atomically(array, index, change):
    """``change(data, index)`` in one step; what it returns."""
    region = now.running()
    address = offset_address(array, index)
    if not isinstance(array, WatchedArray):
        return change(array, index)
    region.pause()
    value = change(data_of(array), index)
    region.num_atomics += 1
    region.note(array._of, (address,), ATOMIC, data_of(array)[index])
    return value


def atomic_add(array, index, value):
    """``array[index] += value`` in one step; what was there before."""

    def add(data, at):
        before = data[at]
        data[at] = before + value
        return before

    return _atomically(array, index, add)


def compare_and_swap(array, index, expected, value) -> bool:
    """``array[index] = value`` if it is ``expected``, in one step; whether it was."""

    def swap(data, at):
        is_so = data[at] == expected
        if is_so:
            data[at] = value
        return bool(is_so)

    return _atomically(array, index, swap)


def load(array, index):
    """``array[index]``, atomically."""
    return _atomically(array, index, lambda data, at: data[at])


def store(array, index, value) -> None:
    """``array[index] = value``, atomically."""

    def put(data, at):
        data[at] = value

    _atomically(array, index, put)


fetch_add = atomic_add


def wtime() -> float:
    """The steps so far: simulated threads have no other clock."""
    return float(now.running().scheduler.num_steps)


def yield_core() -> None:
    """Another thread may go on."""
    now.running().pause()


# -- tasks ------------------------------------------------------------------------------------------


def task(team, function, arguments) -> None:
    """``#pragma omp task``."""
    task_depend(team, function, arguments, None, (), ())


def task_depend(team, function, arguments, tokens, out, in_) -> None:
    """``#pragma omp task depend(out: ...) depend(in: ...)``."""
    region = now.running()
    places = [tuple(offset_address(tokens, index) for index in group) for group in (out, in_)]
    given = tuple(
        value if isinstance(value, WatchedArray) else watched(value, f"argument {k}")
        for k, value in enumerate(arguments)
    )
    region.pause()
    region.tasks.make(function, given, *places)


def taskwait() -> None:
    """``#pragma omp taskwait``."""
    region = now.running()
    region.pause()
    region.tasks.wait()
