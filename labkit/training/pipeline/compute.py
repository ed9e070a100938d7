"""What an action computes: the forward of a stage on a micro-batch, and at the end of the model the loss."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from labkit.errors import NonFiniteError, TrainingError
from labkit.training.models.dropout import set_place
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.held import Held, SavedTensors

SHORT = (torch.float16, torch.bfloat16)


@dataclass(eq=False)
class StepInputs:
    """What one step computes with.

    Attributes
    ----------
    step : int
    sizes : tuple of int
        Samples of each micro-batch.
    inputs, targets : callable
        Of a micro-batch's number; called on the ranks of the first and of the last stage.
    loss : callable
        ``loss(outputs, targets)`` is the loss of each sample, (N,).
    batch_size : int
        What the sum of losses is divided by.
    length : int
        Tokens of a sample, for slices.
    factor : float
        Of the loss, before backward.
    cast : callable
        ``cast(device)``: what forward runs in.
    first_samples : tuple of int
        Which sample of the whole batch each micro-batch begins with: what dropout by element numbers goes by.
    """

    step: int
    sizes: tuple[int, ...]
    inputs: Callable
    targets: Callable
    loss: Callable
    batch_size: int
    factor: float = 1.0
    cast: Callable = lambda device: contextlib.nullcontext()
    first_samples: tuple[int, ...] = ()
    length: int = 0


class Computing:
    """The part of an :class:`.execute.Executor` that computes. It has ``cut``, ``last``, ``streams``, ``device``,
    ``given``, ``is_split`` and ``watches_memory``; ``needed_by_w``; and of this step ``parts``, the losses of its
    micro-batches."""

    def _compute(self, action: Action, held: Held, *, is_again: bool = False) -> list:
        """Forward of a stage: what goes to the next one. ``held`` gets what backward starts from."""
        given, stage = self.given, self.cut.stages[action.stage]
        if torch.is_grad_enabled() and (self.is_split or self.watches_memory):
            held.saved = SavedTensors(*self.needed_by_w.get(self._key(action.stage, action), (None, 0)))
        set_place(stage.train, given.step, given.first_samples[action.microbatch] if given.first_samples else 0)
        with self.stream_of(action, is_again), held.watch(), given.cast(self.device):
            values, entry = stage.train(*held.inputs)
        held.is_computed = torch.is_grad_enabled()
        if action.stage != self.last:
            held.entry = entry
            held.outputs = [value for value in values if torch.is_tensor(value) and value.requires_grad]
            return list(values)
        outputs = values[0]
        with held.watch():
            if torch.is_tensor(outputs) and outputs.dtype in SHORT:
                outputs = outputs.float()
            part = given.loss(outputs, self.targets_of(action)).sum() / self.loss_divisor(action)
            scaled = part if given.factor == 1 else part * given.factor
        if torch.is_grad_enabled():
            if not part.requires_grad:
                raise TrainingError(
                    "the loss depends on no parameter that is trained: backward has nothing to do. Let the model's "
                    "output come from its parameters, and the loss from the output."
                )
            held.outputs, held.entry = [scaled], entry
        if not is_again:
            self._note_loss(action, float(part.detach()))
        return []

    def inputs_of(self, action: Action):
        """What the first stage begins with."""
        return self.given.inputs(action)

    def targets_of(self, action: Action):
        """What the last stage compares its outputs with."""
        return self.given.targets(action)

    def more_leaves(self, action: Action) -> list[torch.Tensor]:
        """What an action has used besides the values from the stage before: of earlier slices (:mod:`.sliced`)."""
        return []

    def more_outputs(self, action: Action, held: Held) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What others have used of it besides the stage behind, with gradients."""
        return []

    def take_more(self, leaves: list[torch.Tensor], found: list) -> None:
        """The gradients of ``more_leaves``."""

    def loss_divisor(self, action: Action) -> float:
        """What the sum of a micro-batch's losses is divided by."""
        return self.given.batch_size

    def stream_of(self, action: Action, is_again: bool):
        """The random numbers of an action."""
        return self.streams.at(self.given.step, action.microbatch, f"stage {action.stage}")

    def _note_loss(self, action: Action, part: float) -> None:
        self.parts[self._place(action)[1:]] = part
        if not math.isfinite(part):
            raise NonFiniteError(
                f"the loss of micro-batch {action.microbatch} is {part} (stage {action.stage}, {action}). Look at its "
                "samples, lower learning_rate, or set max_gradient_norm."
            )

    @contextlib.contextmanager
    def _unchanged_buffers(self, number: int):
        """What a stage computes again changes copies of its buffers: running statistics count a micro-batch once."""
        swapped = []
        for module in self.cut.stages[number].train.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    swapped.append((module, name, buffer))
                    module._buffers[name] = buffer.clone()
        try:
            yield
        finally:
            for module, name, buffer in swapped:
                module._buffers[name] = buffer
