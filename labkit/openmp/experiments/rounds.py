"""Measuring in rounds: everything once, then everything once more, so that a drift of the machine meets all alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from numbers import Real

import numpy as np

from labkit.errors import UsageError
from labkit.hardware.timing import Contention
from labkit.openmp.checks import whole_number

MOST_ROUNDS = 10_000
Progress = Callable[[str], None]


def silent(text: str) -> None:
    """A progress report that nobody reads."""


def usable_cores() -> int:
    """Logical cores that this process may use at the same time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def real_number(name: str, value, most: float, unit: str = "") -> float:
    """``value`` as a float from 0 to ``most``, or a UsageError."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= most:
        raise UsageError(f"{name} is a number from 0 to {most:g}{unit}, not {value!r}: pass such a number.")
    return float(value)


def in_rounds(
    actions: Mapping[object, Callable[[], float]], num_rounds: int, *, limit_s: float, progress: Progress = silent,
    what: str = "measuring",
) -> tuple[dict, bool]:
    """Durations of actions that are done in turn: A B C, A B C, ...

    Parameters
    ----------
    actions : mapping of name to callable
        Each is called without arguments, checks its own result, and returns how long it took, in s. Each is called
        once more at the begin, and that is not counted: compiled code is loaded then, and memory is touched.
    num_rounds : int
        1 or more.
    limit_s : float
        No round is begun later than that after the first; the first is always done.
    progress : callable
        Told in words, a few times.
    what : str
        For ``progress``.

    Returns
    -------
    (dict, bool)
        By name the times in s, ndarray of float64, shape (rounds that were done,); and whether other processes used
        much of the machine meanwhile.

    Raises
    ------
    UsageError
        ``num_rounds`` out of range.

    Examples
    --------
    >>> times, _ = in_rounds({"a": lambda: 1.0, "b": lambda: 2.0}, 3, limit_s=5)
    >>> times["b"].tolist()
    [2.0, 2.0, 2.0]
    """
    num_rounds = whole_number("num_rounds", num_rounds, 1, MOST_ROUNDS)
    times: dict[object, list[float]] = {name: [] for name in actions}
    progress(f"{what}: getting ready ...")
    for action in actions.values():
        action()
    deadline = time.monotonic() + limit_s
    with Contention() as contention:
        for number in range(num_rounds):
            if number and time.monotonic() > deadline:
                break
            if number % max(num_rounds // 4, 1) == 0:
                progress(f"{what}: round {number + 1} of {num_rounds} ...")
            for name, action in actions.items():
                times[name].append(action())
    return {name: np.array(values) for name, values in times.items()}, contention.busy


def clocked(function: Callable[[], object]) -> float:
    """How long a call takes, in s."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
