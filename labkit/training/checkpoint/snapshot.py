"""What one rank writes of a state: straight from the tensors, or from a copy in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from labkit.training.checkpoint.manifest import TensorInfo
from labkit.training.checkpoint.pieces import ALIGNMENT, Piece, divide, place
from labkit.training.checkpoint.tensors import Arena, as_bytes, as_tensor, check_leaves
from labkit.training.checkpoint.tree import Flat, Leaf

PADDING = memoryview(bytes(ALIGNMENT))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A rank's part of a state, ready to be written.

    Attributes
    ----------
    step : int
    tree, rank_tree : JSON value
    pieces : tuple of Piece
        Where each piece lies in the file.
    tensors : dict of str to TensorInfo
        Those it has pieces of, and of rank 0 also those without elements.
    buffers : tuple of memoryview
        The bytes of the file, padding included.
    num_bytes : int
    """

    step: int
    tree: Any
    rank_tree: Any
    pieces: tuple[Piece, ...]
    tensors: dict[str, TensorInfo]
    buffers: tuple[memoryview, ...]
    num_bytes: int


def ranges_of(flat: Flat, rank: int, size: int) -> list[tuple[Leaf, int, int]]:
    """What a rank writes: (leaf, first element, element after the last), elements of what the leaf holds.

    Replicated tensors are divided among the ranks by bytes; of the others a rank writes all that it holds.
    """
    shared = [leaf for leaf in flat.leaves if leaf.is_replicated]
    sizes = [leaf.tensor.numel() * leaf.tensor.element_size() for leaf in shared]
    ranges = [
        (shared[index], start // shared[index].tensor.element_size(), stop // shared[index].tensor.element_size())
        for index, start, stop in divide(sizes, size)[rank]
    ]
    return ranges + [(leaf, 0, leaf.tensor.numel()) for leaf in flat.leaves if not leaf.is_replicated]


class Snapshots:
    """Makes snapshots of a rank's part.

    Parameters
    ----------
    rank, size : int
    """

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size

    def take(self, step: int, flat: Flat, arena: list[Arena] | None = None) -> Snapshot:
        """The rank's part of a state.

        Parameters
        ----------
        step : int
        flat : Flat
        arena : list of Arena, optional
            Holds the memory for a copy, of at most one arena that is replaced when it is too small. Without it the
            snapshot refers to the tensors themselves, which must not change until it is written.
        """
        info = check_leaves(flat)
        ranges = ranges_of(flat, self.rank, self.size)
        pieces, num_bytes = place([
            (leaf.name, leaf.start + start, leaf.start + stop, leaf.tensor.element_size())
            for leaf, start, stop in ranges
        ])  # fmt: skip
        parts = [leaf.tensor.detach().reshape(-1)[start:stop] for leaf, start, stop in ranges]
        views = [as_bytes(part) for part in parts] if arena is None else _copied(parts, arena)
        named = {piece.name for piece in pieces} | ({leaf.name for leaf in flat.leaves} if self.rank == 0 else set())
        return Snapshot(
            step, flat.tree, flat.rank_tree, tuple(pieces), {name: info[name] for name in named},
            tuple(_with_padding(pieces, views)), num_bytes,
        )  # fmt: skip


def _copied(parts: list[torch.Tensor], holder: list[Arena]) -> list[memoryview]:
    """Copy tensors into an arena, which pauses the training for as long as it takes."""
    needed = sum(Arena.rounded(part.numel() * part.element_size()) for part in parts)
    if not holder or holder[0].memory.size < needed:
        holder[:] = [Arena(needed)]
    holder[0].rewind()
    views = []
    for part in parts:
        memory = holder[0].take(part.numel() * part.element_size())
        as_tensor(memory, part.dtype).copy_(part)
        views.append(memoryview(memory))
    return views


def _with_padding(pieces: list[Piece], views: list[memoryview]):
    end = 0
    for piece, view in zip(pieces, views, strict=True):
        if piece.offset > end:
            yield PADDING[: piece.offset - end]
        if len(view):
            yield view
        end = piece.offset + piece.num_bytes
