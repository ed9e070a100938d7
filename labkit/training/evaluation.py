"""Loss and share of right answers on the test part of data, each rank taking a part of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import nn

from labkit.training.agreement import all_or_none
from labkit.training.data import DataSet
from labkit.training.in_pass import PeerFailedError
from labkit.training.losses import num_correct, sample_losses
from labkit.training.recording import is_simulated
from labkit.training.sampling import shard_ends

BATCH = 256
SHORT = (torch.float16, torch.bfloat16)


def evaluate(
    comm, module: nn.Module, data: DataSet, *, loss: Callable = sample_losses, device="cpu", dtype=torch.float32,
    cast: Callable = lambda device: contextlib.nullcontext(), place: tuple[int, int] | None = None, counts: bool = True,
    at_end: Callable[[bool], None] | None = None,
) -> tuple[float | None, float | None]:
    """Mean loss and share of right answers on the test part; None where there is no such thing. Collective.

    Parameters
    ----------
    comm : communicator
    module : torch.nn.Module
        Comes back in training mode, which it is in during training.
    data : DataSet
    loss : callable
        ``loss(outputs, targets)`` is the loss of each sample, (N,).
    device, dtype
        Of the inputs, pixels only.
    cast : callable
        ``cast(device)`` is the context of the forward pass.
    place : (int, int), optional
        Into how many parts the samples are dealt out, and which one is this rank's; a rank each without it.
    counts : bool
        False: another rank has the same part.
    at_end : callable, optional
        ``at_end(failed)``, called when this rank has done its part or has failed in it: where the ranks of a strategy
        that communicates in forward meet.

    Raises
    ------
    LabkitError
        The model or the loss has raised on some rank: on all ranks, and there the rank's own error.
    """
    inputs = data.test_inputs
    if not len(inputs):
        return None, None
    place = (comm.size, comm.rank) if place is None else place
    module.eval()
    try:
        # Simulated ranks share this switch of the thread, and a strategy may communicate in forward.
        with contextlib.nullcontext() if is_simulated(comm) else torch.no_grad():
            part = lambda: _sums_of_part(place, module, data, loss, device, dtype, cast)  # noqa: E731
            sums = all_or_none(comm, part if at_end is None else lambda: _meeting_others(part, at_end))
    finally:
        module.train()
    sums = sums if counts else (0.0, 0, 0)
    totals = [sum(column) for column in zip(*comm.allgather(sums), strict=True)]
    return totals[0] / len(inputs), totals[1] / totals[2] if totals[2] else None


def _meeting_others(part: Callable, at_end: Callable[[bool], None]):
    """``part()``; None if another rank has failed, which tells it itself."""
    try:
        sums = part()
        at_end(False)
        return sums
    except PeerFailedError:
        at_end(True)
    except Exception:
        at_end(True)
        raise


def _sums_of_part(place, module, data, loss, device, dtype, cast) -> tuple[float, int, int]:
    """Of this rank's part: the sum of losses, right answers, answers. All ranks make as many forward passes."""
    num_parts, part_number = place
    ends = shard_ends(len(data.test_inputs), num_parts)
    longest = max(end - start for start, end in zip(ends[:-1], ends[1:], strict=True))
    start, end = ends[part_number], ends[part_number + 1]
    total, num_right, num_answers = 0.0, 0, 0
    for offset in range(0, longest, BATCH):
        part = slice(min(start + offset, end), min(start + offset + BATCH, end))
        inputs, targets = data.test_inputs[part], data.test_targets[part].to(device)
        inputs = (inputs.to(dtype) if inputs.is_floating_point() else inputs).to(device)
        with cast(device):
            outputs = module(inputs).detach()
        outputs = outputs.float() if outputs.dtype in SHORT else outputs
        total += float(loss(outputs, targets).sum())
        right, count = num_correct(outputs, targets)
        num_right, num_answers = num_right + right, num_answers + count
    return total, num_right, num_answers
