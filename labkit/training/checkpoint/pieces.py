"""Which rank writes which elements of which tensor, and where they lie in its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64  # bytes: a cache line, and what torch aligns tensors to


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements ``start`` to ``stop`` of the flattened tensor ``name``, at byte ``offset`` of a file."""

    name: str
    start: int
    stop: int
    offset: int
    num_bytes: int


def divide(num_bytes: Sequence[int], num_parts: int) -> list[list[tuple[int, int, int]]]:
    """Cut a row of tensors into parts of nearly equal bytes; a large tensor is cut too.

    Parameters
    ----------
    num_bytes : sequence of int
        Of each tensor.
    num_parts : int

    Returns
    -------
    list of list of (int, int, int)
        By part: index of the tensor, first byte, byte after the last. Cuts are at multiples of 64 bytes of the
        tensor, so no element is cut in two.

    Examples
    --------
    >>> divide([100, 300], 2)
    [[(0, 0, 100), (1, 0, 128)], [(1, 128, 300)]]
    >>> divide([10], 2)
    [[(0, 0, 10)], []]
    """
    total = sum(num_bytes)
    edges = [total * part // num_parts for part in range(num_parts + 1)]
    parts: list[list[tuple[int, int, int]]] = [[] for _ in range(num_parts)]
    first = 0
    for index, size in enumerate(num_bytes):
        cuts = [_cut(edge - first, size) for edge in edges]
        for part, (start, stop) in enumerate(zip(cuts, cuts[1:], strict=False)):
            if start < stop:
                parts[part].append((index, start, stop))
        first += size
    return parts


def _cut(at: int, size: int) -> int:
    """A place in a tensor of ``size`` bytes, rounded up to the alignment."""
    return min(max(0, -(-at // ALIGNMENT) * ALIGNMENT), size)


def place(wanted: Sequence[tuple[str, int, int, int]]) -> tuple[list[Piece], int]:
    """Put pieces one after another, each at a multiple of 64 bytes.

    Parameters
    ----------
    wanted : sequence of (str, int, int, int)
        Name, first element, element after the last, bytes of an element.

    Returns
    -------
    pieces : list of Piece
    num_bytes : int
        Of the whole.

    Examples
    --------
    >>> place([("a", 0, 3, 4), ("b", 5, 6, 8)])  # doctest: +NORMALIZE_WHITESPACE
    ([Piece(name='a', start=0, stop=3, offset=0, num_bytes=12),
      Piece(name='b', start=5, stop=6, offset=64, num_bytes=8)], 72)
    """
    pieces, end = [], 0
    for name, start, stop, itemsize in wanted:
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        pieces.append(Piece(name, start, stop, offset, (stop - start) * itemsize))
        end = offset + pieces[-1].num_bytes
    return pieces, end


def even_share(num_elements: int, rank: int, size: int) -> tuple[int, int]:
    """Elements of a flattened tensor that a rank holds when it is spread in blocks of ceil(n / p).

    Examples
    --------
    >>> [even_share(10, rank, 4) for rank in range(4)]
    [(0, 3), (3, 6), (6, 9), (9, 10)]
    """
    block = -(-num_elements // size)
    return min(rank * block, num_elements), min((rank + 1) * block, num_elements)
