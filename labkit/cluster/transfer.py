"""Variables on their way between the notebook and the ranks."""

from __future__ import annotations

import numpy as np

BROADCAST_FROM_BYTES = 1_000_000  # below, sending a copy to each rank is as fast
MAX_BROADCAST_BYTES = 2**31 - 1  # counts of a message are C ints


def push(engines, names: list[str], values: list, ranks: list) -> str:
    """Copy values into the variables ``names`` of ranks; return how, ``"copies"`` or ``"broadcast"``.

    Large values for all ranks go once to rank 0, and from there by MPI broadcast: the notebook's
    connection carries them once instead of p times.

    Parameters
    ----------
    engines : Engines
    names, values : list
        Names of the variables, and what they shall hold. All must be picklable.
    ranks : list of Rank
        Whom to give them to.
    """
    if len(ranks) == engines.num_ranks > 1 and BROADCAST_FROM_BYTES <= size_of(values) < MAX_BROADCAST_BYTES:
        results = [engines.submit(ranks[0], _send_on, names, values)]
        results += [engines.submit(rank, _send_on, names, None) for rank in ranks[1:]]
        how = "broadcast"
    else:
        results = [engines.view(rank).push(dict(zip(names, values, strict=True)), block=False) for rank in ranks]
        how = "copies"
    for result in results:
        result.get()
    return how


def size_of(values: list) -> int:
    """How many bytes of arrays and texts there are; 0 if there is anything else, which only ipyparallel can send."""
    total = 0
    for value in values:
        if isinstance(value, (bytes, bytearray, str)):
            total += len(value)
        elif type(value) is np.ndarray and not value.dtype.hasobject:
            total += value.nbytes
        else:
            return 0
    return total


def _send_on(names, values):
    """Runs on every rank: values of rank 0 become variables of all."""
    from labkit.cluster.rank import broadcast

    broadcast(names, values)
