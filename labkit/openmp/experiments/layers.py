"""Ranks x threads x BLAS threads: what happens when each layer starts as many threads as it likes.

A program of MPI ranks, each with a team of threads, each of which calls a matrix product that starts threads of its
own, runs ``ranks * threads * BLAS threads`` of them. Each layer alone is right to use all cores; all together they
fight for them. The ranks here are processes without MPI: what is measured is how they share the cores.
"""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.errors import NotAvailableError
from labkit.hardware.timing import Contention
from labkit.openmp.checks import whole_number
from labkit.openmp.experiments.rounds import Progress, real_number, silent, usable_cores

MOST_PER_LAYER = 8
MOST_PIECE_S = 1.0
WORKER = "labkit.openmp.experiments.layer_worker"
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "BLIS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Layers:
    """So many ranks, so many threads in each, so many BLAS threads for each of those; and what they achieved.

    Attributes
    ----------
    num_ranks, num_threads, num_blas_threads : int
    flops : tuple of float
        Flops per second of all ranks together, round by round.
    """

    num_ranks: int
    num_threads: int
    num_blas_threads: int
    flops: tuple[float, ...]

    @property
    def total(self) -> int:
        """Threads that want to compute at the same time."""
        return self.num_ranks * self.num_threads * self.num_blas_threads

    @property
    def best_flops(self) -> float:
        """Of the rounds."""
        return max(self.flops)

    @property
    def name(self) -> str:
        """For example ``2 x 1 x 2``."""
        return f"{self.num_ranks} x {self.num_threads} x {self.num_blas_threads}"


@dataclass(frozen=True, slots=True)
class LayersReport:
    """All combinations of one and several in each layer.

    Attributes
    ----------
    num_cores : int
    size : int
        Of the matrices that are multiplied.
    combinations : tuple of Layers
        By their total.
    num_wrong : int
        Products whose checksum was wrong.
    busy : bool
        Whether other processes used much of the machine meanwhile.
    """

    num_cores: int
    size: int
    combinations: tuple[Layers, ...]
    num_wrong: int = 0
    busy: bool = False

    def words(self) -> str:
        """The best and the fullest in a sentence or two."""
        best = max(self.combinations, key=lambda c: c.best_flops)
        full = max(self.combinations, key=lambda c: c.total)
        text = (
            f"Ranks x threads x BLAS threads on {self.num_cores} core{'' if self.num_cores == 1 else 's'}: {best.name} "
            f"does most work; {full.name} = {full.total} threads do {full.best_flops / best.best_flops:.0%} of it."
        )
        return text + (" Other processes used the cores meanwhile: measure again." if self.busy else "")


def default_per_layer(num_cores: int) -> int:
    """How many make three layers together clearly more than the cores: at least 2.

    Examples
    --------
    >>> default_per_layer(2), default_per_layer(16), default_per_layer(64)
    (2, 4, 7)
    """
    return min(max(2, math.ceil((4 * num_cores) ** (1 / 3) - 1e-9)), MOST_PER_LAYER)


def layers_report(
    per_layer: int | None = None, *, size: int = 256, piece_s: float = 0.06, num_rounds: int = 2,
    progress: Progress = silent,
) -> LayersReport:
    """Measure matrix products under 1 or ``per_layer`` ranks, threads and BLAS threads, in all eight combinations.

    Parameters
    ----------
    per_layer : int, optional
        2 to 8; by default so that all layers together are several times the cores.
    size : int
        Of the matrices, 16 to 2048.
    piece_s : float
        How long each combination computes in a round; at most 1.
    num_rounds : int
        All combinations are measured in turn, so many times; 1 to 100.
    progress : callable

    Returns
    -------
    LayersReport

    Raises
    ------
    UsageError
        Sizes out of range.
    NotAvailableError
        The processes did not start.

    Notes
    -----
    The processes are started once and end with this call, also when it is interrupted. The number of BLAS threads is
    set by environment variables, as in a job script, before NumPy is loaded.
    """
    cores = usable_cores()
    k = whole_number("per_layer", default_per_layer(cores) if per_layer is None else per_layer, 2, MOST_PER_LAYER)
    size = whole_number("size", size, 16, 2048)
    num_rounds = whole_number("num_rounds", num_rounds, 1, 100)
    piece_s = real_number("piece_s", piece_s, MOST_PIECE_S, " s")
    progress(f"ranks x threads x BLAS: starting {2 * k} processes ...")
    groups: dict[int, list[subprocess.Popen]] = {}
    num_wrong = 0
    try:
        for blas in (1, k):
            groups[blas] = [_start(blas, size) for _ in range(k)]
        for worker in itertools.chain.from_iterable(groups.values()):
            _answer(worker)
        shapes = sorted(itertools.product((1, k), repeat=3), key=lambda shape: (math.prod(shape), shape[::-1]))
        flops: dict[tuple, list[float]] = {shape: [] for shape in shapes}
        with Contention() as contention:
            for number in range(num_rounds):
                progress(f"ranks x threads x BLAS: round {number + 1} of {num_rounds} ...")
                for ranks, threads, blas in shapes:
                    rate, wrong = _measure(groups[blas][:ranks], threads, piece_s)
                    flops[ranks, threads, blas].append(rate)
                    num_wrong += wrong
    finally:
        for worker in itertools.chain.from_iterable(groups.values()):
            _end(worker)
    found = tuple(Layers(*shape, tuple(flops[shape])) for shape in shapes)
    return LayersReport(cores, size, found, num_wrong, contention.busy)


def _start(num_blas_threads: int, size: int) -> subprocess.Popen:
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(num_blas_threads))
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-m", WORKER, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True,
    )


def _measure(workers: Sequence[subprocess.Popen], num_threads: int, piece_s: float) -> tuple[float, int]:
    """Flops per second of these together, and wrong products."""
    for worker in workers:
        try:
            worker.stdin.write(f"{num_threads} {piece_s}\n")
            worker.stdin.flush()
        except BrokenPipeError:
            pass  # its answer says that it has ended
    answers = [_answer(worker).split() for worker in workers]
    return sum(float(rate) for rate, _ in answers), sum(int(wrong) for _, wrong in answers)


def _answer(worker: subprocess.Popen) -> str:
    line = worker.stdout.readline()
    if not line:
        raise NotAvailableError(
            f"layers: a process that computes matrix products ended with status {worker.wait(timeout=10)}: run "
            f"'{sys.executable} -m {WORKER} 64' to see why, or take fewer per layer."
        )
    return line


def _end(worker: subprocess.Popen) -> None:
    worker.kill()
    worker.wait()
    worker.stdin.close()
    worker.stdout.close()
