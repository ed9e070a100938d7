"""Loss and share of right answers on the test part of data, each rank taking a part of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import nn

from labkit.training.data import DataSet
from labkit.training.losses import num_correct, sample_losses
from labkit.training.recording import is_simulated
from labkit.training.sampling import shard_ends

BATCH = 256


def evaluate(
    comm, module: nn.Module, data: DataSet, *, loss: Callable = sample_losses, device="cpu", dtype=torch.float32,
    cast: Callable = lambda device: contextlib.nullcontext(),
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
    """
    inputs, targets = data.test_inputs, data.test_targets
    if not len(inputs):
        return None, None
    ends = shard_ends(len(inputs), comm.size)
    longest = max(end - start for start, end in zip(ends[:-1], ends[1:], strict=True))
    start, end = ends[comm.rank], ends[comm.rank + 1]
    sums = [0.0, 0, 0]  # of losses, of right answers, of answers
    module.eval()
    # Simulated ranks share this switch of the thread, and a strategy may communicate in forward.
    with contextlib.nullcontext() if is_simulated(comm) else torch.no_grad():
        for offset in range(0, longest, BATCH):  # as many forward passes on every rank
            first, last = min(start + offset, end), min(start + offset + BATCH, end)
            values = inputs[first:last]
            values = (values.to(dtype) if values.is_floating_point() else values).to(device)
            wanted = targets[first:last].to(device)
            with cast(device):
                outputs = module(values).detach()
            outputs = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
            sums[0] += float(loss(outputs, wanted).sum())
            right, count = num_correct(outputs, wanted)
            sums[1], sums[2] = sums[1] + right, sums[2] + count
    module.train()
    totals = [sum(column) for column in zip(*comm.allgather(sums), strict=True)]
    return totals[0] / len(inputs), totals[1] / totals[2] if totals[2] else None
