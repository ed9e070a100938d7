"""Sharding a batch: every sample once an epoch, for any number of ranks."""

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.training.sampling import ShardedSampler


def expected_shard(num_samples, batch_size, num_ranks, rank, step, seed):
    """By going through all batches before it."""
    sampler = ShardedSampler(num_samples, batch_size, num_ranks=num_ranks, rank=rank, seed=seed)
    for _ in range(step):
        sampler.next_batch()
    return sampler.next_shard().astype(np.int64)


def case(num_samples, batch_size, num_ranks, rank, step, seed=1):
    arguments = (num_samples, batch_size, num_ranks, rank, step, seed)
    label = f"{num_samples} samples, batch {batch_size}, rank {rank} of {num_ranks}, step {step}"
    return Case(label, (arguments,), ({"return": expected_shard(*arguments)},))


def cases():
    return [
        case(12, 4, 1, 0, 0), case(12, 4, 2, 1, 0), case(12, 4, 2, 0, 0), case(12, 4, 2, 1, 2),
        case(12, 6, 4, 3, 0), case(12, 6, 4, 1, 0), case(12, 5, 4, 2, 1),
        case(12, 4, 2, 1, 3), case(10, 4, 2, 0, 2), case(10, 4, 3, 2, 2), case(10, 4, 3, 0, 3), case(10, 4, 2, 1, 4),
        case(10, 3, 5, 4, 0), case(10, 3, 5, 2, 1), case(7, 100, 3, 1, 0), case(7, 100, 3, 2, 1), case(1, 1, 1, 0, 5),
        case(1000, 64, 7, 5, 15, 3), case(1000, 64, 7, 6, 500, 3), case(1797, 256, 16, 15, 7, 0),
    ]


def _pieces(num_samples, batch_size, step, seed, epoch_seed=None):
    number = step % -(-num_samples // batch_size)
    epoch = step // -(-num_samples // batch_size)
    order = np.random.default_rng((seed, epoch) if epoch_seed is None else epoch_seed).permutation(num_samples)
    return order, order[number * batch_size : (number + 1) * batch_size]


def _cut(batch, num_ranks, rank):
    return np.array_split(batch, num_ranks)[rank]


def _strided(n, b, p, rank, step, seed):
    return _pieces(n, b, step, seed)[1][rank::p]


def _rest_lost(n, b, p, rank, step, seed):
    batch = _pieces(n, b, step, seed)[1]
    return batch[rank * (len(batch) // p) : (rank + 1) * (len(batch) // p)]


def _rest_to_the_last(n, b, p, rank, step, seed):
    batch = _pieces(n, b, step, seed)[1]
    return batch[rank * (len(batch) // p) : (rank + 1) * (len(batch) // p) if rank < p - 1 else None]


def _rounded_up(n, b, p, rank, step, seed):
    batch = _pieces(n, b, step, seed)[1]
    size = -(-len(batch) // p)
    return batch[rank * size : (rank + 1) * size]


def _same_order(n, b, p, rank, step, seed):
    return _cut(_pieces(n, b, step, seed, (seed, 0))[1], p, rank)


def _same_order_of_the_seed(n, b, p, rank, step, seed):
    return _cut(_pieces(n, b, step, seed, seed)[1], p, rank)


def _not_shuffled(n, b, p, rank, step, seed):
    number = step % -(-n // b)
    return _cut(np.arange(n)[number * b : (number + 1) * b], p, rank)


def _data_first(n, b, p, rank, step, seed):
    """Each rank has a part of the data set, and batches of it."""
    mine = _cut(_pieces(n, b, step, seed)[0], p, rank)
    number, size = step % -(-n // b), max(1, b // p)
    return mine[number * size : (number + 1) * size]


def _last_batch_dropped(n, b, p, rank, step, seed):
    num_batches = max(1, n // b)
    order = np.random.default_rng((seed, step // num_batches)).permutation(n)
    return _cut(order[step % num_batches * b : (step % num_batches + 1) * b], p, rank)


def _each_takes_a_batch(n, b, p, rank, step, seed):
    order = _pieces(n, b, step, seed)[0]
    first = (step % -(-n // b) * p + rank) * b
    return order[first : first + b]


def _whole_batch(n, b, p, rank, step, seed):
    return _pieces(n, b, step, seed)[1]


def _gives(*variants):
    """Whether the answer is what one of these gives."""

    def applies(failure):
        found = failure.actual(0)
        return failure.status is Status.INCORRECT and any(
            np.array_equal(found, variant(*failure.case.arguments[0])) for variant in variants
        )

    return applies


def _own_seed(failure):
    n, b, p, rank, step, seed = failure.case.arguments[0]
    return rank > 0 and any(
        _gives(lambda *_, key=key: _cut(_pieces(n, b, step, seed, key)[1], p, rank))(failure)
        for key in ((seed + rank, step // -(-n // b)), (seed, step // -(-n // b), rank), seed + rank, (seed, rank))
    )


exercise = Exercise(
    title="A shard of a batch",
    function="shard",
    points=4,
    cases=cases,
    hints=(
        "First forget the ranks: which epoch is this step in, and which batch of it? Then cut that batch.",
        "An epoch has num_samples / batch_size batches, rounded up. divmod(step, that) is the epoch and the number "
        "of the "
        "batch. A batch of n samples gives each rank n // p, and the first n % p ranks one more.",
        "epoch, number = divmod(step, -(-num_samples // batch_size))\n"
        "order = np.random.default_rng((seed, epoch)).permutation(num_samples)\n"
        "batch = order[number * batch_size : (number + 1) * batch_size]\n"
        "size, rest = divmod(len(batch), num_ranks)\n"
        "first = rank * size + min(rank, rest)",
    ),
    slips=(
        Slip(
            "The order depends on the rank: each shuffles for itself, so some samples come twice in an epoch and "
            "others "
            "never. The seed of the order is (seed, epoch) on all ranks.",
            _own_seed,
        ),
        Slip(
            "This is the whole batch: all ranks would compute the same. Cut it into p pieces.",
            _gives(_whole_batch),
        ),
        Slip(
            "Each rank takes batch_size samples. That is the size of the batch of all ranks together: a rank has about "
            "a p-th of it.",
            lambda f: len(f.actual(0)) > 0 and _gives(_each_takes_a_batch)(f),
        ),
        Slip(
            "len(batch) // p samples for each rank leave the rest of the batch to nobody. The first len(batch) % p "
            "ranks "
            "take one more.",
            _gives(_rest_lost),
        ),
        Slip(
            "Every p-th sample is a fair shard, too, but not the one that is asked for: pieces of the batch are "
            "consecutive, so that rank 0, 1, ... together have it in its order.",
            _gives(_strided),
        ),
        Slip(
            "The order is the same in every epoch: it has to depend on the epoch as well, default_rng((seed, epoch)).",
            _gives(_same_order, _same_order_of_the_seed),
        ),
        Slip("The samples are not shuffled: take them from the permutation.", _gives(_not_shuffled)),
        Slip(
            "The last batch of an epoch is missing: samples that do not fill a batch make a shorter one, or they "
            "are never "
            "seen. An epoch has num_samples / batch_size batches, rounded *up*.",
            _gives(_last_batch_dropped),
        ),
        Slip(
            "The last rank has got the whole rest of the batch, and all others would wait for it. Give the first "
            "len(batch) % p ranks one more each.",
            _gives(_rest_to_the_last),
        ),
        Slip(
            "Shards rounded up are too large for the first ranks, and little or nothing is left for the last. Sizes "
            "differ by at most one.",
            _gives(_rounded_up),
        ),
        Slip(
            "You cut the data set, and then take batches from each part: all ranks together have another batch "
            "than one "
            "process would have, and it would change with p. First the batch, then the shards.",
            _gives(_data_first),
        ),
    ),
)
