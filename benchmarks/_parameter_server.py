"""Run by parameter_server.py under mpiexec -n 2: a server and a worker; pull and push against bare Get and Accumulate.

Arguments: the number of rounds, and sizes in bytes. Prints JSON.
"""

import json
import sys
import time

import numpy as np
from mpi4py import MPI

from labkit.training.options import TrainingOptions
from labkit.training.parameter_server.train import _descent
from labkit.training.parameter_server.windows import WeightWindows, WindowClient, serve_windows

comm = MPI.COMM_WORLD


def measure(num_bytes, num_rounds):
    n = num_bytes // 4
    windows = WeightWindows(comm, (0,), ((0, n),), np.float32)
    samples = {"ours": [], "library": []}
    if comm.rank == 0:
        windows.block[:] = 1
        comm.Barrier()
        serve_windows(windows)
    else:
        comm.Barrier()
        weights, gradient = np.empty(n, np.float32), np.empty(n, np.float32)
        client = WindowClient(windows, "async", _descent(TrainingOptions(momentum=0.0, learning_rate=0.5), 1, None, n))
        values = windows._values
        for step in range(num_rounds + 2):
            gradient[:] = 1
            start = time.perf_counter()
            client.pull(weights, step)
            middle = time.perf_counter() - start
            assert weights[0] == weights[-1] == 1 + step, (weights[0], step)
            start = time.perf_counter()
            client.push(gradient, step, 1.0)  # takes 0.5 away
            ours = middle + time.perf_counter() - start
            gradient[:] = 1.5
            start = time.perf_counter()
            values.Get(weights, 0)
            values.Flush(0)
            values.Accumulate(gradient, 0, op=MPI.SUM)
            values.Flush(0)
            library = time.perf_counter() - start
            if step >= 2:
                samples["ours"].append(ours)
                samples["library"].append(library)
        client.finish()
    windows.free()
    return comm.bcast(samples, 1)


num_rounds, *sizes = map(int, sys.argv[1:])
result = {num_bytes: measure(num_bytes, num_rounds) for num_bytes in sizes}
if comm.rank == 0:
    print(json.dumps(result))
