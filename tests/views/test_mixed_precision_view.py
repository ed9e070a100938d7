"""Figures of mixed precision show the values, and leave out what says nothing."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.mixed_precision.growth import error_growth
from labkit.floating_point.mixed_precision.loss_scaling import LossScaling, underflow_share
from labkit.floating_point.mixed_precision.training import Precision, train
from labkit.floating_point.mixed_precision.updates import apply_updates
from labkit.views.mixed_precision import (
    gradient_figure,
    gradient_layout,
    growth_figure,
    growth_layout,
    training_figure,
    updates_figure,
)


def test_growth():
    growths = [error_growth((16, 4096), accumulator=name, num_rows=4) for name in ("binary16", "binary64")]
    half, double = growth_layout(growths)
    assert half.name == "binary16 into binary16" and np.array_equal(half.worst, growths[0].worst)
    assert np.isfinite(half.bound).tolist() == [True, False]  # 4096 * 2**-11 is 2
    assert (double.worst == 2.0**-60).all()
    figure = growth_figure(growths)
    assert [trace.showlegend for trace in figure.data] == [True, False, False, False] * 2
    assert np.array_equal(figure.data[0].y, growths[0].worst) and np.array_equal(figure.data[3].y, growths[0].probable)
    for wrong in ([], growths * 4):
        with pytest.raises(UsageError, match="can be told apart"):
            growth_figure(wrong)


def test_training():
    runs = {"a": train(num_steps=5), "b": train(Precision("binary16", loss_scaling=LossScaling(2.0**40)), num_steps=5)}
    figure = training_figure(runs)
    assert np.array_equal(figure.data[0].y, runs["a"].losses) and len(figure.data[2].x) == 0
    assert figure.data[5].x.tolist() == [1, 2, 3, 4, 5] and "2" in figure.data[4].yaxis
    assert "1.09951e+12" in figure.data[5].hovertext[0]
    with pytest.raises(UsageError, match="runs can be told apart"):
        training_figure({})


def test_gradients_against_a_format():
    gradients = 2.0 ** np.random.default_rng(1).uniform(-35, -5, 3000)
    for scale in (1.0, 2.0**10):
        layout = gradient_layout(gradients, "binary16", scale=scale)
        assert layout.counts.sum() == 3000 and layout.lost == pytest.approx(underflow_share(gradients, scale=scale))
        assert (layout.smallest, layout.smallest_normal) == (-24 - np.log2(scale), -14 - np.log2(scale))
    for power, count in zip(layout.powers, layout.counts, strict=True):
        assert count == ((gradients >= 2.0**power) & (gradients < 2.0 ** (power + 1))).sum()
    figure = gradient_figure(gradients)
    assert "of the gradients become 0" in figure.layout.title.text and len(figure.layout.shapes) == 2
    red = sum(count for count, colour in zip(figure.data[0].y, figure.data[0].marker.color, strict=True) if colour == "#d1495b")
    assert red / 3000 == pytest.approx(gradient_layout(gradients).lost)
    with pytest.raises(UsageError, match="finite gradients other than 0"):
        gradient_layout([0.0, np.nan])


def test_updates():
    found = [apply_updates(50, rounding=name, num_weights=20) for name in ("ties_to_even", "stochastic")]
    figure = updates_figure(found)
    assert [trace.name for trace in figure.data] == ["ties_to_even", "stochastic: all weights", "stochastic", "exact"]
    assert np.array_equal(figure.data[2].y, found[1].mean) and np.array_equal(figure.data[3].y, found[0].exact)
    with pytest.raises(UsageError, match="can be told apart"):
        updates_figure([])
