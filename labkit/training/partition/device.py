"""What a stage runs on: memory, and the link to the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from labkit.errors import UsageError

HOLDING = ("1f1b", "gpipe")


@dataclass(frozen=True, slots=True)
class Device:
    """One device a rank, all alike, with equal links between any two.

    Attributes
    ----------
    memory_bytes : float
        What a device holds.
    bandwidth_bytes_s, latency_s : float
        Of a link: a message of n bytes takes ``latency_s + n / bandwidth_bytes_s``.
    overlaps : bool
        Whether a device computes while it sends. True, as PipeDream assumes: a stage takes as long as the longer of
        the two. False: as long as both, one after the other.
    state_factor : float
        Bytes for each byte of parameters: 4 with Adam (weights, gradients, two averages), 2 with plain SGD.
    holding : str
        How many micro-batches' activations a stage keeps: ``"1f1b"``, as many as there are stages from it to the last
        (ceil of ranks from it on / its ranks where stages are replicated, as in PipeDream); ``"gpipe"``, all of them.
    num_microbatches : int
        Of a step: nothing keeps more than that.
    """

    memory_bytes: float = math.inf
    bandwidth_bytes_s: float = 10e9
    latency_s: float = 10e-6
    overlaps: bool = True
    state_factor: float = 4.0
    holding: str = "1f1b"
    num_microbatches: int = 8

    def __post_init__(self):
        if self.holding not in HOLDING:
            raise UsageError(f"device: holding is one of {', '.join(HOLDING)}, not {self.holding!r}: pass one of them.")
        for what, least in (
            ("memory_bytes", 0), ("bandwidth_bytes_s", 0), ("latency_s", 0), ("state_factor", 0),
            ("num_microbatches", 1),
        ):
            value = getattr(self, what)
            if not value >= least or (what == "bandwidth_bytes_s" and value == 0):
                raise UsageError(f"device: {what} is {value!r}, but it has to be {least} or more: pass such a number.")

    def message_s(self, num_bytes: float) -> float:
        """How long a message takes; nothing to send takes no time."""
        return self.latency_s + num_bytes / self.bandwidth_bytes_s if num_bytes else 0.0

    def num_held(self, ranks_from_here: int, num_replicas: int = 1) -> int:
        """Micro-batches whose activations a stage keeps.

        Examples
        --------
        >>> [Device().num_held(ranks) for ranks in (4, 3, 2, 1)], Device(num_microbatches=2).num_held(4)
        ([4, 3, 2, 1], 2)
        """
        if self.holding == "gpipe":
            return self.num_microbatches
        return min(self.num_microbatches, -(-ranks_from_here // num_replicas))
