"""A worker: its copy of the model in one flat vector, its shard of each batch, its gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from labkit.errors import NonFiniteError, UsageError
from labkit.training.data import DataSet
from labkit.training.losses import sample_losses
from labkit.training.options import TrainingOptions
from labkit.training.sampling import ShardedSampler
from labkit.training.step import take
from labkit.training.strategies import trained_parameters


class FlatModel:
    """A model whose trained parameters are views of one vector, and their gradients of another.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU, its trained parameters of one type. They are moved into the vector, in the model's order.

    Attributes
    ----------
    weights, gradient : ndarray, 1-D
        Share memory with the parameters and their gradients.
    """

    def __init__(self, model: nn.Module):
        self.model, self.parameters = model, trained_parameters(model)
        kinds = {(str(parameter.dtype), parameter.device.type) for parameter in self.parameters}
        if kinds != {("torch.float32", "cpu")}:
            raise UsageError(
                f"parameter server: the parameters are {', '.join(' on '.join(kind) for kind in sorted(kinds))}, and only "
                f"float32 on the CPU goes to the servers: call model.float().cpu() first."
            )
        weights = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        gradient = torch.zeros_like(weights)
        start = 0
        for parameter in self.parameters:
            stop = start + parameter.numel()
            parameter.data = weights[start:stop].view_as(parameter)
            parameter.grad = gradient[start:stop].view_as(parameter)
            start = stop
        self.weights, self.gradient = weights.numpy(), gradient.numpy()

    def release(self) -> None:
        """The parameters get memory of their own again."""
        for parameter in self.parameters:
            parameter.data, parameter.grad = parameter.data.clone(), None


class Worker:
    """Computes the gradients of one worker's shards.

    Parameters
    ----------
    model : torch.nn.Module
    data : DataSet
    options : TrainingOptions
        Its batch is that of all workers together.
    worker_num, num_workers : int
        Which shard is this worker's.
    loss : callable
        As for :class:`labkit.training.trainer.Trainer`.
    """

    def __init__(
        self, model: nn.Module, data: DataSet, options: TrainingOptions, worker_num: int, num_workers: int,
        loss: Callable = sample_losses,
    ):
        self.flat, self.data, self.loss, self.worker_num = FlatModel(model), data, loss, worker_num
        self.dtype = torch.float32
        self.sampler = ShardedSampler(
            len(data), options.batch_size, num_ranks=num_workers, rank=worker_num, seed=options.seed,
            shares=options.shares, shuffle=options.shuffle,
        )
        model.train()

    def gradient(self, step: int) -> tuple[float, float]:
        """Fill ``flat.gradient`` with the gradient of the mean loss of this worker's next shard.

        Returns
        -------
        loss, share : float
            The mean loss of the shard (NaN if it is empty), and its share of the whole batch.

        Raises
        ------
        NonFiniteError
            The loss is NaN or infinite: nothing has been pushed.
        """
        batch = self.sampler.next_batch()
        samples = self.sampler.shard_of(batch)
        self.flat.gradient[:] = 0
        if not len(samples):
            return float("nan"), 0.0
        inputs, targets = take(self.data, samples, "cpu", self.dtype)
        loss = self.loss(self.flat.model(inputs), targets).mean()
        loss.backward()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise NonFiniteError(
                f"step {step}: the loss of worker {self.worker_num} is {value}; it pushes nothing, so the weights of the "
                f"servers are not spoilt. Look at its samples, or lower learning_rate.", step=step, ranks=(self.worker_num,),
            )
        return value, len(samples) / len(batch)
