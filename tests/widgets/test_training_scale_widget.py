"""The explorer of training at scale follows its controls."""

import math

import pytest

from labkit.comm.network.model import alpha_beta
from labkit.training.scale.profile import published_profile
from labkit.training.scale.step import ALGORITHMS, step_time
from labkit.widgets.training_scale import BUCKETS, TrainingScale

NETWORKS = {"slow": alpha_beta(1e-4, 1e-9), "fast": alpha_beta(1e-6, 1e-11)}


def curve_of(widget, name, axis="y2"):
    return next(list(trace.y) for trace in widget.curve_figure.data if trace.name == name and trace.yaxis == axis)


def test_it_follows_its_controls():
    widget = TrainingScale("vgg16", networks=NETWORKS)
    expected = [step_time(published_profile("vgg16"), 1 << k, NETWORKS["slow"]).efficiency for k in range(13)]
    assert curve_of(widget, "ring") == pytest.approx(expected)
    assert "VGG-16" in widget.sentence.value and "553 MB" in widget.sentence.value and "On 512 with ring" in widget.sentence.value
    widget.network.value = "fast"
    assert min(curve_of(widget, "ring")) > min(expected)
    widget.num_gpus.value = 64
    assert "64 GPUs" in widget.step_figure.layout.title.text
    widget.network.value = "slow"
    for name, value in BUCKETS:
        widget.bucket.value = value
        step = step_time(published_profile("vgg16"), 64, NETWORKS["slow"], bucket_bytes=value)
        assert f"efficiency {step.efficiency:.0%}" in widget.sentence.value, name
        assert len([t for t in widget.step_figure.data if t.name == "all-reduce"][0].x) == len(step.buckets)
    widget.bucket.value = math.inf
    with_overlap = curve_of(widget, "ring")
    widget.bucket.value = 25e6
    widget.overlaps.value = False
    assert all(a <= b + 1e-12 for a, b in zip(curve_of(widget, "ring"), expected, strict=True)) and with_overlap != expected
    widget.overlaps.value, widget.noise.value = True, 0.05
    assert curve_of(widget, "ring")[9] < expected[9]
    widget.noise.value, widget.model.value, widget.batch.value = 0.0, "resnet50", 256
    assert "ResNet-50" in widget.curve_figure.layout.title.text and "batch 256" in widget.curve_figure.layout.title.text


def test_every_choice_of_algorithms_even_none():
    widget = TrainingScale(networks=NETWORKS)
    widget.algorithms.value = ALGORITHMS
    assert {trace.name for trace in widget.curve_figure.data} == {"ideal", *ALGORITHMS}
    widget.algorithms.value = ()
    assert {trace.name for trace in widget.curve_figure.data} == {"ideal"} and "with ring" in widget.sentence.value
