"""What came of a region on simulated threads, as values and as text."""

from __future__ import annotations

import linecache
from dataclasses import dataclass, field

READ, WRITE, ATOMIC = "reads", "writes", "adds atomically to"


@dataclass(frozen=True, slots=True)
class Access:
    """A thread at an element.

    Attributes
    ----------
    thread_num : int
    kind : str
        ``reads``, ``writes``, or ``adds atomically to``.
    function, file : str
    line : int
        In the file.
    task : bool
        Whether a task did it: then any thread might have.
    """

    thread_num: int
    kind: str
    function: str
    file: str
    line: int
    task: bool = False

    @property
    def source(self) -> str:
        """The text of the line."""
        return linecache.getline(self.file, self.line).strip()

    def text(self, element: str) -> str:
        """In words."""
        who = f"a task of {self.function}" if self.task else f"thread {self.thread_num}"
        return f"{who} {self.kind} {element} in line {self.line}"


@dataclass(frozen=True, slots=True)
class Race:
    """Two accesses to one element that nothing orders, at least one of them a write.

    Attributes
    ----------
    element : str
        ``"total[0]"``.
    first, second : Access
        In the order in which they came in this run; in another run it may be the other way round.
    num_elements : int
        Elements at which the same two lines meet.
    """

    element: str
    first: Access
    second: Access
    num_elements: int = 1

    def text(self) -> str:
        """In a sentence."""
        more = f" (and so for {self.num_elements - 1} more elements)" if self.num_elements > 1 else ""
        return f"race: {self.first.text(self.element)}, {self.second.text(self.element)}, and nothing orders them{more}"


@dataclass(frozen=True, slots=True)
class SharedLine:
    """A cache line that several threads have written.

    Attributes
    ----------
    array : str
    first, last : int
        Elements that it has room for, counted in memory from the begin of the whole array.
    num_writes : tuple of (int, int)
        (thread, writes), by thread.
    """

    array: str
    first: int
    last: int
    num_writes: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        """Writes of all threads."""
        return sum(number for _, number in self.num_writes)


@dataclass(frozen=True, slots=True)
class Step:
    """An access of one thread, for a table of who did what in turn; ``what`` is ``"total[0] -> 3"``."""

    thread_num: int
    what: str
    line: int


@dataclass(frozen=True)
class Report:
    """What came of a region.

    Attributes
    ----------
    num_threads : int
    seed : int
    races : tuple of Race
        At most one for two lines.
    deadlock : str
        Who waits for what, if nothing could move any more; else "".
    num_accesses : tuple of int
        Elements read and written, by thread.
    num_path_accesses : int
        On the longest chain of accesses each of which had to wait for the one before: the time, if an access is 1.
    num_criticals, num_atomics, num_barriers, num_chunks, num_tasks : int
        Critical sections entered, atomic operations, barriers of the whole team, chunks taken, tasks made.
    num_ordered_pairs : int
        Pairs of tasks of which one must have ended before the other begins, by dependences or by waiting; also those
        that follow from others (a before b, b before c: a before c).
    shared_lines : tuple of SharedLine
    steps : tuple of Step
        The first accesses in turn, if they were asked for.
    """

    num_threads: int
    seed: int
    races: tuple[Race, ...] = ()
    deadlock: str = ""
    num_accesses: tuple[int, ...] = ()
    num_path_accesses: int = 0
    num_criticals: int = 0
    num_atomics: int = 0
    num_barriers: int = 0
    num_chunks: int = 0
    num_tasks: int = 0
    num_ordered_pairs: int = 0
    shared_lines: tuple[SharedLine, ...] = ()
    steps: tuple[Step, ...] = field(default=(), repr=False)

    @property
    def is_clean(self) -> bool:
        """No race and no deadlock."""
        return not self.races and not self.deadlock

    @property
    def num_shared_line_writes(self) -> int:
        """Writes to cache lines that several threads write."""
        return sum(line.total for line in self.shared_lines)

    def __str__(self) -> str:
        words = [race.text() for race in self.races] + [self.deadlock] * bool(self.deadlock)
        return "\n".join(words) or (
            f"no race and no deadlock on {self.num_threads} thread{'s' * (self.num_threads > 1)} (seed {self.seed})"
        )

    def table(self) -> str:
        """The recorded steps, a column for each thread."""
        if not self.steps:
            return "no steps were recorded: SimulatedTeam(..., num_recorded=100)"
        width = max(12, *(len(step.what) for step in self.steps)) + 2
        rows = ["step  line  " + "".join(f"thread {t}".ljust(width) for t in range(self.num_threads))]
        rows += [
            f"{number:>4}  {step.line:>4}  {' ' * (width * step.thread_num)}{step.what}"
            for number, step in enumerate(self.steps)
        ]
        return "\n".join(row.rstrip() for row in rows)
