"""Layer placement: which layers go to which rank, by rules that the user writes.

The oldest form of model parallelism: convolutions, which compute much with few parameters, on one device, and the fully
connected layers, which hold most parameters, on another. Nothing is optimised; what it costs is said all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import groupby
from operator import index

import numpy as np

from labkit.errors import UsageError
from labkit.training.partition.check import finished
from labkit.training.partition.device import Device
from labkit.training.partition.names import listed
from labkit.training.partition.result import Partition
from labkit.training.partition.trace import ModelTrace

# Norms, activations and pooling have no rule: they go where the layer before them is.
CONVOLUTIONS_AND_FULLY_CONNECTED = {"Conv*": 0, "Linear": 1}


def place(trace: ModelTrace, rules: Mapping[str, int], *, device: Device = Device()) -> Partition:
    """The partition that rules make: a rank for the modules of a name or of a class.

    Parameters
    ----------
    trace : ModelTrace
        Of :func:`labkit.training.partition.trace.trace_model`.
    rules : mapping of str to int
        Patterns, with ``*`` for any text and ``?`` for any letter, and ranks. A pattern is compared with the name of
        a module (``"blocks.0"`` is all that is inside it, too) and with its class (``"Conv*"``). Of several that fit,
        the first one counts. Modules that no rule speaks of go where the one before them is.
    device : Device
        For the costs, and the memory that each rank has.

    Returns
    -------
    Partition
        A stage for each run of layers on one rank; a rank that the model comes back to has several.

    Raises
    ------
    UsageError
        A rule fits no module; a rank is no whole number from 0, or one in between has nothing; two rules divide what is
        one layer.

    Examples
    --------
    >>> import torch
    >>> from labkit.training.models.cnn import CNN
    >>> from labkit.training.partition.trace import trace_model
    >>> trace = trace_model(CNN(10), torch.zeros(2, 1, 28, 28), num_repeats=0)
    >>> print([(stage[0], stage[-1]) for stage in place(trace, CONVOLUTIONS_AND_FULLY_CONNECTED).stages])
    [('convolutions.0', 'norms.2'), ('classify', 'classify')]
    """
    rules = dict(rules)
    _check_ranks(rules)
    kinds = {node.name: node.kind for node in trace.tree.walk()}
    used: set[str] = set()
    wanted = []
    for layer in trace.chain.layers:
        leaves = [
            node.name for node in trace.tree.walk()
            if not node.children and any(f"{node.name}.".startswith(f"{name}.") for name in layer.modules)
        ]
        found = {leaf: _first_rule(rules, leaf, kinds) for leaf in leaves}
        used |= {rule for rule in found.values() if rule is not None}
        ranks = {rules[rule] for rule in found.values() if rule is not None}
        if len(ranks) > 1:
            words = ", ".join(f"{leaf} to rank {rules[rule]}" for leaf, rule in found.items() if rule is not None)
            raise UsageError(
                f"place: layer {layer.name!r} is one piece, because more than one tensor crosses every cut inside it, "
                f"but the rules send {words}: give its modules one rank, or trace the model with cuts='any'."
            )
        wanted.append(ranks.pop() if ranks else None)
    idle = [rule for rule in rules if rule not in used]
    if idle:
        raise UsageError(
            f"place: the rule {idle[0]!r} decides about no module: no name or class fits it, or rules before it do. "
            f"The modules are {listed([f'{name} ({kind})' for name, kind in kinds.items() if name])}."
        )
    first = next((rank for rank in wanted if rank is not None), 0)
    placed = []
    for rank in wanted:
        placed.append(rank if rank is not None else placed[-1] if placed else first)
    runs = [(rank, len(list(run))) for rank, run in groupby(placed)]
    bounds = np.concatenate(([0], np.cumsum([length for _, length in runs]))).tolist()
    return finished("rules", trace.chain, bounds, device, ranks=[rank for rank, _ in runs])


def _first_rule(rules: Mapping[str, int], leaf: str, kinds: Mapping[str, str]) -> str | None:
    """The rule that counts for a leaf: it fits the leaf, or a module around it, by name or by class."""
    parts = leaf.split(".")
    around = [".".join(parts[: k + 1]) for k in range(len(parts))]
    for rule in rules:
        if any(fnmatchcase(name, rule) or fnmatchcase(kinds[name], rule) for name in around):
            return rule
    return None


def _check_ranks(rules: Mapping[str, int]) -> None:
    if not rules:
        raise UsageError("place: there are no rules: pass one, such as {'Conv*': 0, 'Linear': 1}.")
    for rule, rank in rules.items():
        try:
            is_rank = index(rank) >= 0
        except TypeError:
            is_rank = False
        if not is_rank:
            raise UsageError(f"place: the rule {rule!r} has the rank {rank!r}: a rank is a whole number from 0.")
    ranks = sorted(set(rules.values()))
    if ranks != list(range(len(ranks))):
        missing = next(k for k in range(len(ranks) + 1) if k not in ranks)
        raise UsageError(
            f"place: rules speak of ranks {', '.join(map(str, ranks))}, which leaves rank {missing} empty: number them "
            f"from 0 to {len(ranks) - 1}."
        )
