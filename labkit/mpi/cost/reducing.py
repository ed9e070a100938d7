"""Costs of the algorithms that combine data: reductions, reduce-scatters, all-reduces, scans."""

from __future__ import annotations

from labkit.mpi.collectives.allreduce import swing_peer
from labkit.mpi.collectives.allreduce_rings import CHUNK_BYTES, SEGMENT_BYTES
from labkit.mpi.collectives.arguments import Fold, block_ends
from labkit.mpi.cost.model import (
    COSTS,
    Cost,
    block_size,
    ceil_log2,
    cost_of,
    equal_ends,
    powers,
    ring_lap,
    scatter_tree,
)

# -- reductions ---------------------------------------------------------------------------------------


@cost_of("reduce_flat")
def _(p, n, size):
    moved = (p - 1) * n * size
    return Cost(p - 1, moved, moved, p - 1, moved, moved)


@cost_of("reduce_binomial")
def _(p, n, size):
    path, total = ceil_log2(p) * n * size, (p - 1) * n * size
    return Cost(ceil_log2(p), path, path, p - 1, total, total)


@cost_of("reduce_rabenseifner")
def _(p, n, size):
    fold = Fold(p, 0)
    ends = block_ends(n, fold.num_acting)
    return _fold_in(fold, n, size) + _halving(fold, ends, size) + scatter_tree(ends, size)


@cost_of("reduce_scatter_pairwise")
def _(p, n, size):
    block = block_size("reduce_scatter_pairwise", p, n) * size
    moved = (p - 1) * block
    return Cost(p - 1, moved, moved, p * (p - 1), p * moved, p * moved)


@cost_of("reduce_scatter_recursive_halving")
def _(p, n, size):
    block = block_size("reduce_scatter_recursive_halving", p, n)
    fold = Fold(p, 0)
    ends = [block * fold.first_of(number) for number in range(fold.num_acting + 1)]
    back = Cost(1, block * size, 0, fold.rest, fold.rest * block * size) if fold.rest else Cost()
    return _fold_in(fold, n, size) + _halving(fold, ends, size) + back


@cost_of("reduce_scatter_ring")
def _(p, n, size):
    return ring_lap(equal_ends("reduce_scatter_ring", p, n), size, reduces=True)


def _fold_in(fold: Fold, n: int, size: int) -> Cost:
    """Pairs combine their vectors, so that a power of two of ranks is left."""
    if not fold.rest:
        return Cost()
    moved = fold.rest * n * size
    return Cost(1, n * size, n * size, fold.rest, moved, moved)


def _fold_out(fold: Fold, n: int, size: int) -> Cost:
    """Those who were left out get the result."""
    return Cost(1, n * size, 0, fold.rest, fold.rest * n * size) if fold.rest else Cost()


def _halving(fold: Fold, ends: list[int], size: int) -> Cost:
    """Recursive halving: in the round of distance d, everybody works on 2 d blocks and keeps d of them."""
    m = fold.num_acting
    path = total = 0
    for distance in powers(m):
        groups = [ends[first + distance] - ends[first] for first in range(0, m, distance)]
        path += max(groups)
        total += distance * sum(groups)
    rounds = len(powers(m))
    return Cost(rounds, path * size, path * size, m * rounds, total * size, total * size)


def _doubling(fold: Fold, ends: list[int], size: int) -> Cost:
    """Recursive doubling of blocks: the same exchanges as halving, the other way, without reductions."""
    cost = _halving(fold, ends, size)
    return Cost(cost.num_rounds, cost.path_bytes, 0, cost.num_messages, cost.total_bytes)


# -- all-reduces --------------------------------------------------------------------------------------


@cost_of("allreduce_reduce_broadcast")
def _(p, n, size):
    return COSTS["reduce_binomial"](p, n, size) + COSTS["broadcast_binomial"](p, n, size)


@cost_of("allreduce_recursive_doubling")
def _(p, n, size):
    fold = Fold(p, 0)
    rounds = len(powers(fold.num_acting))
    path, total = rounds * n * size, fold.num_acting * rounds * n * size
    exchange = Cost(rounds, path, path, fold.num_acting * rounds, total, total)
    return _fold_in(fold, n, size) + exchange + _fold_out(fold, n, size)


@cost_of("allreduce_ring")
def _(p, n, size):
    ends = block_ends(n, p)
    return ring_lap(ends, size, reduces=True) + ring_lap(ends, size)


@cost_of("allreduce_all_pairs")
def _(p, n, size):
    return COSTS["allreduce_ring"](p, n, size)


@cost_of("allreduce_chunked_ring")
def _(p, n, size, chunk_bytes=CHUNK_BYTES):
    return _ring_in_pieces(p, n, size, chunk_bytes)


@cost_of("allreduce_segmented_ring")
def _(p, n, size, segment_bytes=SEGMENT_BYTES):
    return _ring_in_pieces(p, n, size, segment_bytes)


def _ring_in_pieces(p: int, n: int, size: int, piece_bytes: int) -> Cost:
    """A ring whose first lap takes every block in pieces."""
    ends = block_ends(n, p)
    length = max(1, piece_bytes // size)
    num_pieces = max(1, -(-ends[1] // length))  # of the first block, which is the longest
    lap = ring_lap(ends, size, reduces=True)
    in_pieces = Cost(
        lap.num_rounds * num_pieces, lap.path_bytes, lap.path_reduced_bytes, lap.num_messages * num_pieces,
        lap.total_bytes, lap.total_reduced_bytes,
    )
    return in_pieces + ring_lap(ends, size)


@cost_of("allreduce_rabenseifner")
def _(p, n, size):
    fold = Fold(p, 0)
    ends = block_ends(n, fold.num_acting)
    return _fold_in(fold, n, size) + _halving(fold, ends, size) + _doubling(fold, ends, size) + _fold_out(fold, n, size)


@cost_of("allreduce_swing")
def _(p, n, size):
    """Rabenseifner's sizes with other partners; blocks that belong together need not be neighbours."""
    fold = Fold(p, 0)
    m = fold.num_acting
    ends = block_ends(n, m)
    kept = [end - start for start, end in zip(ends[:-1], ends[1:], strict=True)]  # by rank, after the last step
    path = total = 0
    steps = len(powers(m))
    for step in reversed(range(steps)):
        path, total = path + max(kept), total + sum(kept)
        # Before this step, a rank still cared for what its peer has kept, too.
        kept = [mine + kept[swing_peer(number, step, m)] for number, mine in enumerate(kept)]
    there = Cost(steps, path * size, path * size, m * steps, total * size, total * size)
    back = Cost(steps, path * size, 0, m * steps, total * size)
    return _fold_in(fold, n, size) + there + back + _fold_out(fold, n, size)


@cost_of("allreduce_hierarchical")
def _(p, n, size, ranks_per_node=1):
    num_nodes = -(-p // ranks_per_node)
    inside = COSTS["reduce_binomial"](min(p, ranks_per_node), n, size) + COSTS["broadcast_binomial"](
        min(p, ranks_per_node), n, size
    )
    between = COSTS["allreduce_rabenseifner"](num_nodes, n, size)
    others = (p - num_nodes) * n * size  # every rank that leads no node sends once and gets the result once
    return Cost(
        inside.num_rounds + between.num_rounds, inside.path_bytes + between.path_bytes,
        inside.path_reduced_bytes + between.path_reduced_bytes, 2 * (p - num_nodes) + between.num_messages,
        2 * others + between.total_bytes, others + between.total_reduced_bytes,
    )


# -- scans ------------------------------------------------------------------------------------------


@cost_of("scan_linear")
def _(p, n, size):
    moved = (p - 1) * n * size
    return Cost(p - 1, moved, moved, p - 1, moved, moved)


@cost_of("exscan_linear")
def _(p, n, size):
    moved = (p - 1) * n * size
    return Cost(p - 1, moved, (p - 2) * n * size, p - 1, moved, (p - 2) * n * size)


@cost_of("scan_recursive_doubling")
def _(p, n, size):
    return _scan_doubling(p, n, size, inclusive=True)


@cost_of("exscan_recursive_doubling")
def _(p, n, size):
    return _scan_doubling(p, n, size, inclusive=False)


def _scan_doubling(p: int, n: int, size: int, *, inclusive: bool) -> Cost:
    rounds = ceil_log2(p)
    receives = [p - (1 << k) for k in range(rounds)]
    messages = sum(receives)
    # An exscan combines twice in a round, but for the first vector that a rank gets.
    path = rounds if inclusive else 2 * rounds - 1
    reduced = messages if inclusive else 2 * messages - (p - 1)
    return Cost(rounds, rounds * n * size, path * n * size, messages, messages * n * size, reduced * n * size)
