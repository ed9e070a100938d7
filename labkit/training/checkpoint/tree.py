"""A state as a tree of plain values, and the same state as JSON plus flat named tensors.

What ``state_dict()`` of a model, an optimizer or a sampler returns is a tree: dictionaries, lists and tuples with
numbers, words and tensors at the leaves. A checkpoint stores the tree as JSON and the tensors as bytes; nothing is
pickled, so nothing that is loaded can run code.

Two marks say who holds what. Without a mark a leaf is *replicated*: equal on all ranks, and each rank writes a part
of it. :class:`Shard` is a part of a tensor that is spread over the ranks; :class:`PerRank` is a branch that every
rank has its own of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import UsageError

if TYPE_CHECKING:
    import torch

RANK_PREFIX = "rank{}:"
_OF_A_RANK = re.compile(r"rank(\d+):")


def owner_of(name: str) -> int | None:
    """The rank whose own a tensor is; None for one that is replicated or spread.

    Examples
    --------
    >>> owner_of("rank12:rng.torch"), owner_of("model.rank1")
    (12, None)
    """
    match = _OF_A_RANK.match(name)
    return int(match[1]) if match else None


@dataclass(frozen=True, eq=False)
class Shard:
    """Elements ``start`` to ``start + tensor.numel()`` of a flattened tensor that is spread over the ranks.

    Attributes
    ----------
    tensor : torch.Tensor
    shape : tuple of int
        Of the whole.
    start : int
        Index of the first element in the flattened whole.
    """

    tensor: torch.Tensor
    shape: tuple[int, ...]
    start: int

    @property
    def stop(self) -> int:
        return self.start + self.tensor.numel()


@dataclass(frozen=True, eq=False)
class PerRank:
    """A branch of which every rank has its own, such as the state of its random numbers."""

    value: Any


@dataclass(frozen=True, eq=False)
class Leaf:
    """A tensor with its name: what of it this rank holds, and whether others hold the same.

    Attributes
    ----------
    name : str
        The path in the tree, such as ``model.0.weight``.
    tensor : torch.Tensor
    shape : tuple of int
        Of the whole.
    start : int
        Index of its first element in the flattened whole.
    is_replicated : bool
        Equal on all ranks, so that each needs to write a part only.
    """

    name: str
    tensor: torch.Tensor
    shape: tuple[int, ...]
    start: int = 0
    is_replicated: bool = True


@dataclass(frozen=True, eq=False)
class Flat:
    """A state taken apart.

    Attributes
    ----------
    tree : JSON value
        The state with names in the place of tensors; the same on all ranks.
    rank_tree : JSON value
        What stands under the :class:`PerRank` marks here, by path.
    leaves : tuple of Leaf
    """

    tree: Any
    rank_tree: dict[str, Any]
    leaves: tuple[Leaf, ...]


def flatten(state: Any, rank: int = 0) -> Flat:
    """Take a state apart into JSON and named tensors.

    Parameters
    ----------
    state : tree
        Of dict, list, tuple, None, bool, int, float, str, bytes, NumPy arrays and numbers, torch tensors,
        :class:`Shard` and :class:`PerRank`.
    rank : int
        Names the tensors under :class:`PerRank`.

    Raises
    ------
    UsageError
        Something else is in it, or one name stands for two tensors.

    Examples
    --------
    >>> import torch
    >>> flat = flatten({"w": torch.zeros(2, 3), "step": 7, 5: (1.5, None)})
    >>> flat.tree
    {'dict': [['w', {'tensor': 'w'}], ['step', 7], [5, {'tuple': [1.5, None]}]]}
    >>> [(leaf.name, leaf.shape) for leaf in flat.leaves]
    [('w', (2, 3))]
    """
    leaves: list[Leaf] = []
    rank_tree: dict[str, Any] = {}
    tree = _encode(state, (), leaves, rank_tree, rank, inside=None)
    names = [leaf.name for leaf in leaves]
    for leaf in leaves:
        if leaf.is_replicated and owner_of(leaf.name) is not None:
            raise UsageError(f"the state has the name {leaf.name!r}: names like rank3: are for what a rank has alone.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(
            f"two tensors of the state have the name {twice!r}: a name is the path of keys joined by dots. "
            "Choose keys without dots, or keys that differ as words."
        )
    return Flat(tree, rank_tree, tuple(leaves))


def _encode(value, path: tuple, leaves: list, rank_tree: dict, rank: int, inside: str | None) -> Any:
    """The JSON of a value; ``inside`` is the prefix of names under a PerRank, else None."""
    import torch

    name = ".".join(map(str, path)) or "state"

    def below(key, part):
        return _encode(part, (*path, key), leaves, rank_tree, rank, inside)

    def tensor(kind: str, data: torch.Tensor) -> dict:
        leaves.append(Leaf((inside or "") + name, data, tuple(data.shape), 0, inside is None))
        return {kind: name}

    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, dict):
        for key in value:
            if not (key is None or type(key) in (str, int, float, bool)):
                raise UsageError(f"the state has the key {key!r} at {name}: keys of a checkpoint are words or numbers.")
        return {"dict": [[key, below(key, part)] for key, part in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [below(k, part) for k, part in enumerate(value)]}
    if isinstance(value, torch.Tensor):
        return tensor("tensor", value.detach())
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return tensor("array", torch.from_numpy(_usable(value)))
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return tensor("number", torch.from_numpy(np.array(value)))
    if isinstance(value, (bytes, bytearray)):
        return tensor("bytes", torch.from_numpy(np.frombuffer(bytes(value), np.uint8).copy()))
    if isinstance(value, Shard) and inside is None:
        _check_shard(name, value)
        leaves.append(Leaf(name, value.tensor.detach(), tuple(value.shape), value.start, False))
        return {"shard": name}
    if isinstance(value, PerRank) and inside is None:
        rank_tree[name] = _encode(value.value, path, leaves, rank_tree, rank, RANK_PREFIX.format(rank))
        return {"rank": name}
    raise UsageError(
        f"the state has a {type(value).__name__} at {name}, which a checkpoint cannot store: it holds numbers, words, "
        "arrays and tensors in dict, list and tuple, and never pickles."
    )


def _usable(array: np.ndarray) -> np.ndarray:
    """An array that torch can look at: this machine's byte order, writeable, without negative strides; else a copy."""
    array = np.array(array, array.dtype.newbyteorder("="), copy=None, order="C")
    return array if array.flags.writeable else array.copy()


def _check_shard(name: str, shard: Shard) -> None:
    size = int(np.prod(shard.shape, dtype=np.int64))
    if not 0 <= shard.start <= shard.stop <= size:
        raise UsageError(
            f"the shard at {name} reaches from element {shard.start} to {shard.stop}, "
            f"but a tensor of shape {tuple(shard.shape)} has {size}."
        )


def unflatten(tree: Any, rank_tree: dict[str, Any], tensor_of, rank: int = 0) -> Any:
    """Put a state together again.

    Parameters
    ----------
    tree, rank_tree
        Of :class:`Flat`.
    tensor_of : callable
        ``tensor_of(name) -> torch.Tensor``; for a shard it returns a :class:`Shard`.
    rank : int
        Whose names the tensors under :class:`PerRank` have.

    Examples
    --------
    >>> import torch
    >>> flat = flatten({"w": torch.arange(3), "rng": PerRank([1, 2])})
    >>> unflatten(flat.tree, flat.rank_tree, {leaf.name: leaf.tensor for leaf in flat.leaves}.get)
    {'w': tensor([0, 1, 2]), 'rng': PerRank(value=[1, 2])}
    """

    def decode(node, prefix: str):
        if not isinstance(node, dict):
            return node
        (kind, content), = node.items()
        if kind == "dict":
            return {key: decode(part, prefix) for key, part in content}
        if kind == "list":
            return [decode(part, prefix) for part in content]
        if kind == "tuple":
            return tuple(decode(part, prefix) for part in content)
        if kind == "rank":
            return PerRank(decode(rank_tree.get(content), RANK_PREFIX.format(rank)))
        tensor = tensor_of(prefix + content)
        if kind in ("tensor", "shard"):
            return tensor
        array = tensor.numpy()
        return {"array": lambda: array, "number": lambda: array[()], "bytes": array.tobytes}[kind]()

    return decode(tree, "")
