"""Predicted times against simulated ones, on networks that the alpha-beta-gamma model alone does not describe."""

import pytest

from labkit.comm.network.presets import PRESETS
from labkit.mpi.collectives.registry import ALGORITHMS
from labkit.mpi.curves import predicted_time_s, simulated_time_s

NODES = PRESETS["nvlink+infiniband"]
FAMOUS = ("allreduce_ring", "allreduce_rabenseifner", "allreduce_hierarchical")


@pytest.mark.parametrize("num_ranks", [12, 16, 24, 32, 48, 64])
@pytest.mark.parametrize("num_bytes", [8, 65536, 2**20])
def test_on_nodes_of_several_ranks_the_predicted_order_is_the_simulated_one(num_ranks, num_bytes):
    predicted = {name: predicted_time_s(name, num_ranks, num_bytes, NODES) for name in FAMOUS}
    simulated = {name: simulated_time_s(name, num_ranks, num_bytes, NODES) for name in FAMOUS}
    for name in FAMOUS:
        assert 1 / 1.5 < predicted[name] / simulated[name] < 1.5, name
    for one in FAMOUS:
        for other in FAMOUS:
            if simulated[one] < 0.8 * simulated[other]:
                assert predicted[one] < predicted[other], (one, other)


@pytest.mark.parametrize("name", [name for name, algorithm in ALGORITHMS.items() if not algorithm.needs_shared_memory])
def test_on_eight_nodes_of_eight_ranks_lines_are_near_the_simulation(name):
    for num_bytes in (8, 2**16):
        ratio = predicted_time_s(name, 64, num_bytes, NODES) / simulated_time_s(name, 64, num_bytes, NODES)
        assert 1 / 1.5 < ratio < 1.5, num_bytes


@pytest.mark.parametrize(
    "name", ["broadcast_flat", "scatter_flat", "gather_flat", "reduce_flat", "alltoall_linear", "allreduce_all_pairs"]
)
@pytest.mark.parametrize("num_ranks", [2, 8, 16])
def test_what_one_rank_sends_at_once_does_not_wait_for_the_latency_each_time(name, num_ranks):
    network = PRESETS["ethernet-100g"]
    for num_bytes in (8, 512, 4096, 2**20):
        ratio = predicted_time_s(name, num_ranks, num_bytes, network) / simulated_time_s(name, num_ranks, num_bytes, network)
        assert 1 / 1.5 < ratio < 1.5, num_bytes


def test_the_formula_of_doubling_gives_the_bytes_of_all_ranks_beyond_a_power_of_two():
    algorithm = ALGORITHMS["allgather_recursive_doubling"]
    assert "floor(lg p) + 2 rounds and n to 1.4 n more bytes" in algorithm.formula
    for p in range(3, 200):
        if p & (p - 1):
            cost = algorithm.cost(p, p, 1)
            assert cost.num_rounds == p.bit_length() + 1 and 1 <= (cost.path_bytes - (p - 1)) / p <= 1.4, p
