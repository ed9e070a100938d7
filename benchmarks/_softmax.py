"""Run by softmax.py on two ranks: cross-entropy of a large vocabulary on both, on rank 0 alone, and on both without
messages, each with its own half as the whole vocabulary. Prints JSON.

Arguments: rows, columns, rounds. Every rank has one thread. The times are those of the loss and its gradient.

Two cores of a virtual machine are at times two threads of one core of the host: then whatever runs on both is slow,
and nothing can be learnt about ranks. So every round has a control, two ranks that never talk to each other against a
second run of one, and rounds go on until enough of them had two cores.
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

TWO_CORES = 1.8  # times as fast as one, at least, are two ranks that need not wait for each other
MOST_SECONDS = 60

on_both = {"ranks": (comm, *mine), "apart": (MPI.COMM_SELF, *mine, mine[0].shape[1])}


def one_round(number):
    """Seconds of all, on rank 0."""
    found = {}
    for name in ("one", *sorted(on_both, reverse=number % 2), "one again"):  # the second of both finds more in the caches
        wait_asleep()
        if name in on_both:
            found[name] = seconds_of_all(*on_both[name])
        elif comm.rank == 0:
            found[name] = seconds(MPI.COMM_SELF, *whole)
    return found


rounds, num_clean = [], 0
end = time.monotonic() + MOST_SECONDS
for number in range(-2, 10**6):  # the first two warm up
    found = one_round(number)
    if comm.rank == 0 and number >= 0:
        found["clean"] = found["one again"] >= TWO_CORES * found["apart"]
        num_clean += found["clean"]
        rounds.append(found)
    if comm.bcast(num_clean >= num_rounds or time.monotonic() > end):
        break
if comm.rank == 0:
    print(json.dumps(rounds))
