"""Run by softmax.py on two ranks: cross-entropy of a large vocabulary on both, on rank 0 alone, and on both without
messages, each with its own half as the whole vocabulary. Prints JSON.

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


def step(of, x, out, width=num_columns):
    """The losses and their gradient; ``width`` is the number of columns of all ranks of the communicator."""
    loss = parallel_cross_entropy(of, x, targets % width, num_columns=width, team=team)
    parallel_cross_entropy_backward(x, loss, out=out, team=team)
    return loss.losses


def seconds(*arguments):
    start = time.perf_counter()
    step(*arguments)
    return time.perf_counter() - start


def seconds_of_all(*arguments):
    """Of the slowest rank, from a common start."""
    comm.Barrier()
    return comm.allreduce(seconds(*arguments), op=MPI.MAX)


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

on_both = {"ranks": (comm, *mine), "apart": (MPI.COMM_SELF, *mine, mine[0].shape[1])}
times = {"one": [], "ranks": [], "apart": []}
for number in range(num_rounds + 2):
    wait_asleep()
    if comm.rank == 0:
        times["one"].append(seconds(MPI.COMM_SELF, *whole))
    wait_asleep()
    for name in sorted(on_both, reverse=number % 2):  # the second finds more in the caches
        times[name].append(seconds_of_all(*on_both[name]))
if comm.rank == 0:
    print(json.dumps({name: row[2:] for name, row in times.items()}))
