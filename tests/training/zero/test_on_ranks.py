"""ZeRO on real ranks; see rank_program.py."""

from pathlib import Path

import pytest

from labkit.hardware.messages import run_mpi


@pytest.mark.mpi
@pytest.mark.timeout(300)
@pytest.mark.parametrize("num_ranks", [2, 3])
def test_zero(num_ranks):
    output = run_mpi([str(Path(__file__).with_name("rank_program.py"))], num_ranks, deadline_s=240)
    assert output.splitlines()[-1] == "all is well"
