"""Ladders: versions of one kernel with one signature, from serial to fast, and what they are checked against.

::

    histogram = ladder("histogram")
    inputs = histogram.make_input(1_000_000)
    for version in histogram.versions:
        version.function(Team(2), *inputs)

Each version is called as ``version.function(team, *inputs, schedule=...)`` and gives its result; serial ones do not
use the team. Versions that are wrong are there on purpose, and say what is wrong with them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import whole_number

MODULES = {  # name of a ladder -> the file it is in
    "copy": "stream", "scale": "stream", "add": "stream", "triad": "stream", "dot": "dot",
    "matrix_product": "matrix_product", "jacobi": "jacobi", "mandelbrot": "mandelbrot", "histogram": "histogram",
    "prefix_sum": "prefix_sum", "merge_sort": "merge_sort", "n_body": "n_body",
    "sparse_matrix_vector": "sparse_matrix_vector", "pi": "pi",
    "fibonacci": "fibonacci", "quicksort": "quicksort", "cholesky": "cholesky",
}  # fmt: skip
SIZES = (0, 1, 2, 7, 64, 1001)
NUM_THREADS = (1, 2, 3, 5)
SCHEDULES = (None, "static", "static,3", "dynamic,2", "guided")


@dataclass(frozen=True)
class Version:
    """One way to write a kernel.

    Attributes
    ----------
    name : str
    function : callable
        ``function(team, *inputs, schedule=...)``.
    is_correct : bool
        False: the result may be wrong with more than one thread.
    remark : str
        What is wrong, slow or good about it.
    """

    name: str
    function: Callable
    is_correct: bool
    remark: str


@dataclass(frozen=True)
class Ladder:
    """The versions of a kernel.

    Attributes
    ----------
    name : str
    versions : tuple of Version
        The first is serial, the last the fastest.
    oracle : callable
        ``oracle(*inputs)``: the right result, computed in another way.
    make_input : callable
        ``make_input(size, seed=0)``: a tuple of inputs; what size means is the kernel's.
    bytes, flops : callable
        ``bytes(*inputs)``: memory traffic at least needed, in bytes, and operations, for a roofline.
    tolerance : float
        Largest error allowed, relative to the largest magnitude in the right result; 0 asks for equality.
    """

    name: str
    versions: tuple[Version, ...]
    oracle: Callable
    make_input: Callable
    bytes: Callable
    flops: Callable
    tolerance: float = 0.0

    def version(self, name: str) -> Version:
        """A version by its name.

        Raises
        ------
        UsageError
            There is none.
        """
        for version in self.versions:
            if version.name == name:
                return version
        names = ", ".join(version.name for version in self.versions)
        raise UsageError(f"{self.name} has no version {name!r}: choose one of {names}.")

    def error(self, result, expected) -> float:
        """How far a result is off: 0 if equal, inf if of another shape, else relative to the largest value."""
        result, expected = np.asarray(result), np.asarray(expected)
        if result.shape != expected.shape:
            return np.inf
        if result.size == 0 or np.array_equal(result, expected):
            return 0.0
        difference = np.abs(result.astype(np.float64) - expected.astype(np.float64)).max()
        largest = np.abs(expected.astype(np.float64)).max()
        return float(difference / largest) if largest > 0 and np.isfinite(difference) else np.inf

    def is_right(self, result, expected) -> bool:
        """Whether a result is equal to the oracle's within the tolerance."""
        return self.error(result, expected) <= self.tolerance


@dataclass(frozen=True)
class Mismatch:
    """A case in which a version was wrong: its error as :meth:`Ladder.error` gives it."""

    size: int
    num_threads: int
    schedule: str | None
    error: float


def ladder_names() -> tuple[str, ...]:
    """The names of all ladders.

    Examples
    --------
    >>> ladder_names()[:5]
    ('copy', 'scale', 'add', 'triad', 'dot')
    """
    return tuple(MODULES)


def ladder(name: str) -> Ladder:
    """A ladder by name.

    Raises
    ------
    UsageError
        There is none.

    Examples
    --------
    >>> [version.name for version in ladder("triad").versions]
    ['serial', 'naive', 'fine', 'fast']
    """
    if name not in MODULES:
        raise UsageError(f"kernel: one of {', '.join(MODULES)}, not {name!r}: pass one of them.")
    module = importlib.import_module(f"labkit.openmp.kernels.{MODULES[name]}")
    return next(candidate for candidate in module.LADDERS if candidate.name == name)


def check(
    ladder: Ladder, version: Version | str | Callable, *, sizes: Sequence[int] = SIZES,
    num_threads: Sequence[int] = NUM_THREADS, schedules: Sequence[str | None] = SCHEDULES, seed: int = 0,
) -> tuple[Mismatch, ...]:  # fmt: skip
    """Run a version on inputs of several sizes and compare with the oracle.

    Parameters
    ----------
    ladder : Ladder
    version : Version, str or callable
        One of the ladder's, or a function with the same signature.
    sizes, num_threads, schedules
        All combinations are run; a schedule of None is the version's own.

    Returns
    -------
    tuple of Mismatch
        Empty if it was right each time. A race may go unseen.

    Examples
    --------
    >>> check(ladder("dot"), "fast", sizes=[0, 1000], num_threads=[2])
    ()
    """
    from labkit.openmp.team import Team

    if isinstance(version, str):
        version = ladder.version(version)
    function = version.function if isinstance(version, Version) else version
    teams = [Team(p) for p in num_threads]
    found = []
    for size in sizes:
        inputs = ladder.make_input(whole_number("size", size, 0), seed)
        expected = ladder.oracle(*inputs)
        for team in teams:
            for schedule in schedules:
                options = {} if schedule is None else {"schedule": schedule}
                error = ladder.error(function(team, *inputs, **options), expected)
                if not error <= ladder.tolerance:
                    found.append(Mismatch(size, team.num_threads, schedule, error))
    return tuple(found)
