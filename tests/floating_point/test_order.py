"""Order and ranks: trees against the real collectives, spreads against permutations done by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest

from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.floating_point.order import (
    exact_fraction,
    parts_of,
    simulate_sum_over_ranks,
    spread_over_orders,
    sum_over_ranks,
    sums_by_order,
)
from labkit.floating_point.summation.adversarial import hard_sum
from labkit.floating_point.summation.exact import sum_exact
from labkit.floating_point.summation.trees import COLLECTIVES, TREES, evaluate_tree, reduce_tree
from labkit.mpi.collectives.registry import find


def leaves(tree):
    return [tree] if isinstance(tree, int) else leaves(tree[0]) + leaves(tree[1])


@pytest.mark.parametrize("num_ranks", [*range(1, 10), 13, 16, 21])
@pytest.mark.parametrize("tree", TREES)
def test_trees_have_the_bits_of_the_collectives(tree, num_ranks):
    """A vector that is cut in blocks of several elements: each element has the bits of its block's tree."""
    rng = np.random.default_rng(num_ranks)
    n = 3 * num_ranks + 1
    rows = np.ldexp(rng.standard_normal((num_ranks, n)), rng.integers(-30, 31, (num_ranks, n)))

    def program(comm):
        total = np.empty(n)
        find(COLLECTIVES[tree]).function(comm, rows[comm.rank].copy(), total)
        return total

    total = simulate(num_ranks, program).results[0]
    blocks = np.array_split(np.arange(n), num_ranks)
    shapes = set()
    for block, elements in enumerate(blocks):
        shape = reduce_tree(tree, num_ranks, block=block)
        shapes.add(shape)
        assert sorted(leaves(shape)) == list(range(num_ranks))
        for i in elements:
            assert evaluate_tree(shape, rows[:, i]) == total[i]
    assert len(shapes) == (num_ranks if tree == "ring" and num_ranks > 1 else 1)


def test_trees_differ_where_they_should():
    x = hard_sum(64, 1e9).x
    values = {tree: sum_over_ranks(x, 16, tree=tree) for tree in TREES}
    assert values["flat"] != values["binomial"] and values["rabenseifner"] != values["binomial"]
    assert values["binomial"] == values["recursive_doubling"]  # powers of two: the same pairs
    assert values["flat"] == values["ring"]  # block 0 starts at rank 0


@pytest.mark.parametrize("local", ["recursive", "kahan", "exact"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("num_ranks", [1, 2, 5, 8, 40])
@pytest.mark.parametrize("tree", TREES)
def test_evaluated_and_simulated_agree(tree, num_ranks, dtype, local):
    x = hard_sum(333, 1e5, dtype=dtype).x
    value = sum_over_ranks(x, num_ranks, tree=tree, local=local)
    assert value == simulate_sum_over_ranks(x, num_ranks, tree=tree, local=local)
    assert type(value) is (float if dtype == np.float64 else np.float32)


def test_deep_trees():
    assert evaluate_tree(reduce_tree("ring", 4096, block=4095), [1.0] * 4096) == 4096
    assert sum_over_ranks([0.5], 4096, tree="flat") == 0.5  # most ranks have nothing
    assert [part.size for part in parts_of(np.ones(7), 3)] == [3, 2, 2]


def test_one_array_on_ranks_and_threads():
    x = hard_sum(20_000, 1e10).x
    exact = sum(map(Fraction, x.tolist()))
    assert exact_fraction(x) == exact
    rows = sums_by_order(x)
    assert len(rows) == 4 * len(TREES) + 4
    assert {(row.machine, row.tree) for row in rows} == {("ranks", tree) for tree in TREES} | {("threads", "reduction")}
    for row in rows:
        spacing = Fraction(math.ulp(float(exact)))
        assert row.error_ulp == pytest.approx(float((Fraction(row.value) - exact) / spacing), rel=1e-12)
    assert len({row.value for row in rows if row.num_parts == 1}) == 1
    assert len({row.value for row in rows}) >= 6 and max(abs(row.error_ulp) for row in rows) > 1000
    assert [row.value for row in rows] == [row.value for row in sums_by_order(x, simulated=False)]


@pytest.mark.parametrize("local", ["exact", "reproducible", "twofold_threaded"])
def test_teams_take_the_sum_that_ranks_take(local):
    x = hard_sum(9_000, 1e10).x
    rows = sums_by_order(x, local=local, trees=["ring"], num_parts=(1, 3))
    assert [(row.machine, row.tree) for row in rows[2:]] == [("threads", local)] * 2
    assert rows[2].value == rows[3].value


def test_spread_over_random_orders():
    x = hard_sum(300, 1e6).x
    names = ["recursive", "ring/7", "binomial/4", "exact", "reproducible"]
    spreads = spread_over_orders(x, names, num_orders=40, seed=9)
    assert [spread.name for spread in spreads] == names
    rng = np.random.default_rng(9)
    sums = [float(np.cumsum(rng.permutation(x))[-1]) for _ in range(40)]
    exact = sum(map(Fraction, x.tolist()))
    ulp = Fraction(math.ulp(float(exact)))
    np.testing.assert_allclose(spreads[0].errors_ulp, [float((Fraction(s) - exact) / ulp) for s in sums], rtol=1e-12)
    assert spreads[0].num_results == len(set(sums)) > 5
    rng = np.random.default_rng(9)
    assert spreads[1].num_results == len({sum_over_ranks(rng.permutation(x), 7, tree="ring") for _ in range(40)})
    assert all(spread.num_results == 1 for spread in spreads[3:])
    assert (abs(spreads[3].errors_ulp) <= 0.5).all()
    assert float(Fraction(sum_exact(x))) == float(exact)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: reduce_tree("star", 3), "one of flat, binomial.* not 'star'"),
        (lambda: reduce_tree("flat", 0), "num_ranks is a whole number from 1"),
        (lambda: reduce_tree("ring", 3, block=3), "block is a whole number from 0 to 2"),
        (lambda: sum_over_ranks([1.0], 2, local="dot_exact"), "local: one of recursive"),
        (lambda: sum_over_ranks([1], 2), "not int64"),
        (lambda: simulate_sum_over_ranks([1.0], 2, tree="tree"), "not 'tree'"),
        (lambda: sums_by_order([1.0, math.inf]), "all terms are finite"),
        (lambda: spread_over_orders([1.0], ["ring/x"]), "no tree with a number of ranks"),
        (lambda: spread_over_orders([1.0], ["star/3"]), "no tree with a number of ranks"),
        (lambda: spread_over_orders([1.0], num_orders=0), "num_orders is a whole number"),
    ],
)
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
