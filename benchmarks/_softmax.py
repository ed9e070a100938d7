"""Run by softmax.py on two ranks: cross-entropy of a large vocabulary on both, and on rank 0 alone. Prints JSON.

Arguments: rows, columns, rounds. Every rank has one thread. The times are those of the loss and its gradient.
"""

import json
import sys
import time

import numpy as np
from mpi4py import MPI

from labkit.openmp.team import Team
from labkit.softmax.cross_entropy import cross_entropy, cross_entropy_backward
from labkit.softmax.vocabulary_parallel import columns_of, parallel_cross_entropy, parallel_cross_entropy_backward

comm = MPI.COMM_WORLD
num_rows, num_columns, num_rounds = map(int, sys.argv[1:])
team = Team(1)


def share(of):
    """The logits of a rank of a communicator, and room for their gradient; all ranks draw the same numbers."""
    own = columns_of(num_columns, of.size, of.rank)
    x = np.empty((num_rows, own.stop - own.start), np.float32)
    for row, line in enumerate(x):
        line[:] = np.random.default_rng([row, 5]).standard_normal(num_columns, np.float32)[own]
    return x, np.zeros_like(x)


def step(of, x, out):
    """The losses and their gradient."""
    loss = parallel_cross_entropy(of, x, targets, num_columns=num_columns, team=team)
    parallel_cross_entropy_backward(x, loss, out=out, team=team)
    return loss.losses


def seconds(of, x, out):
    start = time.perf_counter()
    step(of, x, out)
    return time.perf_counter() - start


def wait_asleep():
    """A barrier that leaves the core to others while rank 0 is still busy."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(2e-4)


targets = np.random.default_rng(6).integers(0, num_columns, num_rows)
mine = share(comm)
whole = share(MPI.COMM_SELF) if comm.rank == 0 else None

losses = step(comm, *mine)
gradients = comm.gather(mine[1], root=0)
if comm.rank == 0:
    assert np.allclose(losses, cross_entropy(whole[0], targets, team=team), rtol=1e-6), "losses differ"
    wanted = cross_entropy_backward(whole[0], targets, team=team)
    assert np.allclose(np.hstack(gradients), wanted, rtol=1e-4, atol=1e-9), "gradients differ"
    del wanted
del gradients

times = {"ranks": [], "one": []}
for _ in range(num_rounds + 2):
    wait_asleep()
    if comm.rank == 0:
        times["one"].append(seconds(MPI.COMM_SELF, *whole))
    wait_asleep()
    comm.Barrier()
    times["ranks"].append(comm.allreduce(seconds(comm, *mine), op=MPI.MAX))
if comm.rank == 0:
    print(json.dumps({name: row[2:] for name, row in times.items()}))
