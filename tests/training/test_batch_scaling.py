"""Large batches: the shape of Goyal's table, and bad input."""

import pytest
import torch

from labkit.errors import UsageError
from labkit.training.batch_scaling import GOYAL, batch_scaling
from labkit.training.data import load_digits, make_data
from labkit.training.models.registry import make_model


def test_large_batches_need_warm_up_and_very_large_ones_fail():
    data, seen = load_digits(), []

    def run(batch_sizes, seeds):
        return batch_scaling(
            lambda seed: make_model("mlp", data, hidden=(128,), seed=seed), data, batch_sizes=batch_sizes, seeds=seeds,
            on_point=seen.append,
        )

    points = run((256,), (0,)) + run((640, 1438), (0, 1, 2))
    assert seen == points and [(p.batch_size, p.warmup_steps > 0) for p in points] == [
        (256, False), (256, True), (640, False), (640, True), (1438, False), (1438, True)]
    small, small_warm, large, large_warm, largest, largest_warm = (point.test_error for point in points)
    assert small < 0.06 and small_warm < 0.06
    assert large > 0.3 > 0.15 > large_warm
    assert largest > 0.3 and largest_warm > 0.3
    assert points[3].learning_rate == pytest.approx(0.05 * 640 / 16) and points[3].num_steps == round(60 * 1438 / 640)


def test_divergence_counts_as_guessing():
    data = make_data(torch.randn(60, 4) * 1e18, torch.arange(60) % 3, num_classes=3)
    points = batch_scaling(
        lambda seed: make_model("mlp", data, hidden=(8,), seed=seed),
        data,
        batch_sizes=(48,),
        seeds=(0, 1),
        learning_rate=1e6,
    )
    assert points[0].num_diverged == 2 and points[0].test_error == 0.9


def test_bad_input_and_published_numbers():
    data = load_digits()
    for wrong in ({"seeds": ()}, {"batch_sizes": (2000,)}, {"warmup_share": 1}, {"num_epochs": 0}):
        with pytest.raises(UsageError):
            batch_scaling(lambda seed: make_model("mlp", data), data, **wrong)
    assert GOYAL[8192] == 23.74 and GOYAL[65536] == 33.96 and list(GOYAL) == sorted(GOYAL)
