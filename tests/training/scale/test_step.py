"""Steps against the simulator of messages, against a step worked out by hand, and against laws that always hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.comm.network.model import LinkCost, alpha_beta
from labkit.comm.network.presets import PRESETS, find_network
from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.mpi.collectives.registry import find
from labkit.training.scale.curves import NUMS_RANKS, scaling_curve
from labkit.training.scale.profile import Gradient, StepProfile, published_profile
from labkit.training.scale.step import ALGORITHMS, allreduce_s, buckets_of, step_time

NETWORK = alpha_beta(1e-5, 1e-9, 1e-10)


@pytest.mark.parametrize("algorithm", ["ring", "rabenseifner", "recursive_doubling", "reduce_broadcast"])
@pytest.mark.parametrize("num_ranks", [1, 2, 4, 8])
def test_a_step_is_what_the_simulator_of_messages_takes(algorithm, num_ranks):
    profile = StepProfile("two layers", 3e-4, (Gradient("b", 2e-4, 6400), Gradient("a", 1e-4, 3200)), 1)

    def program(comm):
        comm.charge_compute(profile.compute_s)
        data = np.full(2400, comm.rank + 1, np.float32)
        find(f"allreduce_{algorithm}").function(comm, data.copy(), data)
        return data[0]

    run = simulate(num_ranks, program, network=NETWORK)
    assert run.results == [sum(range(num_ranks + 1))] * num_ranks
    step = step_time(profile, num_ranks, NETWORK, algorithm=algorithm, bucket_bytes=math.inf, overlaps=False)
    assert step.step_s == pytest.approx(run.time_s, rel=1e-9)


def test_around_a_ring_of_nodes_the_slowest_link_sets_the_pace():
    network = alpha_beta(2e-5, 1e-8, ranks_per_node=4, inside=LinkCost(1e-6, 1e-10))

    def program(comm):
        data = np.zeros(40_000, np.float32)
        find("allreduce_ring").function(comm, data.copy(), data)

    run = simulate(16, program, network=network)
    assert allreduce_s(160_000, 16, network, "ring") == pytest.approx(run.time_s, rel=0.05)


def test_nodes_share_their_port():
    network = alpha_beta(1e-6, 1e-9, ranks_per_node=4, inside=LinkCost(1e-7, 1e-11))
    alone = alpha_beta(1e-6, 1e-9)
    for algorithm in ("rabenseifner", "recursive_doubling"):
        ratio = allreduce_s(10**8, 64, network, algorithm) / allreduce_s(10**8, 64, alone, algorithm)
        assert ratio == pytest.approx(4, rel=0.01)
    # Between 16 nodes a ring of nodes moves 2 n 15 / 16 bytes through each port, and hardly anything inside.
    assert allreduce_s(10**8, 64, network, "hierarchical") == pytest.approx(2 * 10**8 * 15 / 16 * 1e-9, rel=0.03)
    assert allreduce_s(10**6, 4, network, "ring") == pytest.approx(6 * (1e-7 + 250_000 * 1e-11))


def test_a_step_by_hand():
    # alpha 0, 1 us a byte: on two ranks a ring sends every byte once, so n bytes take n us.
    network = alpha_beta(0, 1e-6)
    gradients = (Gradient("d", 1e-3, 2000), Gradient("c", 1e-3, 1000), Gradient("b", 1e-3, 400), Gradient("a", 1e-3, 400))
    profile = StepProfile("four layers", 2e-3, gradients, 1)
    step = step_time(profile, 2, network, bucket_bytes=1000)
    assert [bucket.names for bucket in step.buckets] == [("d",), ("c",), ("b", "a")]
    ready, start, end = ([round(1e6 * getattr(b, f"{what}_s")) for b in step.buckets] for what in ("ready", "start", "end"))
    assert (ready, start, end) == ([3000, 4000, 6000], [3000, 5000, 6000], [5000, 6000, 6800])
    assert step.step_s == pytest.approx(6.8e-3) and step.exposed_s == pytest.approx(0.8e-3)
    assert step.efficiency == pytest.approx(6 / 6.8) and step.communication_s == pytest.approx(3.8e-3)
    after = step_time(profile, 2, network, bucket_bytes=1000, overlaps=False)
    assert after.step_s == pytest.approx(6e-3 + 3.8e-3)
    noisy = step_time(profile, 2, network, bucket_bytes=1000, noise=0.1)  # H_2 = 1.5
    assert noisy.backward_end_s == pytest.approx(6e-3 * 1.15)
    assert step_time(profile, 1, network, noise=0.1).efficiency == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30), st.floats(0, 30_000))
def test_every_gradient_is_in_one_bucket_in_order(sizes, limit):
    profile = StepProfile("x", 0.0, tuple(Gradient(str(n), 1e-3, size) for n, size in enumerate(sizes)), 1)
    buckets = buckets_of(profile, limit)
    assert [n for first, last in buckets for n in range(first, last)] == list(range(len(sizes)))
    for first, last in buckets:
        assert last - first == 1 or sum(sizes[first:last]) <= limit or sum(sizes[first : last - 1]) == 0
    step = step_time(profile, 4, NETWORK, bucket_bytes=limit)
    assert step.step_s >= step.backward_end_s and 0 < step.efficiency <= 1


def test_up_to_4096_gpus_on_every_network():
    for network in PRESETS.values():
        for algorithm in ALGORITHMS:
            curve = scaling_curve("x", published_profile("resnet50"), network, algorithm=algorithm)
            assert [step.num_ranks for step in curve.steps] == list(NUMS_RANKS) and NUMS_RANKS[-1] == 4096
            efficiencies = [step.efficiency for step in curve.steps]
            assert efficiencies[0] == 1 and all(0 < e <= 1 for e in efficiencies)
            hidden = scaling_curve("x", published_profile("resnet50"), network, algorithm=algorithm, overlaps=False)
            assert all(a.step_s <= b.step_s + 1e-12 for a, b in zip(curve.steps, hidden.steps, strict=True))
    slow = find_network("ethernet-10g")
    inception, resnet101, vgg = (
        step_time(published_profile(name), 64, slow).efficiency for name in ("inception_v3", "resnet101", "vgg16")
    )
    assert vgg < 0.7 < min(inception, resnet101)


@pytest.mark.parametrize("change, words", [
    ({"algorithm": "carrier pigeon"}, "ring, rabenseifner"), ({"bucket_bytes": -1}, "0 or more"),
    ({"bucket_bytes": math.nan}, "0 or more"), ({"noise": -0.1}, "0 or more"), ({"num_ranks": 0}, "at least 1"),
    ({"num_ranks": 2.5}, "at least 1"),
])
def test_wrong_arguments(change, words):
    arguments = {"profile": published_profile("vgg16"), "num_ranks": 4, "network": NETWORK} | change
    with pytest.raises(UsageError, match=words):
        step_time(**arguments)
