"""A small convolutional network, with batch norm or without."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from labkit.training.models.initial import initialise


class CNN(nn.Module):
    """Convolutions of 3 x 3 with ReLU, each but the first halving the picture; then the mean over it, and a product.

    Parameters
    ----------
    num_classes : int
    in_channels : int
    channels : sequence of int
        Of each convolution.
    batch_norm : bool
        Statistics of a rank's own shard; :mod:`labkit.training.batch_norm` has those of the whole batch.
    seed : int

    Examples
    --------
    >>> CNN(10, channels=(4, 8))(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self, num_classes: int, *, in_channels: int = 1, channels: Sequence[int] = (16, 32, 64), batch_norm: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for number, out_channels in enumerate(channels):
            stride = 1 if number == 0 else 2
            self.convolutions.append(nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=not batch_norm))
            self.norms.append(nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity())
            in_channels = out_channels
        self.classify = nn.Linear(in_channels, num_classes)
        initialise(self, seed)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = inputs  # (N, C, H, W)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = torch.relu(norm(convolution(values)))
        return self.classify(values.mean(dim=(2, 3)))
