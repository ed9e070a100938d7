"""Meshes of real ranks; see ranks/mesh_program.py."""

from pathlib import Path

import pytest

from labkit.hardware.messages import run_mpi


@pytest.mark.mpi
@pytest.mark.timeout(400)
@pytest.mark.parametrize("num_ranks", [4, 8])
def test_meshes(num_ranks):
    program = Path(__file__).with_name("ranks") / "mesh_program.py"
    output = run_mpi([str(program)], num_ranks, deadline_s=300)
    assert output.splitlines()[-1] == "all is well"
