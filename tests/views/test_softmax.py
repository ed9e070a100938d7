"""Pictures of softmax."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.softmax.accuracy import Accuracy, failure_map
from labkit.softmax.cross_entropy import cross_entropy
from labkit.softmax.online import state
from labkit.softmax.options import masked_softmax
from labkit.softmax.passes import Passes
from labkit.softmax.times import VersionTime
from labkit.views.merge_tree import merge_tree_figure, merge_tree_layout, merge_words, merged_at, num_merges
from labkit.views.softmax import (
    accuracy_figure,
    failure_digits,
    failure_figure,
    probabilities_figure,
    probabilities_layout,
)
from labkit.views.softmax_passes import passes_figure, passes_layout


def test_probabilities_and_entropy():
    layout = probabilities_layout([math.log(1), math.log(2), math.log(5)], 1.0, ["a", "b", "c"])
    assert np.allclose(layout.plain, [0.125, 0.25, 0.625]) and layout.tempered == layout.plain
    assert layout.plain_bits == pytest.approx(3 / 8 + 2 / 4 - 0.625 * math.log2(0.625))
    sharper = probabilities_layout([0.0, 1.0], 1e-3)
    assert sharper.tempered == (0.0, 1.0) and sharper.tempered_bits == 0
    assert np.allclose(probabilities_layout([0.0, 1.0], 1e6).tempered, 0.5, atol=1e-6)
    shown = [probabilities_figure([1, 2], t).data for t in (1, 2)]
    assert [len(data) for data in shown] == [4, 4] and [data[2].showlegend for data in shown] == [False, True]
    for wrong in (0, -1, math.nan):
        with pytest.raises(UsageError, match="temperature"):
            probabilities_layout([1.0], wrong)
    with pytest.raises(UsageError, match="names"):
        probabilities_layout([1.0, 2.0], 1.0, ["a"])


def test_failures():
    failures = failure_map([0.0, 1.0], [-800.0, 0.0, 12.0, 100.0])
    digits = np.array(failure_digits(failures))
    assert (digits == -1).tolist() == [
        [True, False, True, True], [True, False, False, True], [True, False, False, False]
    ]
    assert 3 < digits[0, 1] < 5 and 6.5 < digits[1, 1] < 9 and digits[2, 1] > 15
    heat = failure_figure(failures).data[0]
    assert list(heat.y) == ["float16", "float32", "float64"] and np.array(heat.z).shape == (3, 4)
    assert "NaN" in heat.hovertext[0][0]


def test_masks_top_k_and_targets():
    x = [2.0, -1.0, 0.5, 2.0, 1.0]
    mask = [True, True, False, True, True]
    layout = probabilities_layout(x, 0.5, mask=mask, top_k=2, target=3, label_smoothing=0.0)
    assert layout.takes_part == (True, False, False, True, False)
    expected = masked_softmax(np.array([x]), temperature=0.5, mask=mask, top_k=2)[0]
    assert layout.tempered == pytest.approx(expected) and layout.loss == pytest.approx(math.log(2))
    assert layout.target == (0, 0, 0, 1, 0)
    smooth = probabilities_layout(x, 2.0, target=1, label_smoothing=0.3)
    tempered = np.array([x]) / 2
    assert smooth.loss == pytest.approx(cross_entropy(tempered, [1], label_smoothing=0.3)[0])
    assert smooth.target == pytest.approx([0.06, 0.76, 0.06, 0.06, 0.06])
    assert probabilities_layout(x, mask=mask, target=2).loss == math.inf
    nothing = probabilities_layout(x, mask=[False] * 5, target=0)
    assert np.isnan(nothing.tempered).all() and math.isnan(nothing.tempered_bits)
    assert "no distribution" in probabilities_figure(x, mask=[False] * 5).layout.title.text
    colours = probabilities_figure(x, mask=mask).data[0].marker.color
    assert colours[2] != colours[0] == colours[4]
    for options, words in (({"target": 5}, "from 0 to 4"), ({"top_k": 0}, "top_k"), ({"mask": [True, False]}, "mask")):
        with pytest.raises(UsageError, match=words):
            probabilities_layout(x, **options)


def test_versions_of_the_map():
    failures = failure_map([0.0, 1.0], [-800.0, 800.0, 7e4], version="shifted")
    broken = np.array(failure_digits(failures)) == -1
    assert broken.tolist() == [[False, False, True], [False] * 3, [False] * 3]  # float16 has no 70000
    assert "Version <b>shifted</b>" in failure_figure(failures).layout.title.text
    assert np.isinf(failure_map([0.0, 1.0], [-800.0, 800.0]).errors).all()
    logarithm = failure_map([0.0, 1.0, -90.0], [0.0], ["float32"], version="log")
    assert 0 < logarithm.errors[0, 0] < 1e-5


def test_passes_and_times():
    counts = [Passes("naive", 1, 1, 3, 2), Passes("online", 2, 1)]
    figure = passes_figure(counts)
    assert [tuple(trace.x) for trace in figure.data] == [(1, 2), (1, 1), (3, 0), (2, 0)]
    assert len(passes_figure(counts[1:]).data) == 2  # nothing in between: no bars for it
    assert not figure.layout.annotations and figure.layout.xaxis.range[1] > 7
    far = passes_figure([*counts, Passes("two_pass", 4, 1, 100, 80)])  # does not flatten the others
    assert far.layout.xaxis.range[1] < 10 and [(a.y, a.text) for a in far.layout.annotations] == [("two_pass", "<b>185 →</b>")]
    times = [VersionTime("online", 3e-3, 10**6, 8, False)]
    layout = passes_layout(counts, bandwidth=8e9, times=times)
    assert layout.least_ns == (None, 3.0) and layout.measured_ns == (None, 3.0)
    figure = passes_figure(counts, bandwidth=8e9, times=times)
    assert figure.data[4].name == "least time" and tuple(figure.data[5].x) == (None, 3.0)
    with pytest.raises(UsageError, match="bandwidth"):
        passes_figure(counts, times=times)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 16])
def test_tree_of_merges(size):
    x = [float(k * 7 % 5) for k in range(size)]
    nodes = merge_tree_layout(x)
    root = nodes[-1]
    m, d = state(x)
    assert root.m == m and root.d == pytest.approx(d, rel=1e-14) and root.level == math.ceil(math.log2(size))
    parents = [part for node in nodes for part in node.parts]
    assert sorted(parents) == list(range(len(nodes) - 1))  # everyone but the root is merged once
    for level in range(root.level + 1):
        places = [node.x for node in nodes if node.level == level]
        assert all(b - a >= 1 for a, b in zip(places, places[1:], strict=False))
    assert len([a for a in merge_tree_figure(x).layout.annotations if a.text.startswith("m ")]) == len(nodes)


def test_scaled_merges_stand_out():
    boxes = [a for a in merge_tree_figure([1.0, 1.0, 1.0, 5.0]).layout.annotations if a.text.startswith("m ")]
    colours = [box.bgcolor for box in boxes]  # 4 leaves, (1, 1), (1, 5), root
    assert colours[4] == colours[0] != colours[5] == colours[6]
    assert "exp(1 - 5)" in boxes[5].hovertext and "2 exp(1 - 5)" in boxes[6].hovertext


def test_tree_has_a_limit():
    for wrong in ([], [0.0] * 17):
        with pytest.raises(UsageError, match="1 to 16"):
            merge_tree_layout(wrong)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 16])
@pytest.mark.parametrize("order", ["pairs", "one by one"])
def test_every_step_adds_a_merge(order, size):
    x = [float(k * 7 % 5) * 30 for k in range(size)]
    nodes = merge_tree_layout(x, order=order)
    assert num_merges(nodes) == size - 1
    assert nodes[-1].m == max(x) and nodes[-1].d == pytest.approx(sum(math.exp(v - max(x)) for v in x), rel=1e-14)
    before = None
    for step in range(size):
        boxes = [a for a in merge_tree_figure(x, step, order=order).layout.annotations if a.text.startswith("m ")]
        assert len(boxes) == sum(at <= step for at in merged_at(nodes))
        assert before is None or len(boxes) > before
        assert sum(box.borderwidth == 2 for box in boxes) == (1 if step else 0)
        before = len(boxes)
    assert before == len(nodes)
    assert all(nodes[p] and p < k for k, node in enumerate(nodes) for p in node.parts)
    if order == "one by one":
        assert merged_at(nodes)[-1] == size - 1 and all(len(node.parts) in (0, 2) for node in nodes)


def test_words_of_a_merge():
    nodes = merge_tree_layout([1.0, 3.0, -math.inf], order="one by one")
    assert merge_words(nodes, 1) == f"m = max(1, 3) = 3; d = 1 exp(1 - 3) + 1 exp(3 - 3) = {1 + math.exp(-2):.6g}"
    assert merge_words(nodes, 2).endswith(f"+ 0 = {1 + math.exp(-2):.6g}") and "state of its own" in merge_words(nodes, 0)
    with pytest.raises(UsageError, match="order"):
        merge_tree_layout([1.0], order="random")


def test_errors_and_nan():
    results = [Accuracy("naive", "float32", math.inf, math.inf, 9), Accuracy("shifted", "float32", 30.0, 5.0, 9)]
    figure = accuracy_figure(results)
    assert figure.data[0].x == (None, 30.0) and figure.data[1].x == (None, 5.0)
    assert [a.y for a in figure.layout.annotations if a.text == "NaN"] == ["naive, float32"]
    assert 10 ** figure.layout.xaxis.range[1] > 30
