"""Before a pipeline's first step: its plan, its stages, and who holds what; what does not fit is refused."""

from __future__ import annotations

from torch import nn

from labkit.errors import UsageError
from labkit.training.in_pass import find_in_pass
from labkit.training.models.dropout import Dropout
from labkit.training.pipeline.given import plan_of
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.sliced import check_sliceable
from labkit.training.pipeline.stages import cut
from labkit.training.strategies import trained_parameters


class Preparing:
    """The part of a :class:`.strategy.Pipeline` that runs before its first step. It has the settings that it was made with:
    ``schedule``, ``given_plan``, ``settings``, ``partition``, ``checkpointing``; and ``comm`` and ``model``, once
    attached."""

    def _make_plan(self, comm, model, options) -> Plan:
        self._refuse_in_pass(model)
        trained_parameters(model)
        plan = plan_of(
            self.given_plan if self.given_plan is not None else self.schedule, num_ranks=comm.size,
            num_microbatches=options.num_micro_batches, **self.settings,
        )
        if plan.num_slices > 1:
            check_sliceable(model)
        if plan.num_slices > 1 and any(isinstance(m, Dropout) and m.share for m in model.modules()):
            raise UsageError(
                f"the plan {plan.name!r} takes {plan.num_slices} slices of tokens, and dropout counts the elements of "
                "whole sequences: use a model with dropout=0, or a plan without slices."
            )
        if options.batch_size < plan.num_microbatches:
            raise UsageError(
                f"a batch of {options.batch_size} samples cannot be cut into {plan.num_microbatches} micro-batches "
                f"with a sample or more: use batch_size={plan.num_microbatches} or more, or fewer micro-batches."
            )
        return plan

    def _refuse_in_pass(self, model: nn.Module) -> None:
        if find_in_pass(model) is not None:
            raise UsageError(
                "synchronised batch norm is for data parallelism: in a pipeline every micro-batch is whole on one "
                "rank. Pass the model with its plain batch norm."
            )

    def _cut_model(self, model: nn.Module):
        return cut(model, self.plan.num_stages if self.partition is None else self.partition)

    def _cut(self, model: nn.Module):
        num_stages, found = self.plan.num_stages, self._cut_model(model)
        if len(found.stages) != num_stages:
            raise UsageError(
                f"the partition has {len(found.stages)} stages and the plan {self.plan.name!r} {num_stages}: cut the "
                f"model into {num_stages} stages, or choose a plan for {len(found.stages)}."
            )
        return found

    def _checkpointed(self) -> frozenset[int]:
        if isinstance(self.checkpointing, bool):
            return frozenset(range(self.plan.num_stages) if self.checkpointing else ())
        stages = frozenset(self.checkpointing)
        wrong = sorted(stage for stage in stages if stage not in range(self.plan.num_stages))
        if wrong:
            raise UsageError(
                f"checkpointing names the stages {wrong}, but there are the stages 0 to {self.plan.num_stages - 1}: "
                "name some of them, or pass True for all."
            )
        return stages

    def _find_owners(self) -> None:
        """Which parameters and buffers lie here; each has one owner, the rank of the first stage that uses it."""
        place = self.plan.rank_of_stage
        owner: dict[str, int] = {}
        self.held_names: set[str] = set()
        for stage in self.cut.stages:
            for name in (*stage.parameters, *stage.buffers):
                owner.setdefault(name, place[stage.number])
                if place[stage.number] == self.comm.rank:
                    self.held_names.add(name)
        self.owner = owner
        self.owned = {name for name, rank in owner.items() if rank == self.comm.rank}
        self.all_trained_names = [name for name, p in self.model.named_parameters() if p.requires_grad]
        self.trained_names = [name for name in self.all_trained_names if name in self.held_names]
        self.tied = []  # (parameter, ranks that hold it, in the order of their stages)
        for name, stages in self.cut.tied.items():
            ranks = tuple(dict.fromkeys(place[stage] for stage in stages))
            if len(ranks) > 1 and name in self.all_trained_names:
                self.tied.append((self.model.get_parameter(name), ranks))
