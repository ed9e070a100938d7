"""Forward alone through all stages, for evaluation: every rank's samples pass through the ranks of the stages."""

from __future__ import annotations

import torch
from torch import nn

from labkit.training.pipeline.transport import FIRST_TAG


class StagedModule(nn.Module):
    """Called like the whole model, by all ranks as often, each with its own samples; for evaluation only."""

    def __init__(self, strategy):
        super().__init__()
        object.__setattr__(self, "strategy", strategy)  # not a module of this one

    def train(self, mode: bool = True) -> StagedModule:
        for stage in self.strategy.cut.stages:
            stage.train.train(mode)
            stage.eval.train(mode)
        self.strategy.model.train(mode)
        return super().train(mode)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The model's outputs. Collective."""
        executor, failure, result = self.strategy.executor, None, None
        try:
            for root in range(executor.transport.size):
                outputs = self._pass(executor, root, inputs)
                if root == executor.rank:
                    result = outputs
        except Exception as error:
            failure = error
        executor.close_step(failure)
        return result

    def _pass(self, executor, root: int, inputs):
        """One rank's samples through all stages; their outputs on that rank."""
        transport, place, last = executor.transport, executor.plan.rank_of_stage, executor.last
        if executor.rank == root and place[0] != root:
            transport.send_object(place[0], FIRST_TAG, (inputs,))
        handed = (inputs,) if executor.rank == root else None
        for stage in executor.cut.stages:
            number = stage.number
            if place[number] != executor.rank:
                continue
            source = root if number == 0 else place[number - 1]
            if source != executor.rank:
                handed = transport.receive_object(source, FIRST_TAG + number)
            with torch.no_grad():
                values, _ = stage.eval(*(v.to(executor.device) if torch.is_tensor(v) else v for v in handed))
            handed = tuple(v.cpu() if torch.is_tensor(v) else v for v in values)
            dest = root if number == last else place[number + 1]
            if dest != executor.rank:
                transport.send_object(dest, FIRST_TAG + number + 1, handed)
        if executor.rank != root:
            return None
        if place[last] != root:
            handed = transport.receive_object(place[last], FIRST_TAG + last + 1)
        return handed[0].to(executor.device)
