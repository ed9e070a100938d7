import numpy as np


def shard(num_samples, batch_size, num_ranks, rank, step, seed):
    """The batch that one process would take, and a piece of it."""
    num_batches = -(-num_samples // batch_size)
    epoch, number = divmod(step, num_batches)
    order = np.random.default_rng((seed, epoch)).permutation(num_samples)
    batch = order[number * batch_size : (number + 1) * batch_size]
    size, rest = divmod(len(batch), num_ranks)
    first = rank * size + min(rank, rest)
    return batch[first : first + size + (rank < rest)]
