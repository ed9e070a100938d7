"""What came out of a C cell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from labkit.openmp.scaling import ScalingFit, fit_scaling

LAWS = ("amdahl", "gustafson", "usl")


@dataclass(frozen=True)
class ThreadsRun:
    """The cell with one number of threads.

    Attributes
    ----------
    num_threads : int
    times_s : tuple of float
        One a repeat, in s: of the call of the function; of a whole program, from the start of its process to its end.
    stdout, stderr : str
        What it printed in its first repeat, cut if it was very long.
    value : int, float or None
        What the function returned, in the last repeat.
    cpu_s : float
        Processor time of all threads and repeats, in s.
    """

    num_threads: int
    times_s: tuple[float, ...]
    stdout: str = ""
    stderr: str = ""
    value: int | float | None = None
    cpu_s: float = 0.0

    @property
    def best_s(self) -> float:
        """The shortest time."""
        return min(self.times_s)

    @property
    def median_s(self) -> float:
        """The median of the times."""
        return statistics.median(self.times_s)


@dataclass(frozen=True)
class CellResult:
    """The value that the notebook finds as ``_openmp``.

    Attributes
    ----------
    runs : tuple of ThreadsRun
        In the order of ``--threads``.
    fits : tuple of ScalingFit
        Laws fitted to the speed-ups of the best times.
    others_share : float
        The share of the machine that other processes used meanwhile.
    num_cores : int
        The cores that this process may use.
    command : str
        How the cell was compiled.
    races : tuple of labkit.openmp.cell.races.Race
    loops : tuple of labkit.openmp.cell.assembly.Loop
    remarks : tuple of labkit.openmp.cell.vectors.Remark
        Of ``--races``, ``--emit-asm`` and ``--vector-report``.
    """

    runs: tuple[ThreadsRun, ...] = ()
    fits: tuple[ScalingFit, ...] = ()
    others_share: float = 0.0
    num_cores: int = 1
    command: str = ""
    races: tuple = ()
    loops: tuple = field(default=(), repr=False)
    remarks: tuple = field(default=(), repr=False)

    @property
    def base(self) -> ThreadsRun:
        """What speed-ups are relative to: one thread, or the fewest."""
        return min(self.runs, key=lambda run: run.num_threads)

    @property
    def speedups(self) -> tuple[float, ...]:
        """The best time of the base over the best of each."""
        return tuple(self.base.best_s / run.best_s for run in self.runs)

    @property
    def efficiencies(self) -> tuple[float, ...]:
        """Speed-up over the number of threads, both relative to the base."""
        base = self.base.num_threads
        return tuple(s * base / run.num_threads for s, run in zip(self.speedups, self.runs, strict=True))

    def rows(self) -> list[tuple[str, ...]]:
        """The table in words, with its head; without columns that would say nothing."""
        repeated = any(len(run.times_s) > 1 for run in self.runs)
        head = ["threads", *(["best", "median"] if repeated else ["time"])]
        head += ["speed-up", "efficiency"] if len(self.runs) > 1 else []
        head += ["returned"] if any(run.value is not None for run in self.runs) else []
        rows = [tuple(head)]
        for run, speedup, efficiency in zip(self.runs, self.speedups, self.efficiencies, strict=True):
            words = {
                "threads": str(run.num_threads), "time": seconds_text(run.best_s), "best": seconds_text(run.best_s),
                "median": seconds_text(run.median_s), "speed-up": f"{speedup:.2f}", "efficiency": f"{efficiency:.0%}",
                "returned": repr(run.value),
            }  # fmt: skip
            rows.append(tuple(words[column] for column in head))
        return rows

    def table(self) -> str:
        """The table as text."""
        return table_text(self.rows())

    def __str__(self) -> str:
        return self.table() if self.runs else f"{len(self.races)} races"


def fits_of(runs: Sequence[ThreadsRun]) -> tuple[ScalingFit, ...]:
    """The laws that the best times allow to be fitted: relative to one thread, with enough points."""
    one = [run.best_s for run in runs if run.num_threads == 1]
    if not one:
        return ()
    threads = [run.num_threads for run in runs]
    speedups = [min(one) / run.best_s for run in runs]
    different = len({n for n in threads if n > 1})
    return tuple(fit_scaling(law, threads, speedups) for law in LAWS if different >= (2 if law == "usl" else 1))


def table_text(rows: list[tuple[str, ...]]) -> str:
    """Columns to the right, under each other.

    Examples
    --------
    >>> print(table_text([("threads", "best"), ("1", "12 ms")]))
    threads   best
          1  12 ms
    """
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(word.rjust(width) for word, width in zip(row, widths, strict=True)) for row in rows)


def seconds_text(time_s: float) -> str:
    """A time in words, with three digits.

    Examples
    --------
    >>> seconds_text(0.0123), seconds_text(4.5e-8), seconds_text(75)
    ('12.3 ms', '45 ns', '75 s')
    """
    for unit_s, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        if time_s >= unit_s or name == "ns":
            return f"{time_s / unit_s:.3g} {name}"
    raise AssertionError


def threads_text(num_threads: int) -> str:
    """``1 thread``, ``2 threads``."""
    return "1 thread" if num_threads == 1 else f"{num_threads} threads"
