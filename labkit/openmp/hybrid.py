"""One kernel four ways: serial, with threads, with MPI ranks, and with ranks that have threads each.

The kernel is Jacobi's method (see :mod:`.kernels.jacobi`). Ranks have bands of rows, and before each sweep they send
the rows at their edges to their neighbours; the threads of a rank share its rows out. Each point is computed from the
same numbers in the same order every way, so the results have the same bits, and that is checked.

What one rank does is in :mod:`.hybrid_rank`. All ranks are on this machine, and each gets cores of its own as long as
there are enough. With more workers than cores they take turns; such runs are marked, because their times tell nothing
about speed-up.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import run_mpi
from labkit.hardware.topology import detect_topology
from labkit.openmp.checks import seconds, whole_number

MOST_RANKS, MOST_THREADS, MOST_POINTS = 64, 64, 2**28
SHARED_FOLDER = Path("/dev/shm")  # files in memory, where the system has them


@dataclass(frozen=True)
class HybridRun:
    """Times of one way to run the kernel.

    Attributes
    ----------
    num_ranks, num_threads : int
        Ranks, and threads of each.
    times_s : tuple of float
        Of each repetition, in s: from when all ranks begin until the last has ended.
    is_equal : bool
        Whether the result has the same bits as that of the serial kernel in this process.
    is_oversubscribed : bool
        More workers than cores: they took turns.
    """

    num_ranks: int
    num_threads: int
    times_s: tuple[float, ...]
    is_equal: bool
    is_oversubscribed: bool

    @property
    def num_workers(self) -> int:
        """Ranks times threads."""
        return self.num_ranks * self.num_threads

    @property
    def time_s(self) -> float:
        """The shortest time."""
        return min(self.times_s)

    @property
    def kind(self) -> str:
        """``serial``, ``threads``, ``ranks`` or ``ranks x threads``."""
        if self.num_ranks == 1:
            return "serial" if self.num_threads == 1 else "threads"
        return "ranks" if self.num_threads == 1 else "ranks x threads"

    def __str__(self) -> str:
        ranks = f"{self.num_ranks} rank{'s' * (self.num_ranks > 1)}"
        words = f"{ranks} x {self.num_threads} thread{'s' * (self.num_threads > 1)}: {self.time_s * 1e3:.3g} ms"
        if not self.is_equal:
            words += ", WRONG: not the bits of the serial result"
        return words + ", more workers than cores: they took turns" * self.is_oversubscribed


@dataclass(frozen=True)
class HybridTimes:
    """Times of the kernel in several ways; the first is serial.

    ``speedup_figure(times.num_workers, times.speedups)`` of :mod:`labkit.views.speedup` draws them.
    """

    num_rows: int
    num_columns: int
    num_sweeps: int
    num_cores: int
    runs: tuple[HybridRun, ...]

    @property
    def num_workers(self) -> tuple[int, ...]:
        return tuple(run.num_workers for run in self.runs)

    @property
    def speedups(self) -> tuple[float, ...]:
        """The serial time over that of each run."""
        return tuple(self.runs[0].time_s / run.time_s for run in self.runs)

    @property
    def names(self) -> tuple[str, ...]:
        """For example ``2 x 4`` for 2 ranks with 4 threads each."""
        return tuple(f"{run.num_ranks} x {run.num_threads}" for run in self.runs)

    def __str__(self) -> str:
        head = (f"Jacobi, {self.num_rows} x {self.num_columns} points, {self.num_sweeps} sweeps, {self.num_cores} "
                f"core{'s' * (self.num_cores > 1)}")  # fmt: skip
        return "\n".join([head, *map(str, self.runs)])


def default_layouts(num_cores: int) -> tuple[tuple[int, int], ...]:
    """(ranks, threads of each): all powers of 2 that fill no more than the cores, and at least one of each kind.

    Examples
    --------
    >>> default_layouts(4)
    ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1))
    >>> default_layouts(2)
    ((1, 1), (1, 2), (2, 1), (2, 2))
    """
    powers = [2**k for k in range(min(num_cores, MOST_RANKS).bit_length())]
    found = {(ranks, threads) for ranks in powers for threads in powers if ranks * threads <= num_cores}
    return tuple(sorted(found | {(1, 1), (1, 2), (2, 1), (2, 2)}))


def hybrid_jacobi(
    layouts: Sequence[tuple[int, int]] | None = None, *, num_rows: int = 1500, num_columns: int = 1500,
    num_sweeps: int = 50, repetitions: int = 3, seed: int = 0, deadline_s: float = 120,
) -> HybridTimes:  # fmt: skip
    """Run Jacobi's method with ranks and threads, and compare times and bits.

    Parameters
    ----------
    layouts : sequence of (int, int), optional
        Numbers of ranks, 1 to 64, and of threads of each, 1 to 64. The serial one, (1, 1), is always run, and first.
    num_rows, num_columns : int
        Of the grid, with its edge: 3 or more, and enough for a row for each rank.
    num_sweeps, repetitions : int
        1 or more.
    seed : int
        Of the grid's random points.
    deadline_s : float
        For each layout.

    Raises
    ------
    UsageError
        Numbers out of range.
    NotAvailableError
        There is no MPI, or a run failed or took too long.

    Examples
    --------
    >>> times = hybrid_jacobi([(1, 2)], num_rows=60, num_columns=60, num_sweeps=5, repetitions=1)
    >>> times.names, [run.is_equal for run in times.runs]
    (('1 x 1', '1 x 2'), [True, True])
    """
    num_cores = detect_topology().num_usable  # a container may have less than the cores it sees
    num_rows = whole_number("num_rows", num_rows, 3, MOST_POINTS)
    num_columns = whole_number("num_columns", num_columns, 3, MOST_POINTS)
    whole_number("num_rows times num_columns", num_rows * num_columns, 9, MOST_POINTS)
    num_sweeps, repetitions = whole_number("num_sweeps", num_sweeps, 1), whole_number("repetitions", repetitions, 1)
    layouts = _checked_layouts(default_layouts(num_cores) if layouts is None else layouts, num_rows)
    deadline_s = seconds("deadline_s", deadline_s)
    grid = np.random.default_rng(whole_number("seed", seed, 0)).random((num_rows, num_columns))
    right = _serial_result(grid, num_sweeps)
    runs = []
    with tempfile.TemporaryDirectory(dir=SHARED_FOLDER if os.access(SHARED_FOLDER, os.W_OK) else None) as folder:
        np.save(Path(folder, "grid.npy"), grid)
        for num_ranks, num_threads in layouts:
            np.save(Path(folder, "result.npy"), np.full_like(grid, np.nan))
            options = {"folder": folder, "num_threads": num_threads, "num_sweeps": num_sweeps}
            times_s = _run(num_ranks, {**options, "repetitions": repetitions}, deadline_s)
            result = np.load(Path(folder, "result.npy"))
            is_equal = np.array_equal(result.view(np.int64), right.view(np.int64))
            runs.append(HybridRun(num_ranks, num_threads, times_s, is_equal, num_ranks * num_threads > num_cores))
    return HybridTimes(num_rows, num_columns, num_sweeps, num_cores, tuple(runs))


def _checked_layouts(layouts, num_rows: int) -> list[tuple[int, int]]:
    checked = [(1, 1)]
    for layout in layouts:
        if not isinstance(layout, Sequence) or isinstance(layout, str) or len(layout) != 2:
            raise UsageError(
                f"layouts: pairs (ranks, threads of each), not {layout!r:.60}: pass for example [(2, 1), (1, 2)]."
            )
        pair = whole_number("ranks", layout[0], 1, MOST_RANKS), whole_number("threads", layout[1], 1, MOST_THREADS)
        if pair[0] > num_rows - 2:
            raise UsageError(f"{pair[0]} ranks need a row each, but {num_rows} rows have {num_rows - 2} between their "
                             "edges: pass fewer ranks or more rows.")  # fmt: skip
        if pair not in checked:
            checked.append(pair)
    return checked


def _serial_result(grid: np.ndarray, num_sweeps: int) -> np.ndarray:
    """And all that ranks need compiled is on disk, so that they need not all compile it."""
    from labkit.openmp.kernels.jacobi import jacobi_fast, jacobi_serial
    from labkit.openmp.team import Team

    jacobi_fast(Team(1), grid[:3].copy(), 1)
    return jacobi_serial(None, grid, num_sweeps)


def _run(num_ranks: int, options: dict, deadline_s: float) -> tuple[float, ...]:
    output = run_mpi([str(Path(__file__).with_name("hybrid_rank.py")), json.dumps(options)], num_ranks, deadline_s)
    answer = json.loads(output.splitlines()[-1])
    if answer["size"] != num_ranks:
        raise NotAvailableError(
            f"mpiexec -n {num_ranks} started worlds of {answer['size']} ranks: its MPI is not that of mpi4py; "
            "labkit doctor looks for the cause."
        )
    return tuple(answer["times_s"])
