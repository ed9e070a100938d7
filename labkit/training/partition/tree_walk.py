"""The partitioner of the SageMaker library: devices handed down the tree of modules.

The root of the tree has all ranks. A module with several ranks cuts its children, in order of execution, into
segments of nearly equal cost, and deals its ranks to the segments in proportion to the cost (the method of d'Hondt);
one with a single rank puts all that is in it there, and a segment too cheap for a rank of its own goes with its
neighbour. So a module stays whole if it can. The cost of a module is
``memory_weight`` times its share of the model's memory and the rest times its share of the model's time.

What goes with shared parameters: the layers that use one are taken out of where they stand and are one node, which has
one rank. The model may then come back to a rank that it has left, which is a further stage of that rank.

References
----------
C. Karakus et al., Amazon SageMaker model parallelism: a general and flexible framework for large model training, 2021,
section on the partitioning algorithm. Here the number of segments is the one whose costs by rank are the most even.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import fsum

import numpy as np

from labkit.errors import UsageError
from labkit.training.partition.chain import Chain
from labkit.training.partition.check import COPIES, finished, prepared
from labkit.training.partition.device import Device
from labkit.training.partition.dynamic import best_cuts
from labkit.training.partition.result import Partition

MEMORY_WEIGHT = 0.8  # the library's own default, which saves memory; told to optimise for speed, it takes 0.2


@dataclass(eq=False)
class Node:
    """A module: its layers, and the modules inside; without any, it stays whole.

    Attributes
    ----------
    name : str
    layers : list of int
    cost : float
    children : list of Node
    """

    name: str
    layers: list[int]
    cost: float
    children: list[Node] = field(default_factory=list)

    @property
    def num_leaves(self) -> int:
        return sum(child.num_leaves for child in self.children) or 1


def by_tree(
    chain: Chain, num_ranks: int, *, device: Device = Device(), shared: str = "together",
    memory_weight: float = MEMORY_WEIGHT,
) -> Partition:
    """Ranks handed down the tree of modules in proportion to their cost.

    Parameters
    ----------
    chain, num_ranks, device, shared
        See :func:`labkit.training.partition.registry.partition`.
    memory_weight : float
        From 0, balance time only, to 1, balance memory only. The library's default, 0.8, is for memory; for speed it
        takes 0.2.

    Raises
    ------
    UsageError
        As all partitioners; ``memory_weight`` is no number from 0 to 1.

    Examples
    --------
    >>> from labkit.training.partition.chain import make_chain
    >>> chain = make_chain(forward_s=[1, 1, 4, 1, 1], names=["a", "b.0", "b.1", "b.2", "c"])
    >>> by_tree(chain, 2).stages
    (('a', 'b.0', 'b.1'), ('b.2', 'c'))
    """
    if not 0 <= memory_weight <= 1:
        raise UsageError(
            f"partition: memory_weight goes from 0, balance time, to 1, balance memory, not {memory_weight!r}: pass "
            "0.5, for example."
        )
    units = prepared(chain, num_ranks, device, shared, returns=True)
    root = module_tree(units, device, memory_weight, together=shared == "together")
    if root.num_leaves < num_ranks:
        raise UsageError(
            f"partition: {len(units)} layers, of which those that share parameters stay together, make "
            f"{root.num_leaves} pieces, which cannot fill {num_ranks} ranks: take at most {root.num_leaves}, or "
            f"{COPIES}."
        )
    rank_of = [0] * len(units)
    _hand_down(root.children or [root], range(num_ranks), rank_of)
    runs = [(rank, len(list(run))) for rank, run in groupby(rank_of)]
    bounds = np.concatenate(([0], np.cumsum([length for _, length in runs]))).tolist()
    return finished("tree", units, bounds, device, ranks=[rank for rank, _ in runs])


def module_tree(chain: Chain, device: Device, memory_weight: float, *, together: bool) -> Node:
    """The tree that the names of the modules make; layers that share parameters are one node."""
    total_s = fsum(layer.compute_s for layer in chain.layers) or 1.0
    stored = sum(layer.stored_bytes for layer in chain.layers)
    total_bytes = device.state_factor * chain.num_bytes + stored or 1.0

    def cost(layers: list[int]) -> float:
        some = [chain.layers[k] for k in layers]
        twice = sum(p.num_bytes * max(0, sum(k in layers for k in p.layers) - 1) for p in chain.shared)
        parameter_bytes = sum(a.parameter_bytes for a in some) - twice
        memory = device.state_factor * parameter_bytes + sum(a.stored_bytes for a in some)
        time = fsum(a.compute_s for a in some)
        return memory_weight * memory / total_bytes + (1 - memory_weight) * time / total_s

    paths = [_path(layer.modules) for layer in chain.layers]
    groups = _shared_groups(chain) if together else []
    taken = {k for group in groups for k in group}

    def grow(layers: list[int], depth: int, name: str) -> Node:
        free = [k for k in layers if k not in taken]
        parts: list[tuple[int, Node]] = []
        for _, run in groupby(free, key=lambda k: (paths[k][: depth + 1], k if len(paths[k]) <= depth + 1 else -1)):
            inside = list(run)
            path = paths[inside[0]]
            if len(inside) == 1:
                parts.append((inside[0], Node(".".join(path), inside, cost(inside))))
            else:
                parts.append((inside[0], grow(inside, depth + 1, ".".join(path[: depth + 1]))))
        if depth == 0:  # what is shared hangs from the root, in the place of its first layer
            parts += [(group[0], Node(chain.layers[group[0]].name, group, cost(group))) for group in groups]
        return Node(name, layers, cost(layers), [node for _, node in sorted(parts, key=lambda part: part[0])])

    return grow(list(range(len(chain))), 0, chain.name)


def _hand_down(children: list[Node], ranks: range, rank_of: list[int]) -> None:
    if len(ranks) == 1:
        for node in children:
            for k in node.layers:
                rank_of[k] = ranks[0]
        return
    if len(children) == 1:
        _hand_down(children[0].children, ranks, rank_of)
        return
    start = 0
    for segment, count in _segments(children, len(ranks)):
        first = start if count or start == 0 else start - 1  # too cheap for a rank: with what is before it
        _hand_down(segment, ranks[first : first + max(1, count)], rank_of)
        start += count


def _segments(children: list[Node], num_ranks: int) -> list[tuple[list[Node], int]]:
    """Children in segments, and the ranks of each: as even as any number of segments allows."""
    sums = np.concatenate(([0.0], np.cumsum([node.cost for node in children])))
    best, best_cost = [], float("inf")
    for num_segments in range(2, min(len(children), num_ranks) + 1):
        bounds = best_cuts(len(children), num_segments, lambda j: sums[j] - sums[:j])
        segments = [children[a:b] for a, b in pairwise(bounds)]
        costs = [fsum(node.cost for node in segment) for segment in segments]
        counts = deal(costs, num_ranks, [sum(node.num_leaves for node in segment) for segment in segments])
        worst = max(cost / count for cost, count in zip(costs, counts, strict=True) if count)
        if worst < best_cost * (1 - 1e-9) or not best:
            best, best_cost = list(zip(segments, counts, strict=True)), worst
    return best


def deal(costs: list[float], num_ranks: int, most: list[int]) -> list[int]:
    """Ranks in proportion to costs by the method of d'Hondt: each the next one to who would have the most for each.

    Nobody has more than ``most``; some may have none.

    Examples
    --------
    >>> deal([53.0, 24.0, 23.0], 7, [9, 9, 9])
    [4, 2, 1]
    >>> deal([53.0, 24.0, 3.0], 7, [2, 9, 9])
    [2, 5, 0]
    """
    counts = [0] * len(costs)
    for _ in range(num_ranks):
        open_to = [k for k in range(len(costs)) if counts[k] < most[k]]
        counts[max(open_to, key=lambda k: (costs[k] / (counts[k] + 1), -k))] += 1
    return counts


def _shared_groups(chain: Chain) -> list[list[int]]:
    """Layers that have to go together: those of a shared parameter, and of all that share with one of them."""
    groups: list[set[int]] = []
    for parameter in chain.shared:
        mine = set(parameter.layers)
        for other in [group for group in groups if group & mine]:
            mine |= other
            groups.remove(other)
        groups.append(mine)
    return sorted(sorted(group) for group in groups)


def _path(modules: tuple[str, ...]) -> list[str]:
    """The names on the way from the root to a module, or to the smallest module around several."""
    parts = [name.split(".") for name in modules]
    if len(parts) == 1:
        return parts[0]
    same = []
    for words in zip(*parts, strict=False):
        if len(set(words)) > 1:
            break
        same.append(words[0])
    return [*same, f"{modules[0]} to {modules[-1]}"]
