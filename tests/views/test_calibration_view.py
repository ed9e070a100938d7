"""Figures of calibration and of vocabulary-parallel cross-entropy show the values."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.softmax.calibration.loss_line import loss_line
from labkit.softmax.calibration.network import Network
from labkit.softmax.calibration.reliability import calibration
from labkit.softmax.vocabulary_story import vocabulary_story
from labkit.views.calibration import (
    digit_figure,
    loss_line_figure,
    reliability_figure,
    reliability_layout,
    temperature_figure,
)
from labkit.views.vocabulary import NUM_STEPS, vocabulary_figure, vocabulary_layout


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 4)) * 4
    return x, (x / 2 + rng.gumbel(size=x.shape)).argmax(axis=1)  # too sure by a factor of 2


def test_reliability(rows):
    found = calibration(*rows, num_bins=12)
    bars = reliability_layout(found)
    assert sum(bar.count for bar in bars) == 500 and len(bars) == (found.counts > 0).sum() < 12
    figure = reliability_figure(found)
    accuracy, sure, unsure, diagonal, counts = figure.data
    assert np.allclose(accuracy.y, [bar.accuracy for bar in bars]) and sum(counts.y) == 500
    gaps = np.array(sure.y) + np.array(unsure.y)
    assert np.allclose(np.array(accuracy.y) + gaps, [bar.confidence for bar in bars])
    assert np.average(np.abs(gaps), weights=counts.y) == pytest.approx(found.expected_error)
    assert all(s >= 0 >= u for s, u in zip(sure.y, unsure.y, strict=True)) and max(sure.y) > 0.05
    assert f"error {found.expected_error:.1%}" in figure.layout.title.text
    assert np.allclose([x - w / 2 for x, w in zip(accuracy.x, accuracy.width, strict=True)], [b.low for b in bars], atol=0.02)


def test_over_temperatures(rows):
    found = [calibration(*rows, temperature=t) for t in (4.0, 1.0, 2.0)]
    figure = temperature_figure(found, 2.0)
    assert tuple(figure.data[0].x) == (1, 2, 4) and np.argmin(figure.data[0].y) == 1
    assert tuple(figure.data[1].y) == tuple(found[k].expected_error for k in (1, 2, 0))
    assert figure.layout.shapes[0].x0 == 2.0
    with pytest.raises(UsageError, match="nothing to draw"):
        temperature_figure([])


def test_a_picture():
    figure = digit_figure(np.arange(64) / 63, np.array([0.0, 3.0, 1.0]), 2, 2.0)
    picture, logits, tempered, plain = figure.data
    assert np.array(picture.z).shape == (8, 8) and tuple(logits.y) == (0, 3, 1)
    e = np.exp(np.array([0.0, 1.5, 0.5]))
    assert np.allclose(tempered.y, e / e.sum()) and max(plain.y) > max(tempered.y)
    assert f"{e[1] / e.sum():.1%} sure that this is a 1, which is wrong: it is a 2" in figure.layout.title.text
    assert f"loss {math.log(e.sum()) - 0.5:.3g}" in figure.layout.title.text
    with pytest.raises(UsageError, match="not 63"):
        digit_figure(np.zeros(63), np.zeros(3), 0)


def test_loss_on_a_line():
    line = loss_line(Network.random(4, 3, 2), np.eye(4), [0, 1, 0, 1], num_points=41)
    errors, losses, slope = loss_line_figure(line).data
    assert np.array_equal(errors.y, line.errors) and errors.line.shape == "hvh" and np.array_equal(losses.y, line.losses)
    assert (slope.y[1] - slope.y[0]) / (slope.x[1] - slope.x[0]) == pytest.approx(line.slopes[30])


@pytest.mark.parametrize("algorithm", ["allreduce_recursive_doubling", "allreduce_ring"])
@pytest.mark.parametrize("num_ranks", [1, 3, 4])
def test_three_reductions(num_ranks, algorithm):
    story = vocabulary_story(num_ranks, num_rows=3, num_columns=10, algorithm=algorithm)
    x = story.logits
    expected = np.log(np.exp(x).sum(axis=1)) - x[np.arange(3), story.targets]
    assert np.allclose(story.losses, expected) and [r.op for r in story.reductions] == ["MAX", "SUM", "SUM"]
    assert np.allclose(story.reductions[0].after, x.max(axis=1))
    for rank, (first, stop) in enumerate(story.columns):
        assert np.allclose(story.reductions[0].before[rank], x[:, first:stop].max(axis=1))
        scaled = np.exp(x[:, first:stop] - x.max(axis=1, keepdims=True)).sum(axis=1)
        assert np.allclose(story.reductions[1].before[rank], scaled)
    assert sum(len(r.messages) for r in story.reductions) == story.num_messages
    assert sum(r.num_bytes for r in story.reductions) == story.num_bytes
    for step in range(NUM_STEPS):
        layout = vocabulary_layout(story, step, row=2)
        held = [[x is not None for x in row] for row in layout.cells]
        assert np.sum(held, axis=0).tolist() == [1] * 10  # every column on one rank
        assert layout.cells[layout.target[0]][layout.target[1]] == x[2, story.targets[2]]
        messages = story.reductions[step - 2].messages if 2 <= step <= 4 else ()
        assert layout.lines == tuple((m.round - 1, m.source, m.round, m.dest) for m in messages)
        assert len(vocabulary_figure(story, step).data) == 6
    assert f"{expected[2]:.4g}" in vocabulary_layout(story, 5, row=2).title


def test_more_ranks_than_columns_and_bad_input():
    story = vocabulary_story(5, num_rows=1, num_columns=3)
    assert story.own_maxima[4, 0] == -np.inf and np.isfinite(story.losses).all()
    assert vocabulary_figure(story, 1).data[5].text[4] == "m -inf, d 0"
    assert story.gathering_bytes() == 4 * 3 * 8 and story.gathering_bytes(100) == 4 * 100 * 8
    for call, words in (
        (lambda: vocabulary_story(17), "1 to 16"), (lambda: vocabulary_story(2, num_columns=65), "1 to 64"),
        (lambda: vocabulary_story(2, algorithm="broadcast_ring"), "algorithm"), (lambda: vocabulary_story(0), "num_ranks"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
