"""Layers of matrix products with ReLU between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.models.initial import initialise


class MLP(nn.Module):
    """A multilayer perceptron.

    Parameters
    ----------
    sizes : sequence of int
        Values of a sample, of each hidden layer, and the number of classes.
    seed : int

    Examples
    --------
    >>> MLP((64, 32, 10), seed=0)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, sizes: Sequence[int], *, seed: int = 0):
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise UsageError(f"MLP: sizes are two or more whole numbers from 1, not {sizes!r}: pass (784, 128, 10), for example.")
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in zip(sizes[:-1], sizes[1:], strict=True))
        initialise(self, seed)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = inputs.flatten(1)  # (N, sizes[0])
        for layer in self.layers[:-1]:
            values = torch.relu(layer(values))
        return self.layers[-1](values)  # (N, classes)
