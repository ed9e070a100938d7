"""Loop schedules as pure plans: which chunks a loop is cut into, and whose they are.

What the standard says (OpenMP 5.2, section 11.5.3, *schedule clause*)
    static           a block a thread, sizes approximately equal; at most one block each
    static,k         chunks of k, dealt round-robin in the order of the thread numbers
    dynamic,k        chunks of k (1 by default); a thread that is free takes the next one
    guided,k         a thread that is free takes a chunk in proportion to what is left, divided by the number of
                     threads, but not less than k (1 by default)
    auto             whatever the compiler and the runtime like
    The last chunk may be smaller than k.

What it leaves open, and what is done here: as GCC's libgomp does (``libgomp/iter.c``)
    static           n = q p + r: the first r threads get q + 1 iterations, the others q (``gomp_iter_static_next``).
                     LLVM (``kmp_sched.cpp``) knows this as *balanced* beside *greedy*, blocks of ceil(n/p), of
                     which the last threads may get none; the standard's notes name both.
    guided           ceil(left/p), at least k, at most what is left (``gomp_iter_guided_next``).
                     LLVM (``kmp_dispatch.cpp``) takes left/(2p), and plain chunks of k near the end.
    auto             static (``loop.c``: "For now map to schedule(static)"). LLVM takes a form of guided.
    modifiers        ``monotonic`` and ``nonmonotonic`` change neither the chunks nor the order of one counter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import whole_number

KINDS = ("static", "dynamic", "guided", "auto")
MODIFIERS = ("monotonic", "nonmonotonic")
MOST_THREADS = 10_000
MOST_CHUNKS = 5_000_000
ANYONE = -1  # the thread number of a chunk that the next free thread takes


@dataclass(frozen=True, slots=True)
class Schedule:
    """A loop schedule, with the text form that ``OMP_SCHEDULE`` has (OpenMP 5.2, section 21.2.1).

    Attributes
    ----------
    kind : str
        ``static``, ``dynamic``, ``guided`` or ``auto``.
    chunk_size : int or None
        At least 1. None: a block a thread for static, 1 for dynamic and guided.
    modifier : str or None
        ``monotonic`` or ``nonmonotonic``.

    Raises
    ------
    UsageError
        Another kind or modifier, a chunk size below 1, or one for ``auto``.

    Examples
    --------
    >>> Schedule.parse("dynamic,4")
    Schedule(kind='dynamic', chunk_size=4, modifier=None)
    >>> str(Schedule("guided", 2, "nonmonotonic"))
    'nonmonotonic:guided,2'
    """

    kind: str
    chunk_size: int | None = None
    modifier: str | None = None

    def __post_init__(self):
        if self.kind == "runtime":
            raise UsageError(
                "schedule: 'runtime' stands for what the variable OMP_SCHEDULE says when the loop is reached: "
                "pass its text, such as 'dynamic,4'."
            )
        if self.kind not in KINDS:
            raise UsageError(f"schedule: a kind is one of {', '.join(KINDS)}, not {self.kind!r}: pass one of them.")
        if self.modifier is not None and self.modifier not in MODIFIERS:
            raise UsageError(
                f"schedule: a modifier is one of {', '.join(MODIFIERS)}, not {self.modifier!r}: pass one, or none."
            )
        if self.chunk_size is None:
            return
        if self.kind == "auto":
            raise UsageError(f"schedule: 'auto' has no chunk size, but {self.chunk_size!r} was given: leave it out.")
        object.__setattr__(self, "chunk_size", whole_number("chunk_size", self.chunk_size, 1))

    @classmethod
    def parse(cls, text: str | Schedule) -> Schedule:
        """A schedule from its text, ``[modifier:]kind[,chunk_size]``; capitals and spaces do not matter.

        Raises
        ------
        UsageError
            The text is no schedule.
        """
        if isinstance(text, Schedule):
            return text
        if not isinstance(text, str):
            raise UsageError(f"schedule: a schedule is a text such as 'dynamic,4', not {text!r}: pass such a text.")
        modifier, colon, rest = text.rpartition(":")
        kind, comma, chunk_size = (part.strip().lower() for part in rest.partition(","))
        number = None
        if comma:
            digits = chunk_size.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
                raise UsageError(
                    f"schedule: {text!r}: after the comma stands the chunk size, a whole number of at least 1, "
                    f"not {chunk_size!r}: write for example '{kind or 'dynamic'},4'."
                )
            number = int(chunk_size)
        return cls(kind, number, modifier.strip().lower() if colon else None)

    def __str__(self) -> str:
        text = self.kind if self.chunk_size is None else f"{self.kind},{self.chunk_size}"
        return text if self.modifier is None else f"{self.modifier}:{text}"

    @property
    def is_static(self) -> bool:
        """Whether the plan says before the loop begins whose each chunk is."""
        return self.kind in ("static", "auto")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Iterations ``start`` to ``stop - 1``, for thread ``thread_num``; None: for the next free thread."""

    start: int
    stop: int
    thread_num: int | None = None

    @property
    def num_iterations(self) -> int:
        return self.stop - self.start


def chunks(schedule: str | Schedule, num_iterations: int, num_threads: int) -> list[Chunk]:
    """The chunks of a loop in the order of their iterations, which is the order in which free threads take them.

    Parameters
    ----------
    schedule : str or Schedule
    num_iterations : int
        0 or more; an empty loop has no chunks.
    num_threads : int
        1 to 10 000.

    Returns
    -------
    list of Chunk
        Every iteration is in exactly one; none is empty. A static block that would be is left out.

    Raises
    ------
    UsageError
        No such schedule, sizes out of range, or more than 5 million chunks.

    Examples
    --------
    >>> [(c.start, c.stop, c.thread_num) for c in chunks("static", 10, 4)]
    [(0, 3, 0), (3, 6, 1), (6, 8, 2), (8, 10, 3)]
    >>> [c.thread_num for c in chunks("static,2", 10, 2)]
    [0, 1, 0, 1, 0]
    >>> [c.num_iterations for c in chunks("guided,2", 20, 2)]
    [10, 5, 3, 2]
    """
    starts, stops, threads = chunk_arrays(schedule, num_iterations, num_threads)
    return [
        Chunk(start, stop, None if thread == ANYONE else thread)
        for start, stop, thread in zip(starts.tolist(), stops.tolist(), threads.tolist(), strict=True)
    ]


def chunk_arrays(
    schedule: str | Schedule, num_iterations: int, num_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:func:`chunks` as arrays (starts, stops, thread numbers), int64 of one length; thread -1 is the next free one."""
    schedule = Schedule.parse(schedule)
    n = whole_number("num_iterations", num_iterations, 0)
    p = whole_number("num_threads", num_threads, 1, MOST_THREADS)
    if schedule.is_static and schedule.chunk_size is None:
        thread = np.arange(min(p, n), dtype=np.int64)
        quotient, rest = divmod(n, p)
        starts = thread * quotient + np.minimum(thread, rest)
        return starts, starts + quotient + (thread < rest), thread
    k = schedule.chunk_size or 1
    if schedule.kind == "guided":
        starts = _guided_starts(n, p, k)
    else:
        _check_number(-(-n // k), schedule, n)
        starts = np.arange(0, n, min(k, max(n, 1)), dtype=np.int64)
    stops = np.append(starts[1:], n)[: len(starts)]
    if schedule.kind == "static":
        return starts, stops, np.arange(len(starts)) % p
    return starts, stops, np.full(len(starts), ANYONE)


def _guided_starts(n: int, p: int, k: int) -> np.ndarray:
    """Where the chunks of guided begin: large ones one by one, and the tail of size k at once."""
    starts, start = [], 0
    while (size := -(-(n - start) // p)) > k:
        starts.append(start)
        start += size
    return np.concatenate([np.array(starts, np.int64), np.arange(start, n, k, dtype=np.int64)])


def _check_number(number: int, schedule: Schedule, n: int) -> None:
    if number > MOST_CHUNKS:
        raise UsageError(
            f"schedule: '{schedule}' cuts {n} iterations into {number} chunks, and a plan has at most {MOST_CHUNKS}: "
            f"take a chunk size of at least {-(-n // MOST_CHUNKS)}."
        )
