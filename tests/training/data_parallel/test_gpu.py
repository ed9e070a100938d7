"""Models on a GPU: several ranks share it, their gradients go through the host."""

import pytest
import torch

from labkit.hardware.messages import run_mpi
from labkit.training.data import load_digits
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.training.serial import train_serial

PROGRAM = """
import torch
from mpi4py import MPI
from labkit.training import TrainingOptions, load_digits, make_model
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone
comm, data = MPI.COMM_WORLD, load_digits().head(43, 20)
make = lambda: make_model("mlp", data, hidden=(24,), seed=1).cuda()
options = TrainingOptions(num_steps=20, batch_size=10)
expected = run_alone(make, data, options)
for name, settings in (("naive", {}), ("overlapped", {"bucket_bytes": 900}), ("overlapped", {"driver": "hooks"}),
                       ("overlapped", {"algorithm": "ring"}), ("torch_ddp", {})):
    found = check_equivalence(comm, make, data, options, name, expected=expected, **settings)
    assert found.is_right, f"{settings} {found}"
if comm.rank == 0:
    print("fine")
"""


@pytest.mark.gpu
@pytest.mark.mpi
def test_ranks_share_a_gpu(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert run_mpi([str(program)], 2, 110).split()[-1] == "fine"


@pytest.mark.gpu
def test_one_process_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    data, options = load_digits(), TrainingOptions(num_steps=20)
    there = train_serial(make_model("mlp", data).cuda(), data, options)
    here = train_serial(make_model("mlp", data), data, options)
    assert there.losses == pytest.approx(here.losses, rel=1e-3)
    assert 0 < there.peak_bytes[0] < 100e6  # what was allocated on the GPU
