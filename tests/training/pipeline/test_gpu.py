"""Stages of a pipeline as several ranks on one GPU, over Gloo and over MPI; their messages go through the host."""

import pytest
import torch

from labkit.hardware.messages import run_mpi

PROGRAM = """
import torch
from mpi4py import MPI
from labkit.comm.torch import communicator
from labkit.training import TrainingOptions, load_characters, make_model
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone

if __name__ == "__main__":
    data = load_characters(length=16).head(40, 11)
    make = lambda: make_model("transformer", data, width=16, num_heads=4, num_blocks=3, seed=1).cuda()
    options = TrainingOptions(num_steps=20, batch_size=14, num_micro_batches=4, learning_rate=0.05)
    expected = run_alone(make, data, options)
    for comm in (communicator(MPI.COMM_WORLD, backend="gloo", device="cuda"), MPI.COMM_WORLD):
        for settings in ({"schedule": "1f1b"}, {"schedule": "zb-h1"}, {"schedule": "gpipe", "checkpointing": True}):
            found = check_equivalence(comm, make, data, options, "pipeline", expected=expected, tolerance=2e-3, **settings)
            assert found.is_right, f"{settings} {found}"
    if comm.rank == 0:
        print("fine")
"""


@pytest.mark.gpu
@pytest.mark.mpi
@pytest.mark.timeout(300)
def test_stages_that_share_a_gpu_equal_one_process(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert run_mpi([str(program)], 2, 280).split()[-1] == "fine"
