"""How one vector is added up over the ranks: the all-reduce, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from labkit.errors import UsageError

SHORT_NAMES = {
    "ring": "allreduce_ring", "chunked_ring": "allreduce_chunked_ring", "segmented_ring": "allreduce_segmented_ring",
    "tree": "allreduce_reduce_broadcast", "recursive_doubling": "allreduce_recursive_doubling",
    "rabenseifner": "allreduce_rabenseifner", "all_pairs": "allreduce_all_pairs", "swing": "allreduce_swing",
}


class Reducer(Protocol):
    """Replaces a vector by its sum over the ranks, exactly or nearly. Collective; the ranks end with equal bits."""

    name: str

    def prepare(self, comm, sizes: list[int]) -> None:
        """The lengths of the vectors that will come; number k of them is the ``key`` of a call."""

    def reduce(self, comm, vector: torch.Tensor, key: int) -> None:
        """``vector`` is a flat CPU tensor of float32 or float64."""

    def memory_bytes(self) -> int: ...
    def state_dict(self) -> dict: ...
    def load_state_dict(self, state: dict) -> None: ...


class AllReduce:
    """The exact sum, by an algorithm of :mod:`labkit.mpi.collectives` or by the library.

    Parameters
    ----------
    algorithm : str
        ``"library"``, a short name such as ``"ring"``, ``"tree"``, ``"rabenseifner"``, or a name of the registry of
        collectives.

    Raises
    ------
    UsageError
        No such algorithm.
    """

    def __init__(self, algorithm: str = "library"):
        self.name, self.function = algorithm, find_allreduce(algorithm)

    def prepare(self, comm, sizes):
        pass

    def reduce(self, comm, vector, key):
        self.function(comm, vector.numpy())

    def memory_bytes(self):
        return 0

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def find_allreduce(algorithm: str) -> Callable:
    """``function(comm, array)`` adds an array up in place.

    Examples
    --------
    >>> find_allreduce("star")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    labkit.errors.UsageError: there is no all-reduce 'star': take library, ring, chunked_ring, ...
    """
    from mpi4py import MPI

    if algorithm == "library":
        return lambda comm, array: comm.Allreduce(MPI.IN_PLACE, array)
    from labkit.mpi.collectives.registry import ALGORITHMS

    found = ALGORITHMS.get(SHORT_NAMES.get(algorithm, algorithm))
    if found is None or found.operation != "allreduce":
        names = [name for name, a in ALGORITHMS.items() if a.operation == "allreduce" and name not in SHORT_NAMES.values()]
        raise UsageError(f"there is no all-reduce {algorithm!r}: take {', '.join(['library', *SHORT_NAMES, *names])}.")
    return lambda comm, array: found.function(comm, MPI.IN_PLACE, array)


def make_reducer(algorithm: str | Reducer) -> Reducer:
    """An exact one by its name, or the one that is given."""
    return AllReduce(algorithm) if isinstance(algorithm, str) else algorithm
