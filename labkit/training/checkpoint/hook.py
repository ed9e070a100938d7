"""Checkpoints of a training run: taken between steps, and gone on from.

What is stored: the model, the strategy with its optimizer, the place in the order of the samples, the loss scale, the
random numbers of every rank, and the losses so far. On the same number of ranks the run goes on bit by bit. On
another number the samples come in the same order, and sums over ranks are added in another order; random numbers that
a model draws (dropout) are then others: a rank that did not exist before gets numbers of its own, from the seed.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from labkit.errors import CheckpointError, TrainingError, UsageError
from labkit.training.agreement import all_or_none
from labkit.training.checkpoint.folder import CheckpointFolder
from labkit.training.checkpoint.load import Checkpoint, load_checkpoint
from labkit.training.checkpoint.pieces import even_share
from labkit.training.checkpoint.rng import random_state, restore_random_state
from labkit.training.checkpoint.tensors import signature
from labkit.training.checkpoint.tree import PerRank
from labkit.training.checkpoint.writer import WAIT, CheckpointWriter
from labkit.training.hooks import TrainingHook

SAME_STATE = {"serial", "pipeline"}  # strategies that go on from each other's checkpoints
OF_A_RANK = ("reducer",)  # of a strategy's state: what compression has left over


class CheckpointHook(TrainingHook):
    """Takes checkpoints of a run, and resumes it.

    Parameters
    ----------
    folder : str, Path or CheckpointFolder
        Of this run alone.
    every_steps : int, optional
        Steps between two checkpoints. Without it and ``every_s``: at the end only, and when training stops.
    every_s : float, optional
        Seconds between two, by the clock of rank 0, which then tells the others after each step.
    keep : int
        So many complete checkpoints stay.
    resume : bool
        Go on from the newest one, if there is one. Without it, a folder that has checkpoints is refused.
    asynchronous, when_busy
        As for :class:`~labkit.training.checkpoint.writer.CheckpointWriter`.

    Attributes
    ----------
    losses : list of float
        Of all steps since step 0, also those of earlier runs.
    loaded : Checkpoint or None
        What this run went on from; its ``notes`` tell of damaged ones.
    writer : CheckpointWriter or None

    Raises
    ------
    UsageError
        Intervals that make no sense, or checkpoints in a folder that is to be new.

    Examples
    --------
    >>> import tempfile
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> from labkit.training.options import TrainingOptions
    >>> from labkit.training.serial import train_serial
    >>> data, options = load_digits(), TrainingOptions(num_steps=6)
    >>> whole = train_serial(make_model("mlp", data, hidden=(8,)), data, options)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = train_serial(make_model("mlp", data, hidden=(8,)), data, options.replace(num_steps=4), checkpoints=folder)
    ...     rest = train_serial(make_model("mlp", data, hidden=(8,)), data, options, checkpoints=folder)
    >>> rest.first_step, first.losses + rest.losses == whole.losses
    (4, True)
    """

    def __init__(
        self, folder, *, every_steps: int | None = None, every_s: float | None = None, keep: int = 2,
        resume: bool = True, asynchronous: bool = True, when_busy: str = WAIT,
    ):  # fmt: skip
        if every_steps is not None and (isinstance(every_steps, bool) or every_steps != int(every_steps) or every_steps < 1):
            raise UsageError(f"every_steps is a whole number of steps from 1, not {every_steps!r}.")
        if every_s is not None and not every_s > 0:
            raise UsageError(f"every_s is a time in seconds, more than 0, not {every_s!r}.")
        self.folder = folder if isinstance(folder, CheckpointFolder) else CheckpointFolder(folder)
        self.every_steps, self.every_s, self.resumes = every_steps, every_s, resume
        self._settings = {"keep": keep, "asynchronous": asynchronous, "when_busy": when_busy}
        self.losses: list[float] = []
        self.loaded: Checkpoint | None = None
        self.writer: CheckpointWriter | None = None
        self._saved_step: int | None = None
        self._saved_at = 0.0
        self._before: tuple[dict, torch.Tensor] | None = None

    def resume(self, trainer) -> Checkpoint | None:
        """Put a trainer where the newest whole checkpoint is; None if the folder has none. Collective.

        Raises
        ------
        CheckpointError
            It is of another model, or none is whole.
        UsageError
            There is one, and this run does not resume.
        """
        steps = trainer.comm.allgather(self.folder.steps)[0]
        if not steps:
            return None
        if not self.resumes:
            raise UsageError(
                f"{self.folder.path} has checkpoints of steps {', '.join(map(str, steps))}: resume=True goes on from "
                "the newest. For a run from the start, choose another folder."
            )
        parameters = _parameters(trainer.strategy.model_state_dict(), trainer)
        loaded = load_checkpoint(
            self.folder, comm=trainer.comm, model=signature(parameters), set_aside=True,
            share=getattr(trainer.strategy, "share", even_share),
        )
        all_or_none(trainer.comm, lambda: self._put_back(trainer, loaded))
        self.loaded, self._saved_step = loaded, loaded.step
        if trainer.comm.rank == 0 and loaded.notes and trainer.progress is not False:
            print(*loaded.notes, sep="\n", flush=True)
        return loaded

    def _put_back(self, trainer, loaded: Checkpoint) -> None:
        state = loaded.state
        name = trainer.strategy.name
        if state["strategy_name"] != name and not {state["strategy_name"], name} <= SAME_STATE:
            raise CheckpointError(
                f"the checkpoint {loaded.path} is of the strategy {state['strategy_name']!r}, and this run has {name!r}, "
                "whose state is another. Train with the same strategy, or load the model alone with load_checkpoint."
            )
        mine = trainer.state_dict()
        is_known = trainer.comm.rank < loaded.num_ranks
        strategy = dict(state["strategy"])
        for key in OF_A_RANK:
            if key in strategy:
                strategy[key] = strategy[key].value if is_known else mine["strategy"].get(key, {})
        trainer.load_state_dict({
            **mine, "model": {**state["model"], **state["buffers"].value}, "strategy": strategy, "sampler": state["sampler"],
            "precision": state["precision"], "num_done": state["num_done"],
        })  # fmt: skip
        if is_known:
            restore_random_state(state["rng"].value)
        else:
            words = np.random.SeedSequence((trainer.options.seed, state["num_done"], trainer.comm.rank)).generate_state(2)
            torch.manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        self.losses = [float(loss) for loss in state["losses"]]

    def state_of(self, trainer) -> dict:
        """Everything that the rest of the run depends on, as a tree that a checkpoint can store."""
        state = trainer.state_dict()
        model = state["model"]
        parameters = _parameters(model, trainer)
        buffers = {name: value for name, value in model.items() if name not in parameters}
        strategy = {key: PerRank(value) if key in OF_A_RANK else value for key, value in state["strategy"].items()}
        return {
            "num_done": state["num_done"], "num_ranks": state["num_ranks"], "strategy_name": state["strategy_name"],
            "model": parameters, "buffers": PerRank(buffers), "strategy": strategy, "sampler": state["sampler"],
            "precision": state["precision"], "rng": PerRank(random_state()),
            "losses": np.array(self.losses),
        }  # fmt: skip

    # -- what the trainer calls -----------------------------------------------------------------------

    def at_start(self, trainer) -> None:
        if self.writer is None:
            if not self.losses and trainer.num_done:  # went on from elsewhere
                self.losses = [float("nan")] * trainer.num_done
            self.writer = CheckpointWriter(self.folder, trainer.comm, **self._settings)
            self._saved_at = time.monotonic()
        self._remember(trainer)

    def _remember(self, trainer) -> None:
        """What a step changes before anyone knows that it fails: buffers (batch norm) and random numbers."""
        buffers = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
        self._before = buffers, torch.get_rng_state()

    def _undo_step(self, trainer) -> None:
        """The buffers and random numbers of before the step that failed."""
        buffers, numbers = self._before
        with torch.no_grad():
            for name, buffer in trainer.model.named_buffers():
                buffer.copy_(buffers[name])
        torch.set_rng_state(numbers)

    def after_step(self, trainer, record) -> None:
        self.losses.append(record.loss)
        self._remember(trainer)
        if self.is_due(trainer):
            self.save(trainer)

    def is_due(self, trainer) -> bool:
        """Whether a checkpoint is to be taken now; equal on all ranks."""
        if self.every_steps is not None and trainer.num_done % self.every_steps == 0:
            return True
        if self.every_s is None:
            return False
        told = np.array([time.monotonic() - self._saved_at >= self.every_s], np.int32)
        trainer.comm.Bcast(told, 0)
        return bool(told[0])

    def save(self, trainer) -> bool:
        """Take a checkpoint now, if there is none of this step; returns whether one was taken. Collective."""
        if self._saved_step == trainer.num_done or self.writer is None:
            return False
        taken = self.writer.save(trainer.num_done, self.state_of(trainer))
        if taken:
            self._saved_step, self._saved_at = trainer.num_done, time.monotonic()
        return taken

    def on_stop(self, trainer, error: Exception) -> None:
        if self.writer is None:
            return
        if not isinstance(error, TrainingError):  # other ranks may not come to a collective call any more
            self.writer.abandon()
            self.writer = None
            return
        try:
            self._undo_step(trainer)
            self.save(trainer)
            self._close()
            error.add_note(f"A checkpoint of step {trainer.num_done}, before the step that failed, is in {self.folder.path}.")
        finally:
            if self.writer is not None:
                self.writer.abandon()
                self.writer = None

    def at_end(self, trainer) -> None:
        self.save(trainer)
        self._close()

    def _close(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.close()


def as_hook(checkpoints) -> CheckpointHook | None:
    """What ``train(..., checkpoints=...)`` was given: None, a folder, or a hook."""
    if checkpoints is None or isinstance(checkpoints, CheckpointHook):
        return checkpoints
    return CheckpointHook(checkpoints)


def _parameters(model: dict, trainer) -> dict:
    """The part of a model's state that is no buffer."""
    buffers = {name for name, _ in trainer.model.named_buffers()}
    return {name: value for name, value in model.items() if name not in buffers}
