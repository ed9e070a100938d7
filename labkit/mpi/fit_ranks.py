"""Run as ``mpiexec -n P python fit_ranks.py SECONDS``: prints what messages and sums cost here, as JSON on rank 0.

Everything is measured as it happens inside a collective: all ranks start after a barrier, the slowest
counts, buffers are two halves of one vector that has been in use for a while, and a sum is written where
the other rank has just read (which costs more than a sum alone, for the caches of two cores must agree).
Pairs of ranks work at the same time, so that ranks that share a core or a memory bus are seen to share it.
"""

import json
import statistics
import sys
import time

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import reduce_local
from labkit.mpi.collectives.allreduce_rings import allreduce_ring

SIZES = (64, 1024, 4096, *(8192 * 2**k for k in range(12)))  # bytes, up to 16 MiB
TAG = 12
CALLS = 8  # in a row, of which the last counts; in between others use the same memory, as in a program
ROUNDS = 4  # of a size, a pass


def actions(comm, num_bytes):
    """What is timed for one size: name -> function."""
    vector, room = np.zeros(num_bytes // 4), np.zeros(num_bytes // 8)
    peer = comm.rank ^ 1 if comm.rank ^ 1 < comm.size else MPI.PROC_NULL
    halves = vector[: room.size], vector[room.size :]
    mine, theirs = halves if comm.rank % 2 == 0 else halves[::-1]

    def one_way():
        if comm.rank % 2 == 0:
            comm.Send(mine, peer, TAG)
        else:
            comm.Recv(theirs, peer, TAG)

    def exchange():
        comm.Sendrecv(mine, peer, TAG, theirs, peer, TAG)

    def allreduce():
        comm.Sendrecv(theirs, peer, TAG, room, peer, TAG)
        reduce_local(comm, room, mine, MPI.SUM)
        comm.Sendrecv(mine, peer, TAG, theirs, peer, TAG)

    return {
        "one_way": one_way, "exchange": exchange, "allreduce": allreduce, "own_reduce": lambda: reduce_local(comm, room, mine, MPI.SUM, room),
        "copy": lambda: np.copyto(room, mine),
    }


def slowest_s(comm, action):
    """Seconds of the slowest rank."""
    seconds = np.empty(1)
    comm.Barrier()
    start = time.perf_counter()
    action()
    seconds[0] = time.perf_counter() - start
    comm.Allreduce(MPI.IN_PLACE, seconds, op=MPI.MAX)
    return float(seconds[0])


def round_overhead_s(comm):
    """What an algorithm does in a round besides its message, in s: from the smallest all-reduce."""
    tiny, room = np.zeros(comm.size), np.zeros(1)
    peer = comm.rank ^ 1 if comm.rank ^ 1 < comm.size else MPI.PROC_NULL

    def rounds(action, count):
        times = [slowest_s(comm, lambda: [action() for _ in range(count)]) for _ in range(50)]
        return statistics.median(times[10:]) / count

    message_s = rounds(lambda: comm.Sendrecv(tiny[:1], peer, TAG, room, peer, TAG), 10)
    num_rounds = 2 * (comm.size - 1)
    return max(rounds(lambda: allreduce_ring(comm, MPI.IN_PLACE, tiny), 10) / num_rounds - message_s, 0.0)


def main():
    comm = MPI.COMM_WORLD
    end = time.monotonic() + float(sys.argv[1])
    samples = {}
    num_passes = 0
    overhead_s = round_overhead_s(comm)
    while True:
        for num_bytes in SIZES:
            to_time = actions(comm, num_bytes)
            for _ in range(ROUNDS):
                for name, action in to_time.items():
                    seconds = [slowest_s(comm, action) for _ in range(CALLS)][-1]
                    samples.setdefault(name, {}).setdefault(num_bytes, []).append(seconds)
        num_passes += 1
        # Rank 0's clock decides for all.
        if comm.bcast(num_passes >= 2 and time.monotonic() > end or num_passes >= 20):
            break
    if comm.rank == 0:
        medians = {name: [statistics.median(s) for s in by_size.values()] for name, by_size in samples.items()}
        # What the sum adds to two exchanges: it is written where the other rank has read.
        medians["reduce"] = [
            max(both - 2 * one, 1e-7) for both, one in zip(medians.pop("allreduce"), medians["exchange"], strict=True)
        ]
        print(json.dumps({"num_ranks": comm.size, "sizes_bytes": SIZES, "overhead_s": overhead_s, **medians}))


if __name__ == "__main__":
    main()
