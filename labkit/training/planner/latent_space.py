"""The argument for 16 nodes of 8 GPUs, step by step, with every assumption visible.

Latent Space trained a model on Amazon SageMaker with tensor parallelism, whose all-reduce takes ``log2 n`` steps one
after the other on n GPUs, and with a pipeline, which takes a number of steps that does not grow. With tensor parallelism
inside the nodes and the pipeline between them, only ``log2 8`` of the steps are left. The post prices the network part at
``1 / log2(8)``, and, with half of the cost being the network, the total at ``1/2 + 1/2 * 1/log2(16)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from labkit.errors import UsageError

REPORTED_IMPROVEMENT = 0.38


@dataclass(frozen=True, slots=True)
class LatentSpace:
    """The steps of the argument.

    Attributes
    ----------
    num_nodes, devices_per_node : int
    network_share : float
        Assumed: what of the cost is the network, before.
    steps_flat : float
        All-reduce over all devices, in parallel steps: ``log2(nodes * devices)``.
    steps_inside : float
        Over one node: ``log2(devices)``.
    network_part : float
        The post's factor for the network part inside a node: ``1 / log2(devices)``.
    total : float
        The post's total: ``(1 - share) + share / log2(nodes)``.
    counted_total : float
        What the same assumptions give with steps counted on both sides: ``(1 - share) + share * inside / flat``.
    """

    num_nodes: int
    devices_per_node: int
    network_share: float
    steps_flat: float
    steps_inside: float
    network_part: float
    total: float
    counted_total: float

    @property
    def improvement(self) -> float:
        return 1 - self.total

    def sentences(self) -> list[str]:
        """The argument in words, a sentence a step."""
        nodes, devices = self.num_nodes, self.devices_per_node
        return [
            f"Tensor parallel over all {nodes * devices} GPUs: an all-reduce takes log2({nodes * devices}) = "
            f"{self.steps_flat:.3g} steps, one after the other.",
            f"Tensor parallel inside a node of {devices}: log2({devices}) = {self.steps_inside:.3g} steps; the pipeline between "
            f"the nodes takes a number of steps that does not grow with them.",
            f"The post sets the network part inside a node to 1 / log2({devices}) = {self.network_part:.3f}.",
            f"Assumed: {self.network_share:.0%} of the cost is the network. The post's total is then "
            f"{1 - self.network_share:g} + {self.network_share:g} / log2({nodes}) = {self.total:.3f} of the cost, "
            f"{self.improvement:.1%} less; reported were {REPORTED_IMPROVEMENT:.0%}.",
            f"Counting the steps on both sides instead gives {1 - self.network_share:g} + {self.network_share:g} x "
            f"{self.steps_inside:.3g} / {self.steps_flat:.3g} = {self.counted_total:.3f}: the post's two factors are rules of "
            f"thumb, and use the nodes in one place and the devices in the other.",
        ]


def latent_space(num_nodes: int = 16, devices_per_node: int = 8, network_share: float = 0.5) -> LatentSpace:
    """Follow the argument for other numbers of nodes and devices.

    Parameters
    ----------
    num_nodes, devices_per_node : int
        At least 2 each.
    network_share : float
        From 0 to 1.

    Examples
    --------
    >>> latent_space().total
    0.625
    """
    for name, value in (("num_nodes", num_nodes), ("devices_per_node", devices_per_node)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 2:
            raise UsageError(f"{name}={value!r} must be a whole number of at least 2: log2 of it is divided by.")
    if not 0 <= network_share <= 1:
        raise UsageError(f"network_share={network_share!r} is a part of the cost, from 0 to 1.")
    flat, inside = math.log2(num_nodes * devices_per_node), math.log2(devices_per_node)
    rest = 1 - network_share
    return LatentSpace(
        num_nodes, devices_per_node, network_share, flat, inside, 1 / inside, rest + network_share / math.log2(num_nodes),
        rest + network_share * inside / flat,
    )
