"""Partitioners against all partitions of small chains, counted with fractions; the validator; what is refused."""

import importlib.util
import itertools
import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.training.partition.chain import Chain, Layer, SharedParameter, make_chain
from labkit.training.partition.check import check_partition
from labkit.training.partition.device import Device
from labkit.training.partition.registry import PARTITIONERS, partition
from labkit.training.partition.tree_walk import deal

spec = importlib.util.spec_from_file_location("partition_oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)

FREE = Device(latency_s=0, bandwidth_bytes_s=math.inf)


def ranges_of(found, chain):
    """First and last layer of the stages, found from the names."""
    bounds = np.cumsum([0, *(len(stage) for stage in found.layers)]).tolist()
    assert bounds[-1] == len(chain)
    return list(itertools.pairwise(bounds))


@pytest.mark.parametrize("seed", range(4))
def test_chain_is_the_best_of_all(seed):
    """1000 chains in all; communication added or overlapped, parameters shared, memory without limit."""
    rng = np.random.default_rng(seed)
    for _ in range(250):
        n = int(rng.integers(1, 10))
        num_ranks = int(rng.integers(1, n + 1))
        chain = oracle.random_chain(rng, n, num_shared=int(rng.integers(0, 3)))
        device = oracle.random_device(rng)
        found = partition(chain, num_ranks, device=device, shared="copies")
        assert math.isclose(found.slowest_s, oracle.best_s(chain, device, num_ranks), rel_tol=1e-12)
        for k, ((a, b), cost) in enumerate(zip(ranges_of(found, chain), found.costs, strict=True)):
            assert math.isclose(cost.stage_s, oracle.stage_s(chain, device, a, b), rel_tol=1e-12)
            assert cost.memory_bytes == oracle.memory(chain, device, a, b, num_ranks - k)
            assert cost.parameter_bytes == oracle.parameter_bytes(chain, a, b)


@pytest.mark.parametrize("seed", range(3))
def test_chain_within_memory_is_the_best_that_fits(seed):
    rng = np.random.default_rng(100 + seed)
    outcomes = {"fits": 0, "limit matters": 0, "nothing fits": 0}
    for _ in range(150):
        n = int(rng.integers(1, 9))
        num_ranks = int(rng.integers(1, n + 1))
        chain = oracle.random_chain(rng, n, num_shared=int(rng.integers(0, 2)))
        device = oracle.random_device(rng)
        limit = int(oracle.memory(chain, device, 0, n, num_ranks) / num_ranks * rng.uniform(0.6, 2)) + 1
        device = replace(device, memory_bytes=limit)
        expected = oracle.best_s(chain, device, num_ranks)
        if expected is None:
            outcomes["nothing fits"] += 1
            for method in ("chain", "all"):
                with pytest.raises(UsageError, match=f"{limit:,}"):
                    partition(chain, num_ranks, method, device=device, shared="copies")
            continue
        free = oracle.best_s(chain, replace(device, memory_bytes=math.inf), num_ranks)
        outcomes["limit matters" if expected > free else "fits"] += 1
        for method in ("chain", "all"):
            found = partition(chain, num_ranks, method, device=device, shared="copies")
            assert math.isclose(found.slowest_s, expected, rel_tol=1e-12)
            assert max(found.rank_memory_bytes) <= limit
    assert min(outcomes.values()) >= 3, outcomes


@pytest.mark.parametrize("limited", [False, True])
def test_pipedream_is_the_best_of_all(limited):
    rng = np.random.default_rng(5)
    refused = replicated = 0
    for _ in range(100):
        n, num_ranks = int(rng.integers(1, 6)), int(rng.integers(1, 7))
        chain = oracle.random_chain(rng, n)
        device = oracle.random_device(rng)
        if limited:
            limit = int(oracle.memory(chain, device, 0, n, num_ranks) * rng.uniform(0.2, 1)) + 1
            device = replace(device, memory_bytes=limit)
        expected = oracle.best_replicated_s(chain, device, num_ranks)
        if expected is None:
            refused += 1
            with pytest.raises(UsageError, match="bytes"):
                partition(chain, num_ranks, "pipedream", device=device)
            continue
        found = partition(chain, num_ranks, "pipedream", device=device)
        assert math.isclose(found.slowest_s, expected, rel_tol=1e-12), chain
        assert sum(found.num_replicas) == num_ranks == found.num_ranks
        assert max(found.rank_memory_bytes) <= device.memory_bytes
        assert found.ranks == tuple(np.cumsum([0, *found.num_replicas[:-1]]))
        replicated += max(found.num_replicas) > 1
    assert replicated > 15 and (refused > 3) == limited


def test_pipedream_formula_by_hand():
    """T(0 -> 2, 2) = max(6, 2 W / B) / 2, against two stages of 3 with a message of 2 * 5 / B between them."""
    chain = make_chain(forward_s=[1, 1], parameter_bytes=[10, 30], crossing_bytes=[5, 0])
    slow, fast = (Device(latency_s=0, bandwidth_bytes_s=b) for b in (2, 100))
    # 10 bytes at 2 bytes/s, against 2 * 40 bytes for two replicas that halve it: 20 s
    assert partition(chain, 2, "pipedream", device=slow).slowest_s == 5
    found = partition(chain, 2, "pipedream", device=fast)
    assert (found.num_replicas, found.slowest_s) == ((2,), 3)


def test_by_count_and_by_parameters():
    rng = np.random.default_rng(3)
    for _ in range(150):
        n = int(rng.integers(1, 10))
        num_ranks = int(rng.integers(1, n + 1))
        chain = oracle.random_chain(rng, n, num_shared=int(rng.integers(0, 3)))
        sizes = [len(stage) for stage in partition(chain, num_ranks, "count", shared="copies").layers]
        assert sizes == [len(part) for part in np.array_split(np.arange(n), num_ranks)]
        found = partition(chain, num_ranks, "parameters", shared="copies")
        largest = max(oracle.parameter_bytes(chain, a, b) for a, b in ranges_of(found, chain))
        assert largest == min(
            max(oracle.parameter_bytes(chain, a, b) for a, b in itertools.pairwise(bounds))
            for bounds in oracle.all_bounds(n, num_ranks)
        )


def test_many_layers_and_stages():
    """The size of the speed goal; the answer against a search for the smallest limit that few enough stages keep."""
    rng = np.random.default_rng(0)
    seconds = rng.integers(1, 1000, 1000)
    found = partition(make_chain(forward_s=seconds, backward_s=[0] * 1000), 64, device=FREE)
    low, high = int(seconds.max()), int(seconds.sum())
    while low < high:
        limit = (low + high) // 2
        num_stages, filled = 1, 0
        for t in seconds:
            num_stages, filled = (num_stages, filled + t) if filled + t <= limit else (num_stages + 1, t)
        low, high = (low, limit) if num_stages <= 64 else (limit + 1, high)
    assert found.num_stages == 64 and found.slowest_s == low


def test_ties_are_broken_evenly():
    chain = make_chain(forward_s=[9, 1, 1, 1, 1, 1, 1], backward_s=[0] * 7)
    assert [len(stage) for stage in partition(chain, 4, device=FREE).stages] == [1, 2, 2, 2]


def random_tree_names(rng, n):
    tops = ["abc"[3 * k // n] for k in range(n)]
    return [f"{top}.{5 * k // n}.{k}" if rng.random() < 0.7 else f"{top}{k}" for k, top in enumerate(tops)]


def test_tree_walk_fills_all_ranks_and_keeps_shared_together():
    rng = np.random.default_rng(8)
    ratios, returned = [], 0
    for _ in range(300):
        n = int(rng.integers(2, 14))
        chain = oracle.random_chain(rng, n, num_shared=int(rng.integers(0, 2)), names=random_tree_names(rng, n))
        most = n - sum(len(p.layers) - 1 for p in chain.shared)
        num_ranks = int(rng.integers(1, most + 1))
        found = partition(chain, num_ranks, "tree", memory_weight=float(rng.random()), device=FREE)
        assert set(found.ranks) == set(range(num_ranks))
        assert found.tied == ()
        rank_of = {name: rank for stage, rank in zip(found.layers, found.ranks, strict=True) for name in stage}
        for parameter in chain.shared:
            assert len({rank_of[chain.names[k]] for k in parameter.layers}) == 1
        returned += found.num_stages > num_ranks
        if not chain.shared:
            time_only = partition(chain, num_ranks, "tree", memory_weight=0.0, device=FREE)
            best = partition(chain, num_ranks, device=FREE)
            assert time_only.slowest_s >= best.slowest_s * (1 - 1e-12)
            ratios.append(time_only.slowest_s / best.slowest_s)
    assert returned > 20
    assert np.mean(ratios) < 1.25  # near the best, without having looked for it


def test_memory_weight_moves_the_cut():
    """The first half of the layers has the memory, the second one the time."""
    chain = make_chain(forward_s=[1] * 4 + [9] * 4, parameter_bytes=[90] * 4 + [10] * 4)
    time = partition(chain, 2, "tree", memory_weight=0.0, device=FREE)
    memory = partition(chain, 2, "tree", memory_weight=1.0, device=FREE)
    assert [len(stage) for stage in time.layers] == [6, 2]
    assert [len(stage) for stage in memory.layers] == [2, 6]


def test_tree_walk_keeps_modules_whole():
    """Three modules of equal cost for three ranks; the best chain would do the same, by count would cut them."""
    names = ["a.0", "a.1", "a.2", "a.3", "b", "c.0", "c.1"]
    chain = make_chain(forward_s=[1, 1, 1, 1, 4, 2, 2], names=names)
    assert partition(chain, 3, "tree").stages == (tuple(names[:4]), ("b",), tuple(names[5:]))


def test_dhondt():
    """Against the definition: the seats go to the largest quotients cost / 1, cost / 2, ..."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        costs = [float(c) for c in rng.permutation(np.arange(1, 60))[: int(rng.integers(1, 6))]]
        num_ranks = int(rng.integers(1, 10))
        quotients = sorted(((Fraction(int(c), s), -k) for k, c in enumerate(costs) for s in range(1, 11)), reverse=True)
        winners = [-k for _, k in quotients[:num_ranks]]
        assert deal(costs, num_ranks, [99] * len(costs)) == [winners.count(k) for k in range(len(costs))]


def tied_chain():
    table = SharedParameter("embed.weight", 100, 400, (0, 5))
    sizes = {"embed": 100, "blocks.0": 10, "blocks.1": 10, "blocks.2": 10, "blocks.3": 10, "head": 100}
    return Chain(tuple(Layer(name, None, 1, 2, n, 4 * n, 5, 8) for name, n in sizes.items()), (table,))


def test_shared_parameters_stay_together_or_are_copied():
    chain = tied_chain()
    assert (chain.num_parameters, chain.num_bytes) == (140, 560)
    for method in ("count", "parameters", "chain", "all", "pipedream"):
        found = partition(chain, 1, method)
        assert found.costs[0].num_parameters == 140 and found.tied == ()
    for method in ("count", "parameters", "chain", "all"):
        with pytest.raises(UsageError, match=r"1 layer \(of 6, .*embed\.weight.*3 stages: 2 stages.*shared='copies'"):
            partition(chain, 3, method)
        copied = partition(chain, 3, method, shared="copies", device=Device(latency_s=0, bandwidth_bytes_s=100))
        assert copied.tied == (("embed.weight", (0, 2)),)
        assert [cost.tied_s for cost in copied.costs] == [4.0, 0, 4.0]  # 2 (2 - 1) / 2 of 400 bytes at 100 bytes/s
    assert partition(chain, 2, "pipedream").num_replicas == (2,)  # one piece, which two ranks repeat
    walked = partition(chain, 3, "tree")
    assert walked.ranks[0] == walked.ranks[-1] == 0 and walked.num_stages == 4
    with pytest.raises(UsageError, match="5 pieces.*6 ranks"):
        partition(chain, 6, "tree")


def test_merging_counts_each_parameter_once():
    chain = tied_chain()
    for bounds in ((0, 6), (0, 1, 6), (0, 5, 6), (0, 2, 4, 6)):
        merged = chain.merged(bounds)
        assert merged.num_parameters == 140 and len(merged) == len(bounds) - 1
        for k, (a, b) in enumerate(itertools.pairwise(bounds)):
            assert merged.layers[k].parameter_bytes == oracle.parameter_bytes(chain, a, b)
    assert chain.merged((0, 1, 5, 6)).layers[1].modules == ("blocks",)


@pytest.mark.parametrize("method", PARTITIONERS)
def test_too_few_layers(method):
    chain = make_chain(forward_s=[1, 2, 3])
    if method == "pipedream":
        assert sum(partition(chain, 5, method).num_replicas) == 5
    else:
        with pytest.raises(UsageError, match="3 layers.*5 stages.*2 stages would be empty.*Take 3 or fewer"):
            partition(chain, 5, method)
    for bad in (0, -1, 2.0, "2", None, True):
        with pytest.raises(UsageError, match=f"whole number from 1, not {bad!r}"):
            partition(chain, bad, method)
    with pytest.raises(UsageError, match="no layers"):
        partition(make_chain(forward_s=[]), 1, method)


@pytest.mark.parametrize("method", PARTITIONERS)
def test_a_device_too_small_for_one_layer(method):
    chain = make_chain(forward_s=[1, 1, 1], parameter_bytes=[100, 3000, 100], stored_bytes=[1, 20, 3])
    words = "layer '1' alone needs 12,020 bytes.*3,000 bytes of parameters.*has 12,000.*take"
    with pytest.raises(UsageError, match=words):
        partition(chain, 3, method, device=Device(memory_bytes=12000))
    assert partition(chain, 3, method, device=Device(memory_bytes=12400)).num_ranks == 3


def test_a_method_that_ignores_memory_says_which_rank_is_too_full():
    chain = make_chain(forward_s=[1, 1, 1, 1], parameter_bytes=[10, 10, 100, 100])
    device = Device(memory_bytes=500)
    with pytest.raises(UsageError, match=r"'count' gives rank 1 \(stage 1\) 800 bytes.*500.*'chain'"):
        partition(chain, 2, "count", device=device)
    assert partition(chain, 2, "chain", device=device).layers == (("0", "1", "2"), ("3",))


def test_bad_choices():
    chain = make_chain(forward_s=[1, 2, 3])
    for options, words in (
        ({"method": "best"}, "no method 'best'"), ({"shared": "maybe"}, "shared is one of"),
        ({"method": "tree", "memory_weight": 1.5}, "memory_weight"),
    ):
        with pytest.raises(UsageError, match=words):
            partition(chain, 2, **options)
    with pytest.raises(UsageError, match="take the method 'chain'"):
        partition(make_chain(forward_s=range(100)), 9, "all")
    for changes in ({"bandwidth_bytes_s": 0}, {"latency_s": -1}, {"memory_bytes": math.nan}, {"num_microbatches": 0}):
        with pytest.raises(UsageError, match=next(iter(changes))):
            Device(**changes)
    with pytest.raises(UsageError, match="holding"):
        Device(holding="all")
    for lists in (
        {"forward_s": [1, -1]}, {"forward_s": [1], "stored_bytes": [math.nan]}, {"forward_s": [1], "parameter_bytes": []},
    ):
        with pytest.raises(UsageError):
            make_chain(**lists)
    with pytest.raises(UsageError, match="two layers have the name"):
        make_chain(forward_s=[1, 1], names=["a", "a"])


def test_validator_names_what_is_broken():
    chain = make_chain(forward_s=[1, 2, 3, 4])
    good = partition(chain, 2)
    assert check_partition(chain, good) is good
    for stages, words in (
        ((("0", "1", "2", "3"), ()), "stage 1 of 2 is empty"), ((("0", "1"), ("3",)), "missing: 2"),
        ((("0", "1", "2"), ("2", "3")), "too many: 2"), ((("0", "2"), ("1", "3")), "'2' stands where '1' is executed"),
    ):
        with pytest.raises(UsageError, match=words):
            check_partition(chain, replace(good, stages=stages))
    with pytest.raises(UsageError, match="rank 0"):
        check_partition(chain, good, Device(memory_bytes=-0.0)) if good.rank_memory_bytes[0] else check_partition(
            make_chain(forward_s=[1], parameter_bytes=[5]),
            partition(make_chain(forward_s=[1], parameter_bytes=[5]), 1), Device(memory_bytes=19),
        )


def test_stage_of():
    found = partition(make_chain(forward_s=[1] * 4, names=["a.x", "a.y", "b.0.w", "b.1"]), 2, "count")
    assert [found.stage_of(name) for name in ("a", "a.x", "a.y.inner", "b", "b.0", "b.0.w")] == [0, 0, 0, 1, 1, 1]
    with pytest.raises(UsageError, match="no module 'c'"):
        found.stage_of("c")
    with pytest.raises(UsageError, match=r"stages \[0, 1\]"):
        partition(make_chain(forward_s=[1, 1], names=["a.x", "a.y"]), 2).stage_of("a")


def test_numbers_need_no_torch():
    program = (
        "import sys; from labkit.training.partition.registry import partition;"
        "from labkit.training.partition.chain import make_chain; partition(make_chain(forward_s=[1, 2, 3]), 2, 'tree');"
        "assert 'torch' not in sys.modules and 'plotly' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
