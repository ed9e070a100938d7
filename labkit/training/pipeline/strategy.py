"""The strategy "pipeline": every rank trains its stages of the model.

``train(comm, model, data, options, strategy="pipeline", schedule="zb-h1")`` runs any plan of this room with the trainer
that all strategies share: hooks, checkpoints, mixed precision, progress. :func:`train_pipeline` is the same with fewer
words.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from labkit.training.agreement import all_or_none, check_equal
from labkit.training.pipeline.execute import Executor, StepInputs
from labkit.training.pipeline.forward import StagedModule
from labkit.training.pipeline.measured import PipelineRun, collect_run
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.preparing import Preparing
from labkit.training.pipeline.sliced import SlicedExecutor
from labkit.training.pipeline.state import StateOnRanks, gathered
from labkit.training.pipeline.transport import FIRST_TAG
from labkit.training.recording import Traffic
from labkit.training.report import TrainingReport
from labkit.training.sampling import shard_ends
from labkit.training.step import take
from labkit.training.strategies import StrategyBase

WATCHED_STEPS = 2  # of which the memory of activations is noted; in the first one layers allocate what they keep


class Pipeline(Preparing, StateOnRanks, StrategyBase):
    """Each rank holds the parameters, gradients and optimizer state of its stages alone.

    The batch is not dealt out: all micro-batches, ``options.num_micro_batches`` of them, pass through all stages.

    Parameters
    ----------
    schedule : str
        One of :data:`.schedules.SCHEDULES`: ``"gpipe"``, ``"1f1b"``, ``"interleaved"``, ``"zb-h1"``, ...
    plan : Plan or str, optional
        Instead of a schedule: any plan, or its text.
    partition : Partition, sequence of sequences of str, or int, optional
        The modules of each stage; see :func:`.stages.cut`. Without it, stages with about equally many parameters.
    checkpointing : bool or sequence of int
        All stages, or these, keep their input alone and are computed again before their backward.
    pause_s : callable, optional
        See :class:`.execute.Executor`.
    executor : callable, optional
        What runs the plan: a class derived from :class:`.execute.Executor`.
    slice_lengths : sequence of int, optional
        Tokens of each slice, of a plan with slices; about equal without it.
    schedule_settings
        Of the schedule, as for :func:`.schedules.make_plan`: ``num_chunks`` of ``"interleaved"``, for example.

    Notes
    -----
    Gradients and losses are those of one process with as many micro-batches, up to the order of additions: of
    micro-batches, if the plan runs their backwards in another order, and of the stages that share a tied parameter.
    Where the plan keeps the order and nothing is tied, they are equal bit by bit. Batch norm takes the statistics of
    each micro-batch, as one process with micro-batches does.
    """

    name = "pipeline"

    def __init__(
        self, schedule: str = "1f1b", *, plan: Plan | str | None = None, partition=None, checkpointing=False,
        pause_s: Callable | None = None, executor: Callable | None = None, slice_lengths=None, **schedule_settings,
    ):
        self.slice_lengths = None if slice_lengths is None else tuple(slice_lengths)
        self.schedule, self.given_plan, self.partition, self.settings = schedule, plan, partition, schedule_settings
        self.checkpointing, self.pause_s, self.make_executor = checkpointing, pause_s, executor
        self.executor: Executor | None = None

    def replicas(self, comm) -> tuple[int, int]:
        return 1, 0

    # -- taking hold -----------------------------------------------------------------------------

    def attach(self, comm, model: nn.Module, optimizer_factory, options, recorder) -> None:
        self.comm, self.model, self.options, self.recorder = comm, model, options, recorder
        self.plan = all_or_none(comm, lambda: self._make_plan(comm, model, options))
        self.cut = all_or_none(comm, lambda: self._cut(model))
        self.checkpointed = all_or_none(comm, self._checkpointed)
        modules = [stage.modules for stage in self.cut.stages]
        words = f"{self.plan.text()} {modules} {sorted(self.checkpointed)} {self.slice_lengths}"
        check_equal(comm, "the plans or partitions", words, "Pass equal ones on every rank.")
        self._find_owners()
        device = next(model.parameters()).device
        self.module = StagedModule(self)
        make_executor = self.make_executor or (SlicedExecutor if self.plan.num_slices > 1 else Executor)
        self.executor = make_executor(
            comm, self.cut, self.plan, recorder, device, seed=options.seed, checkpointed=self.checkpointed,
            pause_s=self.pause_s,
        )
        self.executor.lengths = self.slice_lengths
        self.parameters = [p for name, p in model.named_parameters() if name in self.trained_names]
        for name, parameter in model.named_parameters():
            if name not in self.held_names:
                parameter.data = parameter.data.new_empty(0)
        self._zero_gradients()
        self.optimizer = optimizer_factory(self.parameters or [nn.Parameter(torch.zeros(1, device=device))])
        self.unused, self.num_runs, self.peak_bytes, self.is_closed, self.first_spans = (), 0, 0, False, []
        self._watch_use()

    # -- a step ----------------------------------------------------------------------------------

    def forward_backward(
        self, data, samples: np.ndarray, batch_size: int, *, step: int, loss, precision, device, dtype,
        first_sample: int = 0,
    ) -> float:
        """All micro-batches through all stages; this rank's part of the loss. Collective."""
        ends = shard_ends(len(samples), self.plan.num_microbatches)

        def part(action):
            return take(data, samples[ends[action.microbatch] : ends[action.microbatch + 1]], device, dtype)

        given = StepInputs(
            step, tuple(b - a for a, b in zip(ends[:-1], ends[1:], strict=True)), lambda action: part(action)[0],
            lambda action: part(action)[1], loss, batch_size, precision.loss_scale * self.loss_factor, precision.cast,
            tuple(first_sample + start for start in ends[:-1]), data.inputs.shape[1] if self.plan.num_slices > 1 else 0,
        )
        self.executor.watches_memory = self.num_runs < WATCHED_STEPS
        self.num_runs += 1
        if not self.recorder.steps:
            self.first_spans = []  # the trainer has begun a run
        self.first_spans.append(len(self.recorder.spans))
        self.is_closed = True
        mine = self.executor.run(given)
        self.peak_bytes = max([self.peak_bytes, *(size for _, size in self.executor.memory)])
        return mine

    def finish_backward(self) -> None:
        self.is_closed = False
        self.add_tied()

    def add_tied(self) -> None:
        """Gradients of parameters that several ranks hold become their sum, in the order of the stages. Collective."""
        transport = self.executor.transport
        for number, (parameter, ranks) in enumerate(self.tied):
            if self.comm.rank not in ranks:
                continue
            tag = FIRST_TAG + number
            mine = parameter.grad.clone()
            with self.recorder.span("tied", "wait"):
                others = [rank for rank in ranks if rank != self.comm.rank]
                for rank in others:
                    transport.send(rank, tag, mine)
                posted = {rank: transport.post(rank, tag, tuple(mine.shape), mine.dtype) for rank in others}
                parts = [mine if rank == self.comm.rank else posted[rank].wait() for rank in ranks]
            parameter.grad.copy_(parts[0])
            for part in parts[1:]:
                parameter.grad += part

    def abort(self) -> None:
        if not self.is_closed:  # this rank could not start the step, or another one could not
            try:
                self.executor.close_step(self.failure or RuntimeError("a rank has failed"))
            except Exception:  # told at the end of the step
                pass
        self.is_closed = False

    def gradient_norm(self) -> float:
        """The norm of the whole gradient: of the norms of all parameters in the model's order, as one process has it."""
        norms = np.zeros(len(self.all_trained_names))
        for place, name in enumerate(self.all_trained_names):
            if name in self.owned:
                norms[place] = float(torch.linalg.vector_norm(self.model.get_parameter(name).grad).float())
        everyone = np.empty((self.comm.size, len(norms)))
        self.comm.Allgather(norms, everyone)
        owner = [self.owner[name] for name in self.all_trained_names]
        return float(torch.linalg.vector_norm(torch.from_numpy(everyone[owner, range(len(norms))]).float()))

    def step(self, learning_rate: float) -> None:
        self._used |= self.executor.reached
        super().step(learning_rate)

    def _end_watch(self) -> None:
        is_first = bool(getattr(self, "_watches", None))
        super()._end_watch()
        if is_first:
            names = {id(self.model.get_parameter(name)): name for name in self.trained_names}
            used = {names[key] for key in self._used if key in names}
            self.unused = tuple(name for name in self.all_trained_names if name not in used)

    # -- books and state -------------------------------------------------------------------------

    def traffic(self) -> Traffic:
        return self.executor.transport.traffic

    def details(self) -> PipelineRun:
        """The last step, action by action, on all ranks; None if the run had no step to do. Collective."""
        firsts = self.first_spans if self.recorder.steps else []
        return collect_run(self.comm, self.plan, self.recorder, firsts, self.executor.memory)

    def detach(self) -> None:
        """Give every rank the whole model again. Collective."""
        if self.executor is None:
            return
        executor, self.executor = self.executor, None
        tensors = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        everyone = gathered(self.comm, {name: tensors[name] for name in self.owned})
        for name, tensor in tensors.items():
            if name in everyone and name not in self.held_names:
                tensor.data = everyone[name].to(tensor.device)
        super().detach()
        executor.close()


def train_pipeline(
    comm, model: nn.Module, data, options=None, *, plan: Plan | str = "1f1b", partition=None, **settings
) -> TrainingReport:
    """Train a model in a pipeline on all ranks of a communicator. Collective.

    Parameters
    ----------
    comm : communicator
    model : torch.nn.Module
        Equal on all ranks; during the training a rank keeps the parameters of its stages alone, afterwards every rank
        has the whole trained model.
    data : DataSet
    options : TrainingOptions, optional
        ``num_micro_batches`` is that of the plan, if a plan is given.
    plan : Plan or str
        A plan, its text, or the name of a schedule.
    partition : optional
        As for :class:`Pipeline`.
    settings
        As for :class:`Pipeline` and :func:`labkit.training.trainer.train`.

    Returns
    -------
    TrainingReport
        Equal on all ranks; ``report.details`` is the :class:`.measured.PipelineRun` of the last step.

    Raises
    ------
    UsageError
        Sizes that do not fit, before any step, on all ranks.
    TrainingError
        A stage failed on some rank: on all ranks, with step, rank, stage and micro-batch.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.training import TrainingOptions, load_digits, make_model, train_serial
    >>> data, options = load_digits(), TrainingOptions(num_steps=3, num_micro_batches=4)
    >>> make = lambda: make_model("mlp", data, hidden=(16, 16))
    >>> found = simulate(2, lambda comm: train_pipeline(comm, make(), data, options, plan="zb-h1")).results[0]
    >>> found.losses == train_serial(make(), data, options).losses
    True
    """
    from labkit.training.trainer import train

    is_plan = isinstance(plan, Plan) or "\n" in str(plan).strip()
    named = {"plan": plan} if is_plan else {"schedule": plan}
    return train(comm, model, data, options, strategy="pipeline", partition=partition, **named, **settings)
