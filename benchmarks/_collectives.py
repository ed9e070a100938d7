"""Run by collectives.py under mpiexec: ours and MPI's collectives, in place on both sides, in turn. Prints JSON.

Arguments: ``compare``, ``all`` or an operation, whose algorithms are measured; the number of rounds, and sizes in bytes.
"""

import functools
import json
import sys

import numpy as np
from mpi4py import MPI

from labkit.mpi.collectives.allreduce_nodes import SharedVectors
from labkit.mpi.collectives.registry import ALGORITHMS
from labkit.mpi.run_off_ranks import in_place, timed_in_turn

comm = MPI.COMM_WORLD
rank, size = comm.rank, comm.size

LIBRARY = {
    "allreduce": lambda x: comm.Allreduce(MPI.IN_PLACE, x),
    "broadcast": lambda x: comm.Bcast(x),
    "allgather": lambda x: comm.Allgather(MPI.IN_PLACE, x),
}
OURS = {
    "allreduce": ("all_pairs", "ring", "chunked_ring", "rabenseifner", "recursive_doubling", "segmented_ring", "shared_memory"),
    "broadcast": ("binomial", "scatter_allgather", "chain", "shared_memory"),
    "allgather": ("ring", "recursive_doubling", "neighbor_exchange", "shared_memory"),
}


def check(operation, call, x):
    """One call on known numbers."""
    x[:] = rank + 1
    call()
    wanted = {
        "allreduce": np.full(x.size, size * (size + 1) / 2), "broadcast": np.ones(x.size),
        "allgather": np.repeat(np.arange(1.0, size + 1), x.size // size),
    }[operation]
    assert np.array_equal(x, wanted), f"{operation} is wrong on rank {rank}"


def brought(operation, x):
    """What a rank brings and a call leaves as it is; an all-reduce changes all itself."""
    block, nothing = x.size // size, x[:0]
    own = x[rank * block : (rank + 1) * block]
    return {"allreduce": nothing, "broadcast": nothing if rank else x, "allgather": own}[operation]


def compare(num_bytes, num_rounds):
    """Ours against the library's, by operation; what ranks bring, they write before each call, as a program does.

    Otherwise a block of 1 MiB would be in the caches of those to whom it is sent, from the call before.
    """
    found = {}
    for operation, library in LIBRARY.items():
        x, y = np.zeros(num_bytes // 8), np.zeros(num_bytes // 8)
        calls = {"library": lambda library=library, x=x: library(x)}
        calls |= {name: in_place(comm, f"{operation}_{name}", x, y) for name in OURS[operation]}
        for call in calls.values():
            check(operation, call, x)
        shared = None
        if operation == "allreduce":
            shared = SharedVectors(comm, x.size)
            check(operation, shared.allreduce, shared.own)
            calls["fused"] = shared.allreduce
        vectors = [x] if shared is None else [x, shared.own]
        write = functools.partial(brought(operation, x).fill, 0)
        found[operation] = timed_in_turn(comm, calls, vectors, num_rounds, before=write)
        if shared is not None:
            shared.free()
    return found


def measure(what, num_bytes, num_rounds):
    """Every algorithm whose time is predicted, or every one of an operation among which is chosen."""
    x, y = np.zeros(num_bytes // 8), np.zeros(num_bytes // 8)
    names = [
        name for name, algorithm in ALGORITHMS.items()
        if algorithm.operation != "barrier" and name != "allreduce_hierarchical"
        and (what == algorithm.operation or what == "all" and not algorithm.needs_shared_memory)
    ]
    return timed_in_turn(comm, {name: in_place(comm, name, x, y) for name in names}, [x, y], num_rounds)


what, num_rounds, *sizes = sys.argv[1], *map(int, sys.argv[2:])
action = compare if what == "compare" else functools.partial(measure, what)
result = {num_bytes: action(num_bytes, num_rounds) for num_bytes in sizes}
if rank == 0:
    print(json.dumps(result))
