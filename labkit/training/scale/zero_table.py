"""The memory of ZeRO's stages by formula: what each of N devices holds of the states of Psi parameters.

Mixed precision with Adam: parameters and gradients in 16 bits, and K = 12 bytes a parameter for the optimizer
(parameters, momentum and variance in 32 bits).

References
----------
Rajbhandari, Rasley, Ruwase, He: ZeRO: Memory optimizations toward training trillion parameter models, SC 2020
(arXiv 1910.02054), section 3.1, figure 1 and table 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import UsageError

STAGES = {0: "data parallel", 1: "optimizer states", 2: "and gradients", 3: "and parameters"}
GIGABYTE = 10**9
PARAMETER_BYTES = GRADIENT_BYTES = 2
OPTIMIZER_BYTES = 12


@dataclass(frozen=True, slots=True)
class ZeroMemory:
    """Bytes on one device.

    Attributes
    ----------
    stage, num_ranks : int
    parameters_bytes, gradients_bytes, optimizer_bytes : float
    """

    stage: int
    num_ranks: int
    parameters_bytes: float
    gradients_bytes: float
    optimizer_bytes: float

    @property
    def total_bytes(self) -> float:
        return self.parameters_bytes + self.gradients_bytes + self.optimizer_bytes


def zero_memory(
    num_parameters: float, num_ranks: int, stage: int, *, parameter_bytes: int = PARAMETER_BYTES,
    gradient_bytes: int = GRADIENT_BYTES, optimizer_bytes: int = OPTIMIZER_BYTES,
) -> ZeroMemory:
    """The model states that a device holds, in bytes; stage 0 is plain data parallelism.

    Parameters
    ----------
    num_parameters : float
        Psi.
    num_ranks : int
        N.
    stage : int
        0 to 3.
    parameter_bytes, gradient_bytes, optimizer_bytes : int
        Of one parameter.

    Examples
    --------
    >>> [round(zero_memory(7.5e9, 64, stage).total_bytes / GIGABYTE, 2) for stage in range(4)]
    [120.0, 31.41, 16.64, 1.88]
    """
    if stage not in STAGES:
        raise UsageError(f"stage={stage!r}: ZeRO has the stages 1, 2 and 3, and 0 is plain data parallelism.")
    if isinstance(num_ranks, bool) or not isinstance(num_ranks, int) or num_ranks < 1 or not num_parameters > 0:
        raise UsageError(f"{num_parameters} parameters on {num_ranks} devices: both are positive, the devices whole.")
    shares = [num_ranks if stage >= first else 1 for first in (3, 2, 1)]  # parameters, gradients, optimizer
    sizes = (parameter_bytes, gradient_bytes, optimizer_bytes)
    return ZeroMemory(stage, num_ranks, *(num_parameters * size / share for size, share in zip(sizes, shares, strict=True)))


def zero_traffic(num_parameters: float, stage: int) -> float:
    """Numbers that a rank sends in a step, for many ranks: 2 Psi, and 3 Psi where parameters are gathered twice.

    Examples
    --------
    >>> [zero_traffic(1.0, stage) for stage in range(4)]
    [2.0, 2.0, 2.0, 3.0]
    """
    if stage not in STAGES:
        raise UsageError(f"stage={stage!r}: ZeRO has the stages 1, 2 and 3, and 0 is plain data parallelism.")
    return (3.0 if stage == 3 else 2.0) * num_parameters


def zero_table(num_parameters: float, nums_ranks=(1, 4, 16, 64, 256, 1024)) -> list[ZeroMemory]:
    """All stages 1 to 3 on several numbers of devices; on one device all are the same."""
    return [zero_memory(num_parameters, num_ranks, stage) for num_ranks in nums_ranks for stage in (1, 2, 3)]
