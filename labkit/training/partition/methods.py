"""Partitioners for a chain without replicas: by count, by parameters, the best one, and all of them tried."""

from __future__ import annotations

import itertools
import math

import numpy as np

from labkit.errors import UsageError
from labkit.training.partition.chain import Chain
from labkit.training.partition.check import finished, prepared
from labkit.training.partition.cost import Ranges
from labkit.training.partition.device import Device
from labkit.training.partition.dynamic import best_cuts
from labkit.training.partition.names import listed
from labkit.training.partition.result import Partition

MOST_TRIED = 300_000


def by_count(chain: Chain, num_ranks: int, *, device: Device = Device(), shared: str = "together") -> Partition:
    """The same number of layers for each rank, the first ones with one more.

    Examples
    --------
    >>> from labkit.training.partition.chain import make_chain
    >>> by_count(make_chain(forward_s=[1, 1, 1, 3, 9]), 2).stages
    (('0', '1', '2'), ('3', '4'))
    """
    units = prepared(chain, num_ranks, device, shared)
    return finished("count", units, _even(len(units), num_ranks), device)


def by_parameters(chain: Chain, num_ranks: int, *, device: Device = Device(), shared: str = "together") -> Partition:
    """Stages whose largest number of parameters is as small as it can be.

    Examples
    --------
    >>> from labkit.training.partition.chain import make_chain
    >>> by_parameters(make_chain(forward_s=[9, 1, 1, 1], parameter_bytes=[4, 4, 4, 12]), 2).stages
    (('0', '1', '2'), ('3',))
    """
    units = prepared(chain, num_ranks, device, shared)
    table = Ranges(units, device).parameter_bytes
    bounds = best_cuts(len(units), num_ranks, lambda j: table[:j, j])
    return finished("parameters", units, bounds, device)


def by_chain(chain: Chain, num_ranks: int, *, device: Device = Device(), shared: str = "together") -> Partition:
    """The best of all partitions into consecutive stages: all fit the memory, and the slowest is as fast as can be.

    Dynamic programming, see :mod:`labkit.training.partition.dynamic`. Among equally good ones it takes the most even.

    Notes
    -----
    About k n^2 / 2 steps in NumPy for n layers and k ranks, fewer when stages are short: what exceeds the cut by count
    is not looked at.

    Examples
    --------
    >>> from labkit.training.partition.chain import make_chain
    >>> by_chain(make_chain(forward_s=[1, 1, 1, 3, 9]), 3).stages
    (('0', '1', '2'), ('3',), ('4',))
    """
    units = prepared(chain, num_ranks, device, shared)
    ranges = Ranges(units, device)
    if math.isfinite(device.memory_bytes):
        bounds = _best_within_memory(ranges, num_ranks)
    else:
        even = _even(len(units), num_ranks)
        bound = max(float(ranges.stage_s(b)[a]) for a, b in itertools.pairwise(even))
        bounds = best_cuts(len(units), num_ranks, ranges.stage_s, ranges.spent_s, bound=bound)
    if bounds is None:
        raise UsageError(too_small(units, num_ranks, device))
    return finished("chain", units, bounds, device)


def by_trying_all(chain: Chain, num_ranks: int, *, device: Device = Device(), shared: str = "together") -> Partition:
    """Every partition into consecutive stages tried in turn: what the others are compared with, for small chains.

    Raises
    ------
    UsageError
        More than 300 000 partitions.
    """
    units = prepared(chain, num_ranks, device, shared)
    num_tried = math.comb(len(units) - 1, num_ranks - 1)
    if num_tried > MOST_TRIED:
        raise UsageError(
            f"partition: {len(units)} layers have {num_tried:,} partitions into {num_ranks} stages, more than the "
            f"{MOST_TRIED:,} that are tried: take the method 'chain', which finds the best one all the same."
        )
    best, best_s = None, math.inf
    ranges = Ranges(units, device)
    held = np.array([device.num_held(num_ranks - k) for k in range(num_ranks)])
    columns = [None, *(ranges.stage_s(j) for j in range(1, len(units) + 1))]
    memory = [None, *(ranges.memory_bytes(j, held) for j in range(1, len(units) + 1))]
    for cuts in itertools.combinations(range(1, len(units)), num_ranks - 1):
        pairs = list(itertools.pairwise((0, *cuts, len(units))))
        seconds = max(columns[b][a] for a, b in pairs)
        if seconds < best_s and all(memory[b][k, a] <= device.memory_bytes for k, (a, b) in enumerate(pairs)):
            best, best_s = (0, *cuts, len(units)), seconds
    if best is None:
        raise UsageError(too_small(units, num_ranks, device))
    return finished("all", units, best, device)


def too_small(units: Chain, num_ranks: int, device: Device) -> str:
    """What to say when every layer fits, but no partition does."""
    state = device.state_factor * units.num_bytes
    need = [device.state_factor * layer.parameter_bytes + layer.stored_bytes for layer in units.layers]
    largest = sorted(range(len(units)), key=lambda k: -need[k])[:3]
    return (
        f"partition: no way to cut {len(units)} layers into {num_ranks} stages keeps every stage within "
        f"{device.memory_bytes:,.0f} bytes: parameters with gradients and optimizer state need {state:,.0f} in all, "
        f"the first stage keeps activations of {device.num_held(num_ranks)} micro-batches, and the largest layers are "
        f"{listed([units.names[k] for k in largest])}. Take more ranks, smaller micro-batches, or checkpoint "
        "activations."
    )


def _best_within_memory(ranges: Ranges, num_ranks: int) -> tuple[int, ...] | None:
    """The best bounds of those whose stages all fit; the earlier a stage, the more micro-batches it keeps."""
    device, num_layers = ranges.device, len(ranges.chain)
    held = np.array([device.num_held(num_ranks - k) for k in range(num_ranks)])

    def cost_if_fits(num_held: int):
        few = np.array([num_held])
        return lambda j: np.where(ranges.memory_bytes(j, few)[0] <= device.memory_bytes, ranges.stage_s(j), np.inf)

    # If every stage kept as much as the first one: perhaps not the best, but allowed, and so a bound.
    careful, bound = cost_if_fits(held[0]), math.inf
    bounds = best_cuts(num_layers, num_ranks, careful)
    if bounds is not None:
        bound = max(float(careful(b)[a]) for a, b in itertools.pairwise(bounds))
    bound = min(bound, np.finfo(float).max)  # what fits nowhere is infinite
    return best_cuts(
        num_layers, num_ranks, cost_if_fits(held[-1]), ranges.spent_s,
        lambda j, first: ranges.memory_bytes(j, held, first) <= device.memory_bytes, bound,
    )


def _even(num_layers: int, num_stages: int) -> tuple[int, ...]:
    size, rest = divmod(num_layers, num_stages)
    return tuple(k * size + min(k, rest) for k in range(num_stages + 1))
