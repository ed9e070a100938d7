"""mpi4py's own and the interruptible communicator on real ranks: see conformance.py, which does the comparing."""

from pathlib import Path

import pytest

from labkit.hardware.messages import run_mpi

PROGRAM = str(Path(__file__).with_name("conformance.py"))


@pytest.mark.mpi
@pytest.mark.parametrize("options", [["--mpi4py"], [], ["--traced"]], ids=["mpi4py", "plain", "traced"])
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5])
def test_everything_conforms(num_ranks, options):
    assert run_mpi([PROGRAM, *options], num_ranks, 100).strip() == "conforms"
