"""Kernels made of tasks: sorting, Fibonacci, and the plan and the run of a blocked Cholesky factorisation."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.kernels.cholesky import cholesky_graph, cholesky_phases, cholesky_serial
from labkit.openmp.kernels.cholesky_plan import BlockTask, cholesky_plan, edges, levels, most_parallel
from labkit.openmp.kernels.fibonacci import fibonacci_fast, fibonacci_naive, fibonacci_serial
from labkit.openmp.kernels.merge_sort import merge_sort_cutoff, merge_sort_fast, merge_sort_serial
from labkit.openmp.kernels.quicksort import quicksort_fast, quicksort_serial
from labkit.openmp.team import Team

TEAM = Team(3)
N = 20_000
SORTS = (merge_sort_serial, merge_sort_cutoff, merge_sort_fast, quicksort_serial, quicksort_fast)
ORDERS = {
    "sorted": np.arange(N), "reversed": np.arange(N)[::-1].copy(), "equal": np.full(N, 7),
    "two values": np.arange(N) % 2,
    "organ pipe": np.minimum(np.arange(N), np.arange(N)[::-1]), "saw": np.arange(N) % 37,
    "extremes": np.array([2**63 - 1, -(2**63), 0, 2**63 - 1] * 500), "one": np.array([5]),
    "none": np.array([], np.int64),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("sort", SORTS)
def test_sorting_inputs_of_any_order(sort, name):
    values = ORDERS[name]
    kept = values.copy()
    result = sort(TEAM, values)
    assert np.array_equal(result, np.sort(values)) and np.array_equal(values, kept)
    assert np.array_equal(sort(TEAM, values.astype(np.float64)), np.sort(values.astype(np.float64)))


@pytest.mark.parametrize("cutoff", [1, 2, 3, 100, 10**15])
def test_sorting_with_any_cutoff(cutoff):
    values = np.random.default_rng(0).integers(0, 50, 999)
    for sort in (merge_sort_cutoff, merge_sort_fast, quicksort_fast):
        assert np.array_equal(sort(TEAM, values, cutoff=cutoff), np.sort(values))
        with pytest.raises(UsageError, match="cutoff"):
            sort(TEAM, values, cutoff=0)


@pytest.mark.parametrize("sort", SORTS)
def test_what_cannot_be_sorted(sort):
    for wrong, words in [(np.array([1.0, np.nan]), "values\\[1\\] is NaN"), (np.zeros(3, np.float32), "not float32"),
                         (np.zeros((2, 2)), "1 dimension"), (["b", "a"], "not list")]:  # fmt: skip
        with pytest.raises(UsageError, match=words):
            sort(TEAM, wrong)
    infinities = np.array([np.inf, 0.0, -np.inf, -0.0])
    assert np.array_equal(sort(TEAM, infinities), np.sort(infinities))


def test_fibonacci_and_its_limits():
    assert [fibonacci_fast(TEAM, n, cutoff=3) for n in range(10)] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
    assert fibonacci_naive(TEAM, 20) == fibonacci_serial(None, 20) == 6765
    for n in (-1, 46, 2.0):
        with pytest.raises(UsageError, match="n is a whole number, 0 to 45"):
            fibonacci_fast(TEAM, n)
    with pytest.raises(UsageError, match="cutoff"):
        fibonacci_fast(TEAM, 10, cutoff=1)


@pytest.mark.parametrize("n", range(7))
def test_the_plan_computes_the_factor_whole_blocks_at_a_time(n):
    """The plan, run block by block in NumPy."""
    size = 3
    b = np.random.default_rng(n).standard_normal((n * size, n * size))
    a = b @ b.T + np.eye(n * size)
    spans = [slice(i * size, (i + 1) * size) for i in range(n)]
    blocks = {(i, j): a[spans[i], spans[j]].copy() for i in range(n) for j in range(i + 1)}
    for task in cholesky_plan(n):
        read = [blocks[place] for place in task.reads]
        block = blocks[task.writes]
        if task.kind == "factor":
            blocks[task.writes] = np.linalg.cholesky(block)
        elif task.kind == "solve":
            blocks[task.writes] = np.linalg.solve(read[0], block.T).T
        else:
            blocks[task.writes] = block - read[0] @ read[-1].T
    right = np.linalg.cholesky(a)
    for (i, j), block in blocks.items():
        np.testing.assert_allclose(block, right[spans[i], spans[j]], atol=1e-9)


@pytest.mark.parametrize("n", range(8))
def test_numbers_of_tasks_and_levels(n):
    plan = cholesky_plan(n)
    assert len(plan) == n * (n + 1) * (n + 2) // 6
    kinds = [task.kind for task in plan]
    assert (kinds.count("factor"), kinds.count("solve")) == (n, n * (n - 1) // 2)
    assert not n or max(levels(plan)) + 1 == 3 * n - 2  # the last step is a factor alone
    assert most_parallel(plan) == pytest.approx(len(plan) / (3 * n - 2) if n else 0)


def test_edges_order_all_that_conflict_and_nothing_else():
    """Any two tasks of which one writes what the other touches are joined by a path; an edge joins only such tasks."""
    plan = cholesky_plan(5)
    reach = np.eye(len(plan), dtype=bool)
    for earlier, later in edges(plan):
        assert earlier < later
        reach[:, later] |= reach[:, earlier]
    for i, first in enumerate(plan):
        for j in range(i + 1, len(plan)):
            second = plan[j]
            touched = {second.writes, *second.reads}
            if first.writes in touched or second.writes in first.reads:
                assert reach[i, j], (str(first), str(second))
            else:
                assert (i, j) not in edges(plan)


def test_edges_of_plans_with_conflicts_of_every_kind():
    def task(writes, *reads):
        return BlockTask("update", 0, (writes, 0), tuple((block, 0) for block in reads))

    assert edges([task(0), task(1, 0)]) == ((0, 1),)  # reads what was written
    assert edges([task(1, 0), task(0)]) == ((0, 1),)  # writes what is still read
    assert edges([task(0), task(0)]) == ((0, 1),)  # writes what was written
    assert edges([task(1, 0), task(2, 0), task(3)]) == ()  # two that read
    assert edges([task(0), task(1, 0), task(2, 0), task(0), task(3, 0)]) == (
        (0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (3, 4),
    )  # fmt: skip
    assert edges([]) == levels([]) == ()


@pytest.mark.parametrize(("n", "block_size"), [(1, 1), (10, 3), (64, 64), (65, 64), (100, 7), (50, 1000)])
def test_cholesky_with_blocks_of_any_size_has_the_same_bits_on_any_team(n, block_size):
    b = np.random.default_rng(n).standard_normal((n, n))
    a = b @ b.T + n * np.eye(n)
    first = cholesky_graph(Team(1), a, block_size)
    np.testing.assert_allclose(first, np.linalg.cholesky(a), atol=1e-11 * np.abs(a).max())
    for p in (2, 3, 5):
        for _ in range(5):
            assert np.array_equal(cholesky_graph(Team(p), a, block_size), first)
            assert np.array_equal(cholesky_phases(Team(p), a, block_size), first)


def test_matrices_without_a_factor():
    a = np.eye(40)
    a[25, 25] = -1.0
    for cholesky in (cholesky_serial, cholesky_phases, cholesky_graph):
        with pytest.raises(UsageError, match="not positive definite: the first 26 rows"):
            cholesky(TEAM, a, 4)
        with pytest.raises(UsageError, match="not positive definite: the first 1 rows"):
            cholesky(TEAM, np.full((9, 9), np.nan), 4)
        for wrong, size, words in [(np.zeros((2, 3)), 4, "a is square"), (np.zeros(4), 4, "2 dimensions"),
                                   (np.eye(4), 0, "block_size"), (np.eye(500), 1, "at least 4")]:  # fmt: skip
            with pytest.raises(UsageError, match=words):
                cholesky(TEAM, wrong, size)
