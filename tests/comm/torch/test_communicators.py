"""Communicators for tensors on real ranks: what they do is compared in ranks/."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mpi4py import MPI

from labkit.comm.protocol import Communicator, Request
from labkit.comm.torch import TensorComm, communicator
from labkit.comm.torch.distributed import DistributedComm
from labkit.comm.torch.requests import TensorRequest
from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import run_mpi
from tests.comm.test_protocol import arguments, methods

RANKS = Path(__file__).with_name("ranks")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.mpi
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_all_machines_conform(num_ranks):
    assert run_mpi([str(RANKS / "all_machines.py")], num_ranks, 100).strip().endswith("conforms")


@pytest.mark.mpi
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("num_ranks", [1, 3])
def test_one_gpu(num_ranks):
    assert run_mpi([str(RANKS / "one_gpu.py")], num_ranks, 110).strip().endswith("conforms")


@pytest.mark.mpi
def test_under_torchrun_and_after_the_loss_of_a_rank():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    processes = []
    try:
        for rank in range(3):
            environment = os.environ | {
                "RANK": str(rank), "WORLD_SIZE": "3", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            }
            processes.append(subprocess.Popen(
                [sys.executable, str(RANKS / "by_torchrun.py")], env=environment, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True,
            ))
        outputs = [process.communicate(timeout=90) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert outputs[0][0].strip().endswith("done")


@pytest.mark.parametrize("protocol, cls", [(Communicator, DistributedComm), (Communicator, TensorComm), (Request, TensorRequest)])
def test_the_protocols_names_and_arguments(protocol, cls):
    for name in methods(protocol):
        assert arguments(getattr(cls, name)) == arguments(getattr(protocol, name)), name


class Listening:
    """COMM_SELF that remembers the buffers it gets."""

    def __init__(self):
        self.seen = []

    def __getattr__(self, name):
        function = getattr(MPI.COMM_SELF, name)

        def call(*args, **options):
            self.seen += [value for value in (*args, *options.values()) if hasattr(value, "ctypes")]
            return function(*args, **options)

        return call


def test_the_library_gets_the_tensors_own_memory():
    inner = Listening()
    comm = TensorComm(inner)
    for dtype in (torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.float16, torch.float8_e5m2):
        inner.seen.clear()
        mine, room = torch.ones(5).to(dtype), torch.zeros(5).to(dtype)
        comm.Sendrecv(mine, 0, 0, room, 0, 0)
        assert [array.ctypes.data for array in inner.seen] == [mine.data_ptr(), room.data_ptr()]
        assert torch.equal(room.view(torch.uint8), mine.view(torch.uint8))
    inner.seen.clear()
    weights = torch.zeros(4, requires_grad=True)
    comm.Bcast(weights)
    comm.Allreduce(MPI.IN_PLACE, weights)
    assert [array.ctypes.data for array in inner.seen] == [weights.data_ptr()] * 2


def test_wrong_arguments():
    with pytest.raises(UsageError, match="none of mpi, gloo, nccl"):
        communicator(MPI.COMM_SELF, backend="tcp")
    with pytest.raises(UsageError, match="not contiguous"):
        communicator(MPI.COMM_SELF).Bcast(torch.zeros(3, 3).t())
    if not torch.cuda.is_available():
        with pytest.raises(NotAvailableError, match="no GPU here"):
            communicator(MPI.COMM_SELF, device="cuda:0")


@pytest.mark.parametrize("kinds, is_aware", [("mpi,system,cuda:device", True), ("system,mpi,rocm", False), (None, False)])
def test_what_the_library_says_of_gpu_memory(kinds, is_aware, monkeypatch):
    from labkit.comm.torch import cuda_aware

    class Comm:
        def Get_info(self):
            info = MPI.Info.Create()
            if kinds:
                info.Set("mpi_memory_alloc_kinds", kinds)
            return info

    monkeypatch.setattr(cuda_aware, "_mpi_library", lambda: None)
    assert cuda_aware.cuda_support(Comm()).is_aware == is_aware
    monkeypatch.setattr(cuda_aware, "_query", lambda library: True)
    assert cuda_aware.cuda_support(Comm()).is_aware
