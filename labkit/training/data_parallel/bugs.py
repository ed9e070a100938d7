"""A catalogue of known slips of data parallelism: what each does, and a strategy that makes it.

Each trains without an error message, most of them with falling losses. :func:`.equivalence.check_equivalence` finds them
all, if the model and the options reach them (``needs``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from labkit.training.data_parallel.bucketed import Bucketed
from labkit.training.data_parallel.flat import Flat
from labkit.training.hooks import TrainingHook


@dataclass(frozen=True, slots=True)
class Bug:
    """One slip.

    Attributes
    ----------
    name : str
    summary : str
    strategy : callable
        Makes the wrong strategy.
    hooks : callable
        Makes what is wrong outside of it.
    needs : str
        ``"uneven shards"``, ``"micro-batches"``, ``"batch norm"``, ``"3 ranks"``, or nothing special.
    """

    name: str
    summary: str
    strategy: Callable
    hooks: Callable = tuple
    needs: str = ""


class SumInsteadOfMean(Flat):
    """Each rank takes the mean over its shard, and the means are added up: p times the gradient."""

    def attach(self, comm, *arguments) -> None:
        super().attach(comm, *arguments)
        self.loss_factor = float(comm.size)


class MeanOfMeans(Flat):
    """Each rank takes the mean over its own shard, and the ranks' means count alike, however large their shards are."""

    def attach(self, comm, model, *arguments) -> None:
        super().attach(comm, model, *arguments)
        self.watch = model.register_forward_pre_hook(self._weigh)

    def _weigh(self, module, inputs) -> None:
        mine = len(inputs[0])
        everyone = sum(self.comm.allgather(mine))
        self.loss_factor = everyone / (mine * self.comm.size) if mine else 1.0

    def detach(self) -> None:
        self.watch.remove()
        super().detach()


class MissingLastBucket(Bucketed):
    """The last bucket is not full, and is never sent."""

    def __init__(self):
        super().__init__(bucket_bytes=256)

    def _reduce_buckets(self) -> None:
        for bucket in self.buckets[:-1]:
            self.reduce(self.comm, bucket.flat, bucket.number, "bucket")


class StaleBuffer(Flat):
    """What is sent was copied before the backward pass had finished: the sum is that of the step before."""

    def reduce_gradients(self) -> None:
        fresh = self.buckets[0].flat.clone()
        if hasattr(self, "old"):
            self.buckets[0].flat.copy_(self.old)
        self.old = fresh
        super().reduce_gradients()


class UnsynchronisedBuffers(Flat):
    """Gradients are added up, the running statistics of batch norm are not shared."""

    def __init__(self):
        super().__init__(broadcast_buffers=False)


class NeverZeroed(Flat):
    """The gradients of earlier steps are still there when new ones are added."""

    def start_step(self) -> None:
        pass


class FirstMicroBatchOnly(Flat):
    """What the micro-batches after the first give stays on the rank: buckets were sent too early."""

    def start_micro_batch(self, is_last: bool) -> None:
        if self.num_micro_batches == 1:
            self._reduce_buckets()
        self.num_micro_batches += 1

    def reduce_gradients(self) -> None:
        if self.num_micro_batches < 2:
            super().reduce_gradients()


class AnotherOrderOfBuckets(Bucketed):
    """Rank 1 sends its buckets in another order, as when they go in the order in which they become ready."""

    def __init__(self):
        super().__init__(bucket_bytes=1)  # a bucket a parameter: some are equally long

    def _reduce_buckets(self) -> None:
        order = list(self.buckets)
        by_size: dict[int, list[int]] = {}
        for place, bucket in enumerate(order):
            by_size.setdefault(bucket.flat.numel(), []).append(place)
        pair = next((places for places in by_size.values() if len(places) > 1), None)
        if self.comm.rank == 1 and pair is not None:
            order[pair[0]], order[pair[1]] = order[pair[1]], order[pair[0]]
        for bucket in order:
            self.reduce(self.comm, bucket.flat, bucket.number, "bucket")


class OwnGradientFirst(Flat):
    """Each rank starts the sum with its own gradient: the ranks round differently and drift apart."""

    def _reduce_buckets(self) -> None:
        vector = self.buckets[0].flat
        everyone = np.empty((self.comm.size, vector.numel()), vector.numpy().dtype)
        self.comm.Allgather(vector.numpy(), everyone)
        for step in range(1, self.comm.size):
            vector += torch.from_numpy(everyone[(self.comm.rank + step) % self.comm.size])


class OneRankForgotten(Flat):
    """The last rank takes part in the sum with zeros, as if its gradients were not computed yet."""

    def _reduce_buckets(self) -> None:
        if self.comm.rank == self.comm.size - 1:
            self.buckets[0].flat.zero_()
        super()._reduce_buckets()


class OwnLearningRate(Flat):
    """A schedule that depends on something of the rank: equal gradients, different steps."""

    def step(self, learning_rate: float) -> None:
        super().step(learning_rate * (1 + 1e-3 * self.comm.rank))


class UnclippedSum(Flat):
    """Each rank clips its own gradient before the sum, instead of the sum."""

    def reduce_gradients(self) -> None:
        limit = self.options.max_gradient_norm
        norm = float(self.buckets[0].flat.norm())
        if limit is not None and norm > limit / self.comm.size:
            self.buckets[0].flat.mul_(limit / self.comm.size / norm)
        super().reduce_gradients()


class _SameShard(TrainingHook):
    def at_start(self, trainer) -> None:
        trainer.sampler.rank = 0


class _OwnOrder(TrainingHook):
    def at_start(self, trainer) -> None:
        trainer.sampler.seed += trainer.comm.rank


BUGS = {
    bug.name: bug
    for bug in (
        Bug("sum_instead_of_mean", SumInsteadOfMean.__doc__, SumInsteadOfMean),
        Bug("mean_of_means", MeanOfMeans.__doc__, MeanOfMeans, needs="uneven shards"),
        Bug("missing_last_bucket", MissingLastBucket.__doc__, MissingLastBucket),
        Bug("stale_buffer", StaleBuffer.__doc__, StaleBuffer),
        Bug("wrong_shard", "All ranks train on the shard of rank 0.", Flat, lambda: (_SameShard(),)),
        Bug("own_order", "Each rank shuffles with a seed of its own: some samples come twice, others never.", Flat, lambda: (_OwnOrder(),)),
        Bug("unsynchronised_buffers", UnsynchronisedBuffers.__doc__, UnsynchronisedBuffers, needs="batch norm"),
        Bug("never_zeroed", NeverZeroed.__doc__, NeverZeroed),
        Bug("first_micro_batch_only", FirstMicroBatchOnly.__doc__, FirstMicroBatchOnly, needs="micro-batches"),
        Bug("another_order_of_buckets", AnotherOrderOfBuckets.__doc__, AnotherOrderOfBuckets),
        Bug("own_gradient_first", OwnGradientFirst.__doc__, OwnGradientFirst, needs="3 ranks"),
        Bug("one_rank_forgotten", OneRankForgotten.__doc__, OneRankForgotten),
        Bug("own_learning_rate", OwnLearningRate.__doc__, OwnLearningRate),
        Bug("clipped_before_the_sum", UnclippedSum.__doc__, UnclippedSum, needs="clipping"),
    )
}
