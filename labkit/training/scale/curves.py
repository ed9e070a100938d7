"""Efficiency over the number of GPUs: predicted lines, and points that somebody has measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.comm.network.model import Network
from labkit.training.scale.horovod import NUM_GPUS, PUBLISHED, Fit, horovod_step
from labkit.training.scale.profile import StepProfile
from labkit.training.scale.step import StepTime, scaling

NUMS_RANKS = tuple(1 << k for k in range(13))  # 1 to 4096


@dataclass(frozen=True, slots=True)
class ScalingCurve:
    """One line, and points beside it.

    Attributes
    ----------
    name : str
    steps : tuple of StepTime
        By number of GPUs.
    points : tuple of (int, float)
        Number of GPUs and efficiency, measured.
    """

    name: str
    steps: tuple[StepTime, ...]
    points: tuple[tuple[int, float], ...] = ()


def scaling_curve(
    name: str, profile: StepProfile, network: Network, *, nums_ranks: Sequence[int] = NUMS_RANKS, **options
) -> ScalingCurve:
    """The curve of a profile on a network; ``options`` as of :func:`.step.step_time`.

    Examples
    --------
    >>> from labkit.comm.network.presets import find_network
    >>> from labkit.training.scale.profile import published_profile
    >>> curve = scaling_curve("ring", published_profile("vgg16"), find_network("ethernet-10g"), nums_ranks=(1, 8))
    >>> [round(step.efficiency, 2) for step in curve.steps]
    [1.0, 0.41]
    """
    return ScalingCurve(name, tuple(scaling(profile, nums_ranks, network, **options)))


def horovod_curves(fit: Fit, *, nums_ranks: Sequence[int] = NUMS_RANKS) -> list[ScalingCurve]:
    """The paper's three models with the fitted constants, and the paper's numbers as points."""
    return [
        ScalingCurve(
            model,
            tuple(horovod_step(model, n, line_share=fit.line_share, noise=fit.noise) for n in nums_ranks),
            ((NUM_GPUS, efficiency),),
        )
        for model, efficiency in PUBLISHED.items()
    ]
