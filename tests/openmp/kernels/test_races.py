"""Versions that are wrong on purpose are seen to be wrong, and right on one thread where they say so."""

import numpy as np
import pytest

from labkit.openmp.kernels.ladder import ladder
from labkit.openmp.team import Team


def case(name, *inputs):
    its = ladder(name)
    return its, its.oracle(*inputs)


def test_sums_are_lost(seen_wrong):
    x = np.ones(200_000)
    dot, right = case("dot", x, x)
    function = dot.version("race").function
    assert seen_wrong(dot, lambda: function(Team(2), x, x), right)
    assert max(function(Team(4), x, x) for _ in range(20)) <= right, "a race loses additions, it makes none"
    assert function(Team(1), x, x) == right


def test_counts_are_lost(seen_wrong):
    values = np.zeros(500_000, np.int64)
    histogram, right = case("histogram", values, 3)
    function = histogram.version("race").function
    assert seen_wrong(histogram, lambda: function(Team(2), values, 3), right)
    assert max(function(Team(4), values, 3)[0] for _ in range(20)) <= 500_000
    assert histogram.is_right(function(Team(1), values, 3), right)


def test_points_are_drawn_twice(seen_wrong):
    pi = ladder("pi")
    right = pi.version("serial").function(None, 300_000)
    assert seen_wrong(pi, lambda: pi.version("race").function(Team(2), 300_000), right)
    assert pi.version("race").function(Team(1), 300_000) == right


def test_forces_are_lost(seen_wrong):
    inputs = ladder("n_body").make_input(300)
    n_body, right = case("n_body", *inputs)
    assert seen_wrong(n_body, lambda: n_body.version("race").function(Team(2), *inputs), right)
    assert n_body.is_right(n_body.version("race").function(Team(1), *inputs), right)


def test_parts_of_rows_are_lost(seen_wrong):
    inputs = ladder("sparse_matrix_vector").make_input(20_000)
    sparse, right = case("sparse_matrix_vector", *inputs)
    assert seen_wrong(sparse, lambda: sparse.version("race").function(Team(2), *inputs), right)
    assert sparse.is_right(sparse.version("race").function(Team(1), *inputs), right)


def test_chunks_of_prefix_sums_begin_too_early(seen_wrong):
    inputs = ladder("prefix_sum").make_input(500_000)
    prefix_sum, right = case("prefix_sum", *inputs)
    assert seen_wrong(prefix_sum, lambda: prefix_sum.version("naive").function(Team(2), *inputs), right)
    assert prefix_sum.is_right(prefix_sum.version("naive").function(Team(1), *inputs), right)


def test_jacobi_in_place_is_another_method():
    inputs = ladder("jacobi").make_input(20)
    jacobi, right = case("jacobi", *inputs)
    assert jacobi.error(jacobi.version("in_place").function(Team(1), *inputs), right) > 0.01


@pytest.mark.parametrize("num_threads", [2, 3])
def test_tasks_without_order_read_blocks_too_early(seen_wrong, num_threads):
    inputs = ladder("cholesky").make_input(200)
    cholesky, right = case("cholesky", *inputs)
    with np.errstate(invalid="ignore", over="ignore"):
        assert seen_wrong(cholesky, lambda: cholesky.version("unordered").function(Team(num_threads), *inputs), right)
