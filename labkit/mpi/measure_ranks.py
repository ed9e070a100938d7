"""Run as ``mpiexec -n P python measure_ranks.py NAMES SIZES ROUNDS``: prints the times as JSON on rank 0.

Every algorithm is checked first, then all are timed in turn, A B C A B C ..., so that a drift of the
machine's speed meets all of them. A time is that of the slowest rank, from a barrier on.
"""

import json
import statistics
import sys

import numpy as np
from mpi4py import MPI

from labkit.mpi.collective_calls import num_elements_for, own_size, prepare
from labkit.mpi.collectives.allreduce_nodes import node_communicators
from labkit.mpi.collectives.registry import find

LEAST_S = 2e-3  # of one round of one algorithm, if it takes no more than
MOST_CALLS = 50


def expected(operation: str, first: np.ndarray, size: int, rank: int):
    """What the rank must get (root 0) if rank r contributes ``first + r``, by NumPy; None for nothing."""
    block = first.size // size
    mine = first[rank * block : (rank + 1) * block]
    before = sum(range(rank))
    match operation:
        case "broadcast":
            return first
        case "scatter":
            return mine
        case "gather" | "allgather":
            return np.concatenate([first + r for r in range(size)]) if operation == "allgather" or rank == 0 else None
        case "reduce":
            return size * first + sum(range(size)) if rank == 0 else None
        case "allreduce":
            return size * first + sum(range(size))
        case "reduce_scatter":
            return size * mine + sum(range(size))
        case "alltoall":
            return np.concatenate([mine + r for r in range(size)])
        case "scan":
            return (rank + 1) * first + before + rank
        case "exscan":
            return rank * first + before if rank else None
    return None


def check(comm, algorithm, call, result, first) -> None:
    """One call; every rank's result must be that of the definition (the inputs are small whole numbers: exactly)."""
    call()
    wanted = expected(algorithm.operation, first, comm.size, comm.rank)
    right = wanted is None or np.array_equal(result, wanted)
    if not comm.allreduce(right, op=MPI.LAND):
        if comm.rank == 0:
            print(f"{algorithm.name} gave a wrong result on {comm.size} ranks, so it was not timed", file=sys.stderr, flush=True)
        raise SystemExit(1)  # on all ranks


def seconds_of(comm, call, num_calls: int) -> float:
    """Of one call, on the slowest rank."""
    total = 0.0
    for _ in range(num_calls):
        comm.Barrier()
        start = MPI.Wtime()
        call()
        total += MPI.Wtime() - start
    return comm.allreduce(total, op=MPI.MAX) / num_calls


def main(names: list, sizes: list, num_rounds: int) -> None:
    comm = MPI.COMM_WORLD
    times = {name: [] for name in names}
    for num_bytes in sizes:
        calls, to_free = {}, []
        for name in names:
            algorithm = find(name)
            n = num_elements_for(algorithm.operation, comm.size, num_bytes)
            first = np.arange(own_size(algorithm.operation, comm.size, n)) % 97.0
            options = {}
            if name == "allreduce_hierarchical":
                options["node_comm"], options["leader_comm"] = communicators = node_communicators(comm)
                to_free += [one.Free for one in communicators if one != MPI.COMM_NULL]
            call, result = prepare(comm, algorithm, first + comm.rank, **options)
            check(comm, algorithm, call, result, first)
            calls[name] = call
        num_calls = {}
        for name, call in calls.items():  # also the warm-up
            num_calls[name] = max(1, min(MOST_CALLS, int(LEAST_S / max(seconds_of(comm, call, 2), 1e-9))))
        rounds = {name: [] for name in names}
        for _ in range(num_rounds):
            for name, call in calls.items():
                rounds[name].append(seconds_of(comm, call, num_calls[name]))
        for name in names:
            times[name].append((num_bytes, statistics.median(rounds[name])))
        for free in to_free:
            free()
    if comm.rank == 0:
        print(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1].split(","), json.loads(sys.argv[2]), int(sys.argv[3]))
