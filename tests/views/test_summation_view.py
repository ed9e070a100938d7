"""What the pictures of sums show."""

import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.order import Spread, spread_over_orders
from labkit.floating_point.summation.adversarial import hard_sum
from labkit.floating_point.summation.errors import ErrorCurve, errors_by_condition
from labkit.floating_point.summation.trees import TREES, evaluate_tree, reduce_tree
from labkit.views.reduce_trees import MOST_DRAWN_RANKS, tree_figure, tree_layout
from labkit.views.summation import HIGHEST, NUM_BARS, errors_figure, errors_layout, spread_figure, spread_layout


def curve(name, conditions, errors, bounds, running, dtype=np.float64):
    return ErrorCurve(name, *(np.array(v, float) for v in (conditions, errors, bounds, running)), 100, np.dtype(dtype))


def test_errors_are_drawn_in_order_and_within_the_picture():
    given = curve("recursive", [1e20, 10, 1e5], [50.0, 0.0, 1e-12], [math.inf, 1e-15, 1e-10], [1e9, math.nan, 1e-11])
    floor, (line,) = errors_layout([given])
    assert floor == 2.0**-56
    assert line.conditions.tolist() == [10, 1e5, 1e20]
    assert line.errors.tolist() == [floor, 1e-12, HIGHEST]
    assert line.bounds.tolist() == [1e-15, 1e-10, HIGHEST]
    np.testing.assert_array_equal(line.running, [math.nan, 1e-11, HIGHEST])
    assert "relative error 0<br>a-priori bound 1e-15" in line.hovers[0] and "running" not in line.hovers[0]
    assert "relative error 50<br>a-priori bound inf<br>running bound 1e+09" in line.hovers[2]
    assert errors_layout([curve("kahan", [1], [1], [1], [1], np.float32)])[0] == 2.0**-27
    assert given.conditions.tolist() == [1e20, 10, 1e5]


def test_the_picture_of_errors_has_all_curves_and_bounds():
    curves = errors_by_condition(["recursive", "kahan", "exact"], [1e3, 1e15], num_terms=50)
    figure = errors_figure(curves)
    marks = {trace.name: trace for trace in figure.data if "markers" in trace.mode}
    assert list(marks) == ["recursive", "kahan", "exact"]
    for c in curves:
        np.testing.assert_array_equal(marks[c.name].y, np.clip(c.errors, 2.0**-56, 10))
        np.testing.assert_array_equal(marks[c.name].x, c.conditions)
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert set(lines) == {"recursive, a-priori bound", "recursive, running bound", "kahan, a-priori bound",
                          "exact, a-priori bound"}
    assert lines["recursive, running bound"].line.dash == "dot"
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert figure.layout.title.text == "Error of sums of 50 terms, float64"
    assert figure.layout.shapes[0].y0 == 2.0**-53
    assert "NaN" not in errors_figure([curve("twofold", [1, 2], [1, 1], [1, 1], [math.nan, 1])]).to_json()
    dots = errors_by_condition(["dot_exact"], [100.0], num_terms=20)
    assert errors_figure(dots).layout.title.text.startswith("Error of dot products of 20 pairs")


def test_bars_hold_every_order():
    rng = np.random.default_rng(1)
    wide, narrow = Spread("recursive", rng.normal(0, 300, 500).round(1), 333), Spread("exact", np.full(500, 0.25), 1)
    layout = spread_layout([wide, narrow])
    assert len(layout.edges) == NUM_BARS + 1
    width = layout.edges[1] - layout.edges[0]
    assert width == int(width) and (layout.edges == -layout.edges[::-1]).all()
    assert [counts.sum() for counts in layout.counts] == [500, 500]
    for counts, spread in zip(layout.counts, (wide, narrow), strict=True):
        middles = (layout.edges[:-1] + layout.edges[1:]) / 2
        for count, middle in zip(counts, middles, strict=True):
            assert count == np.sum((spread.errors_ulp >= middle - width / 2) & (spread.errors_ulp < middle + width / 2))
    assert layout.counts[1][NUM_BARS // 2] == 500
    assert layout.titles[1] == "exact: 1 result of 500 orders, +0.25 ulp"
    low, high = wide.errors_ulp.min(), wide.errors_ulp.max()
    assert layout.titles[0] == f"recursive: 333 results of 500 orders, {low:+.2g} to {high:+.2g} ulp"


@pytest.mark.parametrize("reach", [0.5, 0.7, 3.0, 20.5, 1e6, 1e17, 1e300])
def test_bars_reach_to_the_farthest(reach):
    layout = spread_layout([Spread("a", np.array([-reach, reach, 0.0]), 3)])
    assert layout.counts[0].sum() == 3 and layout.counts[0][NUM_BARS // 2] >= 1


def test_results_that_are_not_finite_are_told():
    spreads = [Spread("a", np.array([math.inf, math.nan, 1.0]), 3), Spread("b", np.array([math.nan]), 1)]
    layout = spread_layout(spreads)
    assert layout.num_outside == (2, 1) and [counts.sum() for counts in layout.counts] == [1, 0]
    texts = [annotation.text for annotation in spread_figure(spreads).layout.annotations]
    assert texts == ["a: 3 results of 3 orders, +1 ulp, 2 not finite", "b: 1 result of 1 orders, 1 not finite"]


def test_the_picture_of_spreads():
    spreads = spread_over_orders(hard_sum(100, 1e6).x, ["recursive", "kahan", "exact"], num_orders=30)
    figure = spread_figure(spreads)
    assert [bar.name for bar in figure.data] == ["recursive", "kahan", "exact"]
    assert all(sum(bar.y) == 30 for bar in figure.data)
    domains = [figure.layout[axis].domain for axis in ("yaxis", "yaxis2", "yaxis3")]
    assert all(a[0] > b[1] for a, b in zip(domains, domains[1:], strict=False)) and domains[2][0] >= 0
    assert figure.layout.xaxis.anchor == "y3"


@pytest.mark.parametrize("num_ranks", [1, 2, 5, 8, 13])
@pytest.mark.parametrize("name", TREES)
def test_trees_are_drawn_as_they_are(name, num_ranks):
    tree = reduce_tree(name, num_ranks)
    values = np.random.default_rng(num_ranks).standard_normal(num_ranks).tolist()
    nodes = tree_layout(tree, values)
    assert len(nodes) == 2 * num_ranks - 1

    def again(i):
        return nodes[i].rank if nodes[i].children is None else tuple(again(child) for child in nodes[i].children)

    assert again(len(nodes) - 1) == tree
    assert nodes[-1].value == evaluate_tree(tree, values)
    ranks = [node for node in nodes if node.rank is not None]
    assert [node.x for node in ranks] == list(range(num_ranks)) and all(node.depth == 0 for node in ranks)
    for node in nodes:
        if node.children:
            left, right = (nodes[child] for child in node.children)
            assert node.depth == 1 + max(left.depth, right.depth) and left.x < node.x < right.x
            assert node.rounding == Fraction(node.value) - Fraction(left.value) - Fraction(right.value)
    exact = sum(map(Fraction, values))
    assert Fraction(nodes[-1].value) == exact + sum(node.rounding for node in nodes if node.children)
    depth = {"flat": num_ranks - 1, "ring": num_ranks - 1}.get(name, math.ceil(math.log2(num_ranks)))
    assert nodes[-1].depth == depth


def test_the_picture_of_a_tree():
    figure = tree_figure(((0, 1), (2, 3)), [1.0, 1e100, 1.0, -1e100], title="binomial")
    assert figure.layout.title.text == "binomial: 3 additions, 2 one after the other, 2 of them rounded"
    edges, sums, ranks = figure.data
    assert list(ranks.text) == ["0", "1", "2", "3"] and len(edges.x) == 3 * 6
    assert len(set(sums.marker.color)) == 2 and sums.marker.color[0] == sums.marker.color[1] != sums.marker.color[2]
    assert sums.hovertext[0] == "<b>addition</b><br>1e+100<br>rounded by -1"
    assert sums.hovertext[2] == "<b>addition</b><br>0.0<br>exact"
    assert tree_figure(0).layout.title.text == "Reduce tree: 0 additions, 0 one after the other"
    assert [node.depth for node in tree_layout((0, (1, (2, 3))))] == [0, 0, 0, 0, 1, 2, 3]
    overflowed = tree_layout((0, 1), [1e308, 1e308])[-1]
    assert overflowed.value == math.inf and overflowed.rounding is None


def test_what_cannot_be_drawn():
    for call, words in [
        (lambda: errors_figure([]), "there are no curves"),
        (lambda: spread_figure([]), "there are no spreads"),
        (lambda: tree_figure(reduce_tree("flat", MOST_DRAWN_RANKS + 1)), "at most 64 ranks can be told apart, not 65"),
    ]:
        with pytest.raises(UsageError, match=words):
            call()


def test_pictures_bring_nothing_that_runs():
    program = "import sys, labkit.views.summation, labkit.views.reduce_trees; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True
    )
    assert {"numba", "mpi4py", "torch", "ipywidgets"}.isdisjoint(done.stdout.split())
