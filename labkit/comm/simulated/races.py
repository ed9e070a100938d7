"""Looking for races: the same program under many schedules."""

from __future__ import annotations

import io
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from labkit.comm.simulated.run import simulate
from labkit.errors import CellError, UsageError


@dataclass(frozen=True)
class Races:
    """How a program behaved under many schedules.

    Attributes
    ----------
    reference : list or str
        What the largest number of seeds gave: the results by rank, or the first line of the error.
    others : dict of int to (list or str)
        By seed: results and errors that differ from it. Empty if no race was seen, which does not
        prove that there is none.
    """

    reference: object
    others: dict[int, object]

    def __bool__(self) -> bool:
        return bool(self.others)

    def __str__(self) -> str:
        if not self.others:
            return "no race seen: all seeds gave the same"
        seed, other = next(iter(self.others.items()))
        return (
            f"a race: the most frequent result was {self.reference}; {len(self.others)} of the seeds gave something else, "
            f"seed {seed} for example {other}. Run simulate(..., seed={seed}) to see it again."
        )


def find_races(num_ranks: int, function: Callable, seeds: Iterable[int] = range(20), **options) -> Races:
    """Run a program under many schedules, and find the seeds under which it gave something else.

    A seed varies what MPI leaves open: how long messages take, which of several messages a wildcard
    takes, which of two ranks at the same time goes first. A correct program gives the same for all.

    Parameters
    ----------
    num_ranks : int
    function : callable
        Called on every rank with its communicator; what it returns is compared, pickled. The order in which dicts and
        sets were filled does not count.
    seeds : iterable of int
    **options
        For :func:`labkit.comm.simulated.run.simulate`; a larger ``jitter`` reorders more.

    Returns
    -------
    Races
        True if there is one.

    Raises
    ------
    CellError
        The program fails in the same way under every seed.

    Examples
    --------
    >>> def first_come(comm):
    ...     if comm.rank:
    ...         comm.send(comm.rank, 0)
    ...     else:
    ...         return [comm.recv() for _ in range(comm.size - 1)]
    >>> bool(find_races(4, first_come))
    True
    >>> def in_order(comm):
    ...     if comm.rank:
    ...         comm.send(comm.rank, 0)
    ...     else:
    ...         return [comm.recv(source=rank) for rank in range(1, comm.size)]
    >>> print(find_races(4, in_order))
    no race seen: all seeds gave the same
    """
    found: dict[int, object] = {}
    error = None
    seeds = list(seeds)
    if not seeds:
        raise UsageError("find_races needs at least one seed; range(20) tries twenty.")
    for seed in seeds:
        try:
            found[seed] = simulate(num_ranks, function, seed=seed, **options).results
        except CellError as raised:
            found[seed], error = f"{type(raised).__name__}: {str(raised).splitlines()[0]}", raised
    kinds = {seed: _kind(outcome) for seed, outcome in found.items()}
    times_seen = list(kinds.values())
    usual = max(times_seen, key=times_seen.count, default=None)
    if error is not None and len(set(times_seen)) == 1:
        raise error
    reference = next((outcome for seed, outcome in found.items() if kinds[seed] == usual), None)
    return Races(reference, {seed: outcome for seed, outcome in found.items() if kinds[seed] != usual})


def _kind(outcome) -> bytes:
    """Equal for outcomes that are equal. By themselves: pickled together, shared objects would count."""
    try:
        return b"".join(_pickled(result) for result in outcome) if isinstance(outcome, list) else outcome.encode()
    except Exception as error:
        raise UsageError(
            f"find_races compares what the ranks return, and this cannot be compared ({error}): return numbers, "
            "texts, arrays, or lists of them."
        ) from None


class _Pickler(pickle.Pickler):
    """Pickles equal values alike: dicts and sets in the order of their pickles, and each object as if it were there once."""

    def persistent_id(self, value):
        kind = type(value)
        if kind is dict or kind is defaultdict:
            return kind.__name__, sorted((_pickled(key), _pickled(item)) for key, item in value.items())
        if kind is set or kind is frozenset:
            return kind.__name__, sorted(map(_pickled, value))
        return None


def _pickled(value) -> bytes:
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.fast = True  # nothing is written as "the same object as before"
    try:
        pickler.dump(value)
    except (ValueError, RecursionError):  # what contains itself can be written in no other way
        return pickle.dumps(value)
    return file.getvalue()
