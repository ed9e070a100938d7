"""The optimizer of a server, and what it does about stale gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from labkit.errors import UsageError
from labkit.training.learning_rate import learning_rate_at
from labkit.training.options import TrainingOptions, make_optimizer

CORRECTIONS = (None, "learning_rate", "momentum")


def checked_correction(correction: str | None) -> str | None:
    """A correction that exists, or a UsageError."""
    if correction not in CORRECTIONS:
        raise UsageError(
            f"parameter server: correction is None, 'learning_rate' or 'momentum', not {correction!r}: pass one of them."
        )
    return correction


def stale_rate(learning_rate: float, staleness: float, num_workers: int) -> float:
    """The learning rate of a gradient that is more stale than usual: divided by its staleness in steps of all workers.

    With n equal workers that nobody holds back a gradient is about n - 1 gradients old. That is as it should be; one
    that is k n old gets 1/k of the rate.

    References
    ----------
    W. Zhang, S. Gupta, X. Lian, J. Liu, Staleness-aware Async-SGD for distributed deep learning, IJCAI 2016
    (arXiv 1511.05950), with the staleness counted in steps.

    Examples
    --------
    >>> [stale_rate(0.1, staleness, 4) for staleness in (0, 4, 8)]
    [0.1, 0.1, 0.05]
    """
    return learning_rate / max(1.0, staleness / num_workers)


def explicit_momentum(momentum: float, num_workers: int) -> float:
    """What is left of a momentum when asynchrony has its own part of it.

    Updates of n workers that nobody orders act like a momentum of 1 - 1/n. Gradients of n workers therefore last n times
    as long as those of one, 1/(1 - m) steps become n/(1 - m); the m that gives the wanted length is 1 - n (1 - wanted),
    and 0 if the asynchrony alone is too much already.

    References
    ----------
    I. Mitliagkas, C. Zhang, S. Hadjis, C. Ré, Asynchrony begets momentum, Allerton 2016 (arXiv 1605.09774): the 1 - 1/n.

    Examples
    --------
    >>> [round(explicit_momentum(0.9, num_workers), 3) for num_workers in (1, 2, 4, 16)]
    [0.9, 0.8, 0.6, 0.0]
    """
    return max(0.0, 1 - num_workers * (1 - momentum))


def block_optimizer(
    block: np.ndarray, options: TrainingOptions, num_workers: int, correction: str | None
) -> tuple[torch.optim.Optimizer, Callable[[np.ndarray, int, float], None]]:
    """An optimizer of a server's block, and the function that :class:`ShardServer` applies gradients with.

    Parameters
    ----------
    block : ndarray of float32, 1-D
        Is changed in place.
    options : TrainingOptions
    num_workers : int
    correction : str or None
        ``"learning_rate"`` (:func:`stale_rate`) or ``"momentum"`` (:func:`explicit_momentum`).
    """
    if correction == "momentum":
        options = replace(options, momentum=explicit_momentum(options.momentum, num_workers))
    weights = torch.nn.Parameter(torch.from_numpy(block))
    optimizer = make_optimizer([weights], options)

    def apply(gradient: np.ndarray, clock: int, staleness: float) -> None:
        rate = learning_rate_at(clock, options)
        if correction == "learning_rate":
            rate = stale_rate(rate, staleness, num_workers)
        optimizer.param_groups[0]["lr"] = rate
        weights.grad = torch.from_numpy(gradient)
        optimizer.step()

    return optimizer, apply
