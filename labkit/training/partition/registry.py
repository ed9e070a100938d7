"""All partitioners by name, with one signature: ``method(chain, num_ranks, *, device, shared)``."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.training.partition.chain import Chain
from labkit.training.partition.device import Device
from labkit.training.partition.methods import by_chain, by_count, by_parameters, by_trying_all
from labkit.training.partition.pipedream import by_pipedream
from labkit.training.partition.result import Partition
from labkit.training.partition.tree_walk import by_tree

PARTITIONERS = {
    "count": by_count, "parameters": by_parameters, "chain": by_chain, "pipedream": by_pipedream, "tree": by_tree,
    "all": by_trying_all,
}


def partition(
    chain: Chain, num_ranks: int, method: str = "chain", *, device: Device = Device(), shared: str = "together",
    **options,
) -> Partition:
    """Cut a chain into stages for ``num_ranks`` ranks.

    Parameters
    ----------
    chain : Chain
        Of :func:`labkit.training.partition.trace.trace_model` or :func:`labkit.training.partition.chain.make_chain`.
    num_ranks : int
    method : str
        One of :data:`PARTITIONERS`.
    device : Device
        Memory, and links.
    shared : str
        ``"together"``: layers that share a parameter go to one rank. ``"copies"``: stages hold copies of it.
    **options
        Of the method: ``memory_weight`` of the tree walk.

    Raises
    ------
    UsageError
        No such method; fewer layers than ranks; a layer, or every partition, larger than a device.

    Examples
    --------
    >>> from labkit.training.partition.chain import make_chain
    >>> [partition(make_chain(forward_s=[1, 1, 1, 3, 9]), 2, method).slowest_s for method in ("count", "chain")]
    [36.0, 27.0]
    """
    if method not in PARTITIONERS:
        raise UsageError(f"partition: there is no method {method!r}: the methods are {', '.join(PARTITIONERS)}.")
    return PARTITIONERS[method](chain, num_ranks, device=device, shared=shared, **options)
