"""Run as ``mpiexec -n P python fit_ranks.py SECONDS``: prints what messages and loops cost here, as JSON on rank 0.

Everything is measured as a collective is: all ranks start after a barrier, the slowest counts. Pairs of
ranks work at the same time, so that ranks that share a core or a memory bus are seen to share it.
"""

import json
import statistics
import sys
import time

import numpy as np
from mpi4py import MPI

SIZES = tuple(64 * 4**k for k in range(10))  # bytes: 64 B to 16 MiB
TAG = 12


def actions(comm, num_bytes):
    """What is timed for one size: name -> function."""
    out, into = np.ones(num_bytes // 8), np.ones(num_bytes // 8)
    peer = comm.rank ^ 1 if comm.rank ^ 1 < comm.size else MPI.PROC_NULL

    def one_way():
        if comm.rank % 2 == 0:
            comm.Send(out, peer, TAG)
        else:
            comm.Recv(into, peer, TAG)

    return {
        "one_way": one_way,
        "exchange": lambda: comm.Sendrecv(out, peer, TAG, into, peer, TAG),
        "reduce": lambda: np.add(out, into, out=into),
        "copy": lambda: into.copy(),  # into fresh memory, as an algorithm's scratch space is
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


def main():
    comm = MPI.COMM_WORLD
    end = time.monotonic() + float(sys.argv[1])
    by_size = {num_bytes: actions(comm, num_bytes) for num_bytes in SIZES}
    samples = {name: [[] for _ in SIZES] for name in by_size[SIZES[0]]}
    num_passes = 0
    while True:
        for index, num_bytes in enumerate(SIZES):
            for name, action in by_size[num_bytes].items():
                action()  # warm
                for _ in range(5 if num_bytes < 1 << 20 else 2):
                    samples[name][index].append(slowest_s(comm, action))
        num_passes += 1
        # Rank 0's clock decides for all.
        if comm.bcast(num_passes >= 3 and time.monotonic() > end or num_passes >= 40):
            break
    if comm.rank == 0:
        medians = {name: [statistics.median(s) for s in rows] for name, rows in samples.items()}
        print(json.dumps({"num_ranks": comm.size, "sizes_bytes": SIZES, **medians}))


if __name__ == "__main__":
    main()
