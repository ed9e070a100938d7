"""How long each version takes on this machine, beside the least time that its memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.hardware.timing import Contention, seconds_of
from labkit.softmax.arguments import count
from labkit.softmax.ladder import VERSIONS, find_version

MOST_ELEMENTS = 2**27
DTYPES = ("float16", "float32", "float64")


@dataclass(frozen=True, slots=True)
class VersionTime:
    """The time of a version.

    Attributes
    ----------
    version : str
    time_s : float
        The shortest of the rounds.
    num_elements, itemsize : int
    busy : bool
        Others used much of the machine meanwhile.
    """

    version: str
    time_s: float
    num_elements: int
    itemsize: int
    busy: bool

    @property
    def element_s(self) -> float:
        """Seconds an element."""
        return self.time_s / self.num_elements

    def least_s(self, num_passes: float, bandwidth: float) -> float:
        """Seconds an element, at least: so many passes over memory of so many bytes per second.

        Examples
        --------
        >>> VersionTime("online", 1.0, 10**6, 4, False).least_s(3, 12e9)
        1e-09
        """
        return num_passes * self.itemsize / bandwidth


def measure_times(
    num_rows: int, num_columns: int, *, dtype: str = "float32", versions: Sequence[str] | None = None, rounds: int = 5,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[VersionTime, ...]:
    """Time versions on the same logits, in turn, so that a drift of the machine's speed meets all.

    Parameters
    ----------
    num_rows, num_columns : int
        1 to 2**27 elements together.
    dtype : str
        ``"float16"``, ``"float32"`` or ``"float64"``.
    versions : names in :data:`.ladder.VERSIONS`, optional
        All that need no GPU by default. They are compiled, and run once, before they are timed.
    rounds : int
        How often each runs.
    progress : callable
        Told each step in words; what it raises ends the measurement.

    Returns
    -------
    tuple of VersionTime

    Raises
    ------
    UsageError
        Other values, or a version that needs a GPU.
    ArithmeticError
        The rows of a result do not sum to 1.

    Examples
    --------
    >>> [time] = measure_times(4, 100, versions=["online"], rounds=1)
    >>> time.version, time.num_elements, time.time_s > 0
    ('online', 400, True)
    """
    names = [n for n, v in VERSIONS.items() if not v.needs_gpu] if versions is None else list(versions)
    num_elements = count("num_rows", num_rows) * count("num_columns", num_columns)
    if num_elements > MOST_ELEMENTS or dtype not in DTYPES:
        raise UsageError(
            f"measure_times: at most {MOST_ELEMENTS} elements of {', '.join(DTYPES)}, not {num_rows} x {num_columns} "
            f"of {dtype!r}: pass fewer, or another type."
        )
    for name in names:
        if find_version(name).needs_gpu:
            raise UsageError(f"measure_times: {name} runs on a GPU; here the processor is measured: leave it out.")
    rounds = count("rounds", rounds)
    x = np.random.default_rng(1).standard_normal((num_rows, num_columns), np.float32).astype(dtype)
    out = np.empty_like(x)
    for name in names:
        progress(f"{name}: checked before it is timed ...")
        _check(name, find_version(name).forward(x, out=out))
    times: dict[str, list[float]] = {name: [] for name in names}
    with Contention() as contention:
        for number in range(rounds):
            for name in names:
                progress(f"round {number + 1} of {rounds}: {name} ...")
                forward = find_version(name).forward
                times[name].append(seconds_of(lambda run=forward: run(x, out=out)))
    return tuple(VersionTime(name, min(times[name]), num_elements, x.itemsize, contention.busy) for name in names)


def _check(name: str, y: np.ndarray) -> None:
    first = y[:16].astype(np.float64)
    sums = (np.exp(first) if find_version(name).is_log else first).sum(axis=1)
    if not np.allclose(sums, 1, rtol=0.02 if y.dtype == np.float16 else 1e-4):
        raise ArithmeticError(f"{name}: a row of the result sums to {sums[np.abs(sums - 1).argmax()]}, not to 1.")
