"""Reproducible sums: against the definition in fractions, and one result for every order, team and number of ranks."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.floating_point.summation.exact import sum_exact
from labkit.floating_point.summation.reproducible import (
    allreduce_sum_exact,
    allreduce_sum_reproducible,
    sum_reproducible,
)
from labkit.hardware.messages import run_mpi
from labkit.openmp.team import Team

LARGEST = 1.7976931348623157e308


def any_patterns(rng, n):
    x = rng.integers(0, 2**64, n, dtype=np.uint64).view(np.float64).copy()
    x[~np.isfinite(x)] = 0
    return x


def cancelling_edges(rng, n):
    """Large terms at the edge of a bin that cancel, and small ones around the lowest bin: what is cut off shows."""
    large = np.ldexp(rng.choice([1.0, 1.25, 1.5], n // 4), 45)
    small = np.ldexp(rng.uniform(-1, 1, n - 2 * (n // 4)), rng.integers(-40, 1, n - 2 * (n // 4)))
    return rng.permutation(np.concatenate([large, -large, small]))


KINDS = {
    "edges that cancel": cancelling_edges,
    "normal": lambda rng, n: rng.standard_normal(n),
    "100 binades": lambda rng, n: np.ldexp(rng.standard_normal(n), rng.integers(-50, 51, n)),
    "any patterns": any_patterns,
    "rising": lambda rng, n: np.ldexp(rng.standard_normal(n), np.arange(n) * 1900 // max(n, 1) - 1000),
    "subnormal": lambda rng, n: rng.integers(-(2**52), 2**52, n) * 5e-324,
    "largest": lambda rng, n: LARGEST * rng.choice([-1.0, 1.0], n),
    "edges of bins": lambda rng, n: np.ldexp(rng.choice([-1.5, -1.0, 1.0, 1.5], n), 40 * rng.integers(-20, 20, n) + 5),
}


def definition(x) -> float:
    """Every term rounded to multiples of the unit of three bins, one after the other, ties to even; all exactly."""
    terms = [Fraction(value) for value in x.tolist()]
    if not any(terms):
        return 0.0
    exponent = max(max(math.frexp(value)[1] - 1 for value in x.tolist() if value), -1022)
    top = -((-(exponent + 1036)) // 40)
    total = Fraction(0)
    for term in terms:
        for k in range(3):
            unit = Fraction(2) ** (40 * (top - k) - 1074)
            part = round(term / unit) * unit  # Python rounds fractions with ties to even
            total += part
            term -= part
    try:
        return total.numerator / total.denominator
    except OverflowError:
        return math.inf if total > 0 else -math.inf


@pytest.mark.parametrize("n", [0, 1, 2, 129, 2500, 5000])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_of_the_definition(kind, n):
    x = KINDS[kind](np.random.default_rng([n, len(kind)]), n)
    assert sum_reproducible(x).hex() == definition(x).hex()


@pytest.mark.parametrize("kind", KINDS)
def test_one_result_for_every_order_and_team(kind):
    rng = np.random.default_rng(len(kind))
    x = KINDS[kind](rng, 30_000)
    orders = [x, x[::-1], np.sort(x), x[np.argsort(-abs(x))], *(rng.permutation(x) for _ in range(5))]
    assert len({sum_reproducible(order).hex() for order in orders}) == 1
    assert len({sum_exact(order).hex() for order in orders}) == 1
    teams = [Team(t) for t in (1, 2, 3, 8)]
    assert {sum_reproducible(x, team=team).hex() for team in teams} == {sum_reproducible(x).hex()}
    if kind == "100 binades":
        assert len({float(np.cumsum(order)[-1]) for order in orders}) > 1  # as it is not for a plain sum


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_one_result_for_every_number_of_simulated_ranks(kind, num_ranks):
    rng = np.random.default_rng(len(kind))
    x = KINDS[kind](rng, 3001)
    cuts = np.sort(rng.integers(0, 3001, num_ranks - 1))  # some ranks may have none
    parts = np.split(rng.permutation(x), cuts)
    for function, alone in [(allreduce_sum_exact, sum_exact), (allreduce_sum_reproducible, sum_reproducible)]:
        results = simulate(num_ranks, lambda comm, call=function: call(comm, parts[comm.rank])).results
        assert {value.hex() for value in results} == {alone(x).hex()}


def test_ranks_with_infinities_and_with_nothing():
    parts = [[], [math.inf, 1.0], [1e308, 1e308]]
    for function in (allreduce_sum_exact, allreduce_sum_reproducible):
        assert simulate(3, lambda comm, call=function: call(comm, parts[comm.rank])).results == [math.inf] * 3
        assert simulate(3, lambda comm, call=function: call(comm, parts[0])).results == [0.0] * 3
        opposite = [[math.inf], [-math.inf], []]
        assert all(map(math.isnan, simulate(3, lambda comm, call=function: call(comm, opposite[comm.rank])).results))
    with pytest.raises(UsageError, match="float64 or float32"):
        allreduce_sum_exact(None, [None])


def test_ranks_start_no_threads_of_their_own_accord(monkeypatch):
    """As many ranks as cores with as many threads each would be in each other's way."""
    monkeypatch.setattr("labkit.floating_point.teams._team", lambda: pytest.fail("a team was started"))
    x = np.ones(100_000)
    for function in (allreduce_sum_exact, allreduce_sum_reproducible):
        assert simulate(2, lambda comm, call=function: call(comm, x)).results == [200_000.0] * 2
    with pytest.raises(pytest.fail.Exception):
        sum_exact(x)


def test_single_precision_in_bins():
    rng = np.random.default_rng(2)
    x = np.ldexp(rng.standard_normal(5000), rng.integers(-20, 20, 5000)).astype(np.float32)
    expected = np.float32(float(sum(map(Fraction, x.tolist()))))
    result = simulate(3, lambda comm: allreduce_sum_reproducible(comm, x[comm.rank :: 3])).results[2]
    assert type(result) is np.float32 and result == expected == sum_reproducible(x, team=Team(2))


def test_a_carry_from_many_blocks():
    """All terms equal: the low words of the bins run over many times."""
    x = np.full(3_000_000, 1 + 2.0**-52)
    expected = float(3_000_000 * (1 + Fraction(1, 2**52)))
    assert sum_reproducible(x) == sum_reproducible(x, team=Team(2)) == sum_exact(x) == expected
    assert sum_reproducible(-x) == -expected


@pytest.mark.mpi
@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_on_real_ranks(num_ranks, tmp_path):
    run_mpi([str(Path(__file__).parent / "ranks_program.py"), str(tmp_path / "out")], num_ranks, 100)
    x = np.ldexp(np.random.default_rng(1).standard_normal(20_000), np.arange(20_000) % 300 - 150)
    expected = [sum_exact(x).hex(), sum_reproducible(x).hex()]
    assert [json.loads((tmp_path / f"out{rank}").read_text()) for rank in range(num_ranks)] == [expected] * num_ranks
