"""Cross-entropy of logits whose vocabulary is divided: three numbers a row travel, the logits do not."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from labkit.softmax.vocabulary_parallel import parallel_cross_entropy, parallel_cross_entropy_backward
from labkit.training.tensor_parallel.group import ParallelGroup


class _CrossEntropy(torch.autograd.Function):
    """The losses that have been computed; backward gives the gradient of this rank's logits, and sends nothing."""

    @staticmethod
    def forward(ctx, logits, array, found, losses):
        ctx.array, ctx.found, ctx.like = array, found, logits
        return losses.view_as(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        scale = gradient.detach().double().cpu().numpy()
        result = parallel_cross_entropy_backward(ctx.array, ctx.found, gradient=scale)
        return torch.from_numpy(result).to(ctx.like).view(ctx.like.shape), None, None, None


class VocabularyLoss:
    """The loss of each sample, of logits divided by columns as :class:`.embedding.VocabularyEmbedding` divides them.

    Parameters
    ----------
    group : ParallelGroup
    num_tokens : int
        Of all ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.softmax.vocabulary_parallel import columns_of
    >>> logits, targets = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0])
    >>> def program(comm):
    ...     loss = VocabularyLoss(ParallelGroup(comm), 3)
    ...     return round(loss(logits[:, columns_of(3, comm.size, comm.rank)], targets).item(), 5)
    >>> simulate(2, program).results
    [2.40761, 2.40761]
    """

    def __init__(self, group: ParallelGroup, num_tokens: int):
        self.group, self.num_tokens = group, num_tokens
        self.key = group.add("loss")

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each sample, (N,): the mean over its places, if there are several.

        Parameters
        ----------
        logits : torch.Tensor
            (N, own tokens) or (N, length, own tokens); or the logits of all tokens, as models give in ``eval``.
        targets : torch.Tensor
            (N,) or (N, length), the same on all ranks.
        """
        group = self.group
        if logits.shape[-1] == self.num_tokens:
            from labkit.training.losses import sample_losses

            return sample_losses(logits, targets)
        own = logits.detach()
        own = own.float() if own.dtype in (torch.float16, torch.bfloat16) else own
        array = np.ascontiguousarray(own.cpu().numpy().reshape(-1, own.shape[-1]))
        found = parallel_cross_entropy(
            group, array, targets.detach().cpu().numpy().reshape(-1), num_columns=self.num_tokens,
            allreduce=lambda comm, sendbuf, recvbuf, *, op: group.all_reduce_array(sendbuf, recvbuf, op, self.key),
        )
        losses = torch.from_numpy(found.losses).to(own.device, own.dtype)
        losses = _CrossEntropy.apply(logits, array, found, losses).view(targets.shape)
        return losses.flatten(1).mean(1) if losses.dim() > 1 else losses
