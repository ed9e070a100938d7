"""The checks of tests/comm/conformance on simulated ranks, on every model of a network."""

import pytest
from mpi4py import MPI

from labkit.comm.network.model import LinkCost, alpha_beta, loggp
from labkit.comm.network.topologies import FatTree, Ring, Torus
from labkit.comm.simulated.run import simulate
from tests.comm import conformance

NETWORKS = {
    "eager": alpha_beta(1e-6, 1e-9),
    "rendezvous": alpha_beta(1e-6, 1e-9, 1e-10, eager_limit_bytes=0),
    "free": alpha_beta(0, 0),
    "loggp": loggp(2e-6, 0.5e-6, 1e-6, 1e-9, eager_limit_bytes=4096),
    "ring": alpha_beta(1e-6, 1e-9, topology=Ring(), hop_s=1e-7),
    "torus": alpha_beta(1e-6, 1e-9, topology=Torus(), hop_s=1e-7, eager_limit_bytes=64),
    "fat tree": alpha_beta(1e-6, 1e-9, topology=FatTree(4, 2), hop_s=1e-7),
    "two levels": alpha_beta(1e-6, 1e-9, ranks_per_node=4, inside=LinkCost(1e-7, 1e-10), eager_limit_bytes=1000),
}
SIZES = (1, 2, 3, 5, 8)


@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.parametrize("network", NETWORKS)
def test_conforms(network, check):
    for num_ranks in SIZES:
        run = simulate(num_ranks, lambda comm: conformance.check(comm, MPI, [check]), network=NETWORKS[network])
        assert (run.left_over, run.num_unreceived) == ({}, 0)


@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.parametrize("seed", range(4))
def test_conforms_whatever_the_delays(seed, check):
    network = list(NETWORKS.values())[seed % len(NETWORKS) + 1]
    for num_ranks in SIZES:
        for trace in (False, True):
            simulate(
                num_ranks, lambda comm: conformance.check(comm, MPI, [check]), network=network, seed=seed, jitter=5.0,
                trace=trace,
            )


@pytest.mark.parametrize("check", conformance.CHECKS)
def test_conforms_on_33_ranks(check):
    simulate(33, lambda comm: conformance.check(comm, MPI, [check]))
