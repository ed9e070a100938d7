"""All-reduces of one vector: exact, in 16 bits, of the largest values; error feedback, traffic, hard values."""

import math

import numpy as np
import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.mpi.collectives.registry import family
from labkit.training.data_parallel.buckets import plan_buckets
from labkit.training.data_parallel.compressed import Compressed
from labkit.training.data_parallel.counting import CountingComm
from labkit.training.data_parallel.reducers import SHORT_NAMES, AllReduce
from labkit.training.data_parallel.sparse import TopK


def vectors(p, n, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy((rng.standard_normal(n) * scale * 10.0 ** rng.integers(-3, 3, n)).astype(np.float32)) for _ in range(p)]


def reduce_all(make, inputs, num_rounds=1):
    """(Results by round and rank, traffic by rank)."""
    p = len(inputs)

    def program(comm):
        counting, reducer = CountingComm(comm), make()
        reducer.prepare(counting, [len(inputs[0])])
        found = []
        for _ in range(num_rounds):
            vector = inputs[comm.rank].clone()
            reducer.reduce(counting, vector, 0)
            found.append(vector)
        return found, counting.total, reducer

    return list(zip(*simulate(p, program).results, strict=True))


@pytest.mark.parametrize("algorithm", ["library", *SHORT_NAMES])
def test_exact_ones_by_their_short_names(algorithm):
    inputs = vectors(3, 37)
    found, traffic, _ = reduce_all(lambda: AllReduce(algorithm), inputs)
    expected = sum(v.double() for v in inputs)
    for vector, in found:
        assert torch.allclose(vector.double(), expected, rtol=1e-5, atol=1e-5)
    if algorithm == "ring":
        assert [t.num_messages for t in traffic] == [4] * 3 and sum(t.sent_bytes for t in traffic) == 4 * 37 * 4


def test_all_of_the_registry_can_be_named():
    for algorithm in family("allreduce"):
        assert AllReduce(algorithm.name).name == algorithm.name
    with pytest.raises(UsageError, match="no all-reduce 'broadcast_binomial'"):
        AllReduce("broadcast_binomial")


@pytest.mark.parametrize("p", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
@pytest.mark.parametrize("form, roundoff", [("fp16", 2**-11), ("bf16", 2**-8)])
def test_compressed_is_within_two_roundings(form, roundoff, n, p):
    inputs = vectors(p, n, seed=n)
    found, traffic, _ = reduce_all(lambda: Compressed(form), inputs)
    exact = sum(v.double() for v in inputs)
    magnitude = sum(v.double().abs() for v in inputs)
    # fp16 has a fixed spacing below 2**-14 of its range: the vector is scaled so that its largest value is near 2**15.
    tiny = sum(float(v.abs().max()) for v in inputs) * 2**-23 if form == "fp16" else 0
    for vector, in found:
        assert (abs(vector.double() - exact) <= 2.1 * roundoff * magnitude + 2 * tiny + 1e-6 * magnitude).all()
        assert torch.equal(vector, found[0][0])
    assert all(t.sent_bytes <= 2 * (2 * n * (p - 1) / p + 2 * (p - 1)) + 4 * p for t in traffic)


@pytest.mark.parametrize("make", [lambda f: Compressed("bf16", error_feedback=f), lambda f: Compressed("fp16", error_feedback=f),
                                  lambda f: TopK(0.1, error_feedback=f)])
def test_error_feedback_sends_all_of_it_in_the_end(make):
    inputs, rounds = vectors(3, 40, seed=4), 60
    exact = sum(v.double() for v in inputs)
    errors = {}
    for feedback in (True, False):
        found, _, _ = reduce_all(lambda f=feedback: make(f), inputs, rounds)
        mean = sum(vector.double() for vector in found[0]) / rounds
        errors[feedback] = float((mean - exact).norm() / exact.norm())
    assert errors[True] < errors[False] / 5


@pytest.mark.parametrize("scale", [1e-37, 1e-9, 1.0, 1e9, 1e37])
def test_fp16_of_any_size(scale):
    """Gradients of 1e-9 are 0 in fp16, those of 1e9 infinite: the scale of a vector is its own."""
    inputs = [v.clamp(-10, 10) * scale for v in vectors(2, 30, seed=1)]
    found, _, _ = reduce_all(Compressed, inputs)
    exact = sum(v.double() for v in inputs)
    assert float((found[0][0].double() - exact).norm() / exact.norm()) < 1e-3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("make", [Compressed, lambda: Compressed("bf16"), lambda: TopK(0.5)])
def test_what_is_not_finite_arrives_and_leaves_no_trace(make, bad):
    inputs = vectors(2, 20, seed=2)
    spoiled = [inputs[0], inputs[1].clone()]
    spoiled[1][3] = bad

    def program(comm):
        reducer = make()
        reducer.prepare(comm, [20])
        first, second = spoiled[comm.rank].clone(), inputs[comm.rank].clone()
        reducer.reduce(comm, first, 0)
        reducer.reduce(comm, second, 0)
        return first, second

    for first, second in simulate(2, program).results:
        assert not math.isfinite(first[3]) and torch.isfinite(second).all()


def test_top_k_takes_the_largest_of_each_rank():
    inputs = [torch.tensor([5.0, 1.0, -6.0, 0.5]), torch.tensor([0.1, -9.0, 3.0, 0.2])]
    found, traffic, reducers = reduce_all(lambda: TopK(0.5), inputs)
    assert found[0][0].tolist() == [5.0, -9.0, -3.0, 0.0] == found[1][0].tolist()
    assert [r.residuals[0].tolist() for r in reducers] == [[0.0, 1.0, 0.0, 0.5], [pytest.approx(0.1), 0.0, 0.0, pytest.approx(0.2)]]
    assert [t.sent_bytes for t in traffic] == [2 * 8] * 2
    assert TopK(1e-9).num_kept(10) == 1 and TopK(1.0).num_kept(10) == 10 and TopK(0.25).num_kept(10) == 3 and TopK().num_kept(0) == 0


def test_state_of_another_number_of_ranks_is_dropped():
    def program(comm):
        reducer = Compressed("bf16")
        reducer.prepare(comm, [9])
        reducer.reduce(comm, torch.full((9,), 1 / 3), 0)
        return reducer.state_dict()

    state = simulate(2, program).results[0]

    def other(comm):
        reducer = Compressed("bf16")
        reducer.prepare(comm, [9])
        reducer.load_state_dict(state)
        return float(reducer.residuals[0].abs().sum()), float(reducer.sum_residuals[0].abs().sum())

    assert simulate(2, other).results[0][0] > 0 and simulate(3, other).results[0][1] == 0


def test_bad_input():
    for make in (lambda: Compressed("fp8"), lambda: TopK(0), lambda: TopK(1.5), lambda: TopK(True), lambda: plan_buckets([1], -1)):
        with pytest.raises(UsageError):
            make()


def test_plans_of_buckets():
    sizes = [10, 20, 30, 40, 50]
    for limit in (1, 45, 60, 1000, math.inf):
        plans = plan_buckets(sizes, limit, kinds=["a", "a", "b", "a", "b"])
        members = [m for plan in plans for m in plan.members]
        assert sorted(members) == list(range(5))
        for plan in plans:
            assert list(plan.members) == sorted(plan.members, reverse=True)
            assert len({"aabab"[m] for m in plan.members}) == 1
            assert sum(sizes[m] for m in plan.members[:-1]) < limit  # closed as soon as it is full
    assert [p.members for p in plan_buckets(sizes, 1000, first_bytes=50)] == [(4,), (3, 2, 1, 0)]
