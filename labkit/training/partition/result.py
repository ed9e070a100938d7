"""What a partitioner gives: stages by the names of their modules, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class StageCost:
    """One stage: times of one micro-batch, bytes of one device.

    Attributes
    ----------
    forward_s, backward_s : float
    receive_s, send_s : float
        Messages with the stage before and with the one behind: activations forward and gradients back.
    sync_s : float
        The all-reduce of the gradients of ``num_replicas`` devices, for each micro-batch, as PipeDream does it.
    num_replicas : int
        Devices that take turns with micro-batches.
    stage_s : float
        What the stage needs for each micro-batch of the pipeline; see :mod:`labkit.training.partition.cost`.
    num_parameters, parameter_bytes, state_bytes : int
        Weights; and those with gradients and the optimizer's state.
    held : int
        Micro-batches whose activations it keeps.
    activation_bytes : int
        Of all these.
    tied_s : float
        Once a step, not for each micro-batch: adding the gradients of parameters that other stages hold copies of.
    """

    forward_s: float
    backward_s: float
    receive_s: float
    send_s: float
    sync_s: float
    num_replicas: int
    stage_s: float
    num_parameters: int
    parameter_bytes: int
    state_bytes: int
    held: int
    activation_bytes: int
    tied_s: float = 0.0

    @property
    def compute_s(self) -> float:
        return self.forward_s + self.backward_s

    @property
    def communication_s(self) -> float:
        return self.receive_s + self.send_s

    @property
    def memory_bytes(self) -> int:
        return self.state_bytes + self.activation_bytes


@dataclass(frozen=True)
class Partition:
    """A model cut into stages.

    Attributes
    ----------
    method : str
        Of the partitioner.
    stages : tuple of tuple of str
        Names of modules in order of execution; no stage is empty.
    layers : tuple of tuple of str
        The same by layers of the chain: a layer may be several modules that stay together.
    ranks : tuple of int
        The rank of each stage, or the first of its replicas. A rank has several stages if the model comes back to it.
    costs : tuple of StageCost
    tied : tuple of (str, tuple of int)
        Parameters that several stages hold copies of, and these stages: their gradients have to be added.

    Examples
    --------
    >>> from labkit.training.partition.chain import make_chain
    >>> from labkit.training.partition.registry import partition
    >>> found = partition(make_chain(forward_s=[1, 1, 1, 3]), 2)
    >>> found.stages, found.stage_of("3"), found.slowest_s
    ((('0', '1', '2'), ('3',)), 1, 9.0)
    """

    method: str
    stages: tuple[tuple[str, ...], ...]
    layers: tuple[tuple[str, ...], ...]
    ranks: tuple[int, ...]
    costs: tuple[StageCost, ...]
    tied: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @cached_property
    def _stage_of(self) -> dict[str, int]:
        return {name: k for k, stage in enumerate(self.stages) for name in stage} | {
            name: k for k, stage in enumerate(self.layers) for name in stage
        }

    def stage_of(self, name: str) -> int:
        """The stage of a module, or of a module that lies inside one or that lies whole in one stage.

        Raises
        ------
        UsageError
            No such module, or several stages have a part of it.
        """
        part = name
        while part:
            if part in self._stage_of:
                return self._stage_of[part]
            part = part.rpartition(".")[0]
        inside = sorted({k for other, k in self._stage_of.items() if other.startswith(f"{name}.") or not name})
        if len(inside) == 1:
            return inside[0]
        if inside:
            raise UsageError(
                f"partition: the module {name!r} is cut: stages {inside} have parts of it; ask for a part."
            )
        raise UsageError(f"partition: there is no module {name!r} in it: take one of {', '.join(self._stage_of)}.")

    @property
    def num_stages(self) -> int:
        return len(self.stages)

    @property
    def num_replicas(self) -> tuple[int, ...]:
        return tuple(cost.num_replicas for cost in self.costs)

    @property
    def num_ranks(self) -> int:
        return max(rank + cost.num_replicas for rank, cost in zip(self.ranks, self.costs, strict=True))

    @property
    def rank_s(self) -> tuple[float, ...]:
        """Time of each rank for one micro-batch: of all stages that it has."""
        seconds = [0.0] * self.num_ranks
        for rank, cost in zip(self.ranks, self.costs, strict=True):
            for replica in range(cost.num_replicas):
                seconds[rank + replica] += cost.stage_s
        return tuple(seconds)

    @property
    def slowest_s(self) -> float:
        """Time of the slowest rank: one micro-batch leaves the full pipeline each time it passes."""
        return max(self.rank_s)

    @property
    def rank_memory_bytes(self) -> tuple[int, ...]:
        memory = [0] * self.num_ranks
        for rank, cost in zip(self.ranks, self.costs, strict=True):
            for replica in range(cost.num_replicas):
                memory[rank + replica] += cost.memory_bytes
        return tuple(memory)

    @property
    def balance(self) -> float:
        """Mean over slowest rank, from 0 to 1."""
        return sum(self.rank_s) / (len(self.rank_s) * self.slowest_s) if self.slowest_s else 1.0

    def text(self) -> str:
        """A line a stage.

        Examples
        --------
        >>> from labkit.training.partition.chain import make_chain
        >>> from labkit.training.partition.registry import partition
        >>> print(partition(make_chain(forward_s=[1, 1, 1, 3]), 2).text())
        stage 0  rank 0  9 s  0, 1, 2
        stage 1  rank 1  9 s  3
        """
        lines = []
        for k, (layers, rank, cost) in enumerate(zip(self.layers, self.ranks, self.costs, strict=True)):
            ranks = f"rank {rank}" if cost.num_replicas == 1 else f"ranks {rank} to {rank + cost.num_replicas - 1}"
            lines.append(f"stage {k}  {ranks}  {cost.stage_s:.4g} s  {', '.join(layers)}")
        return "\n".join(lines)
