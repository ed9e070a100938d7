"""Run by collectives.py under mpiexec: ours and MPI's collectives, in place on both sides, in turn. Prints JSON.

Arguments: the word ``compare`` or ``all``, the number of rounds, and sizes in bytes.
"""

import json
import sys

import numpy as np
from mpi4py import MPI

from labkit.mpi.collectives.allreduce_nodes import SharedVectors
from labkit.mpi.collectives.registry import ALGORITHMS, find

comm = MPI.COMM_WORLD
rank, size = comm.rank, comm.size
CALLS = 8  # in a row, of which the last counts: caches and page tables have seen the buffers, as in a program

LIBRARY = {
    "allreduce": lambda x: comm.Allreduce(MPI.IN_PLACE, x),
    "broadcast": lambda x: comm.Bcast(x),
    "allgather": lambda x: comm.Allgather(MPI.IN_PLACE, x),
}
OURS = {
    "allreduce": ("all_pairs", "ring", "chunked_ring", "rabenseifner", "recursive_doubling", "segmented_ring"),
    "broadcast": ("binomial", "scatter_allgather", "chain"),
    "allgather": ("ring", "recursive_doubling", "neighbor_exchange"),
}


def in_place(name, x, y):
    """A call of one of our algorithms on the vector ``x``; ``y`` is a second one for those that need it."""
    algorithm = find(name)
    function, operation, block = algorithm.function, algorithm.operation, x[: x.size // size]
    at_root = rank == 0
    return {
        "broadcast": lambda: function(comm, x),
        "scatter": lambda: function(comm, x if at_root else None, MPI.IN_PLACE if at_root else block),
        "gather": lambda: function(comm, MPI.IN_PLACE if at_root else block, x if at_root else None),
        "allgather": lambda: function(comm, MPI.IN_PLACE, x),
        "reduce": lambda: function(comm, MPI.IN_PLACE if at_root else x, x if at_root else None),
        "reduce_scatter": lambda: function(comm, x, y[: x.size // size]),
        "allreduce": lambda: function(comm, MPI.IN_PLACE, x),
        "alltoall": lambda: function(comm, y, x),
        "scan": lambda: function(comm, y, x),
        "exscan": lambda: function(comm, y, x),
    }[operation]


def seconds(call):
    """Of the slowest rank."""
    taken = np.empty(1)
    for _ in range(CALLS):
        comm.Barrier()
        start = MPI.Wtime()
        call()
        taken[0] = MPI.Wtime() - start
    comm.Allreduce(MPI.IN_PLACE, taken, op=MPI.MAX)
    return float(taken[0])


def check(operation, call, x):
    """One call on known numbers."""
    x[:] = rank + 1
    call()
    wanted = {
        "allreduce": np.full(x.size, size * (size + 1) / 2), "broadcast": np.ones(x.size),
        "allgather": np.repeat(np.arange(1.0, size + 1), x.size // size),
    }[operation]
    assert np.array_equal(x, wanted), f"{operation} is wrong on rank {rank}"


def timed_in_turn(calls, vectors, num_rounds):
    """name -> samples in s; every vector is zero before each round, so sums stay finite."""
    samples = {name: [] for name in calls}
    for _ in range(num_rounds):
        for name, call in calls.items():
            for vector in vectors:
                vector[:] = 0
            samples[name].append(seconds(call))
    return samples


def compare(num_bytes, num_rounds):
    """Ours against the library's, by operation."""
    found = {}
    for operation, library in LIBRARY.items():
        x, y = np.zeros(num_bytes // 8), np.zeros(num_bytes // 8)
        calls = {"library": lambda library=library, x=x: library(x)}
        calls |= {name: in_place(f"{operation}_{name}", x, y) for name in OURS[operation]}
        for call in calls.values():
            check(operation, call, x)
        shared = None
        if operation == "allreduce":
            shared = SharedVectors(comm, x.size)
            check(operation, shared.allreduce, shared.own)
            calls["shared memory"] = shared.allreduce
        found[operation] = timed_in_turn(calls, [x] if shared is None else [x, shared.own], num_rounds)
        if shared is not None:
            shared.free()
    return found


def measure_all(num_bytes, num_rounds):
    """Every algorithm that sends messages and has a size."""
    x, y = np.zeros(num_bytes // 8), np.zeros(num_bytes // 8)
    names = [
        name for name, algorithm in ALGORITHMS.items()
        if not algorithm.needs_shared_memory and algorithm.operation != "barrier" and name != "allreduce_hierarchical"
    ]
    return timed_in_turn({name: in_place(name, x, y) for name in names}, [x, y], num_rounds)


what, num_rounds, *sizes = sys.argv[1], *map(int, sys.argv[2:])
measure = compare if what == "compare" else measure_all
result = {num_bytes: measure(num_bytes, num_rounds) for num_bytes in sizes}
if rank == 0:
    print(json.dumps(result))
