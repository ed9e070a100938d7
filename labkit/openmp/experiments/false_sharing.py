"""False sharing: threads that share no variable, but a cache line, slow each other down.

Every thread increments a counter of its own. Memory moves between the caches of cores in lines (64 bytes on most
machines), and a core that writes takes the whole line from all others. Counters that lie in one line make it travel
with every increment; counters that are ``padding`` bytes apart, at least a line, do not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import seconds, whole_number
from labkit.openmp.experiments.rounds import Progress, in_rounds, silent, usable_cores

PADDINGS_BYTES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
MOST_PADDING_BYTES = 4096
MOST_THREADS = 512
MOST_INCREMENTS = 100_000_000
COUNTER_BYTES = 8
LINE_IF_UNKNOWN_BYTES = 64
LEAST_OVERLAP = 0.5
ALIGNMENT_BYTES = 4096  # of the first counter: it is at the begin of a line


@dataclass(frozen=True, eq=False)
class FalseSharingCurve:
    """Time of an increment over the distance of the threads' counters.

    Attributes
    ----------
    num_threads, num_cores : int
    num_increments : int
        Of each thread.
    line_bytes : int
        The cache line of this machine.
    paddings_bytes : ndarray of int64, shape (num_paddings,)
        From the begin of a thread's counter to that of the next, ascending.
    plain_ns, atomic_ns : ndarray of float64, shape (num_rounds, num_paddings)
        Time of an increment: load, add and store; or one atomic addition.
    num_wrong : int
        Rounds in which a counter did not have the right value at the end.
    overlap : float
        For which share of the time all threads were counting, the median of all measurements. Far below 1 the system
        let them run one after the other, because others used the cores, and no line could travel.
    """

    num_threads: int
    num_cores: int
    num_increments: int
    line_bytes: int
    paddings_bytes: np.ndarray
    plain_ns: np.ndarray
    atomic_ns: np.ndarray
    num_wrong: int = 0
    overlap: float = 1.0

    def median_ns(self, kind: str) -> np.ndarray:
        """Of the rounds, shape (num_paddings,); ``kind`` is ``plain`` or ``atomic``."""
        return np.median({"plain": self.plain_ns, "atomic": self.atomic_ns}[kind], axis=0)

    def slowdown(self, kind: str) -> float:
        """Median over the paddings below a cache line, over that of a line or more; NaN if one of them is missing."""
        medians, is_shared = self.median_ns(kind), self.paddings_bytes < self.line_bytes
        if is_shared.all() or not is_shared.any():
            return float("nan")
        return float(np.median(medians[is_shared]) / np.median(medians[~is_shared]))

    @property
    def is_telling(self) -> bool:
        """Whether threads ran at the same time, so that lines could travel."""
        return min(self.num_threads, self.num_cores) > 1 and self.overlap >= LEAST_OVERLAP

    def words(self) -> str:
        """The curve in a sentence or two."""
        if self.num_threads == 1:
            return "One thread shares no cache line with anybody: take two or more."
        if self.num_cores == 1:
            return (
                "Only one core is usable: its threads take turns and share its cache, so that no line travels and the "
                "padding makes no difference here."
            )
        plain, atomic = self.slowdown("plain"), self.slowdown("atomic")
        if plain != plain:
            return f"Take paddings below and above the cache line of {self.line_bytes} bytes to compare them."
        text = (
            f"Counters in one cache line of {self.line_bytes} bytes: plain increments take {plain:.2g} times, atomic "
            f"ones {atomic:.2g} times as long as in lines of their own."
        )
        if self.is_telling:
            return text
        why = "other processes use the cores: measure again"
        if self.num_threads > self.num_cores:
            why = f"they share {self.num_cores} cores: take {self.num_cores} threads"
        return f"{text} But all threads ran at the same time for only {self.overlap:.0%} of the time, for {why}."


@functools.cache
def cache_line_bytes(sys_root: Path = Path("/sys")) -> int:
    """The cache line of this machine in bytes, as the system tells it; 64 if it does not."""
    path = sys_root / "devices/system/cpu/cpu0/cache/index0/coherency_line_size"
    try:
        return int(path.read_text()) or LINE_IF_UNKNOWN_BYTES
    except (OSError, ValueError):
        return LINE_IF_UNKNOWN_BYTES


def false_sharing_curve(
    num_threads: int = 2, paddings_bytes: Sequence[int] = PADDINGS_BYTES, *, num_increments: int = 20_000,
    num_rounds: int = 15, limit_s: float = 2.0, progress: Progress = silent,
) -> FalseSharingCurve:
    """Measure the time of an increment over the distance of the threads' counters.

    Parameters
    ----------
    num_threads : int
        1 to 512.
    paddings_bytes : sequence of int
        Multiples of 8, 8 to 4096; each once.
    num_increments : int
        Of each thread, 1 to 100 million.
    num_rounds : int
        All paddings and both kinds of increments are measured in turn, so many times.
    limit_s : float
        No round is begun later.
    progress : callable

    Returns
    -------
    FalseSharingCurve

    Raises
    ------
    UsageError
        Sizes out of range, or a padding that is no multiple of 8.

    Notes
    -----
    Threads begin together, after a barrier. What counts is the time that a thread needs for its increments, by the
    clock of the compiled code, on average over the threads.

    Examples
    --------
    >>> curve = false_sharing_curve(2, [64, 8], num_increments=1_000, num_rounds=2)
    >>> curve.paddings_bytes.tolist(), curve.plain_ns.shape, curve.num_wrong
    ([8, 64], (2, 2), 0)
    """
    p = whole_number("num_threads", num_threads, 1, MOST_THREADS)
    paddings = _checked_paddings(paddings_bytes)
    n = whole_number("num_increments", num_increments, 1, MOST_INCREMENTS)
    limit_s = seconds("limit_s", limit_s)
    is_right, overlaps = [], []
    actions = {
        (kind, padding): _action(kind, p, padding, n, is_right, overlaps)
        for padding in paddings for kind in ("plain", "atomic")
    }
    times_s, _ = in_rounds(
        actions, num_rounds, limit_s=limit_s, progress=progress, what=f"false sharing on {p} thread{'s' * (p > 1)}"
    )
    plain, atomic = (
        np.stack([times_s[kind, padding] for padding in paddings], axis=1) / n * 1e9 for kind in ("plain", "atomic")
    )
    return FalseSharingCurve(
        p, usable_cores(), n, cache_line_bytes(), np.array(paddings), plain, atomic, is_right.count(False),
        float(np.median(overlaps)),
    )


def _checked_paddings(paddings_bytes) -> list[int]:
    try:
        paddings = list(paddings_bytes)
    except TypeError:
        raise UsageError(
            f"paddings_bytes is a list of distances in bytes, not {paddings_bytes!r}: pass for example [8, 64, 128]."
        ) from None
    if not paddings:
        raise UsageError("paddings_bytes is empty: pass at least one distance in bytes, for example [8, 64, 128].")
    for padding in paddings:
        whole_number("a padding in bytes", padding, COUNTER_BYTES, MOST_PADDING_BYTES)
        if padding % COUNTER_BYTES:
            raise UsageError(
                f"a padding in bytes is a multiple of {COUNTER_BYTES}, the size of a counter, not {padding}: take "
                f"{padding // COUNTER_BYTES * COUNTER_BYTES} or {-(-padding // COUNTER_BYTES) * COUNTER_BYTES}."
            )
    return sorted({int(padding) for padding in paddings})


def _action(kind: str, p: int, padding: int, n: int, is_right: list, overlaps: list) -> Callable[[], float]:
    """A function that lets all threads count to ``n``, checks their counters, and returns the time in s."""
    from labkit.openmp.experiments.compiled.counting import count_atomically, count_plainly
    from labkit.openmp.team import Team

    team, stride = Team(p), padding // COUNTER_BYTES
    body = count_atomically if kind == "atomic" else count_plainly
    counters = aligned_counters(p * stride)
    times = np.zeros((p, 16))  # s; two cache lines a thread

    def once() -> float:
        counters[:] = 0
        team.parallel(body, counters, stride, n, times)
        is_right.append(bool((counters[::stride] == n).all()))
        begin, end = times[:, 0], times[:, 1]
        overlaps.append(max(end.min() - begin.max(), 0.0) / max(end.max() - begin.min(), 1e-9))
        return float((end - begin).mean())

    return once


def aligned_counters(size: int) -> np.ndarray:
    """Zeros of int64, shape (size,), that begin at the begin of a page, and so of a cache line."""
    memory = np.zeros(size + ALIGNMENT_BYTES // COUNTER_BYTES, np.int64)
    skip = -memory.ctypes.data % ALIGNMENT_BYTES // COUNTER_BYTES
    return memory[skip : skip + size]
