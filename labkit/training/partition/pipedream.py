"""PipeDream's partitioner: consecutive stages, each on as many ranks as pays.

A stage on m ranks takes micro-batches in turns, so it is m times as fast, but its m replicas have to add their
gradients::

    T(i -> j, m) = max(compute(i -> j), weight sync of m replicas) / m
    A(j, m)      = min(T(0 -> j, m),  min over i, m' of max(A(i, m - m'), link(i), T(i -> j, m')))

References
----------
D. Narayanan et al., PipeDream: generalized pipeline parallelism for DNN training, SOSP 2019, section 3.1: one level of
its hierarchy of links. What is left out: copies of older weights (weight stashing), which flush-free pipelines keep.
"""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError
from labkit.training.partition.chain import Chain
from labkit.training.partition.check import finished, prepared
from labkit.training.partition.cost import Ranges
from labkit.training.partition.device import Device
from labkit.training.partition.result import Partition


def by_pipedream(chain: Chain, num_ranks: int, *, device: Device = Device(), shared: str = "together") -> Partition:
    """The best partition that uses all ranks, with any number of stages and any number of ranks for each.

    Fewer layers than ranks are no error here: a stage may have several ranks.

    Notes
    -----
    O(n^2 m^2) steps for n layers and m ranks, n m / 2 of them in each array operation.

    Examples
    --------
    >>> from labkit.training.partition.chain import make_chain
    >>> found = by_pipedream(make_chain(forward_s=[2, 2, 2, 1]), 4)
    >>> found.stages, found.num_replicas, found.slowest_s
    ((('0', '1', '2', '3'),), (4,), 5.25)
    >>> found = by_pipedream(make_chain(forward_s=[2, 2, 2, 1], parameter_bytes=[0, 0, 0, 10**12]), 4)
    >>> found.stages, found.num_replicas, found.slowest_s
    ((('0', '1', '2'), ('3',)), (3, 1), 6.0)
    """
    units = prepared(chain, num_ranks, device, shared, replicates=True)
    ranges = Ranges(units, device)
    n, m = len(units), num_ranks
    best = np.full((n + 1, m + 1), np.inf)  # A(j, m): j layers on m ranks
    best[0, 0] = 0.0
    choice = np.zeros((n + 1, m + 1, 2), np.int64)  # where its last stage begins, and its ranks
    replicas = np.arange(1, m + 1)
    for j in range(1, n + 1):
        stage = ranges.replicated_s(j, replicas)  # (i, m')
        for ranks in range(1, m + 1):
            # column m' - 1: the last stage has m' ranks, and those before it the others
            candidates = np.maximum(best[:j, ranks - 1 :: -1], stage[:, :ranks])
            if np.isfinite(device.memory_bytes):
                held = np.array([device.num_held(m - ranks + own, own) for own in range(1, ranks + 1)])
                fits = ranges.memory_bytes(j, held).T <= device.memory_bytes
                candidates = np.where(fits, candidates, np.inf)
            where = int(candidates.argmin())
            best[j, ranks] = candidates.flat[where]
            choice[j, ranks] = divmod(where, ranks)
    if not np.isfinite(best[n, m]):
        raise UsageError(
            f"partition: PipeDream finds no way to cut {n} layers over {m} ranks with at most "
            f"{device.memory_bytes:,.0f} bytes each: replicas do not save memory, the method 'chain' gives every rank "
            "a stage of its own; or take more ranks or smaller micro-batches."
        )
    bounds, counts, left = [n], [], m
    while bounds[-1] > 0:
        start, own = choice[bounds[-1], left]
        bounds.append(int(start))
        counts.append(int(own) + 1)
        left -= counts[-1]
    return finished("pipedream", units, bounds[::-1], device, num_replicas=counts[::-1])
