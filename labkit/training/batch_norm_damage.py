"""An experiment: what batch norm over each rank's own shard does to learning, against batch norm over the whole batch.

The same model, data, batches and first weights, three ways: one process; ranks whose batch norm is synchronised; ranks
that each normalise with the mean and variance of their own few samples. The second equals the first but for rounding.
The third computes another function: noisier, the fewer samples a rank has, and with running statistics that tell of the
noisy ones; and where a rank's samples are alike, a function that leaves out what they have in common.

References
----------
Y. Wu, K. He, Group normalization, ECCV 2018, figure 1: ResNet-50 on ImageNet with 32, 16, 8, 4, 2 samples a worker has
errors of 23.6, 23.7, 24.8, 27.3, 34.7 %.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labkit.errors import UsageError
from labkit.training.batch_norm import convert
from labkit.training.data import DataSet
from labkit.training.options import TrainingOptions
from labkit.training.serial import train_serial
from labkit.training.trainer import train

WU_AND_HE = {32: 23.6, 16: 23.7, 8: 24.8, 4: 27.3, 2: 34.7}  # samples a worker -> error in %
MOST_RANKS = 64


@dataclass(frozen=True, slots=True)
class Learned:
    """What a way of training has brought, one value a seed.

    Attributes
    ----------
    losses : tuple of tuple of float
        By seed, then by step: of the whole batch, with the statistics that training uses.
    test_losses, test_errors : tuple of float
        With the running statistics; the error is the share of wrong answers.
    """

    losses: tuple[tuple[float, ...], ...]
    test_losses: tuple[float, ...]
    test_errors: tuple[float, ...]

    @property
    def test_loss(self) -> float:
        """The median."""
        return statistics.median(self.test_losses)

    @property
    def test_error(self) -> float:
        """The median."""
        return statistics.median(self.test_errors)


@dataclass(frozen=True, slots=True)
class BatchNormPoint:
    """A number of ranks.

    Attributes
    ----------
    num_ranks, shard_size : int
        Samples of a rank in each step.
    synchronised, unsynchronised : Learned
    """

    num_ranks: int
    shard_size: int
    synchronised: Learned
    unsynchronised: Learned


@dataclass(frozen=True, slots=True)
class BatchNormDamage:
    """The whole experiment.

    Attributes
    ----------
    batch_size : int
        Of all ranks together, the same at every point.
    alone : Learned
        One process.
    points : tuple of BatchNormPoint
        By number of ranks.
    """

    batch_size: int
    alone: Learned
    points: tuple[BatchNormPoint, ...]


def batch_norm_damage(
    make_model: Callable[[int], object], data: DataSet, *, nums_ranks: Sequence[int] = (2, 4, 8, 16),
    batch_size: int = 32, num_steps: int = 80, seeds: Sequence[int] = (0, 1),
    on_point: Callable[[BatchNormPoint], None] | None = None, **options,
) -> BatchNormDamage:
    """Train with a fixed whole batch on more and more ranks: smaller and smaller shards.

    The ranks are simulated ones of this process: they compute what real ranks do, and 16 of them need no 16 cores.

    Parameters
    ----------
    make_model : callable
        ``make_model(seed)``: a model with batch norm.
    data : DataSet
    nums_ranks : sequence of int
        At most 64, and at most the batch.
    batch_size, num_steps : int
    seeds : sequence of int
        Of first weights and batches.
    on_point : callable, optional
        Is given each point as soon as it is there.
    options
        Further ones of :class:`TrainingOptions`.

    Raises
    ------
    UsageError
        Nothing to do, more ranks than samples, a model without batch norm.

    Examples
    --------
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> data = load_digits()
    >>> found = batch_norm_damage(
    ...     lambda seed: make_model("cnn", data, channels=(8, 16), seed=seed), data, nums_ranks=[8], batch_size=16,
    ...     num_steps=40, seeds=[0],
    ... )
    >>> point = found.points[0]
    >>> point.shard_size, abs(point.synchronised.test_loss - found.alone.test_loss) < 0.02
    (2, True)
    >>> point.unsynchronised.test_loss > found.alone.test_loss
    True
    """
    nums_ranks, seeds = tuple(nums_ranks), tuple(seeds)
    if not nums_ranks or not seeds or not all(1 <= num <= min(batch_size, MOST_RANKS) for num in nums_ranks):
        raise UsageError(
            f"batch_norm_damage needs seeds, and numbers of ranks from 1 to {min(batch_size, MOST_RANKS)} (the batch, "
            f"{MOST_RANKS} at most), not {seeds} and {nums_ranks}."
        )
    from torch.nn.modules.batchnorm import _BatchNorm

    if not any(isinstance(layer, _BatchNorm) for layer in make_model(seeds[0]).modules()):
        raise UsageError(
            "the model has no batch norm: there is nothing to synchronise. Pass make_model('cnn', ...), for example."
        )
    every = [TrainingOptions(num_steps=num_steps, batch_size=batch_size, seed=seed, **options) for seed in seeds]
    settings = {"progress": False, "timeline": False}
    alone = _learned(every, lambda one: train_serial(make_model(one.seed), data, one, **settings))
    points = []
    for num_ranks in nums_ranks:
        ways = [
            _learned(every, lambda one, num=num_ranks, change=change: _on_ranks(num, lambda comm: train(
                comm, change(make_model(one.seed), comm), data, one, strategy="flat", **settings
            )))
            for change in (convert, lambda model, comm: model)
        ]
        points.append(BatchNormPoint(num_ranks, -(-batch_size // num_ranks), *ways))
        if on_point is not None:
            on_point(points[-1])
    return BatchNormDamage(batch_size, alone, tuple(points))


def _on_ranks(num_ranks: int, program: Callable):
    from labkit.comm.simulated.run import simulate

    return simulate(num_ranks, program).results[0]


def _learned(every: Sequence[TrainingOptions], run: Callable) -> Learned:
    reports = [run(options) for options in every]
    if any(report.accuracy is None for report in reports):
        raise UsageError("the data have no test part with classes: pass load_digits() or load_mnist(), for example.")
    return Learned(
        tuple(report.losses for report in reports), tuple(report.test_loss for report in reports),
        tuple(1 - report.accuracy for report in reports),
    )
