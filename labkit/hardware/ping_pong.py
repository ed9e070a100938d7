"""Run as ``mpiexec -n 2 python ping_pong.py``: prints sizes and times as JSON on rank 0.

The way of osu_latency: the time of a message is half of a round trip, averaged over a loop, after
some that are not counted; the smallest of several loops is kept.
"""

import json
import time

import numpy as np
from mpi4py import MPI


def half_round_trip_s(comm, num_bytes: int, iterations: int) -> float:
    """Seconds of one message of ``num_bytes`` between ranks 0 and 1."""
    buffer = np.zeros(num_bytes, np.uint8)
    comm.Barrier()
    start = time.perf_counter()
    for _ in range(iterations):
        if comm.rank == 0:
            comm.Send(buffer, 1)
            comm.Recv(buffer, 1)
        else:
            comm.Recv(buffer, 0)
            comm.Send(buffer, 0)
    return (time.perf_counter() - start) / iterations / 2


def main() -> None:
    comm = MPI.COMM_WORLD
    points = []
    for exponent in range(0, 23, 2):
        num_bytes = 2**exponent
        iterations = max(5, min(300, 2**24 // num_bytes))
        half_round_trip_s(comm, num_bytes, max(2, iterations // 10))
        points.append((num_bytes, min(half_round_trip_s(comm, num_bytes, iterations) for _ in range(3))))
    if comm.rank == 0:
        print(json.dumps({"size": comm.size, "points": points}))


if __name__ == "__main__":
    main()
