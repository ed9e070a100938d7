"""The strategy "hybrid": dp replicas, each a pipeline of pp stages, each stage divided over tp ranks.

Nothing is computed in a new way here. Layers are divided by :mod:`labkit.training.tensor_parallel`, stages run by
:mod:`labkit.training.pipeline`, and what a rank holds is trained over its replicas by a data-parallel strategy:
gradients added up in one vector, or ZeRO's first stage, which keeps the optimizer's state in shards.
"""

from __future__ import annotations

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.agreement import all_or_none, check_equal
from labkit.training.data_parallel.replicated import broadcast
from labkit.training.hybrid.executor import HybridExecutor
from labkit.training.hybrid.stages import cut_divided, divided_stages
from labkit.training.hybrid.state import StateOnMesh
from labkit.training.in_pass import PeerFailedError
from labkit.training.losses import sample_losses
from labkit.training.mesh import Mesh
from labkit.training.options import TrainingOptions
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.strategy import Pipeline
from labkit.training.report import TrainingReport
from labkit.training.strategies import make_strategy
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.loss import VocabularyLoss
from labkit.training.tensor_parallel.passes import finish_gradients
from labkit.training.tensor_parallel.shards import find_shards
from labkit.training.tensor_parallel.transformer import ParallelTransformer, tensor_parallel

OVER_REPLICAS = {0: "flat", 1: "zero_1"}


class Hybrid(StateOnMesh, Pipeline):
    """Each rank holds its part of the layers of its stage, of its replica.

    Parameters
    ----------
    mesh : Mesh
        Its product is the number of ranks.
    schedule, plan, partition, checkpointing, pause_s
        As for :class:`labkit.training.pipeline.strategy.Pipeline`; the plan is for ``mesh.pp`` ranks, and all replicas
        and parts run the same.
    zero_stage : int
        0, or 1: the optimizer's state in shards over the replicas. Gradients of every micro-batch would have to be
        shared out with stage 2, and parameters gathered for each with stage 3: a pipeline takes neither.
    sequence_parallel : bool
        See :func:`labkit.training.tensor_parallel.transformer.tensor_parallel`.

    Raises
    ------
    UsageError
        A mesh that does not cover the ranks, heads that ``tp`` does not divide, fewer blocks than stages, a model that
        cannot be divided: before any step, on all ranks.
    """

    name = "hybrid"

    def __init__(
        self, mesh: Mesh, schedule: str = "1f1b", *, zero_stage: int = 0, sequence_parallel: bool = False, **settings
    ):
        if not isinstance(mesh, Mesh):
            raise UsageError(
                f"mesh={mesh!r:.60} must be a labkit.training.mesh.Mesh: pass Mesh(dp=2, pp=2), for example."
            )
        if zero_stage not in OVER_REPLICAS:
            raise UsageError(
                f"zero_stage={zero_stage!r}: with a pipeline it is 0 or 1. Stage 2 would share out the gradients of "
                "every micro-batch, and stage 3 gather parameters for each."
            )
        super().__init__(schedule, executor=self._make_executor, **settings)
        self.mesh, self.zero_stage, self.sequence_parallel = mesh, zero_stage, sequence_parallel

    # -- who does what ---------------------------------------------------------------------------

    def replicas(self, comm) -> tuple[int, int]:
        self.mesh.check(comm.size)
        return self.mesh.dp, self.mesh.coordinates(comm.rank)["dp"]

    def counts_loss(self, comm) -> bool:
        return self.mesh.coordinates(comm.rank)["tp"] == 0

    def test_part(self, comm) -> tuple[int, int]:
        here = self.mesh.coordinates(comm.rank)
        return self.mesh.dp * self.mesh.pp, here["dp"] * self.mesh.pp + here["pp"]

    def loss_of(self, loss):
        module = self.model
        if not isinstance(module, ParallelTransformer) or module.num_classes is not None:
            return loss
        if loss is not sample_losses:
            module.gathers_logits = True
            return loss
        return VocabularyLoss(self.group, module.num_tokens)

    # -- taking hold and letting go --------------------------------------------------------------

    def attach(self, comm, model: nn.Module, optimizer_factory, options, recorder) -> None:
        words = f"{self.mesh}, {self.mesh.order}, ZeRO {self.zero_stage}, sequence_parallel {self.sequence_parallel}"
        check_equal(comm, "the meshes", words, "Pass equal ones on every rank.")
        self.world, self.original = comm, None
        groups = self.mesh.communicators(comm)
        self.group = ParallelGroup(groups["tp"], sequence_parallel=self.sequence_parallel and self.mesh.tp > 1)
        module = model if self.mesh.tp == 1 else all_or_none(comm, lambda: tensor_parallel(model, self.group))
        self.shards = find_shards(module)
        all_or_none(comm, lambda: self._try_cut(module, groups["pp"], options))
        if module is not model:
            self.original = model
            for parameter in model.parameters():
                parameter.data = parameter.data.new_empty(0)
        super().attach(groups["pp"], module, optimizer_factory, options, recorder)
        self.group.attach(groups["tp"], recorder)
        spare = torch.zeros(1, device=next(model.parameters()).device)  # of a stage that is frozen: nobody uses it
        self.own = nn.ParameterList(self.parameters or [nn.Parameter(spare)])
        self.over_replicas = make_strategy(OVER_REPLICAS[self.zero_stage])
        self.over_replicas.attach(groups["dp"], self.own, optimizer_factory, options, recorder)
        self.optimizer = self.over_replicas.optimizer
        self.groups = groups
        named = dict(self.model.named_buffers())
        self.buffers = [b for name, b in named.items() if name in self.held_names and b.is_floating_point()]
        self.buffers = self.buffers if self.mesh.dp > 1 else []

    def _try_cut(self, module, comm, options) -> None:
        """What cannot be is refused by all ranks, also those whose pipeline would have been the only one to notice."""
        self.plan = self._make_plan(comm, module, options)
        self._cut(module)

    def _make_executor(self, *arguments, **settings):
        return HybridExecutor(*arguments, group=self.group, **settings)

    def _refuse_in_pass(self, model) -> None:
        if self.mesh.tp == 1:
            super()._refuse_in_pass(model)

    def _cut_model(self, model: nn.Module):
        if self.mesh.tp == 1:
            return super()._cut_model(model)
        if self.partition is None:
            return cut_divided(model, divided_stages(model, self.plan.num_stages))
        return cut_divided(model, [tuple(part) for part in getattr(self.partition, "stages", self.partition)])

    def detach(self) -> None:
        if self.executor is None:
            return
        state = self.model_state_dict() if self.original is not None else None
        self.over_replicas.detach()
        super().detach()
        self.group.detach()
        if state is not None:
            for name, parameter in self.original.named_parameters():
                parameter.data = state[name].clone()
            self.original = None

    # -- a step ----------------------------------------------------------------------------------

    def start_step(self) -> None:
        self.over_replicas.start_step()
        self.over_replicas.start_micro_batch(is_last=True)

    def finish_backward(self) -> None:
        super().finish_backward()
        self.add_parts()
        self.over_replicas.finish_backward()
        for buffer in self.buffers:  # running statistics, which every replica has of its own samples
            broadcast(self.groups["dp"], buffer, self.recorder)

    def add_parts(self) -> None:
        """Of parameters that each part has the gradient of its own rows of: sequence parallelism. Collective."""
        if self.mesh.tp > 1:
            finish_gradients(self.model)

    def abort(self) -> None:
        if not self.is_closed:
            self.group.begin()
            self.group.leave()
        try:
            super().abort()
        except PeerFailedError:
            pass
        self.over_replicas.failure = self.failure
        self.over_replicas.abort()

    def scale_gradients(self, factor: float) -> None:
        self.over_replicas.scale_gradients(factor)

    def step(self, learning_rate: float) -> None:
        self._used |= self.executor.reached
        self._end_watch()
        self.over_replicas.step(learning_rate)


def train_hybrid(
    comm, model: nn.Module, data, options: TrainingOptions | None = None, *, mesh: Mesh, plan: Plan | str = "1f1b",
    **settings,
) -> TrainingReport:
    """Train on a mesh of ranks. Collective.

    Parameters
    ----------
    comm : communicator
        Of as many ranks as the mesh.
    model : torch.nn.Module
        Equal on all ranks; with ``mesh.tp`` above 1 a Transformer or MLP of :mod:`labkit.training.models`. Afterwards
        every rank has the whole trained model.
    data : DataSet
    options : TrainingOptions, optional
        ``batch_size`` is the whole batch, ``num_micro_batches`` that of each replica.
    mesh : Mesh
    plan : Plan or str
        For ``mesh.pp`` ranks: a plan, its text, or the name of a schedule.
    settings
        As for :class:`Hybrid` and :func:`labkit.training.trainer.train`.

    Returns
    -------
    TrainingReport
        Equal on all ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.training import TrainingOptions, load_digits, make_model, train_serial
    >>> data, options = load_digits(), TrainingOptions(num_steps=3, num_micro_batches=2)
    >>> make = lambda: make_model("mlp", data, hidden=(16, 16, 16))
    >>> program = lambda comm: train_hybrid(comm, make(), data, options, mesh=Mesh(2, 2, 2)).losses
    >>> found, alone = simulate(8, program).results[0], train_serial(make(), data, options).losses
    >>> max(abs(a - b) for a, b in zip(found, alone)) < 1e-5
    True
    """
    from labkit.training.trainer import train

    is_plan = isinstance(plan, Plan) or "\n" in str(plan).strip()
    named = {"plan": plan} if is_plan else {"schedule": plan}
    return train(comm, model, data, options, strategy="hybrid", mesh=mesh, **named, **settings)


__all__ = ["Hybrid", "train_hybrid"]
