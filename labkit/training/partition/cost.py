"""What stages cost: one function of a range of layers, which all partitioners and the validator share.

A stage of layers i to j - 1 on m devices, for each micro-batch of the pipeline::

    compute(i, j)     forward and backward passes of its layers
    link(i)           messages through the cut before layer i: activations forward, gradients back
    sync(i, j, m)     2 (m - 1) W / B for the gradients of W bytes of parameters: m times a ring all-reduce

    overlapping       max(max(compute, sync) / m, link(i), link(j))                PipeDream's formula
    one by one        max(compute + link(i) + link(j), sync) / m

and its memory: ``state_factor`` times its parameters, each once, and the activations of the micro-batches it keeps,
with what it has received for them.

References
----------
D. Narayanan et al., PipeDream: generalized pipeline parallelism for DNN training, SOSP 2019, section 3.1.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from labkit.training.partition.chain import Chain
from labkit.training.partition.device import Device
from labkit.training.partition.result import StageCost


class Ranges:
    """Costs of all ranges of a chain, vectorised over their first layer.

    Parameters
    ----------
    chain : Chain
    device : Device
    """

    def __init__(self, chain: Chain, device: Device):
        self.chain, self.device = chain, device
        layers = chain.layers
        self.compute = _sums(layer.compute_s for layer in layers)  # (n + 1,)
        self.stored = _sums(layer.stored_bytes for layer in layers)
        self.received = np.array([0.0, *(layer.crossing_bytes for layer in layers[:-1]), 0.0])
        self.link_s = np.array(
            [0.0, *(device.message_s(a.crossing_bytes) + device.message_s(a.gradient_bytes) for a in layers[:-1]), 0.0]
        )

    @cached_property
    def parameter_bytes(self) -> np.ndarray:
        """(n + 1, n + 1): of layers i to j - 1, each parameter once."""
        sums = _sums(layer.parameter_bytes for layer in self.chain.layers)
        table = sums[None, :] - sums[:, None]
        for parameter in self.chain.shared:
            for first, second in zip(parameter.layers, parameter.layers[1:], strict=False):
                table[: first + 1, second + 1 :] -= parameter.num_bytes  # the range has both: count it once
        return table

    def stage_s(self, stop: int) -> np.ndarray:
        """(stop,): time of the stages that begin at layer 0, ..., stop - 1 and end before ``stop``, on one device."""
        compute = self.compute[stop] - self.compute[:stop]
        if self.device.overlaps:
            return np.maximum(np.maximum(compute, self.link_s[:stop]), self.link_s[stop])
        return compute + self.link_s[:stop] + self.link_s[stop]

    def replicated_s(self, stop: int, replicas: np.ndarray) -> np.ndarray:
        """(stop, len(replicas)): as :meth:`stage_s`, on each of these numbers of devices."""
        compute = (self.compute[stop] - self.compute[:stop])[:, None]
        links = self.link_s[:stop, None], self.link_s[stop]
        sync = 2 * (replicas - 1) * self.parameter_bytes[:stop, stop, None] / self.device.bandwidth_bytes_s
        if self.device.overlaps:
            return np.maximum(np.maximum(np.maximum(compute, sync) / replicas, links[0]), links[1])
        return np.maximum(compute + links[0] + links[1], sync) / replicas

    def spent_s(self, stop: int) -> np.ndarray:
        """(stop,): as :meth:`stage_s`, with communication always added: among equally fast, less of it is better."""
        return self.compute[stop] - self.compute[:stop] + self.link_s[:stop] + self.link_s[stop]

    def memory_bytes(self, stop: int, held: np.ndarray, first: int = 0) -> np.ndarray:
        """(len(held), stop - first): memory of these stages where each number of micro-batches is kept."""
        state = self.device.state_factor * self.parameter_bytes[first:stop, stop]
        activations = self.stored[stop] - self.stored[first:stop] + self.received[first:stop]
        return state[None, :] + held[:, None] * activations[None, :]


def stage_cost(
    chain: Chain, start: int, stop: int, device: Device, *, held: int = 1, num_replicas: int = 1, tied_s: float = 0.0
) -> StageCost:
    """The cost of layers ``start`` to ``stop - 1`` as one stage."""
    some = chain.layers[start:stop]
    forward, backward = (math.fsum(getattr(layer, what) for layer in some) for what in ("forward_s", "backward_s"))
    num_parameters = sum(layer.num_parameters for layer in some)
    parameter_bytes = sum(layer.parameter_bytes for layer in some)
    for parameter in chain.shared:
        extra = max(0, sum(start <= k < stop for k in parameter.layers) - 1)
        num_parameters -= extra * parameter.num_parameters
        parameter_bytes -= extra * parameter.num_bytes
    receive, send = (
        0.0 if cut in (0, len(chain)) else _link_s(chain.layers[cut - 1], device) for cut in (start, stop)
    )
    sync = 2 * (num_replicas - 1) * parameter_bytes / device.bandwidth_bytes_s
    stored = sum(layer.stored_bytes for layer in some) + (chain.layers[start - 1].crossing_bytes if start else 0)
    if device.overlaps:
        seconds = max(max(forward + backward, sync) / num_replicas, receive, send)
    else:
        seconds = max(forward + backward + receive + send, sync) / num_replicas
    return StageCost(
        forward, backward, receive, send, sync, num_replicas, seconds, num_parameters, parameter_bytes,
        math.ceil(device.state_factor * parameter_bytes), held, held * stored, tied_s,
    )


def _link_s(layer, device: Device) -> float:
    return device.message_s(layer.crossing_bytes) + device.message_s(layer.gradient_bytes)


def _sums(values) -> np.ndarray:
    return np.concatenate(([0.0], np.cumsum(np.fromiter(values, float))))
