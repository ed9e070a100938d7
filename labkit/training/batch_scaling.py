"""An experiment: larger batches with a proportionally larger learning rate, with and without warm-up.

Goyal and others trained ImageNet with batches of 256 to 65536 pictures, the learning rate scaled with the batch: the
same accuracy up to 8192 with a gradual warm-up, less without, and less beyond. The same shape shows on a few
thousand digits, at smaller sizes: what counts is how much the gradient changes during a step.

References
----------
P. Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017 (arXiv 1706.02677), figure 1, table 1.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labkit.errors import NonFiniteError, UsageError
from labkit.training.data import DataSet
from labkit.training.hooks import TrainingHook
from labkit.training.options import TrainingOptions
from labkit.training.serial import train_serial

GOYAL = {  # ResNet-50 on ImageNet: batch -> top-1 error in %; at 8192 without warm-up 24.84
    256: 23.60, 1024: 23.53, 4096: 23.56, 8192: 23.74, 16384: 24.79, 32768: 27.55, 65536: 33.96,
}
DIVERGED = 0.9  # the error of guessing one of ten


@dataclass(frozen=True, slots=True)
class BatchPoint:
    """One batch size, warmed up or not.

    Attributes
    ----------
    batch_size : int
    warmup_steps : int
    learning_rate : float
        The scaled one.
    num_steps : int
        As many samples are seen at every size.
    test_errors : tuple of float
        Share of wrong answers on the test part, one a seed.
    num_diverged : int
        Runs whose loss became infinite or NaN; their error counts as that of guessing.
    largest_loss : float
        Of all runs and steps: a start that is too fast shows here.
    """

    batch_size: int
    warmup_steps: int
    learning_rate: float
    num_steps: int
    test_errors: tuple[float, ...]
    num_diverged: int
    largest_loss: float

    @property
    def test_error(self) -> float:
        """The median."""
        return statistics.median(self.test_errors)


def batch_scaling(
    make_model: Callable[[int], object], data: DataSet, *, batch_sizes: Sequence[int] = (32, 128, 512, 1024, 2048),
    base_batch_size: int = 32, learning_rate: float = 0.05, num_epochs: float = 8, warmup_share: float = 0.25,
    seeds: Sequence[int] = (0, 1, 2), on_point: Callable[[BatchPoint], None] | None = None, **options,
) -> list[BatchPoint]:
    """Train with every batch size, with and without warm-up, on as many samples each.

    A batch of p x 64 samples on one process is what p ranks with 64 each compute; see
    :mod:`labkit.training.data_parallel.equivalence`. So one process shows what large batches do to learning.

    Parameters
    ----------
    make_model : callable
        ``make_model(seed)``.
    data : DataSet
    batch_sizes : sequence of int
        At most the number of samples.
    base_batch_size, learning_rate
        The learning rate belongs to this batch size.
    num_epochs : float
    warmup_share : float
        The warm-up takes this part of the steps.
    seeds : sequence of int
        The median over them is the result.
    on_point : callable, optional
        Is given each point as soon as it is there.
    options
        Further ones of :class:`TrainingOptions`.

    Returns
    -------
    list of BatchPoint
        By batch size, without warm-up first.

    Raises
    ------
    UsageError
        A batch larger than the data, no seeds, shares out of range.
    """
    if not seeds or not batch_sizes or not num_epochs > 0 or not 0 < warmup_share < 1:
        raise UsageError(
            "batch_scaling needs batch sizes, seeds, epochs above 0 and a warmup_share between 0 and 1, not "
            f"{tuple(batch_sizes)}, {tuple(seeds)}, {num_epochs} and {warmup_share}."
        )
    if max(batch_sizes) > len(data):
        raise UsageError(f"a batch of {max(batch_sizes)} is more than the {len(data)} samples: take smaller ones.")
    points = []
    for batch_size in batch_sizes:
        num_steps = max(1, round(num_epochs * len(data) / batch_size))
        for warmup_steps in (0, max(1, round(warmup_share * num_steps))):
            chosen = TrainingOptions(
                num_steps=num_steps, batch_size=batch_size, learning_rate=learning_rate, base_batch_size=base_batch_size,
                warmup_steps=warmup_steps, check_gradients=False, **options,
            )
            points.append(_point(make_model, data, chosen, seeds))
            if on_point is not None:
                on_point(points[-1])
    return points


def _point(make_model, data: DataSet, options: TrainingOptions, seeds: Sequence[int]) -> BatchPoint:
    errors, losses, num_diverged = [], [], 0
    for seed in seeds:
        watch = _Losses()
        try:
            report = train_serial(
                make_model(seed), data, options.replace(seed=seed), hooks=[watch], progress=False, timeline=False
            )
            errors.append(1 - report.accuracy)
        except NonFiniteError:
            errors.append(DIVERGED)
            num_diverged += 1
        losses += watch.losses
    rate = options.learning_rate * options.batch_size / options.base_batch_size
    return BatchPoint(
        options.batch_size, options.warmup_steps, rate, options.num_steps, tuple(errors), num_diverged, max(losses, default=0.0)
    )


class _Losses(TrainingHook):
    def __init__(self):
        self.losses: list[float] = []

    def after_step(self, trainer, record) -> None:
        self.losses.append(record.loss)
