"""The picture of a graph of tasks: columns that can run together, no line that follows from others."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.openmp.kernels.cholesky_plan import cholesky_plan, edges, levels
from labkit.views.task_graph import task_graph_figure, task_graph_layout


@pytest.mark.parametrize("num_blocks", [0, 1, 2, 3, 5])
def test_columns_are_the_levels_of_the_plan(num_blocks):
    plan = cholesky_plan(num_blocks)
    layout = task_graph_layout(len(plan), edges(plan))
    assert layout.xs == levels(plan)
    assert layout.length == (max(levels(plan)) + 1 if plan else 0)


def reachable(num_tasks, pairs):
    """By brute force: every pair (a, b) with a way from a to b."""
    found = set(pairs)
    for _ in range(num_tasks):
        found |= {(a, d) for (a, b), (c, d) in itertools.product(found, found) if b == c}
    return found


NUMBERS = st.integers(1, 7)


@given(NUMBERS.flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_lines_that_follow_from_others_are_left_out(case):
    n, pairs = case
    pairs = {(a, b) for a, b in pairs if a < b}
    layout = task_graph_layout(n, sorted(pairs))
    assert reachable(n, layout.edges) == reachable(n, pairs)
    for edge in layout.edges:  # and none of those that are left could be left out
        assert edge not in reachable(n, set(layout.edges) - {edge})
    assert len(set(zip(layout.xs, layout.ys, strict=True))) == n


def test_figure():
    plan = cholesky_plan(3)
    figure = task_graph_figure([str(task) for task in plan], [task.kind for task in plan], edges(plan))
    words = "10 tasks, the longest chain has 7: with any number of threads at most 1.43 times as fast"
    assert figure.layout.title.text == words
    assert [trace.name for trace in figure.data[1:]] == ["factor", "solve", "update"]
    assert figure.data[2].hovertext[0] == "<b>solve 1,0</b><br>waits for factor 0,0"
    assert task_graph_figure([], [], []).data[0].x == ()


def test_what_is_no_graph_of_tasks():
    for pairs in ([(1, 0)], [(0, 0)], [(0, 2)]):
        with pytest.raises(UsageError, match="an edge goes from a task to a later one"):
            task_graph_layout(2, pairs)
    with pytest.raises(UsageError, match="at most 2000"):
        task_graph_layout(2001, [])
    with pytest.raises(UsageError, match="2 names and 1 kinds"):
        task_graph_figure(["a", "b"], ["x"], [])
