"""Shards: every sample once an epoch, whatever the ranks; the same batches for any number of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.training.sampling import ShardedSampler, shard_ends


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 7), st.integers(0, 3), st.booleans())
def test_every_sample_once_an_epoch(num_samples, batch_size, p, seed, shuffle):
    ranks = [ShardedSampler(num_samples, batch_size, num_ranks=p, rank=r, seed=seed, shuffle=shuffle) for r in range(p)]
    alone = ShardedSampler(num_samples, batch_size, seed=seed, shuffle=shuffle)
    orders = []
    for epoch in range(3):
        seen = []
        while len(seen) < num_samples:
            shards = [sampler.next_shard() for sampler in ranks]
            batch = alone.next_batch()
            assert np.concatenate(shards).tolist() == batch.tolist()  # in the order of the ranks
            sizes = [len(shard) for shard in shards]
            assert max(sizes) - min(sizes) <= 1 and sum(sizes) <= batch_size
            seen += batch.tolist()
        assert sorted(seen) == list(range(num_samples))
        assert all(sampler.epoch == epoch for sampler in ranks)
        orders.append(seen)
    if shuffle and num_samples > 20:
        assert orders[0] != orders[1]


@given(st.integers(0, 60), st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda s: sum(s) > 0.01))
def test_shares(num_samples, shares):
    ends = shard_ends(num_samples, len(shares), shares)
    assert ends[0] == 0 and ends[-1] == num_samples and list(ends) == sorted(ends)
    for start, end, share in zip(ends[:-1], ends[1:], shares, strict=True):
        assert abs((end - start) - num_samples * share / sum(shares)) <= 1.001
        assert share or end == start


@pytest.mark.parametrize("p, q", [(2, 3), (3, 1), (1, 4)])
def test_goes_on_with_other_ranks_and_another_batch(p, q):
    before = [ShardedSampler(23, 5, num_ranks=p, rank=r, seed=1) for r in range(p)]
    seen = [x for _ in range(3) for sampler in before for x in sampler.next_shard()]
    after = [ShardedSampler(23, 4, num_ranks=q, rank=r, seed=1) for r in range(q)]
    for sampler in after:
        sampler.load_state_dict(before[0].state_dict())
    while after[0].position < 23:
        seen += [x for sampler in after for x in sampler.next_shard()]
    assert sorted(seen) == list(range(23))
    following = np.concatenate([sampler.next_shard() for sampler in after])
    alone = ShardedSampler(23, 4, seed=1)
    alone.epoch = 1
    assert following.tolist() == alone.next_batch().tolist() and after[0].epoch == 1


def test_bad_input():
    for arguments in ((0, 4), (4, 0)):
        with pytest.raises(UsageError, match="1 sample or more"):
            ShardedSampler(*arguments)
    with pytest.raises(UsageError, match="rank 2 is not one of 2"):
        ShardedSampler(5, 2, num_ranks=2, rank=2)
    for shares in ((1,), (1, -1), (0, 0), (1, float("nan"))):
        with pytest.raises(UsageError, match="shares"):
            ShardedSampler(5, 2, num_ranks=2, shares=shares)
    state = ShardedSampler(5, 2, seed=1).state_dict()
    with pytest.raises(UsageError, match="saved with seed = 1, this one has 2"):
        ShardedSampler(5, 2, seed=2).load_state_dict(state)
