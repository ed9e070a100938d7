"""What a step of training consists of on one GPU: when each gradient is there, and how many bytes it has.

From a published throughput and the work of the layers (:func:`published_profile`), or measured on a module
(:func:`measured_profile`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from labkit.errors import UsageError
from labkit.training.scale.architectures import find_architecture
from labkit.training.scale.layers import Architecture

# Images per second of one Tesla P100 (DGX-1), synthetic data, batch 64: TensorFlow's benchmarks, 2017
# (tensorflow, docs_src/performance/benchmarks.md). For ResNet-101 they have no number: the time of a picture is set on the line
# between ResNet-50 and ResNet-152, by multiplications.
P100_IMAGES_PER_S = {"inception_v3": 142.0, "resnet50": 219.0, "resnet152": 91.8, "vgg16": 154.0}
BATCH_SIZE = 64
FORWARD_SHARE = 1 / 3  # the backward pass has two products where the forward pass has one


@dataclass(frozen=True, slots=True)
class Gradient:
    """A gradient that the backward pass brings.

    Attributes
    ----------
    name : str
    backward_s : float
        Time of the backward pass from the gradient before it to this one, in s.
    num_bytes : int
    """

    name: str
    backward_s: float
    num_bytes: int


@dataclass(frozen=True, slots=True)
class StepProfile:
    """A step on one GPU.

    Attributes
    ----------
    name : str
    forward_s : float
    gradients : tuple of Gradient
        In the order of the backward pass: the last layer first.
    batch_size : int
        Samples of one GPU.
    source : str
    """

    name: str
    forward_s: float
    gradients: tuple[Gradient, ...]
    batch_size: int
    source: str = ""

    def __post_init__(self):
        times = [self.forward_s, *(gradient.backward_s for gradient in self.gradients)]
        if not self.gradients or not all(0 <= time < math.inf for time in times) or self.batch_size < 1:
            raise UsageError(
                f"profile {self.name!r}: it has at least one gradient, times from 0 on, and a batch of at least 1, not "
                f"{len(self.gradients)} gradients, times from {min(times)} to {max(times)} s, a batch of {self.batch_size}."
            )

    @property
    def backward_s(self) -> float:
        return sum(gradient.backward_s for gradient in self.gradients)

    @property
    def compute_s(self) -> float:
        """The step on one GPU."""
        return self.forward_s + self.backward_s

    @property
    def num_bytes(self) -> int:
        """Of all gradients."""
        return sum(gradient.num_bytes for gradient in self.gradients)


def published_profile(
    name: str, *, images_per_s: float | None = None, batch_size: int = BATCH_SIZE, bytes_per_parameter: int = 4
) -> StepProfile:
    """The profile of a published architecture from the throughput of one GPU.

    A third of the step is the forward pass; the backward pass is divided among the layers by their multiplications.
    Both are assumptions: layers that wait for memory take longer than their share.

    Parameters
    ----------
    name : str
        One of :data:`.architectures.ARCHITECTURES`.
    images_per_s : float, optional
        By default that of a Tesla P100.
    batch_size : int
    bytes_per_parameter : int
        Of a gradient: 4, or 2 where they travel in 16 bits.

    Examples
    --------
    >>> profile = published_profile("vgg16")
    >>> round(profile.compute_s, 3), profile.gradients[0].name, profile.num_bytes
    (0.416, 'fc8', 553430176)
    """
    architecture = find_architecture(name)
    speed = p100_images_per_s(name) if images_per_s is None else images_per_s
    if not 0 < speed < math.inf:
        raise UsageError(f"images_per_s={speed}: a throughput is positive.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch_size={batch_size!r} must be a whole number of at least 1.")
    step_s = batch_size / speed
    source = f"{speed:.4g} images/s" + (" of a Tesla P100 (TensorFlow benchmarks, 2017)" if images_per_s is None else "")
    return profile_of(architecture, step_s, batch_size, bytes_per_parameter=bytes_per_parameter, source=source)


def profile_of(
    architecture: Architecture, step_s: float, batch_size: int, *, bytes_per_parameter: int = 4, source: str = ""
) -> StepProfile:
    """The time of a step divided among the layers of an architecture, as in :func:`published_profile`."""
    backward_s, total = step_s * (1 - FORWARD_SHARE), architecture.num_multiplications
    gradients = tuple(
        Gradient(layer.name, backward_s * layer.num_multiplications / total, layer.num_parameters * bytes_per_parameter)
        for layer in reversed(architecture.layers)
    )
    return StepProfile(architecture.name, step_s * FORWARD_SHARE, gradients, batch_size, source)


def p100_images_per_s(name: str) -> float:
    """Throughput of a Tesla P100; of ResNet-101 between its smaller and its larger sister.

    Examples
    --------
    >>> round(p100_images_per_s("resnet101"))
    129
    """
    if name in P100_IMAGES_PER_S:
        return P100_IMAGES_PER_S[name]
    if name != "resnet101":
        raise UsageError(f"there is no published throughput for {name!r}: pass images_per_s.")
    work = {depth: find_architecture(f"resnet{depth}").num_multiplications for depth in (50, 101, 152)}
    small, large = 1 / P100_IMAGES_PER_S["resnet50"], 1 / P100_IMAGES_PER_S["resnet152"]
    return 1 / (small + (large - small) * (work[101] - work[50]) / (work[152] - work[50]))


def measured_profile(model, loss, *, batch_size: int, num_trials: int = 3, name: str = "measured") -> StepProfile:
    """Measure a profile on this machine: hooks note when the backward pass has finished each gradient.

    Parameters
    ----------
    model : torch.nn.Module
    loss : callable
        ``loss()`` runs the forward pass on a batch and returns the loss.
    batch_size : int
        Samples in that batch.
    num_trials : int
        The shortest of so many steps counts, after one that does not.

    Returns
    -------
    StepProfile
        One gradient a parameter that needs one and gets one.
    """
    import time

    import torch

    names = {id(parameter): key for key, parameter in model.named_parameters()}
    order: list[tuple[str, float, int]] = []

    def note(parameter) -> None:
        if parameter.is_cuda:
            torch.cuda.synchronize(parameter.device)
        order.append((names[id(parameter)], time.perf_counter(), parameter.numel() * parameter.element_size()))

    hooks = [p.register_post_accumulate_grad_hook(note) for p in model.parameters() if p.requires_grad]
    best = None
    try:
        for trial in range(num_trials + 1):
            model.zero_grad(set_to_none=False)
            order.clear()
            start = time.perf_counter()
            value = loss()
            if value.is_cuda:
                torch.cuda.synchronize(value.device)
            middle = time.perf_counter()
            value.backward()
            if trial and (best is None or order[-1][1] - start < best[0]):
                ends = [middle, *(moment for _, moment, _ in order)]
                gradients = tuple(
                    Gradient(key, end - before, num_bytes)
                    for (key, end, num_bytes), before in zip(order, ends[:-1], strict=True)
                )
                best = order[-1][1] - start, StepProfile(name, middle - start, gradients, batch_size, "measured here")
    finally:
        for hook in hooks:
            hook.remove()
    return best[1]
