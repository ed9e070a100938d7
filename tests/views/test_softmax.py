"""Pictures of softmax."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.softmax.accuracy import Accuracy, failure_map
from labkit.softmax.ladder import VERSIONS
from labkit.softmax.online import state
from labkit.views.softmax import (
    accuracy_figure,
    failure_digits,
    failure_figure,
    merge_tree_figure,
    merge_tree_layout,
    passes_figure,
    probabilities_figure,
    probabilities_layout,
)


def test_probabilities_and_entropy():
    layout = probabilities_layout([math.log(1), math.log(2), math.log(5)], 1.0, ["a", "b", "c"])
    assert np.allclose(layout.plain, [0.125, 0.25, 0.625]) and layout.tempered == layout.plain
    assert layout.plain_bits == pytest.approx(3 / 8 + 2 / 4 - 0.625 * math.log2(0.625))
    sharper = probabilities_layout([0.0, 1.0], 1e-3)
    assert sharper.tempered == (0.0, 1.0) and sharper.tempered_bits == 0
    assert np.allclose(probabilities_layout([0.0, 1.0], 1e6).tempered, 0.5, atol=1e-6)
    assert len(probabilities_figure([1, 2], 1).data) == 2 and len(probabilities_figure([1, 2], 2).data) == 3
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


def test_passes():
    versions = list(VERSIONS.values())
    figure = passes_figure(versions)
    assert [tuple(trace.x) for trace in figure.data] == [
        tuple(v.num_reads for v in versions), tuple(v.num_writes for v in versions)
    ]
    figure = passes_figure(versions, bandwidth=8e9, times_s={"online": 3e-9})
    least, measured = figure.data[2], figure.data[3]
    assert dict(zip(least.y, least.x, strict=True))["shifted"] == pytest.approx(4 * 4 / 8)  # ns
    assert dict(zip(measured.y, measured.x, strict=True))["online"] == pytest.approx(3)
    with pytest.raises(UsageError, match="bandwidth"):
        passes_figure(versions, times_s={"online": 1e-9})


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


def test_errors_and_nan():
    results = [Accuracy("naive", "float32", math.inf, math.inf, 9), Accuracy("shifted", "float32", 30.0, 5.0, 9)]
    figure = accuracy_figure(results)
    assert figure.data[0].x == (None, 30.0) and figure.data[1].x == (None, 5.0)
    assert [a.y for a in figure.layout.annotations if a.text == "NaN"] == ["naive, float32"]
    assert 10 ** figure.layout.xaxis.range[1] > 30
