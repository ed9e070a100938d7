"""A Slurm cluster for the session, used by normal users: see test-cluster.sh for what a host is.

    def test_two_hosts(slurm):
        done = slurm.as_user("labkit-a", "ctl", "srun", "-N2", "hostname")
        assert sorted(done.stdout.split()) == ["n1", "n2"]

Hosts that a test crashed or cut are well again before the next one. Jobs and processes of the users end with the
module, or where a test calls ``slurm.clear()``.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from slurm_session import NotHereError, slurm_session  # noqa: E402


@pytest.fixture(scope="session")
def slurm():
    """A controller and two idle nodes: see SlurmCluster."""
    try:
        with slurm_session() as cluster:
            yield cluster
    except NotHereError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module", autouse=True)
def tidy_module(slurm):
    yield
    slurm.clear()


@pytest.fixture(autouse=True)
def healed(slurm):
    yield
    slurm.heal()
