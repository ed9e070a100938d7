"""Run as ``mpiexec -n P python run_off_ranks.py NAMES ELEMENTS DTYPE ROUNDS SECONDS``: times as JSON from rank 0.

One habit of timing for all who compare collective algorithms: in place, on buffers made once; all start after a
barrier and the slowest rank counts; of some calls in a row the last one counts, for by then caches and page tables
have seen the buffers, as in a program; and the algorithms take turns, A B C A B C ..., so that a drift of the
machine's speed meets all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from mpi4py import MPI

from labkit.mpi.collectives.registry import find

CALLS = 8  # in a row, of which the last counts
MOST_ROUNDS = 400


def in_place(comm, name: str, x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """A call of an algorithm on the vector ``x``, all n elements; ``y`` is a second one for operations that need it."""
    algorithm = find(name)
    function, block = algorithm.function, x[: x.size // comm.size]
    at_root = comm.rank == 0
    buffers = {
        "barrier": (),
        "broadcast": (x,),
        "scatter": (x, MPI.IN_PLACE) if at_root else (None, block),
        "gather": (MPI.IN_PLACE, x) if at_root else (block, None),
        "allgather": (MPI.IN_PLACE, x),
        "reduce": (MPI.IN_PLACE, x) if at_root else (x, None),
        "reduce_scatter": (x, y[: block.size]),
        "allreduce": (MPI.IN_PLACE, x),
        "alltoall": (y, x),
        "scan": (y, x),
        "exscan": (y, x),
    }[algorithm.operation]
    return lambda: function(comm, *buffers)


def last_call_s(comm, call: Callable[[], None], before: Callable[[], None] | None = None) -> float:
    """Seconds that the last of ``CALLS`` calls took on the slowest rank; ``before`` each, outside of its time."""
    taken = np.empty(1)
    for _ in range(CALLS):
        if before is not None:
            before()
        comm.Barrier()
        start = MPI.Wtime()
        call()
        taken[0] = MPI.Wtime() - start
    comm.Allreduce(MPI.IN_PLACE, taken, op=MPI.MAX)
    return float(taken[0])


def timed_in_turn(
    comm, calls: Mapping[str, Callable[[], None]], vectors: Sequence[np.ndarray], num_rounds: int, seconds: float = 0.0,
    before: Callable[[], None] | None = None,
) -> dict[str, list[float]]:
    """Times in s by name: of ``num_rounds`` rounds, and of more (400 at most) until ``seconds`` are over.

    Every vector is zero at the first of the calls in a row, so that sums stay finite; ``before`` each of them a rank may
    write what it brings, as in a program: what nobody has changed lies in the caches of those who got it last time.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    end = MPI.Wtime() + seconds
    num_done = 0
    while True:
        for name, call in calls.items():
            for vector in vectors:
                vector[:] = 0
            samples[name].append(last_call_s(comm, call, before))
        num_done += 1
        is_over = num_done >= num_rounds and (num_done >= MOST_ROUNDS or MPI.Wtime() >= end)
        if comm.bcast(is_over):  # rank 0's clock decides for all
            return samples


def main(names: list[str], num_elements: int, dtype: str, num_rounds: int, seconds: float) -> None:
    comm = MPI.COMM_WORLD
    x, y = np.zeros(num_elements, dtype), np.zeros(num_elements, dtype)
    calls = {name: in_place(comm, name, x, y) for name in names}
    samples = timed_in_turn(comm, calls, [x, y], num_rounds, seconds)
    if comm.rank == 0:
        print(json.dumps(samples))


if __name__ == "__main__":
    main(sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
