"""Batch norm over the whole batch of all ranks, forward and backward.

Batch norm makes each channel's values x of a batch have mean 0 and variance 1: z = (x - m) / sqrt(v + eps). m and v are
those of the batch. With the batch dealt out to ranks, the plain layer takes those of each rank's shard: another
function, noisier the smaller the shards are, and each rank keeps other running statistics. This layer gathers them:

* forward: each rank sends (count, mean, sum of squares about its mean) of each channel; all merge them in the order of
  the ranks (Chan, Golub, LeVeque 1979: no cancellation as in the sum of squares minus the square of the sum);
* backward: with g = dL/dz, each rank sends the sums of g and g (x - m); then, over all N values of a channel,
  dL/dx = (g - sum(g)/N - (x - m) sum(g (x - m)) / (N (v + eps))) / sqrt(v + eps).

Shards may be uneven or empty. All ranks get the same bits, so the running statistics stay equal.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from labkit.errors import UsageError
from labkit.training.in_pass import InPass, find_in_pass

HALF = (torch.float16, torch.bfloat16)


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of inputs (N, C), (N, C, L), (N, C, H, W), ... whose samples are dealt out to ranks.

    Every rank calls it as often as the others, in the same order, with any number of samples. In ``eval`` mode nothing
    is communicated.

    Parameters
    ----------
    num_features : int
        C.
    comm : communicator or InPass
        An :class:`.in_pass.InPass` is shared by the layers of a model; :func:`convert` makes one.
    settings
        ``eps``, ``momentum``, ``affine``, ``track_running_stats``, ``device``, ``dtype`` as of
        ``torch.nn.BatchNorm1d``.

    Notes
    -----
    Gradients of weight and bias are those of this rank's samples, as all gradients of a model: a strategy adds them up
    over the ranks. With micro-batches, statistics are over the micro-batch of all ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> values = torch.arange(6.0).view(6, 1) ** 2
    >>> def program(comm):
    ...     mine = values[:1] if comm.rank == 0 else values[1:]
    ...     return SyncBatchNorm(1, comm)(mine).detach()
    >>> parts = simulate(2, program).results
    >>> torch.allclose(torch.cat(parts), nn.BatchNorm1d(1)(values), atol=1e-6)
    True
    """

    def __init__(self, num_features: int, comm, *, name: str = "batch norm", **settings):
        super().__init__(num_features, **settings)
        self.in_pass = comm if isinstance(comm, InPass) else InPass(comm)
        self.key = self.in_pass.add_layer(name, 1 + 2 * num_features)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self._check_input_dim(inputs)
        if not self.training:
            return functional.batch_norm(
                inputs, self.running_mean, self.running_var, self.weight, self.bias,
                training=self.running_mean is None, eps=self.eps,
            )
        count, mean, squares = self._statistics(inputs)
        if count == 0:  # no rank has a sample: nothing to normalise, nothing to learn
            return inputs.clone() if self.weight is None else _scaled(inputs, self.weight, self.bias)
        if count == 1:
            raise UsageError(
                "batch norm in training needs more than 1 value of each channel, and the whole batch of all ranks has "
                "1: use larger batches, or model.eval()."
            )
        self._keep(count, mean, squares)
        device, dtype = inputs.device, _working_type(inputs)
        mean, variance = (torch.from_numpy(array).to(device) for array in (mean, squares / count))
        scale = (variance + self.eps).rsqrt()
        return _Normalise.apply(
            inputs, self.weight, self.bias, mean.to(dtype), scale.to(dtype), count, self.in_pass, self.key
        )

    def _statistics(self, inputs: torch.Tensor) -> tuple[int, np.ndarray, np.ndarray]:
        """(How many values a channel has on all ranks, their mean, the sum of squares about it). Collective."""
        num_channels = self.num_features
        values = inputs.detach()
        values = values.to(_working_type(values))
        row = np.zeros(1 + 2 * num_channels)
        row[0] = values.numel() // num_channels
        if row[0]:
            variance, mean = torch.var_mean(values, _other_dims(values), correction=0)
            row[1 : 1 + num_channels], row[1 + num_channels :] = mean.double().cpu(), variance.double().cpu() * row[0]
        rows = self.in_pass.gather(row, self.key, is_backward=False)
        return merge(rows[:, 0], rows[:, 1 : 1 + num_channels], rows[:, 1 + num_channels :])

    def _keep(self, count: int, mean: np.ndarray, squares: np.ndarray) -> None:
        """Running statistics, as of torch: the variance in them is that of a sample, divided by N - 1."""
        if not self.track_running_stats or self.running_mean is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, squares / (count - 1))):
            running.mul_(1 - share).add_(torch.from_numpy(new).to(running), alpha=share)

    def _check_input_dim(self, inputs: torch.Tensor) -> None:
        if inputs.dim() < 2 or inputs.shape[1] != self.num_features:
            raise UsageError(
                f"batch norm of {self.num_features} channels takes inputs (N, {self.num_features}, ...), not "
                f"{tuple(inputs.shape)}: the channels are the second dimension."
            )


def merge(counts: np.ndarray, means: np.ndarray, squares: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Counts, means, and sums of squares about them, of parts: those of the whole.

    Parameters
    ----------
    counts : numpy.ndarray (parts,)
    means, squares : numpy.ndarray (parts, channels)

    Examples
    --------
    The values 1 and 3, none, and 8: the mean is 4, the squares about it are 9 + 1 + 16.

    >>> means, squares = np.array([[2.0], [0.0], [8.0]]), np.array([[2.0], [0.0], [0.0]])
    >>> count, mean, squares = merge(np.array([2, 0, 1]), means, squares)
    >>> count, mean.tolist(), squares.tolist()
    (3, [4.0], [26.0])
    """
    total, mean, about = 0, np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for count, part_mean, part_squares in zip(counts, means, squares, strict=True):
        if count:
            away = part_mean - mean
            about = about + part_squares + away**2 * (total * count / (total + count))
            mean = mean + away * (count / (total + count))
            total += int(count)
    return total, mean, about


class _Normalise(torch.autograd.Function):
    """(x - mean) scale weight + bias; backward knows that mean and scale depend on the x of all ranks."""

    @staticmethod
    def forward(ctx, inputs, weight, bias, mean, scale, count, in_pass, key):
        ctx.save_for_backward(inputs, weight, mean, scale)
        ctx.count, ctx.in_pass, ctx.key = count, in_pass, key
        outputs = (inputs - _wide(mean, inputs)) * _wide(scale, inputs)
        return outputs.to(inputs.dtype) if weight is None else _scaled(outputs, weight, bias, inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        inputs, weight, mean, scale = ctx.saved_tensors
        dims, num_channels = _other_dims(inputs), len(mean)
        gradient = gradient.to(mean.dtype)
        centred = inputs - _wide(mean, inputs)
        sums = gradient.sum(dims), (gradient * centred).sum(dims)
        of_weight = (sums[1] * scale).to(weight.dtype) if weight is not None and ctx.needs_input_grad[1] else None
        of_bias = sums[0].to(weight.dtype) if weight is not None and ctx.needs_input_grad[2] else None
        of_inputs = None
        if ctx.needs_input_grad[0]:
            factor = scale if weight is None else scale * weight
            row = torch.cat(sums).double().cpu().numpy()
            totals = torch.from_numpy(ctx.in_pass.gather(row, ctx.key, is_backward=True).sum(0) / ctx.count).to(mean)
            shift, slope = totals[:num_channels], totals[num_channels:] * scale**2
            of_inputs = (gradient - _wide(shift, inputs) - centred * _wide(slope, inputs)) * _wide(factor, inputs)
            of_inputs = of_inputs.to(inputs.dtype)
        return of_inputs, of_weight, of_bias, None, None, None, None, None


def convert(model: nn.Module, comm) -> nn.Module:
    """Synchronise every batch norm of a model over the ranks of a communicator, in place.

    Parameters and running statistics stay the same tensors: a checkpoint of one kind fits the other.

    Parameters
    ----------
    model : torch.nn.Module
    comm : communicator
        The one that trains the model.

    Returns
    -------
    torch.nn.Module
        The model; a new layer if it was itself a batch norm.

    Raises
    ------
    UsageError
        A lazy batch norm that has not seen an input.

    Examples
    --------
    >>> from labkit.training.serial import Alone
    >>> model = convert(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), Alone())
    >>> [type(layer).__name__ for layer in model]
    ['Conv2d', 'SyncBatchNorm', 'ReLU']
    """
    in_pass, made = InPass(comm), {}
    for name, layer in model.named_modules(remove_duplicate=False):
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and id(layer) not in made:
            new = _synchronised(layer, in_pass, name or "batch norm")
            made[id(layer)] = (new, layer)  # the layer stays alive, and its id
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if id(child) in made:
                parent._modules[name] = made[id(child)][0]
    return made[id(model)][0] if id(model) in made else model


def _synchronised(layer, in_pass: InPass, name: str) -> SyncBatchNorm:
    if isinstance(layer, nn.modules.lazy.LazyModuleMixin) and layer.has_uninitialized_params():
        raise UsageError(
            f"{name} is a lazy batch norm that does not know its channels yet: call the model once "
            "before it is converted."
        )
    new = SyncBatchNorm(
        layer.num_features, in_pass, name=name, eps=layer.eps, momentum=layer.momentum, affine=layer.affine,
        track_running_stats=layer.track_running_stats, device="meta",
    )
    for tensors in ("_parameters", "_buffers"):
        setattr(new, tensors, dict(getattr(layer, tensors)))
    return new.train(layer.training)


def backward(model: nn.Module, loss: torch.Tensor) -> None:
    """``loss.backward()`` of a model with synchronised layers, on real or simulated ranks. Collective."""
    in_pass = find_in_pass(model)
    loss.backward() if in_pass is None else in_pass.backward(loss)


def _working_type(values: torch.Tensor) -> torch.dtype:
    return torch.float32 if values.dtype in HALF else values.dtype


def _other_dims(values: torch.Tensor) -> tuple[int, ...]:
    """All but the channels."""
    return (0, *range(2, values.dim()))


def _wide(vector: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """A number a channel, so that it meets values (N, C, ...)."""
    return vector.view(-1, *(1,) * (values.dim() - 2))


def _scaled(values: torch.Tensor, weight, bias, dtype=None) -> torch.Tensor:
    scaled = values * _wide(weight, values)
    return (scaled if bias is None else scaled + _wide(bias, values)).to(dtype or values.dtype)
