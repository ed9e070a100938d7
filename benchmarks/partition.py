"""How fast models are cut: each answer is checked first, then timed, against the goals of the project."""

import functools
import itertools
import math

import numpy as np

from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison, Contention, seconds_of
from labkit.training.partition.chain import make_chain
from labkit.training.partition.device import Device
from labkit.training.partition.registry import partition

ROUNDS = 5
FREE = Device(bandwidth_bytes_s=math.inf, latency_s=0)
CHAIN_GOAL_S, MEMORY_GOAL_S, REPLICATION_GOAL_S = 0.2, 0.5, 2.0


def random_chain(num_layers, *, seed=0):
    rng = np.random.default_rng(seed)
    return make_chain(
        forward_s=rng.integers(1, 1000, num_layers) * 1e-6, parameter_bytes=rng.integers(0, 10**7, num_layers).tolist(),
        stored_bytes=rng.integers(0, 10**6, num_layers).tolist(),
        crossing_bytes=rng.integers(0, 10**6, num_layers).tolist(),
    )


def smallest_limit(seconds, num_stages):
    """The best slowest stage without messages: the smallest limit that so many greedily filled stages keep."""
    low, high = max(seconds), math.fsum(seconds)
    for _ in range(100):
        limit = (low + high) / 2
        count, filled = 1, 0.0
        for t in seconds:
            count, filled = (count, filled + t) if filled + t <= limit else (count + 1, t)
        low, high = (low, limit) if count <= num_stages else (limit, high)
    return high


@functools.cache
def check_many_layers():
    chain = random_chain(1000)
    expected = smallest_limit([layer.compute_s for layer in chain.layers], 64)
    assert math.isclose(partition(chain, 64, device=FREE).slowest_s, expected, rel_tol=1e-9), "not the best partition"


@functools.cache
def check_small_chains():
    """1000 chains, each against all of its partitions."""
    rng = np.random.default_rng(1)
    for number in range(1000):
        n = int(rng.integers(1, 10))
        num_ranks = int(rng.integers(1, n + 1))
        chain = random_chain(n, seed=number)
        device = Device(bandwidth_bytes_s=float(rng.choice([1e8, 1e9, 1e10])), overlaps=bool(rng.integers(2)))
        found = partition(chain, num_ranks, device=device).slowest_s
        assert math.isclose(found, partition(chain, num_ranks, "all", device=device).slowest_s, rel_tol=1e-12), chain


@functools.cache
def check_replication():
    """Small chains against every number of stages, every cut, and every number of replicas."""
    rng = np.random.default_rng(2)
    for number in range(60):
        n, num_ranks = int(rng.integers(1, 6)), int(rng.integers(1, 7))
        chain = random_chain(n, seed=number)
        device = Device(bandwidth_bytes_s=float(rng.choice([1e9, 1e11])), latency_s=0)
        best = min(
            max(_stage_s(chain, device, a, b, m) for (a, b), m in zip(itertools.pairwise(cuts), counts, strict=True))
            for k in range(1, min(n, num_ranks) + 1)
            for cuts in ((0, *some, n) for some in itertools.combinations(range(1, n), k - 1))
            for ends in itertools.combinations(range(1, num_ranks), k - 1)
            for counts in (np.diff((0, *ends, num_ranks)),)
        )
        found = partition(chain, num_ranks, "pipedream", device=device).slowest_s
        assert math.isclose(found, best, rel_tol=1e-9), chain


def _stage_s(chain, device, start, stop, num_replicas):
    some, n = chain.layers[start:stop], len(chain)
    sync = 2 * (num_replicas - 1) * sum(layer.parameter_bytes for layer in some) / device.bandwidth_bytes_s
    cuts = [cut for cut in (start, stop) if 0 < cut < n]
    links = [2 * chain.layers[cut - 1].crossing_bytes / device.bandwidth_bytes_s for cut in cuts]
    return max(max(sum(layer.compute_s for layer in some), sync) / num_replicas, *links, 0.0)


def time_of(chain, num_ranks, method, device, goal_s, check):
    check()
    partition(chain, num_ranks, method, device=device)
    with Contention() as contention:
        times = tuple(seconds_of(lambda: partition(chain, num_ranks, method, device=device)) for _ in range(ROUNDS))
    return Comparison(times, (goal_s,), contention.busy)


def time_of_small_chains():
    """1000 small chains, another 1000 of which were checked."""
    check_small_chains()
    chains = [random_chain(8, seed=number) for number in range(1000)]
    with Contention() as contention:
        seconds = seconds_of(lambda: [partition(chain, 4) for chain in chains])
    return Comparison((seconds,), (5.0,), contention.busy)


def benchmarks():
    chain, limited = random_chain(1000), Device(memory_bytes=1.5e9)
    yield Benchmark(
        "partition of 1000 layers into 64 stages, against 0.2 s", Goal("<=", 1),
        functools.partial(time_of, chain, 64, "chain", Device(), CHAIN_GOAL_S, check_many_layers),
    )
    yield Benchmark(
        "the same within a memory limit, against 0.5 s", Goal("<=", 1),
        functools.partial(time_of, chain, 64, "chain", limited, MEMORY_GOAL_S, check_many_layers),
    )
    yield Benchmark(
        "PipeDream with replication, 100 layers on 64 ranks, against 2 s", Goal("<=", 1),
        functools.partial(
            time_of, random_chain(100), 64, "pipedream", Device(), REPLICATION_GOAL_S, check_replication
        ),
    )
    yield Benchmark("1000 random small chains, each the best of all, against 5 s", Goal("<=", 1), time_of_small_chains)
