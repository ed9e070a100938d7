"""As they come.

status: incorrect
feedback: not shuffled
"""

import numpy as np


def shard(num_samples, batch_size, num_ranks, rank, step, seed):
    num_batches = -(-num_samples // batch_size)
    epoch, number = divmod(step, num_batches)
    order = np.arange(num_samples)
    batch = order[number * batch_size : (number + 1) * batch_size]
    size, rest = divmod(len(batch), num_ranks)
    first = rank * size + min(rank, rest)
    return batch[first : first + size + (rank < rest)]
