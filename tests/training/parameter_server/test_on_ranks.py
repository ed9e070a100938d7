"""Servers and workers on real ranks, by messages and by windows; see rank_program.py."""

from pathlib import Path

import pytest

from labkit.hardware.messages import run_mpi


@pytest.mark.mpi
@pytest.mark.parametrize("num_ranks", [2, 4])
def test_training_with_servers(num_ranks):
    output = run_mpi([str(Path(__file__).with_name("rank_program.py"))], num_ranks, deadline_s=100)
    assert output.splitlines()[-1] == "all is well"
