"""What this machine was measured to do: computing of one rank without the others, and messages between ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError


@dataclass(frozen=True)
class ComputeCosts:
    """Of one process that has a core for itself, while the other cores are as busy as in the run; in s.

    All tuples but ``boundary_bytes`` are by stage of the plan.

    Attributes
    ----------
    forward_s, backward_s, weight_s : tuple of float
        Of one micro-batch. Where the plan has BW, ``backward_s`` is of both and ``weight_s`` 0.
    forward_calls, backward_calls, weight_calls : tuple of tuple of (str, str, int)
        The collectives inside of these: axis, kind, bytes.
    zero_s, norm_s, optimizer_s : tuple of float
        Setting the gradients of a stage to 0, taking their norm, the optimizer: once a step.
    gap_s : float
        Between two actions: what the executor does besides.
    edge_s : float
        Of a step: everything else.
    step_calls : tuple of (str, str, int)
        Collectives after the last action.
    gradient_bytes : tuple of int
        Of the stage's parameters.
    tied_bytes : int
        Of parameters that several stages have.
    boundary_bytes : tuple of int
        Of a micro-batch, from each stage to the next.
    """

    forward_s: tuple[float, ...]
    backward_s: tuple[float, ...]
    weight_s: tuple[float, ...]
    zero_s: tuple[float, ...]
    norm_s: tuple[float, ...]
    optimizer_s: tuple[float, ...]
    gradient_bytes: tuple[int, ...]
    gap_s: float = 0.0
    edge_s: float = 0.0
    forward_calls: tuple = ()
    backward_calls: tuple = ()
    weight_calls: tuple = ()
    step_calls: tuple = ()
    tied_bytes: int = 0
    boundary_bytes: tuple[int, ...] = ()

    def __post_init__(self):
        for name in self.__dataclass_fields__:
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        num = len(self.forward_s)
        for name in ("backward_s", "weight_s", "zero_s", "norm_s", "optimizer_s", "gradient_bytes"):
            if len(getattr(self, name)) != num:
                raise UsageError(
                    f"{name} has {len(getattr(self, name))} values and forward_s {num}: give one for each stage."
                )
        for name in ("forward_calls", "backward_calls", "weight_calls"):
            if not getattr(self, name):
                object.__setattr__(self, name, ((),) * num)


@dataclass(frozen=True)
class NetworkCosts:
    """Messages and collectives between the ranks of this machine, all groups of an axis at once.

    Attributes
    ----------
    times : mapping
        ``"axis kind"``, such as ``"dp allreduce"`` or ``"pp message"``, to rows of (bytes, s), smallest first.
    waiting_share, ended_share : float
        What a rank takes of a core while it waits for a message of the pipeline, and while it waits in a collective.
    late_s : float
        Where ranks share cores: how much later than with even shares the last one comes to a meeting.
    """

    times: Mapping[str, Sequence[tuple[float, float]]]
    waiting_share: float = 0.0
    ended_share: float = 0.0
    late_s: float = 0.0

    def seconds(self, axis: str, kind: str, num_bytes: float) -> float:
        """Between measured sizes on a straight line in the logarithms; beyond the last in proportion.

        Examples
        --------
        >>> network = NetworkCosts({"dp allreduce": [(100, 1e-6), (10_000, 1e-4)]})
        >>> [round(network.seconds("dp", "allreduce", n) * 1e6, 3) for n in (10, 1000, 20_000)]
        [1.0, 10.0, 200.0]
        """
        rows = self.times.get(f"{axis} {kind}")
        if rows is None:
            raise UsageError(
                f"nobody has measured {kind} along {axis}: the known ones are {', '.join(sorted(self.times)) or 'none'}. "
                "Measure the network with the mesh of the run."
            )
        sizes, times = np.array(rows, float).T
        if num_bytes <= sizes[0]:
            return float(times[0])
        if num_bytes >= sizes[-1]:
            return float(times[-1] * num_bytes / sizes[-1])
        return float(np.exp(np.interp(np.log(num_bytes), np.log(sizes), np.log(times))))


def _frozen(values):
    return tuple(map(_frozen, values)) if isinstance(values, (list, tuple)) else values
