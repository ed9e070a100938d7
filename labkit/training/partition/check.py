"""What every partitioner is asked, and what every partition has to be: one validator for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from numbers import Integral

from labkit.errors import UsageError
from labkit.training.partition.chain import Chain, Layer
from labkit.training.partition.cost import stage_cost
from labkit.training.partition.device import Device
from labkit.training.partition.names import listed
from labkit.training.partition.result import Partition

SHARED = ("together", "copies")
COPIES = "pass shared='copies', and each stage holds a copy whose gradients are added"


def prepared(
    chain: Chain, num_ranks: int, device: Device, shared: str, *, returns: bool = False, replicates: bool = False
) -> Chain:
    """The chain that a partitioner cuts, after checking all that can be checked before.

    ``returns``: it may give a rank a later stage as well; ``replicates``: it may give a stage several ranks.

    Raises
    ------
    UsageError
        ``num_ranks`` is no whole number from 1; fewer layers than ranks, which leaves a stage empty; a layer that no
        device can hold; ``shared`` is no such choice.
    """
    if shared not in SHARED:
        raise UsageError(f"partition: shared is one of {', '.join(SHARED)}, not {shared!r}: pass one of them.")
    if isinstance(num_ranks, bool) or not isinstance(num_ranks, Integral) or num_ranks < 1:
        raise UsageError(
            f"partition: the number of ranks is a whole number from 1, not {num_ranks!r}: pass 2, for example."
        )
    if not chain.layers:
        raise UsageError("partition: the chain has no layers, so nothing can be cut: pass one with a layer or more.")
    units = chain.with_shared_together() if shared == "together" and not returns else chain
    if len(units) < (1 if replicates else num_ranks):
        empty = num_ranks - len(units)
        what = f"{len(units)} layer{'' if len(units) == 1 else 's'}"
        advice = f"Take {len(units)} or fewer, or cut the model finer."
        if len(units) < len(chain):
            names = listed([parameter.name for parameter in chain.shared])
            what += f" (of {len(chain)}, after joining those that share {names} with all that lies between)"
            advice = f"Take {len(units)} or fewer; or {COPIES}; or the method 'tree', which can come back to a rank."
        raise UsageError(
            f"partition: {what} cannot fill {num_ranks} stages: {empty} {'stage' if empty == 1 else 'stages'} would be "
            f"empty. {advice}"
        )
    for layer in units.layers:
        _check_fits(layer, device)
    return units


def _check_fits(layer: Layer, device: Device) -> None:
    state = device.state_factor * layer.parameter_bytes
    need = state + layer.stored_bytes  # a stage keeps one micro-batch at least
    if need > device.memory_bytes:
        raise UsageError(
            f"partition: layer {layer.name!r} alone needs {need:,.0f} bytes ({state:,.0f} for its "
            f"{layer.parameter_bytes:,} bytes of parameters with gradients and optimizer state, {layer.stored_bytes:,} "
            f"for activations of one micro-batch), but a device has {device.memory_bytes:,.0f}: take smaller "
            "micro-batches or checkpoint activations, an optimizer with less state, or cut the layer itself (tensor "
            "parallel)."
        )


def finished(
    method: str, chain: Chain, bounds: Sequence[int], device: Device, *, ranks: Sequence[int] | None = None,
    num_replicas: Sequence[int] | None = None, checked: bool = True,
) -> Partition:
    """The partition with these bounds, its costs, and the parameters that several stages hold.

    Parameters
    ----------
    bounds : sequence of int
        Stage k has the layers ``bounds[k]`` to ``bounds[k + 1] - 1``.
    ranks, num_replicas : sequence of int, optional
        By default a rank a stage.
    checked : bool
        Whether it has to fit the memory.
    """
    num_replicas = [1] * (len(bounds) - 1) if num_replicas is None else list(num_replicas)
    if ranks is None:
        ranks = [sum(num_replicas[:k]) for k in range(len(num_replicas))]
    total = sum(num_replicas)
    ranges = list(zip(bounds, bounds[1:], strict=False))
    holders = {p: [k for k, (a, b) in enumerate(ranges) if any(a <= i < b for i in p.layers)] for p in chain.shared}
    tied = {p: stages for p, stages in holders.items() if len({ranks[k] for k in stages}) > 1}
    costs = []
    for k, (start, stop) in enumerate(ranges):
        tied_s = sum(
            2 * device.message_s(p.num_bytes) * (len(stages) - 1) / len(stages)
            for p, stages in tied.items() if k in stages
        )
        held = device.num_held(total - sum(num_replicas[:k]), num_replicas[k])
        costs.append(stage_cost(chain, start, stop, device, held=held, num_replicas=num_replicas[k], tied_s=tied_s))
    found = Partition(
        method, tuple(tuple(name for layer in chain.layers[a:b] for name in layer.modules) for a, b in ranges),
        tuple(tuple(layer.name for layer in chain.layers[a:b]) for a, b in ranges), tuple(ranks), tuple(costs),
        tuple((p.name, tuple(stages)) for p, stages in tied.items()),
    )
    return check_partition(chain, found, device if checked else None)


def check_partition(chain: Chain, partition: Partition, device: Device | None = None) -> Partition:
    """Return the partition if it is one of this chain: each module once, in order, no stage empty, all within memory.

    Parameters
    ----------
    chain : Chain
        Its layers may be finer or coarser than those of the partition; modules count.
    partition : Partition
    device : Device, optional
        Without it, memory is not looked at.

    Raises
    ------
    UsageError
        Which stage breaks which rule.
    """
    for k, stage in enumerate(partition.stages):
        if not stage:
            raise UsageError(
                f"partition: stage {k} of {partition.num_stages} is empty: every stage has at least one module; take "
                f"{partition.num_stages - 1} stages."
            )
    lengths = {len(partition.stages), len(partition.layers), len(partition.ranks), len(partition.costs)}
    if len(lengths) > 1:
        raise UsageError(
            f"partition: {partition.num_stages} stages, but layers, ranks and costs for {len(partition.layers)}, "
            f"{len(partition.ranks)} and {len(partition.costs)}: each stage has one of each."
        )
    expected = [name for layer in chain.layers for name in layer.modules]
    found = [name for stage in partition.stages for name in stage]
    if found != expected:
        missing, extra = (list((Counter(a) - Counter(b)).elements()) for a, b in ((expected, found), (found, expected)))
        if missing or extra:
            words = [f"{what}: {listed(names)}" for what, names in (("missing", missing), ("too many", extra)) if names]
            raise UsageError(f"partition: every module is in one stage once, but {'; '.join(words)}.")
        k = next(k for k, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        raise UsageError(
            f"partition: modules are in order of execution, but {found[k]!r} stands where {expected[k]!r} is executed: "
            f"reorder the stages."
        )
    if device is not None:
        for rank, num_bytes in enumerate(partition.rank_memory_bytes):
            if num_bytes > device.memory_bytes:
                stages = [k for k, r in enumerate(partition.ranks) if r <= rank < r + partition.costs[k].num_replicas]
                raise UsageError(
                    f"partition: {partition.method!r} gives rank {rank} (stage {', '.join(map(str, stages))}) "
                    f"{num_bytes:,} bytes, but a device has {device.memory_bytes:,.0f}: the method 'chain' looks for "
                    f"stages that fit; or take more ranks, or smaller micro-batches."
                )
    return partition
