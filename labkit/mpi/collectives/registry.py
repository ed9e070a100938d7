"""All collective algorithms by name and by operation.

Members of a family have one signature. ``find("allreduce_ring")`` is one algorithm,
``family("allreduce")`` all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from labkit.errors import UsageError
from labkit.mpi.collectives import (
    allgather,
    allreduce,
    allreduce_nodes,
    allreduce_rings,
    alltoall,
    barrier,
    broadcast,
    gather,
    reduce,
    reduce_scatter,
    scan,
    scatter,
)
from labkit.mpi.cost import COSTS, Cost

OPERATIONS = (
    "barrier", "broadcast", "scatter", "gather", "allgather", "reduce", "reduce_scatter", "allreduce", "alltoall",
    "scan", "exscan",
)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A collective algorithm.

    Attributes
    ----------
    name : str
        Of its function, for example ``"allreduce_ring"``.
    operation : str
        One of ``OPERATIONS``.
    function : callable
    keeps_order : bool
        Operations that do not commute are allowed (for those that reduce).
    needs_shared_memory : bool
        Runs on real ranks of one node only.
    """

    name: str
    operation: str
    function: Callable
    keeps_order: bool = True
    needs_shared_memory: bool = False

    @property
    def summary(self) -> str:
        """Its idea in one sentence."""
        return self.function.__doc__.strip().splitlines()[0]

    @property
    def formula(self) -> str:
        """Its cost in p ranks and n bytes, as its documentation gives it; :meth:`cost` has the exact numbers."""
        notes = inspect.getdoc(self.function).partition("Notes\n-----\n")[2].partition("\n\n")[0]
        return " ".join(notes.split())

    def cost(self, num_ranks: int, num_elements: int, itemsize: int = 8, **options) -> Cost:
        """Its exact cost; see :mod:`labkit.mpi.cost`."""
        if self.name not in COSTS:
            raise UsageError(f"{self.name} sends no messages, so it has no cost in messages; measure it.")
        return COSTS[self.name](num_ranks, num_elements, itemsize, **options)


_CHANGES_ORDER = {
    "reduce_rabenseifner", "reduce_scatter_recursive_halving", "reduce_scatter_ring", "allreduce_ring",
    "allreduce_chunked_ring", "allreduce_segmented_ring", "allreduce_rabenseifner", "allreduce_swing", "allreduce_hierarchical",
}


def _members() -> dict[str, Algorithm]:
    found = {}
    modules = (
        barrier, broadcast, scatter, gather, allgather, reduce, reduce_scatter, allreduce, allreduce_rings, allreduce_nodes,
        alltoall, scan,
    )
    for module in modules:
        for name, function in vars(module).items():
            operation = next((o for o in sorted(OPERATIONS, key=len, reverse=True) if name.startswith(o + "_")), None)
            is_member = getattr(function, "__module__", "") == module.__name__ and callable(function)
            if operation and is_member and "_blocks_" not in name:
                in_shared_memory = name == f"{operation}_shared_memory"
                found[name] = Algorithm(name, operation, function, name not in _CHANGES_ORDER, in_shared_memory)
    return {name: found[name] for name in sorted(found, key=lambda n: OPERATIONS.index(found[n].operation))}


ALGORITHMS: dict[str, Algorithm] = _members()


def family(operation: str) -> tuple[Algorithm, ...]:
    """All algorithms of an operation.

    Raises
    ------
    UsageError
        There is no such operation.

    Examples
    --------
    >>> for algorithm in family("scatter"):
    ...     print(f"{algorithm.name}: {algorithm.formula}")
    scatter_flat: p - 1 rounds, n (p - 1) / p bytes.
    scatter_binomial: ceil(lg p) rounds, n (p - 1) / p bytes.
    """
    if operation not in OPERATIONS:
        raise UsageError(f"there is no operation {operation!r}; the operations are {', '.join(OPERATIONS)}.")
    return tuple(algorithm for algorithm in ALGORITHMS.values() if algorithm.operation == operation)


def find(name: str) -> Algorithm:
    """The algorithm of this name.

    Raises
    ------
    UsageError
        There is none.
    """
    if name not in ALGORITHMS:
        raise UsageError(f"there is no algorithm {name!r}; the algorithms are {', '.join(ALGORITHMS)}.")
    return ALGORITHMS[name]
