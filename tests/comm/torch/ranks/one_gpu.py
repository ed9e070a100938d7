"""Run under mpiexec with one GPU for all ranks: staged over MPI and over Gloo; NCCL on one rank, refused on several.

Prints ``conforms`` on rank 0.
"""

import sys
from pathlib import Path

import torch
from mpi4py import MPI

sys.path[:0] = [str(Path(__file__).parent)]
import tensor_checks

from labkit.comm.torch import communicator
from labkit.errors import NotAvailableError

world = MPI.COMM_WORLD
over_mpi = communicator(world, device="cuda")
assert over_mpi.device.type == "cuda"
tensor_checks.check(over_mpi, "cuda")
over_gloo = communicator(world, backend="gloo", device="cuda")
tensor_checks.check(over_gloo, "cuda")
if world.size > torch.cuda.device_count():
    try:
        communicator(world, backend="nccl", device="cuda")
    except NotAvailableError as error:
        assert "share one GPU" in str(error) and "gloo" in str(error), error
    else:
        raise AssertionError("NCCL with two ranks on one GPU was not refused")
else:
    over_nccl = communicator(world, backend="nccl", device="cuda")
    tensor_checks.check(over_nccl, "cuda", without=["check_refusals", "check_sums_of_16_bits"])
if world.allreduce(1) == world.size and world.rank == 0:
    print("conforms")
