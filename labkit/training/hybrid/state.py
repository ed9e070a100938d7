"""What ranks of a mesh hold, put together: gradients and their norm, model, optimizer's state, memory, traffic."""

from __future__ import annotations

import math

import numpy as np
import torch

from labkit.training.pipeline.state import gathered
from labkit.training.tensor_parallel.shards import whole_tensor


class StateOnMesh:
    """The part of a :class:`.strategy.Hybrid` that gives its state whole, and takes it back; beside a ``Pipeline``."""

    def gradient_norm(self) -> float:
        """Each number once: of a tied parameter its owner's, of one that is whole on all parts the first part's."""
        is_first = self.group.rank == 0
        weights = [
            float(name in self.owned and (name in self.shards or is_first)) for name in self.trained_names
        ]
        squares = np.array([self._sum_of_squares(weights)])
        total = np.empty_like(squares)
        if self.zero_stage:  # each replica has a part of the gradients
            self.world.Allreduce(squares, total)
            return math.sqrt(float(total[0]))
        self.groups["pp"].Allreduce(squares, total)
        self.groups["tp"].Allreduce(total.copy(), total)
        return math.sqrt(float(total[0]))

    def _sum_of_squares(self, weights: list[float]) -> float:
        if not self.zero_stage:
            norms = [float(torch.linalg.vector_norm(p.grad.float())) ** 2 for p in self.parameters]
            return math.fsum(w * n for w, n in zip(weights, norms, strict=True))
        weight_of = {id(p): w for p, w in zip(self.parameters, weights, strict=True)}
        total = 0.0
        for unit in self.over_replicas.units:
            first = unit.rank * unit.shard_size
            for parameter, (start, stop) in zip(unit.parameters, unit.bounds(), strict=True):
                part = unit.gradient[max(0, start - first) : max(0, stop - first)]
                total += weight_of.get(id(parameter), 0.0) * float(torch.linalg.vector_norm(part.float())) ** 2
        return total

    def traffic(self):
        return super().traffic() + self.group.traffic + self.over_replicas.traffic()

    def memory(self) -> dict[str, int]:
        found = super().memory()
        over = self.over_replicas.memory()
        return found | {"gradients": over["gradients"], "optimizer": over["optimizer"]}

    def whole_of(self, name: str, value):
        if not torch.is_tensor(value) or not value.dim():
            return value
        return whole_tensor(self.group, value, self.shards.get(name))

    def part_of(self, name: str, value):
        shard = self.shards.get(name)
        if shard is None or not torch.is_tensor(value) or not value.dim():
            return value
        return shard.part(value, self.group.rank)

    def whole_gradients(self) -> dict[str, torch.Tensor]:
        """Of all parameters, on every rank; with ZeRO none, for they are in shards. Collective."""
        if self.zero_stage:
            return {}
        held = {name: self.whole_of(name, p.grad) for name, p in zip(self.trained_names, self.parameters, strict=True)}
        everyone = gathered(self.comm, {name: grad for name, grad in held.items() if name in self.owned})
        return {name: held.get(name, everyone[name]) for name in self.all_trained_names}

    def own_optimizer(self) -> dict:
        return self.over_replicas.state_dict()["optimizer"]

    def load_own_optimizer(self, state: dict) -> None:
        self.over_replicas.load_state_dict({"optimizer": state})

    def load_model_state_dict(self, state: dict) -> None:
        super().load_model_state_dict(state)
        own = {str(number): parameter.detach().clone() for number, parameter in enumerate(self.own)}
        self.over_replicas.load_model_state_dict(own)
