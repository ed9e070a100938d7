"""A region on simulated threads: its threads, what they share, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import KernelError
from labkit.openmp.simulated_team.fibers import Fiber, Scheduler
from labkit.openmp.simulated_team.memory import Memory
from labkit.openmp.simulated_team.now import now
from labkit.openmp.simulated_team.report import Report
from labkit.openmp.simulated_team.strands import Strand
from labkit.openmp.simulated_team.tasks import Tasks


class Lock:
    """A critical section."""

    def __init__(self):
        self.holder: Fiber | None = None
        self.waiters: list[Fiber] = []
        self.told = None  # by the thread that was in it last


class Region:
    """Threads that run a function each, or tasks.

    Attributes
    ----------
    fiber : Fiber
        The thread or task that runs now.
    """

    def __init__(self, num_threads: int, seed: int, num_recorded: int):
        self.num_threads, self.seed = num_threads, seed
        self.scheduler = Scheduler(seed)
        self.memory = Memory(num_threads, num_recorded)
        self.locks = [Lock() for _ in range(16)]
        self.singles: set[int] = set()
        self.tasks: Tasks | None = None
        self.fibers: list[Fiber] = []
        self.arrived: list[Fiber] = []
        self.num_criticals = self.num_atomics = self.num_barriers = self.num_chunks = 0
        self.counter = 0  # of chunks that any thread may take

    @property
    def fiber(self) -> Fiber:
        return self.scheduler.current

    def pause(self) -> None:
        self.scheduler.pause()

    def note(self, of, addresses, kind: str, value) -> None:
        """An access of the thread that runs."""
        fiber = self.scheduler.current
        self.memory.access(fiber.strand, of, addresses, kind, value, is_task=fiber.is_task)

    def arrive(self) -> None:
        """The thread that runs is at a barrier."""
        self.arrived.append(self.fiber)
        if len(self.arrived) < self.num_threads:
            self.scheduler.wait("at a barrier")
            return
        told = [fiber.strand.tell() for fiber in self.arrived]
        for fiber in self.arrived:
            for clock, path in told:
                fiber.strand.hear(clock, path)
        waiting, self.arrived = self.arrived[:-1], []
        self.num_barriers += 1
        for fiber in waiting:
            self.scheduler.wake(fiber)

    def run_threads(self, function_of: Callable[[int], Callable[[], None]]) -> tuple[Report, Fiber | None]:
        """Each thread runs ``function_of(thread_num)``; the report, and the fiber that raised, if one did."""
        for thread in range(self.num_threads):
            self.fibers.append(Fiber(Strand(thread, thread), function_of(thread), self.scheduler.hub))
        for fiber in self.fibers:
            self.scheduler.add(fiber)
        return self._run()

    def run_tasks(self, root: Callable[[], None]) -> tuple[Report, Fiber | None]:
        """Thread 0 runs ``root``, all run its tasks."""
        self.tasks = Tasks(self, root)
        self.fibers = self.tasks.all
        return self._run()

    def _run(self) -> tuple[Report, Fiber | None]:
        outer, now.region = now.region, self
        try:
            failed = self.scheduler.run()
        finally:
            unfinished = [fiber for fiber in self.fibers if not fiber.is_done]
            deadlock = self._verdict(unfinished)
            self.scheduler.release(self.fibers)
            now.region = outer
        return self._report("" if failed is not None else deadlock), failed

    def _verdict(self, unfinished: list[Fiber]) -> str:
        """Who waits for what."""
        if not unfinished:
            return ""
        waiting = [
            f"{'a task on ' * fiber.is_task}thread {fiber.thread_num} waits {fiber.waits_for} (line {fiber.line})"
            for fiber in unfinished if fiber.waits_for
        ]
        over = [str(fiber.thread_num) for fiber in self.fibers if fiber.is_done]
        words = [*waiting[:8], *([f"{len(waiting) - 8} more wait"] * (len(waiting) > 8))]
        if over and not any(fiber.is_task for fiber in self.fibers):
            words.append(f"thread{'s' * (len(over) > 1)} {', '.join(over[:8])}{', ...' * (len(over) > 8)} "
                         f"{'have' if len(over) > 1 else 'has'} left the region")
        return f"deadlock: {'; '.join(words)}"

    def _report(self, deadlock: str) -> Report:
        memory = self.memory
        paths = [fiber.strand.path for fiber in self.fibers]
        return Report(
            self.num_threads, self.seed, tuple(memory.races.values()), deadlock, tuple(memory.num_accesses),
            max(paths, default=0), self.num_criticals, self.num_atomics, self.num_barriers, self.num_chunks,
            *((self.tasks.num_made, self.tasks.num_ordered_pairs) if self.tasks is not None else (0, 0)),
            memory.shared_lines(), tuple(memory.steps),
        )


def kernel_error(fiber: Fiber, name: str, num_threads: int) -> KernelError:
    """What a thread raised, as :class:`labkit.openmp.team.Team` says it."""
    error = fiber.error
    where = f", iterations {fiber.chunk[0]} to {fiber.chunk[1] - 1}" if fiber.chunk else ""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    start, stop = fiber.chunk or (None, None)
    return KernelError(
        f"{name} raised on thread {fiber.thread_num} of {num_threads}{where}: {words}. The other threads have stopped; "
        "what was written until then stays.", thread_num=fiber.thread_num, start=start, stop=stop,
    )


