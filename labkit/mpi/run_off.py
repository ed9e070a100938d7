"""Algorithms that are predicted about equal, run against each other on real ranks: the fastest is chosen.

A prediction errs by a tenth or so, and then the first of several close ones is first by luck. The planners of FFTW
and ATLAS therefore let the candidates run for a moment and remember which one was the fastest; so does this.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from numbers import Real
from pathlib import Path

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import run_mpi
from labkit.mpi.collective_calls import num_elements_for
from labkit.mpi.collectives.registry import find
from labkit.mpi.run_off_ranks import CALLS

DEFAULT_SECONDS = 1.0
LONGEST_SECONDS = 10.0
NUM_STARTS = 9  # of the ranks: where memory lies differs from start to start, and with it who is ahead by little
NUM_ROUNDS = 2  # at least, of each start
CLOSE = 1.5  # predicted to take at most so many times as long as the best: may still be the best
MOST_RANKS = 64  # real processes that poll
MOST_RANKS_A_CORE = 4  # with more, times tell of waiting for a core
MOST_BYTES = 2**30  # of the vectors of all ranks
DTYPES = {1: "i1", 2: "i2", 4: "f4", 8: "f8", 16: "c16"}  # by the size of an element in bytes

# (operation, ranks, elements, itemsize, unpredicted candidates ...) -> the fastest, as long as this process lives
_remembered: dict[tuple, str] = {}


def run_off(
    names: Sequence[str], num_ranks: int, num_bytes: int, *, itemsize: int = 8, seconds: float = DEFAULT_SECONDS
) -> dict[str, float]:
    """Times of algorithms of one operation, in s, from taking turns in place on real ranks.

    The mean, over some starts of the ranks, of the medians of each: an algorithm may be quick after one start and
    a quarter slower after the next, and of such times a median is one or the other.

    Parameters
    ----------
    names : sequence of str
        Of algorithms in :mod:`labkit.mpi.collectives.registry`, all of the same operation.
    num_ranks : int
    num_bytes : int
        Of the whole buffer, n elements; rounded up to equal blocks where the operation needs them.
    itemsize : int
        Bytes of an element: 1, 2, 4, 8 or 16.
    seconds : float
        How long to measure, at most 10; starting the ranks, nine times, comes on top. At least 18 rounds are
        measured even if they take longer.

    Returns
    -------
    dict of str to float
        By name, in the order of ``names``; a time is that of the slowest rank.

    Raises
    ------
    UsageError
        No algorithm, an unknown one, algorithms of several operations, or a size or time that is none.
    NotAvailableError
        The ranks cannot be started here, or do not answer in time.
    """
    operations = sorted({find(name).operation for name in names})
    if len(operations) != 1:
        raise UsageError(
            f"run_off: algorithms of one operation run against each other, not of {len(operations)} "
            f"({', '.join(operations) or 'no algorithm'}): pass names such as ['allreduce_ring', 'allreduce_swing']."
        )
    if itemsize not in DTYPES:
        raise UsageError(
            f"run_off: there is no number of {itemsize!r} bytes to run with: itemsize is one of {sorted(DTYPES)}."
        )
    if not 1 <= num_ranks <= MOST_RANKS or num_bytes < 0:
        raise UsageError(
            f"run_off: {num_ranks!r} real ranks with {num_bytes!r} bytes: "
            f"run 1 to {MOST_RANKS} ranks, with 0 bytes or more."
        )
    check_seconds("run_off", seconds)
    num_elements = num_elements_for(operations[0], num_ranks, num_bytes, itemsize)
    program = str(Path(__file__).with_name("run_off_ranks.py"))
    arguments = [",".join(names), str(num_elements), DTYPES[itemsize], str(NUM_ROUNDS), str(seconds / NUM_STARTS)]
    medians: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(NUM_STARTS):
        output = run_mpi([program, *arguments], num_ranks, deadline_s=60 + 10 * seconds)
        for name, row in json.loads(output.splitlines()[-1]).items():
            medians[name].append(statistics.median(row))
    return {name: statistics.mean(row) for name, row in medians.items()}


def fastest(
    rows: Sequence[tuple[str, float]], num_ranks: int, num_bytes: int, unpredicted: Sequence[str] = (), *,
    itemsize: int = 8, seconds: float = DEFAULT_SECONDS,
) -> str:
    """The fastest algorithm of a ranking: by prediction if one is clearly ahead, else by a run-off.

    The outcome is remembered by operation, ranks, size, itemsize and candidates without prediction until this process
    ends. Prediction alone decides as well where a run-off would tell nothing or take too long: with more ranks than
    :func:`can_run` allows, with vectors of gigabytes, and where the ranks cannot be started.

    Parameters
    ----------
    rows : sequence of (str, float)
        Algorithms of one operation with predicted times in s, the fastest first.
    unpredicted : sequence of str
        More of them, which run in any case.
    num_ranks, num_bytes, itemsize, seconds
        As for :func:`run_off`.

    Returns
    -------
    str
    """
    first, best_s = rows[0]
    names = [name for name, predicted_s in rows if predicted_s <= CLOSE * best_s]
    names += unpredicted
    least_s = NUM_STARTS * NUM_ROUNDS * CALLS * sum(dict(rows).get(name, best_s) for name in names)
    if len(names) == 1 or not can_run(num_ranks, num_bytes, itemsize) or least_s > LONGEST_SECONDS:
        return first
    operation = find(first).operation
    key = operation, num_ranks, num_elements_for(operation, num_ranks, num_bytes, itemsize), itemsize, *unpredicted
    if key not in _remembered:
        try:
            times = run_off(names, num_ranks, num_bytes, itemsize=itemsize, seconds=seconds)
            _remembered[key] = min(times, key=times.get)
        except NotAvailableError:
            _remembered[key] = first  # so that no later call waits for ranks that do not start
    return _remembered[key]


def can_run(num_ranks: int, num_bytes: int, itemsize: int = 8) -> bool:
    """Whether so many ranks with such vectors are worth running here.

    Examples
    --------
    >>> can_run(2, 2**20), can_run(1, 2**20), can_run(1024, 2**20), can_run(2, 2**34)
    (True, False, False, False)
    """
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most_ranks = min(MOST_RANKS, MOST_RANKS_A_CORE * num_cores)
    return itemsize in DTYPES and 2 <= num_ranks <= most_ranks and 2 * num_ranks * num_bytes <= MOST_BYTES


def check_seconds(call: str, seconds: float) -> None:
    """An error unless a run-off may last so long."""
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(
            f"{call}: a run-off of {seconds!r} s: let it last more than 0 and at most {LONGEST_SECONDS:g} s."
        )
