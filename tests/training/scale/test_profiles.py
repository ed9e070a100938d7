"""Layer tables against torch's own layers and published totals; profiles add up; measured ones are what torch does."""

import itertools

import pytest
import torch

from labkit.errors import UsageError
from labkit.training.scale.architectures import ARCHITECTURES, find_architecture, inception_v3, resnet
from labkit.training.scale.layers import LayerTable
from labkit.training.scale.profile import Gradient, StepProfile, measured_profile, p100_images_per_s, published_profile

# Parameters and billions of multiply-adds as torchvision's documentation has them (weights of ImageNet).
PUBLISHED = {
    "resnet50": (25_557_032, 4.09), "resnet101": (44_549_160, 7.80), "resnet152": (60_192_808, 11.51),
    "vgg16": (138_357_544, 15.47), "inception_v3": (23_834_568, 5.71),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_totals_are_the_published_ones(name):
    num_parameters, billions = PUBLISHED[name]
    architecture = find_architecture(name)
    assert architecture.num_parameters == num_parameters
    assert architecture.num_multiplications / 1e9 == pytest.approx(billions, rel=0.005)


def test_the_second_classifier_of_inception():
    assert inception_v3(with_auxiliary=True).num_parameters == 27_161_264


def test_layers_are_those_of_torch():
    cases = itertools.product((3, 8), (5, 16), (1, 3, (1, 7), (7, 1)), (1, 2), (0, 1, (0, 3)), (True, False))
    for into, out, kernel, stride, padding, norm in cases:
        table = LayerTable(into, 23)
        table.convolution("x", out, kernel, stride=stride, padding=padding, norm=norm)
        layer = torch.nn.Conv2d(into, out, kernel, stride, padding, bias=not norm)
        shape = layer(torch.zeros(1, into, 23, 23)).shape[1:]
        num_parameters = sum(p.numel() for p in layer.parameters()) + (2 * out if norm else 0)
        assert (table.shape, table.layers[0].num_parameters) == (tuple(shape), num_parameters)
        assert table.layers[0].num_multiplications == layer.weight.numel() * shape[1] * shape[2]
    table = LayerTable(4, 9)
    table.pool(3, stride=2, padding=1)
    assert table.shape[1] == torch.nn.MaxPool2d(3, 2, 1)(torch.zeros(1, 4, 9, 9)).shape[2]
    table.linear("fc", 7)
    assert table.layers[0].num_parameters == 4 * 25 * 7 + 7


def test_nine_tenths_of_vgg_are_in_its_last_layers():
    vgg = find_architecture("vgg16")
    last = sum(layer.num_parameters for layer in vgg.layers if layer.name.startswith("fc"))
    assert last / vgg.num_parameters == pytest.approx(0.894, abs=0.001)


def test_a_profile_adds_up():
    for name in ARCHITECTURES:
        profile = published_profile(name, batch_size=32)
        assert profile.compute_s == pytest.approx(32 / p100_images_per_s(name))
        assert profile.num_bytes == 4 * find_architecture(name).num_parameters
        assert profile.forward_s == pytest.approx(profile.backward_s / 2)
        assert profile.gradients[-1].name == find_architecture(name).layers[0].name
    assert published_profile("vgg16", bytes_per_parameter=2).num_bytes == 2 * PUBLISHED["vgg16"][0]
    # A picture of ResNet-101 takes what lies between its sisters, at the same place as its work.
    small, middle, large = (1 / p100_images_per_s(f"resnet{d}") for d in (50, 101, 152))
    work = [resnet(d).num_multiplications for d in (50, 101, 152)]
    assert (middle - small) / (large - small) == pytest.approx((work[1] - work[0]) / (work[2] - work[0]))


@pytest.mark.parametrize("call, words", [
    (lambda: published_profile("alexnet"), "resnet50, resnet101"),
    (lambda: published_profile("vgg16", images_per_s=0), "positive"),
    (lambda: published_profile("vgg16", batch_size=0), "at least 1"),
    (lambda: resnet(18), "50, 101, 152"),
    (lambda: StepProfile("x", -1.0, (Gradient("a", 1.0, 4),), 1), "from 0 on"),
    (lambda: StepProfile("x", 1.0, (), 1), "at least one gradient"),
])
def test_wrong_arguments(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_a_measured_profile_is_what_the_backward_pass_does():
    model = torch.nn.Sequential(torch.nn.Linear(40, 300), torch.nn.ReLU(), torch.nn.Linear(300, 300), torch.nn.Linear(300, 3))
    model[0].bias.requires_grad_(False)
    pictures, answers = torch.randn(64, 40), torch.randint(3, (64,))
    profile = measured_profile(model, lambda: torch.nn.functional.cross_entropy(model(pictures), answers), batch_size=64)
    by_layer = [gradient.name.split(".")[0] for gradient in profile.gradients]
    assert by_layer == sorted(by_layer, reverse=True) and set(by_layer) == {"0", "2", "3"}
    assert profile.num_bytes == sum(4 * p.numel() for p in model.parameters() if p.requires_grad)
    assert profile.forward_s > 0 and all(gradient.backward_s >= 0 for gradient in profile.gradients)
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters() if p._post_accumulate_grad_hooks)
