"""Which samples come into which batch, and which rank gets which part of a batch.

The order of the samples depends on the seed and the epoch alone, never on the number of ranks: a rank's *shard* is a
piece of the batch that one process would have taken. So any number of ranks computes the same steps, and a run can
go on with another number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.errors import UsageError
from labkit.mpi.collectives.arguments import block_ends


class ShardedSampler:
    """Batches of sample numbers, every sample once an epoch, and this rank's shard of each.

    The last batch of an epoch is as short as it must be; then some ranks may get nothing.

    Parameters
    ----------
    num_samples, batch_size : int
        At least 1. ``batch_size`` is that of all ranks together.
    num_ranks, rank : int
    seed : int
    shares : sequence of float, optional
        How the samples of a batch are dealt out, by rank: ``(3, 1)`` gives rank 0 three quarters. Equal without it, to
        the nearest sample, the lower ranks first.
    shuffle : bool
        Without, the samples keep their order.

    Raises
    ------
    UsageError
        A number that is too small, a rank out of range, shares that are negative or not one a rank.

    Examples
    --------
    >>> samplers = [ShardedSampler(5, 3, num_ranks=2, rank=rank, shuffle=False) for rank in range(2)]
    >>> [[sampler.next_shard().tolist() for sampler in samplers] for _ in range(3)]
    [[[0, 1], [2]], [[3], [4]], [[0, 1], [2]]]
    """

    def __init__(
        self, num_samples: int, batch_size: int, *, num_ranks: int = 1, rank: int = 0, seed: int = 0,
        shares: Sequence[float] | None = None, shuffle: bool = True,
    ):
        if num_samples < 1 or batch_size < 1:
            raise UsageError(
                f"a sampler needs 1 sample or more in the data and in a batch, not {num_samples} and {batch_size}: "
                "pass data that are not empty and a larger batch_size."
            )
        if not 0 <= rank < num_ranks:
            raise UsageError(f"rank {rank} is not one of {num_ranks} ranks: pass 0 to {num_ranks - 1}.")
        self.num_samples, self.batch_size, self.seed, self.shuffle = num_samples, batch_size, seed, shuffle
        self.num_ranks, self.rank, self.shares = num_ranks, rank, checked_shares(shares, num_ranks)
        self.epoch = self.position = 0
        self._order: tuple[int, np.ndarray] | None = None

    def next_batch(self) -> np.ndarray:
        """The sample numbers of the next batch, of all ranks together."""
        if self.position >= self.num_samples:
            self.epoch, self.position = self.epoch + 1, 0
        batch = self.order()[self.position : self.position + self.batch_size]
        self.position += len(batch)
        return batch

    def next_shard(self) -> np.ndarray:
        """This rank's part of the next batch; possibly empty."""
        return self.shard_of(self.next_batch())

    def shard_of(self, batch: np.ndarray) -> np.ndarray:
        """This rank's part of a batch."""
        ends = shard_ends(len(batch), self.num_ranks, self.shares)
        return batch[ends[self.rank] : ends[self.rank + 1]]

    def first_of(self, batch: np.ndarray) -> int:
        """Which sample of a batch is the first of this rank's part."""
        return int(shard_ends(len(batch), self.num_ranks, self.shares)[self.rank])

    def order(self) -> np.ndarray:
        """All samples in the order of this epoch."""
        if self._order is None or self._order[0] != self.epoch:
            order = np.arange(self.num_samples)
            if self.shuffle:
                order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_samples)
            self._order = self.epoch, order
        return self._order[1]

    def state_dict(self) -> dict:
        """Where it is: says nothing of ranks, so that another number of them can go on."""
        return {"num_samples": self.num_samples, "seed": self.seed, "shuffle": self.shuffle, "epoch": self.epoch,
                "position": self.position}

    def load_state_dict(self, state: dict) -> None:
        """Go on from there.

        Raises
        ------
        UsageError
            It is the state of a sampler of other data or of another seed.
        """
        for name in ("num_samples", "seed", "shuffle"):
            if state[name] != getattr(self, name):
                raise UsageError(
                    f"the sampler was saved with {name} = {state[name]}, this one has {getattr(self, name)}: "
                    "the samples would come in another order. Load it into a sampler of the same data and seed."
                )
        self.epoch, self.position = int(state["epoch"]), int(state["position"])


def shard_ends(num_samples: int, num_ranks: int, shares: Sequence[float] | None = None) -> tuple[int, ...]:
    """Where the shards of a batch end: rank r has the samples [ends[r], ends[r + 1]).

    Examples
    --------
    >>> shard_ends(10, 4), shard_ends(10, 3, (2, 1, 2))
    ((0, 3, 6, 8, 10), (0, 4, 6, 10))
    """
    if shares is None:
        return block_ends(num_samples, num_ranks)
    parts = np.cumsum((0.0, *shares))
    return tuple(int(end) for end in np.floor(parts / parts[-1] * num_samples + 0.5))


def checked_shares(shares: Sequence[float] | None, num_ranks: int) -> tuple[float, ...] | None:
    """Shares as a tuple, one a rank, none negative, not all 0."""
    if shares is None:
        return None
    shares = tuple(float(share) for share in shares)
    if len(shares) != num_ranks or not all(0 <= share < float("inf") for share in shares) or not sum(shares):
        raise UsageError(
            f"shares={shares} must be {num_ranks} numbers from 0, one a rank, not all 0: pass {(1,) * num_ranks}, "
            f"for example."
        )
    return shares
