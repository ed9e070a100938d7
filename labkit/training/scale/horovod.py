"""Horovod's published scaling on 512 GPUs, from layer tables, a throughput, a line rate and two fitted constants.

The paper's machines: 128 servers with 4 Pascal GPUs each, joined by RoCE of 25 Gbit/s; ring all-reduce (NCCL 2), gradients
fused in buffers of 64 MB while the backward pass goes on. What the model needs:

=====================  =============================================================================================
known                  layers and their shapes; images/s of one P100; 25 Gbit/s; 4 GPUs a server; 64 MB; the ring's formula
fitted: ``line_share``   which share of the line rate an all-reduce reaches
fitted: ``noise``        mean of a GPU's exponential delay, as a fraction of its step; all wait for the slowest (:mod:`.bsp`)
=====================  =============================================================================================

Two constants for three numbers is little room to be wrong in. So :func:`leave_one_out` fits them to two models at a
time and says what they predict for the third: for Inception V3 and ResNet-101 that is within two points of what was
measured. For VGG-16 a wide interval is left: the other two hide nearly all of their communication, so their steps
hardly tell a slow network from noisy GPUs.

Simpler than in Horovod: a buffer is sent when it is full, not at the next tick of a background thread; and servers do not
negotiate which gradients are ready.

References
----------
Sergeev, Del Balso: Horovod: fast and easy distributed deep learning in TensorFlow, 2018 (arXiv 1802.05799), figure 6.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from labkit.comm.network.model import LinkCost, Network
from labkit.errors import UsageError
from labkit.training.scale.profile import StepProfile, published_profile
from labkit.training.scale.step import StepTime, step_time

PUBLISHED = {"inception_v3": 0.90, "resnet101": 0.90, "vgg16": 0.68}  # efficiency on NUM_GPUS
NUM_GPUS, GPUS_PER_SERVER = 512, 4
LINE_BYTES_PER_S = 25e9 / 8
FUSION_BYTES = 64 * 2**20  # Horovod's fusion buffer
NETWORK_LATENCY_S, INSIDE_LATENCY_S = 14e-6, 4.1e-6  # a step of NCCL's ring, protocol Simple (tuning.cc); see presets
INSIDE_BYTES_PER_S = 12e9  # PCIe 3.0 x16
SHARES = np.round(np.arange(0.20, 1.0001, 0.01), 2)
NOISES = np.round(np.arange(0.0, 0.0401, 0.0005), 4)
POINT = 0.01


@dataclass(frozen=True, slots=True)
class Fit:
    """The two constants, and what they give.

    Attributes
    ----------
    line_share, noise : float
    efficiencies : dict of str to float
        By model, of all three.
    fitted_to : tuple of str
    """

    line_share: float
    noise: float
    efficiencies: dict[str, float]
    fitted_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the constants that fit the other models say of one.

    Attributes
    ----------
    model : str
    published : float
    best : float
        From the constants that fit best; of several, the smallest.
    low, high : float
        From all constants that fit the others to a point.
    """

    model: str
    published: float
    best: float
    low: float
    high: float

    @property
    def is_determined(self) -> bool:
        """Whether anything follows: all constants agree to three points either way."""
        return self.high - self.low <= 6 * POINT


def roce_network(line_share: float = 1.0) -> Network:
    """The paper's network: servers of four GPUs, 25 Gbit/s between them, of which an all-reduce gets a share.

    Examples
    --------
    >>> network = roce_network(0.5)
    >>> network.ranks_per_node, round(1 / network.cost.beta_s_per_byte / 1e9, 3)
    (4, 1.562)
    """
    if not 0 < line_share <= 1:
        raise UsageError(f"line_share={line_share} is a share of the line rate: above 0, at most 1.")
    return Network(
        "roce-25g", LinkCost(NETWORK_LATENCY_S, 1 / (LINE_BYTES_PER_S * line_share)), ranks_per_node=GPUS_PER_SERVER,
        inside=LinkCost(INSIDE_LATENCY_S, 1 / INSIDE_BYTES_PER_S),
        source="25 Gbit/s RoCE and 4 GPUs a server: arXiv 1802.05799. Latencies: NCCL's ring model. Inside: PCIe 3.0 x16.",
    )


def horovod_step(
    profile: StepProfile | str, num_ranks: int = NUM_GPUS, *, line_share: float, noise: float
) -> StepTime:
    """A step as Horovod ran it; ``profile`` may be an architecture's name."""
    if isinstance(profile, str):
        profile = _profile(profile)
    return step_time(
        profile, num_ranks, roce_network(line_share), algorithm="ring", bucket_bytes=FUSION_BYTES, noise=noise
    )


@functools.cache
def _profile(name: str) -> StepProfile:
    return published_profile(name)


@functools.cache
def _table(name: str) -> np.ndarray:
    """Efficiency of a model for all pairs of constants on the grid: (shares, noises)."""
    return np.array([
        [horovod_step(name, line_share=float(share), noise=float(noise)).efficiency for noise in NOISES] for share in SHARES
    ])


def fit_constants(models: tuple[str, ...] = tuple(PUBLISHED)) -> Fit:
    """The two constants with the least sum of squared differences to the published numbers, on a grid.

    Examples
    --------
    >>> fit = fit_constants()
    >>> all(abs(fit.efficiencies[model] - published) < 0.03 for model, published in PUBLISHED.items())
    True
    """
    error = _errors(models)
    share, noise = np.unravel_index(error.argmin(), error.shape)
    return Fit(
        float(SHARES[share]), float(NOISES[noise]), {model: float(_table(model)[share, noise]) for model in PUBLISHED},
        tuple(models),
    )


def _errors(models) -> np.ndarray:
    unknown = [model for model in models if model not in PUBLISHED]
    if unknown or not models:
        raise UsageError(f"models={models!r}: some of {', '.join(PUBLISHED)}.")
    return sum((_table(model) - PUBLISHED[model]) ** 2 for model in models)


def leave_one_out() -> list[Prediction]:
    """For each model: what follows for it from constants that fit the other two.

    Examples
    --------
    >>> [(prediction.model, prediction.is_determined) for prediction in leave_one_out()]
    [('inception_v3', True), ('resnet101', True), ('vgg16', False)]
    """
    found = []
    for model, published in PUBLISHED.items():
        others = tuple(other for other in PUBLISHED if other != model)
        fits = np.all([abs(_table(other) - PUBLISHED[other]) <= POINT for other in others], axis=0)
        error = _errors(others)
        values = _table(model)[fits | (error == error.min())]
        found.append(Prediction(
            model, published, float(_table(model)[np.unravel_index(error.argmin(), error.shape)]), float(values.min()),
            float(values.max()),
        ))
    return found


def resnet50_on_128(fit: Fit | None = None) -> StepTime:
    """The example: ResNet-50 on 128 GPUs of those machines, with the constants that were fitted to the others.

    Examples
    --------
    >>> step = resnet50_on_128()
    >>> step.num_ranks, 0.85 < step.efficiency < 0.97
    (128, True)
    """
    fit = fit or fit_constants()
    return horovod_step("resnet50", 128, line_share=fit.line_share, noise=fit.noise)
