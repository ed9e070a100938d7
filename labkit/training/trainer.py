"""The trainer: a loop of steps over any strategy, any communicator, any model."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.agreement import all_or_none, check_equal, check_models
from labkit.training.collect import make_report
from labkit.training.data import DataSet
from labkit.training.evaluation import evaluate
from labkit.training.hooks import TrainingHook
from labkit.training.in_pass import find_in_pass
from labkit.training.learning_rate import learning_rate_at
from labkit.training.losses import sample_losses
from labkit.training.memory import PeakMeter
from labkit.training.options import TrainingOptions, make_optimizer
from labkit.training.progress import Progress
from labkit.training.recording import Recorder, is_simulated
from labkit.training.report import TrainingReport
from labkit.training.sampling import ShardedSampler, checked_shares
from labkit.training.step import Precision, StepRecord, run_step
from labkit.training.strategies import Strategy, make_strategy


def train(
    comm, model: nn.Module, data: DataSet, options: TrainingOptions | None = None, *,
    strategy: str | Strategy = "overlapped", resume: dict | None = None, checkpoints=None, **settings,
) -> TrainingReport:
    """Train a model on all ranks of a communicator. Collective.

    Parameters
    ----------
    comm : communicator
        With the methods of mpi4py's: real ranks, those of a ``%%mpi`` cell, simulated ones.
    model : torch.nn.Module
        Equal on all ranks; is trained in place.
    data : DataSet
        Equal on all ranks.
    options : TrainingOptions, optional
    strategy : str or Strategy
        A name of :data:`labkit.training.strategies.STRATEGIES`, or an object.
    resume : dict, optional
        What :meth:`Trainer.state_dict` returned in an earlier run.
    checkpoints : str, Path or CheckpointHook, optional
        A folder: go on from the newest checkpoint in it, and leave one there at the end. With intervals:
        :class:`labkit.training.checkpoint.hook.CheckpointHook`.
    settings
        As for :class:`Trainer`; options of the strategy too, if it was named.

    Returns
    -------
    TrainingReport
        Equal on all ranks.

    Raises
    ------
    UsageError
        Options that make no sense, models or data that differ between ranks: on all ranks, before any step.
    TrainingError
        A step failed on some rank: on all ranks.

    Notes
    -----
    Give each rank its share of the cores, for example ``OMP_NUM_THREADS=1 mpiexec -n 4 ...``; the ranks of ``%%mpi`` cells
    have it. Under ``torchrun`` the communicator is ``labkit.comm.torch.communicator()``.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> data = load_digits()
    >>> def program(comm):
    ...     model = make_model("mlp", data, hidden=(16,))
    ...     return train(comm, model, data, TrainingOptions(num_steps=5), strategy="flat").losses
    >>> losses = simulate(2, program).results
    >>> len(losses[0]), losses[0] == losses[1]
    (5, True)
    """
    if checkpoints is not None:
        from labkit.training.checkpoint.hook import as_hook

        checkpoints = as_hook(checkpoints)
        settings["hooks"] = (*settings.get("hooks", ()), checkpoints)
    trainer = Trainer(comm, model, data, options, strategy=strategy, **settings)
    try:
        if checkpoints is not None:
            checkpoints.resume(trainer)
        if resume is not None:
            all_or_none(comm, lambda: trainer.load_state_dict(resume))
        return trainer.run()
    finally:
        trainer.close()


class Trainer:
    """A run that can be stopped, saved, and gone on with.

    Parameters
    ----------
    comm, model, data, options, strategy
        As for :func:`train`.
    hooks : sequence of TrainingHook
    loss : callable
        ``loss(outputs, targets)`` is the loss of each sample, (N,).
    optimizer : callable, optional
        Makes the optimizer of a list of parameters; by default that of the options.
    progress : bool or callable, optional
        See :class:`labkit.training.progress.Progress`; shown by rank 0.
    timeline : bool
        Put the spans of all ranks into the report.
    strategy_options
        Of a strategy that is given by name.

    Attributes
    ----------
    num_done : int
        Steps made, also in earlier runs.
    records : list of StepRecord
        Of this run.
    sampler : ShardedSampler
    strategy : Strategy
    """

    def __init__(
        self, comm, model: nn.Module, data: DataSet, options: TrainingOptions | None = None, *,
        strategy: str | Strategy = "overlapped", hooks: Sequence[TrainingHook] = (), loss: Callable = sample_losses,
        optimizer: Callable | None = None, progress=None, timeline: bool = True, **strategy_options,
    ):
        self.comm, self.model, self.data = comm, model, data
        self.options = options = options or TrainingOptions()
        self.hooks, self.loss, self.progress, self.keeps_timeline = tuple(hooks), loss, progress, timeline
        self.num_done, self.records = 0, []
        self.recorder = Recorder(comm)
        self.strategy = all_or_none(comm, lambda: make_strategy(strategy, **strategy_options))
        find_replicas = getattr(self.strategy, "replicas", lambda comm: (comm.size, comm.rank))
        self.num_replicas, replica = find_replicas(comm)
        all_or_none(comm, self._check)
        check_equal(comm, "options or strategies", f"{self.strategy.name} {options}", "Pass equal ones on every rank.")
        check_equal(comm, "the data", data.digest(), "Load the same data on every rank.")
        check_models(comm, model)
        in_pass = all_or_none(comm, lambda: find_in_pass(model, comm))
        advice = "Convert the model on every rank, or on none."
        check_equal(comm, "the layers of synchronised batch norm", str(in_pass and in_pass.names), advice)
        first = next(model.parameters())
        self.device, self.dtype = (
            first.device,
            next((p.dtype for p in model.parameters() if p.is_floating_point()), first.dtype),
        )
        self.precision = all_or_none(comm, lambda: _precision(options, self.device))
        self.sampler = ShardedSampler(
            len(data),
            options.batch_size,
            num_ranks=self.num_replicas,
            rank=replica,
            seed=options.seed,
            shares=options.shares,
            shuffle=options.shuffle,
        )
        make = optimizer or (lambda parameters: make_optimizer(parameters, options))
        self.is_attached = True
        try:
            self.strategy.attach(comm, model, make, options, self.recorder)
            self.strategy.in_pass = in_pass
            if in_pass is not None:
                in_pass.attach(comm, self.recorder)
        except BaseException:
            self.close()
            raise

    def run(self, num_steps: int | None = None) -> TrainingReport:
        """Train until ``options.num_steps`` steps are done, or ``num_steps`` more. Collective."""
        target = self.options.num_steps if num_steps is None else self.num_done + num_steps
        started, first_step = time.monotonic(), self.num_done
        self.recorder.spans.clear()
        self.recorder.steps.clear()
        self.records = []
        meter = PeakMeter(self.device, shares_process=is_simulated(self.comm))
        bar = Progress(target, False if self.comm.rank else self.progress)
        failure = self._hooks("at_start")
        self.model.train()
        try:
            while self.num_done < target:
                record = self._one_step(failure)
                failure = self._hooks("after_step", record)
                bar.update(self.num_done, record.loss)
            all_or_none(self.comm, lambda: _raise(failure))
            all_or_none(self.comm, lambda: _raise(self._hooks("at_end")))
        except Exception as error:
            problem = self._hooks("on_stop", error)
            if problem is not None:
                error.add_note(f"A hook raised while training stopped: {type(problem).__name__}: {problem}")
            raise
        finally:
            bar.close()
        return make_report(self, first_step, time.monotonic() - started, meter.peak_bytes())

    def _one_step(self, failure: Exception | None) -> StepRecord:
        with self.recorder.step():
            state = self.sampler.state_dict()
            batch = self.sampler.next_batch()
            try:
                record = run_step(
                    self.comm,
                    self.strategy,
                    self.data,
                    self.sampler.shard_of(batch),
                    len(batch),
                    step=self.num_done,
                    learning_rate=learning_rate_at(self.num_done, self.options),
                    loss=self.loss,
                    precision=self.precision,
                    device=self.device,
                    dtype=self.dtype,
                    failure=failure,
                )
            except BaseException:
                self.sampler.load_state_dict(state)  # a checkpoint made now begins with the step that failed
                raise
        self.num_done += 1
        self.records.append(record)
        return record

    def evaluate(self) -> tuple[float | None, float | None]:
        """Mean loss, and share of right answers, on the test part. Collective; each rank takes a part of it."""
        return evaluate(
            self.comm, self.strategy.module, self.data, loss=self.loss, device=self.device, dtype=self.dtype,
            cast=self.precision.cast,
        )

    def state_dict(self) -> dict:
        """Everything that the rest of the run depends on. Tensors are the live ones: copy them before the next step."""
        return {
            "num_done": self.num_done,
            "num_ranks": self.comm.size,
            "strategy_name": self.strategy.name,
            "model": self.strategy.model_state_dict(),
            "strategy": self.strategy.state_dict(),
            "sampler": self.sampler.state_dict(),
            "precision": self.precision.state_dict(),
            "rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from there."""
        self.strategy.load_model_state_dict(state["model"])
        self.strategy.load_state_dict(state["strategy"])
        self.sampler.load_state_dict(state["sampler"])
        self.precision.load_state_dict(state["precision"])
        torch.set_rng_state(state["rng"])
        self.num_done = int(state["num_done"])

    def close(self) -> None:
        """Let go of the model."""
        if getattr(self, "is_attached", False):
            self.is_attached = False
            self.strategy.detach()
            if self.strategy.in_pass is not None:
                in_pass, self.strategy.in_pass = self.strategy.in_pass, None
                in_pass.detach()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _check(self) -> None:
        options, size = self.options, self.num_replicas
        checked_shares(options.shares, size)
        if not len(self.data):
            raise UsageError(f"the data {self.data.name!r} have no samples to learn from: pass some.")
        if options.batch_size < size:
            raise UsageError(
                f"batch_size {options.batch_size} is less than the {size} "
                f"{'ranks' if size == self.comm.size else 'replicas'}: {size - options.batch_size} of them "
                f"would never get a sample. Use batch_size={size} or more, or fewer ranks."
            )
        if not isinstance(self.model, nn.Module) or next(self.model.parameters(), None) is None:
            raise UsageError(
                f"the model is a {type(self.model).__name__} without parameters: pass a torch.nn.Module that has some."
            )

    def _hooks(self, name: str, *arguments) -> Exception | None:
        """Call a method of all hooks; the first thing that one raises."""
        failure = None
        for hook in self.hooks:
            try:
                getattr(hook, name)(self, *arguments)
            except Exception as error:
                failure = failure or error
        return failure


def _precision(options: TrainingOptions, device) -> Precision:
    if options.precision == "fp32":
        return Precision()
    return importlib.import_module("labkit.training.mixed").make_precision(options, device)


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
