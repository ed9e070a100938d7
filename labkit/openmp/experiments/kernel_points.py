"""Kernels of the ladders measured on this machine, as points for its roofline."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.openmp.checks import whole_number
from labkit.openmp.experiments.rounds import Progress, clocked, in_rounds, silent, usable_cores

SIZES = {  # so that a call takes milliseconds and, where memory is the bound, the data fit in no cache
    "copy": 4_000_000, "scale": 4_000_000, "add": 4_000_000, "triad": 4_000_000, "dot": 4_000_000,
    "matrix_product": 384, "jacobi": 1_500, "n_body": 1_000, "sparse_matrix_vector": 200_000,
}
MOST_SIZE = 100_000_000
LIMIT_S = 0.5  # for a kernel


@dataclass(frozen=True, slots=True)
class KernelPoint:
    """One version of a kernel, as it ran here.

    Attributes
    ----------
    kernel, version : str
    num_threads : int
    flops, num_bytes : float
        Operations, and memory traffic at least needed, of a call.
    times_s : tuple of float
        Of a call, round by round.
    is_right : bool
        Whether the result was that of the oracle.
    """

    kernel: str
    version: str
    num_threads: int
    flops: float
    num_bytes: float
    times_s: tuple[float, ...]
    is_right: bool

    @property
    def label(self) -> str:
        return f"{self.kernel.replace('_', ' ')} ({self.version})"

    @property
    def intensity(self) -> float:
        """Flops per byte; infinite without memory traffic."""
        return self.flops / self.num_bytes if self.num_bytes else float("inf")

    @property
    def flops_per_s(self) -> float:
        """The median of the rounds."""
        return self.flops / statistics.median(self.times_s)


def kernel_points(
    kernels: Sequence = tuple(SIZES), *, num_threads: int | None = None, sizes: dict[str, int] | None = None,
    is_every_version: bool = False, num_rounds: int = 5, seed: int = 0, progress: Progress = silent,
) -> tuple[KernelPoint, ...]:  # fmt: skip
    """Measure kernels of :mod:`labkit.openmp.kernels`.

    Parameters
    ----------
    kernels : sequence of str or Ladder
        Ladders, or their names.
    num_threads : int, optional
        By default one a usable core.
    sizes : dict of str to int, optional
        By kernel what its ``make_input`` is given; where it is left out, a size that suits a roofline, or 100 000.
    is_every_version : bool
        All correct versions of a ladder, not its last (the fastest) alone.
    num_rounds : int
        Versions are run in turn, so many times; a kernel is given up to half a second.
    seed : int
        Of the inputs.
    progress : callable

    Returns
    -------
    tuple of KernelPoint
        Versions that may race are left out.

    Raises
    ------
    UsageError
        No such kernel, or sizes out of range.
    """
    from labkit.openmp.team import Team

    seed = whole_number("seed", seed, 0)
    team = Team(usable_cores() if num_threads is None else num_threads)
    points = []
    for kernel in (kernels,) if isinstance(kernels, str) else kernels:
        ladder = _ladder(kernel)
        size = whole_number("size", (sizes or {}).get(ladder.name, SIZES.get(ladder.name, 100_000)), 1, MOST_SIZE)
        inputs = ladder.make_input(size, seed)
        expected = ladder.oracle(*inputs)
        versions = [version for version in ladder.versions if version.is_correct]
        versions = versions if is_every_version else versions[-1:]
        is_right = {v.name: bool(ladder.is_right(v.function(team, *inputs), expected)) for v in versions}
        actions = {v.name: _action(v.function, team, inputs) for v in versions}
        times_s, _ = in_rounds(actions, num_rounds, limit_s=LIMIT_S, progress=progress, what=ladder.name)
        flops, num_bytes = float(ladder.flops(*inputs)), float(ladder.bytes(*inputs))
        points += [
            KernelPoint(
                ladder.name, v.name, team.num_threads, flops, num_bytes, tuple(times_s[v.name].tolist()),
                is_right[v.name],
            )
            for v in versions
        ]
    return tuple(points)


def _ladder(kernel):
    if not isinstance(kernel, str):
        return kernel
    from labkit.openmp.kernels.ladder import ladder

    return ladder(kernel)


def _action(function, team, inputs):
    return lambda: clocked(lambda: function(team, *inputs))
