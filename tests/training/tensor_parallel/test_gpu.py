"""Divided models on a GPU that the ranks share; their messages go through the host."""

import pytest
import torch

from labkit.hardware.messages import run_mpi

PROGRAM = """
import torch
from mpi4py import MPI
from labkit.comm.torch import communicator
from labkit.training import TrainingOptions, load_reviews, make_model
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone

if __name__ == "__main__":
    data = load_reviews().head(40, 11)
    make = lambda: make_model("transformer", data, width=16, num_heads=4, seed=1, dropout=0.1).cuda()
    options = TrainingOptions(num_steps=20, batch_size=7, learning_rate=0.05)
    expected = run_alone(make, data, options)
    for comm in (MPI.COMM_WORLD, communicator(MPI.COMM_WORLD, backend="gloo", device="cuda")):
        for sequence_parallel in (False, True):
            found = check_equivalence(comm, make, data, options, "tensor_parallel", expected=expected, tolerance=2e-3,
                                      sequence_parallel=sequence_parallel)
            assert found.is_right, str(found)
    if comm.rank == 0:
        print("fine")
"""


@pytest.mark.gpu
@pytest.mark.mpi
@pytest.mark.timeout(200)
def test_ranks_that_share_a_gpu_equal_one_process(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert run_mpi([str(program)], 2, 180).split()[-1] == "fine"
