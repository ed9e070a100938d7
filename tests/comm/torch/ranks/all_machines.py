"""Run under mpiexec: communicators for tensors over MPI, over Gloo, staged, and direct ones with Gloo in NCCL's place.

Prints ``conforms`` on rank 0 if nothing differed.
"""

import datetime
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from mpi4py import MPI

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
import conformance
import tensor_checks

from labkit.comm.simulated.requests import Prequest, Request
from labkit.comm.torch import TensorComm, communicator
from labkit.comm.torch.direct import DirectTransfers

torch.set_num_threads(1)
world = MPI.COMM_WORLD


class Staged(TensorComm):
    """Every tensor goes through a copy, as one on a GPU does where the library cannot reach it."""

    def must_stage(self, tensor):
        return True

    def _wrap(self, made):
        return Staged(made) if made != MPI.COMM_NULL else made


over_mpi = communicator(world, backend="mpi")
assert not over_mpi.is_cuda_aware
conformance.check(over_mpi, MPI, [name for name in conformance.CHECKS if name != "check_truncation"])
tensor_checks.check(over_mpi)
tensor_checks.check(Staged(world), without=["check_refusals"])

over_gloo = communicator(world, backend="gloo")
assert dist.is_initialized() and (over_gloo.rank, over_gloo.size) == (world.rank, world.size)
names = SimpleNamespace(**{name: getattr(MPI, name) for name in dir(MPI)})
names.Request, names.Prequest = Request, Prequest
conformance.check(over_gloo.inner, names)
conformance.check(over_gloo, names, ["check_waits", "check_communicators", "check_collectives_to_all", "check_truncation"])
tensor_checks.check(over_gloo)
tensor_checks.check(Staged(over_gloo.inner), without=["check_refusals"])


def gloo_instead(store, rank, size):
    return dist.ProcessGroupGloo(store, rank, size, timeout=datetime.timedelta(seconds=60))


direct = TensorComm(over_gloo.inner, direct=DirectTransfers(over_gloo.inner, gloo_instead, "cpu"))
tensor_checks.check(direct, without=["check_refusals", "check_sums_of_16_bits"])
assert communicator(world, backend="gloo").inner is over_gloo.inner, "one world, asked for twice"
if world.allreduce(1) == world.size and world.rank == 0:
    print("conforms")
