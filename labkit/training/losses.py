"""The loss of each sample, and how many answers are right.

The loss of a batch is the mean over its samples. A rank adds up the losses of *its* samples and divides by the size
of the *whole* batch, so that the sum over ranks is that mean, however unevenly the samples are dealt out.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def sample_losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss of each sample, (N,): cross-entropy of classes, or half the squared error of values.

    Parameters
    ----------
    outputs : torch.Tensor
        Logits (N, classes), or (N, T, tokens) of a language model; values (N, ...) if the targets are.
    targets : torch.Tensor
        Classes (N,) or tokens (N, T) of int64; or values like the outputs. The loss of several places is their mean.

    Examples
    --------
    >>> sample_losses(torch.zeros(2, 4), torch.tensor([0, 3])).exp().tolist()
    [4.0, 4.0]
    """
    if targets.is_floating_point():
        losses = 0.5 * (outputs - targets.to(outputs.dtype).view_as(outputs)) ** 2
    else:
        losses = functional.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)
    return losses.flatten(1).mean(1) if losses.dim() > 1 else losses


def num_correct(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[int, int]:
    """How many classes or tokens have the largest logit, and of how many; (0, 0) if the targets are values."""
    if targets.is_floating_point():
        return 0, 0
    return int((outputs.argmax(-1) == targets).sum()), targets.numel()
