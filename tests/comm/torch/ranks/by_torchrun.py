"""Run by processes with torchrun's environment: ``communicator()`` finds them; a rank that is gone is named.

Prints ``done`` on rank 0.
"""

import os
import sys

import numpy as np
import torch
from mpi4py import MPI

from labkit.comm.torch import communicator
from labkit.errors import UsageError

torch.set_num_threads(1)
try:
    communicator(backend="mpi")
except UsageError as error:
    assert "torchrun started" in str(error), error
else:
    raise AssertionError("worlds of one rank each were taken for the world of torchrun")
comm = communicator()
assert (comm.rank, comm.size) == (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
total = torch.full((100_000,), comm.rank + 1.0)
comm.Allreduce(MPI.IN_PLACE, total)
assert total.unique().tolist() == [comm.size * (comm.size + 1) / 2]
try:
    communicator(MPI.COMM_SELF, backend="gloo")
except UsageError as error:
    assert comm.size == 1 or "is initialised as rank" in str(error), error
last = comm.size - 1
comm.Barrier()
if comm.rank == last:
    os._exit(0)  # as if it were killed
for call in (lambda: comm.Recv(np.zeros(2), last), lambda: comm.recv(source=MPI.ANY_SOURCE), comm.Barrier,
             lambda: comm.Allreduce(np.ones(2), np.zeros(2)), lambda: comm.Allreduce(torch.ones(2), torch.zeros(2))):
    try:
        call()
    except MPI.Exception as error:
        words = str(error)
        assert f"rank {comm.rank}" in words and ("gone" in words or f"rank {last} has been lost" in words
                                                 or "has left" in words), words
    else:
        raise AssertionError("a lost rank was not noticed")
if comm.rank == 0:
    print("done")
sys.stdout.flush()
