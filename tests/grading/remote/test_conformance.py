"""The checks of tests/comm/conformance as an answer, on ranks in processes of their own."""

import re
from pathlib import Path

import pytest
from mpi4py import MPI

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import Simulation
from tests.comm import conformance

# An answer is one text: all parts, without what they import from one another.
PARTS = [path.read_text() for path in sorted(Path(conformance.__file__).parent.glob("[a-z]*.py"))]
SOURCE = re.sub(r"(?m)^from \..*$", "", "\n".join(PARTS)) + """

def answer(comm, names):
    from mpi4py import MPI
    run(comm, MPI, {name: globals()[name] for name in names})
"""

NETWORKS = {"default": None, "rendezvous": alpha_beta(1e-6, 1e-9, 1e-10, eager_limit_bytes=0)}
SIZES = (1, 2, 3, 5)


@pytest.fixture(scope="module")
def processes(zygote):
    """Processes by number of ranks, for all checks."""
    from labkit.grading.remote.ranks import RankProcesses

    started = {p: RankProcesses(zygote, p, SOURCE, "answer", memory_bytes=1 << 30, cpu_seconds=600) for p in SIZES}
    yield started
    for found in started.values():
        found.close()


@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.parametrize("network", NETWORKS)
def test_conforms_and_costs_what_it_costs_in_one_process(processes, network, check):
    for num_ranks in SIZES:
        processes[num_ranks].set_deadline(100)
        network_of = {"network": NETWORKS[network]} if NETWORKS[network] else {}
        remote, _ = processes[num_ranks].simulate([([check],)] * num_ranks, **network_of)
        assert remote.error() is None, f"{num_ranks} ranks: {remote.error().__cause__ or remote.error()}"
        assert (remote.left_over, remote.num_unreceived) == ({}, 0)
        local = Simulation(num_ranks, **network_of)
        local.run(lambda comm: conformance.check(comm, MPI, [check]))
        assert local.error() is None
        assert remote.counts() == local.counts(), num_ranks
        assert [float(rank.now) for rank in remote.world.ranks] == [float(rank.now) for rank in local.world.ranks]
