"""One training step, shared by all strategies: forward, loss, backward, agreement of the ranks, optimizer."""

from __future__ import annotations

import contextlib
import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

from labkit.errors import NonFiniteError, TrainingError
from labkit.training.in_pass import PeerFailedError
from labkit.training.models.dropout import set_place
from labkit.training.recording import MAIN, Recorder
from labkit.training.sampling import shard_ends

FINE, NOT_FINITE, FAILED = 0.0, 1.0, 2.0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What a step has brought, equal on all ranks.

    Attributes
    ----------
    step : int
    loss : float
        The mean over the samples of the whole batch, before the optimizer changed anything.
    gradient_norm : float or None
        Where it was computed.
    learning_rate : float
    skipped : bool
        The optimizer was left out, because the scaled gradients of short numbers overflowed.
    """

    step: int
    loss: float
    gradient_norm: float | None
    learning_rate: float
    skipped: bool = False


class Precision:
    """fp32: nothing is cast and nothing scaled. :mod:`labkit.training.mixed` has the others."""

    loss_scale = 1.0
    skips_overflow = False  # a gradient that is not finite means that its step is left out

    def cast(self, device):
        """What the forward pass runs in."""
        return contextlib.nullcontext()

    def after_gradients(self, is_finite: bool) -> bool:
        """Whether the optimizer may use these gradients, which were divided by ``loss_scale``; adapts the scale."""
        return True

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def take(data, samples: np.ndarray, device, dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of some samples, on the model's device, pixels in the model's type."""
    index = torch.from_numpy(np.ascontiguousarray(samples))
    inputs, targets = data.inputs[index], data.targets[index]
    if inputs.is_floating_point():
        inputs = inputs.to(dtype)
    return inputs.to(device), targets.to(device)


def forward_backward(
    strategy, data, samples: np.ndarray, batch_size: int, *, loss, precision: Precision, device, dtype, step: int = 0,
    first_sample: int = 0,
) -> float:
    """Forward and backward of a rank's shard, micro-batch by micro-batch; its part of the batch's loss.

    A shard without samples goes the same way with tensors of 0 rows: every layer and every hook sees the step.
    """
    recorder, num, in_pass = strategy.recorder, strategy.options.num_micro_batches, strategy.in_pass
    ends = shard_ends(len(samples), num)
    total = 0.0
    for number in range(num):
        strategy.start_micro_batch(is_last=number == num - 1)
        set_place(strategy.module, step, first_sample + ends[number])
        inputs, targets = take(data, samples[ends[number] : ends[number + 1]], device, dtype)
        with recorder.span("forward", "compute"):
            with precision.cast(device):
                outputs = strategy.module(inputs)
            outputs = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
            part = loss(outputs, targets).sum() / batch_size
        if not part.requires_grad:
            raise TrainingError(
                "the loss depends on no parameter that is trained: backward has nothing to do. Let the model's output "
                "come from its parameters, and the loss from the output."
            )
        factor = precision.loss_scale * strategy.loss_factor
        with recorder.span("backward", "compute"):
            scaled = part if factor == 1 else part * factor
            if in_pass is None:
                scaled.backward()
            else:  # layers communicate: synchronised batch norm
                in_pass.backward(scaled)
                in_pass.close(is_last=number == num - 1)
        total += float(part.detach())
    return total


def run_step(
    comm, strategy, data, samples: np.ndarray, batch_size: int, *, step: int, learning_rate: float, loss,
    precision: Precision, device, dtype, failure: Exception | None = None, first_sample: int = 0,
) -> StepRecord:
    """Train one step on a shard. Collective; all ranks return equal records or all raise.

    Parameters
    ----------
    comm : communicator
    strategy : Strategy
        Attached.
    data : DataSet
    samples : array of int
        This rank's shard.
    batch_size : int
        Samples of all ranks in this step.
    step : int
        For messages.
    failure : Exception, optional
        Something that this rank has run into before: it computes nothing, and all ranks raise.
    first_sample : int
        Which sample of the batch the shard begins with.

    Raises
    ------
    NonFiniteError
        A loss or gradient is NaN or infinite. Parameters and optimizer are those of before the step.
    TrainingError
        A rank has raised something; its own error is the ``__cause__`` there.
    """
    recorder: Recorder = strategy.recorder
    mine, in_pass, is_broken_off = math.nan, strategy.in_pass, False
    if in_pass is not None:
        in_pass.begin()
    if failure is None:
        try:
            strategy.start_step()
            passes = getattr(strategy, "forward_backward", None) or functools.partial(forward_backward, strategy)
            mine = passes(
                data, samples, batch_size, loss=loss, precision=precision, device=device, dtype=dtype, step=step,
                first_sample=first_sample,
            )
        except PeerFailedError:
            is_broken_off = True  # by the failure of another rank, which tells it below
        except Exception as error:
            failure = error
    if failure is None and not is_broken_off:
        strategy.finish_backward()
    else:
        if in_pass is not None:
            in_pass.leave()
        strategy.failure = failure
        strategy.abort()
    state = FAILED if failure is not None else FINE if is_broken_off or math.isfinite(mine) else NOT_FINITE
    if math.isfinite(mine) and not strategy.counts_loss(comm):
        mine = 0.0  # another rank has the same samples
    everyone = np.empty((comm.size, 2))
    with recorder.span("agree", "collective", MAIN, 16):
        comm.Allgather(np.array([mine, state]), everyone)
    if everyone[:, 1].any():
        _stop(comm, step, everyone, failure)
    norm = _checked_gradients(strategy, precision, step)
    skipped = not precision.after_gradients(norm is None or math.isfinite(norm))
    if not skipped:
        with recorder.span("optimizer", "compute"):
            strategy.step(learning_rate)
    total = 0.0
    for part in everyone[:, 0]:  # in the order of the ranks
        total += float(part)
    return StepRecord(step, total, norm, learning_rate, skipped)


def _checked_gradients(strategy, precision: Precision, step: int) -> float | None:
    """The norm of the gradient after scaling and clipping it, where it is asked for."""
    options = strategy.options
    if precision.loss_scale != 1:
        strategy.scale_gradients(1 / precision.loss_scale)
    if not options.check_gradients and options.max_gradient_norm is None and not precision.skips_overflow:
        return None
    norm = strategy.gradient_norm()
    if not math.isfinite(norm):
        if precision.skips_overflow:
            return norm  # an overflow: the step is left out and the scale made smaller
        raise NonFiniteError(
            f"step {step}: the gradient is not finite (its norm is {norm}) though the loss is. The parameters are "
            f"those of before step {step}. Lower learning_rate, or set max_gradient_norm.",
            step=step,
        )
    if options.max_gradient_norm is not None and norm > options.max_gradient_norm:
        strategy.scale_gradients(options.max_gradient_norm / norm)
    return norm


def _stop(comm, step: int, everyone: np.ndarray, failure: Exception | None) -> None:
    """Raise on all ranks what some of them have met."""
    words = comm.allgather(None if failure is None else f"{type(failure).__name__}: {failure}")
    failed = tuple(rank for rank, text in enumerate(words) if text is not None)
    if failed:
        text = f"step {step}: rank {failed[0]} raised {words[failed[0]].rstrip('.')}"
        kind = NonFiniteError if all(w is None or w.startswith("NonFiniteError: ") for w in words) else TrainingError
        more = f" (and ranks {', '.join(map(str, failed[1:]))} raised too)" if failed[1:] else ""
        raise kind(
            f"{text}{more}. All ranks have stopped; the parameters are those of before step {step}.",
            step=step,
            ranks=failed,
        ) from failure
    bad = tuple(int(rank) for rank in np.flatnonzero(everyone[:, 1]))
    values = ", ".join(f"{everyone[rank, 0]} on rank {rank}" for rank in bad)
    raise NonFiniteError(
        f"step {step}: the loss is not finite: {values}. The parameters are those of before step {step}. Look at the "
        "samples of these ranks, lower learning_rate, or set max_gradient_norm.", step=step, ranks=bad,
    )
