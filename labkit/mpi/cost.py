"""What the collective algorithms cost, exactly: rounds, bytes, reductions as functions of p and n.

A *round* is one step of the longest chain of messages in which each had to wait for the one before,
when a rank sends one message and receives one at a time. The time of an algorithm is then about

    alpha * num_rounds + beta * path_bytes + gamma * path_reduced_bytes

where ``path_bytes`` adds up the largest message of each round and ``path_reduced_bytes`` the largest
reduction. The simulator counts the same numbers message by message, and the tests compare the two.

For p = 2^k and blocks of equal size the rounds are in lockstep, and this is exactly the time that the
simulator needs on an alpha-beta-gamma network. Two algorithms are faster than that, because they combine
while the next message is on its way: ``reduce_flat`` pays gamma for the last vector only, if gamma is
smaller than beta, and ``allreduce_segmented_ring`` with more than one segment a block. For other p ranks
fall out of step: the counts stay exact, the time becomes an estimate.

Roots are rank 0. Notation: p ranks, n elements of ``itemsize`` bytes (in the whole buffer, all blocks
together), m the largest power of two up to p, rest = p - m.

References
----------
Thakur, Rabenseifner, Gropp 2005, table 1. Where p is no power of two, or n no multiple of p, the counts
here are derived from the algorithms as they stand in :mod:`labkit.mpi.collectives`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.mpi.collectives.allreduce import SEGMENT_BYTES as RING_SEGMENT_BYTES
from labkit.mpi.collectives.arguments import Fold, block_ends
from labkit.mpi.collectives.broadcast import SEGMENT_BYTES as CHAIN_SEGMENT_BYTES


@dataclass(frozen=True, slots=True)
class Cost:
    """The exact cost of one call of an algorithm.

    Attributes
    ----------
    num_rounds : int
    path_bytes, path_reduced_bytes : int
        The largest message, and the largest reduction, of each round, added up.
    num_messages, total_bytes, total_reduced_bytes : int
        Of all ranks together.
    """

    num_rounds: int = 0
    path_bytes: int = 0
    path_reduced_bytes: int = 0
    num_messages: int = 0
    total_bytes: int = 0
    total_reduced_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def time_s(self, alpha_s: float, beta_s_per_byte: float, gamma_s_per_byte: float = 0.0) -> float:
        """The time that the alpha-beta-gamma model predicts, in s."""
        return (
            alpha_s * self.num_rounds + beta_s_per_byte * self.path_bytes + gamma_s_per_byte * self.path_reduced_bytes
        )


COSTS: dict[str, Callable[..., Cost]] = {}


def _cost_of(name: str):
    """Register a cost function of (p, n, itemsize); one rank alone costs nothing."""

    def register(function):
        def cost(num_ranks: int, num_elements: int, itemsize: int = 8, **options) -> Cost:
            given = {"num_ranks": num_ranks, "num_elements": num_elements, "itemsize": itemsize, **options}
            for word, value in given.items():
                least = 0 if word == "num_elements" else 1
                if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                    raise UsageError(f"cost of {name}: {word} is a whole number of at least {least}, not {value!r}.")
            return function(num_ranks, num_elements, itemsize, **options) if num_ranks > 1 else Cost()

        cost.__name__, cost.__doc__ = name, function.__doc__
        COSTS[name] = cost
        return cost

    return register


def _ceil_log2(p: int) -> int:
    return (p - 1).bit_length()


def _block(name: str, p: int, n: int) -> int:
    """Elements of a block, where all blocks must be equal."""
    if n % p:
        raise UsageError(f"{name}: n = {n} elements do not divide into p = {p} equal blocks.")
    return n // p


def _powers(limit: int) -> list[int]:
    """1, 2, 4, ... below ``limit``, a power of two."""
    return [1 << k for k in range(limit.bit_length() - 1)]


# -- barriers -----------------------------------------------------------------------------------------


@_cost_of("barrier_central")
def _(p, n, size):
    return Cost(2 * (p - 1), num_messages=2 * (p - 1))


@_cost_of("barrier_tree")
def _(p, n, size):
    return Cost(2 * _ceil_log2(p), num_messages=2 * (p - 1))


@_cost_of("barrier_dissemination")
def _(p, n, size):
    return Cost(_ceil_log2(p), num_messages=p * _ceil_log2(p))


# -- from one to all and back -------------------------------------------------------------------------


@_cost_of("broadcast_flat")
def _(p, n, size):
    return Cost(p - 1, (p - 1) * n * size, 0, p - 1, (p - 1) * n * size)


@_cost_of("broadcast_chain")
def _(p, n, size, segment_bytes=CHAIN_SEGMENT_BYTES):
    length = max(1, segment_bytes // size)
    num_segments = max(1, -(-n // length))
    last = n - (num_segments - 1) * length
    # Only the last round has nothing but the last segment under way, or all rounds if it is the only one.
    path = (p - 1) * last if num_segments == 1 else (p - 3 + num_segments) * length + last
    return Cost(p - 2 + num_segments, path * size, 0, (p - 1) * num_segments, (p - 1) * n * size)


@_cost_of("broadcast_binomial")
def _(p, n, size):
    return Cost(_ceil_log2(p), _ceil_log2(p) * n * size, 0, p - 1, (p - 1) * n * size)


@_cost_of("broadcast_scatter_allgather")
def _(p, n, size):
    ends = block_ends(n, p)
    return _scatter_tree(ends, size) + _ring_lap(ends, size)


@_cost_of("scatter_flat")
def _(p, n, size):
    return _star(p, n, size)


@_cost_of("scatter_binomial")
def _(p, n, size):
    return _scatter_tree(_equal_ends("scatter_binomial", p, n), size)


@_cost_of("gather_flat")
def _(p, n, size):
    return _star(p, n, size)


@_cost_of("gather_binomial")
def _(p, n, size):
    return _scatter_tree(_equal_ends("gather_binomial", p, n), size)  # the same tree, the other way


def _equal_ends(name: str, p: int, n: int) -> list[int]:
    block = _block(name, p, n)
    return [rank * block for rank in range(p + 1)]


def _star(p: int, n: int, size: int) -> Cost:
    moved = (p - 1) * _block("scatter and gather", p, n) * size
    return Cost(p - 1, moved, 0, p - 1, moved)


def _scatter_tree(ends: list[int], size: int) -> Cost:
    """A binomial tree over blocks: in the round of distance d, ranks 0, 2 d, ... send what begins at d further."""
    p = len(ends) - 1
    rounds = path = messages = total = 0
    for distance in reversed(_powers(1 << _ceil_log2(p))):
        sent = [
            ends[min(first + distance, p)] - ends[first] for first in range(distance, p, 2 * distance)
        ]
        rounds, path = rounds + 1, path + max(sent)
        messages, total = messages + len(sent), total + sum(sent)
    return Cost(rounds, path * size, 0, messages, total * size)


# -- all-gathers --------------------------------------------------------------------------------------


def _ring_lap(ends: list[int], size: int, *, reduces: bool = False) -> Cost:
    """Once around the ring: in every round every block moves on by one rank."""
    p = len(ends) - 1
    largest = max(b - a for a, b in zip(ends[:-1], ends[1:], strict=True))
    path, total = (p - 1) * largest * size, (p - 1) * ends[-1] * size
    return Cost(p - 1, path, path if reduces else 0, p * (p - 1), total, total if reduces else 0)


@_cost_of("allgather_ring")
def _(p, n, size):
    return _ring_lap(_equal_ends("allgather_ring", p, n), size)


@_cost_of("allgather_recursive_doubling")
def _(p, n, size):
    block = _block("allgather_recursive_doubling", p, n) * size
    fold = Fold(p, 0)
    m, rest = fold.num_acting, fold.rest
    steps = _powers(m)
    total = (m - 1) * p * block + rest * (block + p * block)
    if not rest:
        return Cost(len(steps), (m - 1) * block, 0, m * len(steps), total)
    path = 0
    for number in range(len(steps) + 1):
        # Groups with a pair in them are one round late. Two groups without are on time, with a block a rank.
        on_time = steps[number] if number < len(steps) and rest <= m - 2 * steps[number] else 0
        late = fold.first_of(steps[number - 1]) if number else 1
        path += max(on_time, late)
    return Cost(len(steps) + 2, (path + p) * block, 0, m * len(steps) + 2 * rest, total)


@_cost_of("allgather_bruck")
def _(p, n, size):
    block = _block("allgather_bruck", p, n) * size
    return Cost(_ceil_log2(p), (p - 1) * block, 0, p * _ceil_log2(p), p * (p - 1) * block)


@_cost_of("allgather_neighbor_exchange")
def _(p, n, size):
    if p % 2:
        return COSTS["allgather_ring"](p, n, size)
    block = _block("allgather_neighbor_exchange", p, n) * size
    return Cost(p // 2, (p - 1) * block, 0, p * (p // 2), p * (p - 1) * block)


# -- reductions ---------------------------------------------------------------------------------------


@_cost_of("reduce_flat")
def _(p, n, size):
    moved = (p - 1) * n * size
    return Cost(p - 1, moved, moved, p - 1, moved, moved)


@_cost_of("reduce_binomial")
def _(p, n, size):
    path, total = _ceil_log2(p) * n * size, (p - 1) * n * size
    return Cost(_ceil_log2(p), path, path, p - 1, total, total)


@_cost_of("reduce_rabenseifner")
def _(p, n, size):
    fold = Fold(p, 0)
    ends = block_ends(n, fold.num_acting)
    return _fold_in(fold, n, size) + _halving(fold, ends, size) + _scatter_tree(ends, size)


@_cost_of("reduce_scatter_pairwise")
def _(p, n, size):
    block = _block("reduce_scatter_pairwise", p, n) * size
    moved = (p - 1) * block
    return Cost(p - 1, moved, moved, p * (p - 1), p * moved, p * moved)


@_cost_of("reduce_scatter_recursive_halving")
def _(p, n, size):
    block = _block("reduce_scatter_recursive_halving", p, n)
    fold = Fold(p, 0)
    ends = [block * fold.first_of(number) for number in range(fold.num_acting + 1)]
    back = Cost(1, block * size, 0, fold.rest, fold.rest * block * size) if fold.rest else Cost()
    return _fold_in(fold, n, size) + _halving(fold, ends, size) + back


@_cost_of("reduce_scatter_ring")
def _(p, n, size):
    return _ring_lap(_equal_ends("reduce_scatter_ring", p, n), size, reduces=True)


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
    for distance in _powers(m):
        groups = [ends[first + distance] - ends[first] for first in range(0, m, distance)]
        path += max(groups)
        total += distance * sum(groups)
    rounds = len(_powers(m))
    return Cost(rounds, path * size, path * size, m * rounds, total * size, total * size)


def _doubling(fold: Fold, ends: list[int], size: int) -> Cost:
    """Recursive doubling of blocks: the same exchanges as halving, the other way, without reductions."""
    cost = _halving(fold, ends, size)
    return Cost(cost.num_rounds, cost.path_bytes, 0, cost.num_messages, cost.total_bytes)


# -- all-reduces --------------------------------------------------------------------------------------


@_cost_of("allreduce_reduce_broadcast")
def _(p, n, size):
    return COSTS["reduce_binomial"](p, n, size) + COSTS["broadcast_binomial"](p, n, size)


@_cost_of("allreduce_recursive_doubling")
def _(p, n, size):
    fold = Fold(p, 0)
    rounds = len(_powers(fold.num_acting))
    path, total = rounds * n * size, fold.num_acting * rounds * n * size
    exchange = Cost(rounds, path, path, fold.num_acting * rounds, total, total)
    return _fold_in(fold, n, size) + exchange + _fold_out(fold, n, size)


@_cost_of("allreduce_ring")
def _(p, n, size):
    ends = block_ends(n, p)
    return _ring_lap(ends, size, reduces=True) + _ring_lap(ends, size)


@_cost_of("allreduce_segmented_ring")
def _(p, n, size, segment_bytes=RING_SEGMENT_BYTES):
    ends = block_ends(n, p)
    length = max(1, segment_bytes // size)
    largest = max(b - a for a, b in zip(ends[:-1], ends[1:], strict=True))
    num_segments = max(1, -(-largest // length))
    lap = _ring_lap(ends, size, reduces=True)
    segmented = Cost(
        lap.num_rounds * num_segments, lap.path_bytes, lap.path_reduced_bytes, lap.num_messages * num_segments,
        lap.total_bytes, lap.total_reduced_bytes,
    )
    return segmented + _ring_lap(ends, size)


@_cost_of("allreduce_rabenseifner")
def _(p, n, size):
    fold = Fold(p, 0)
    ends = block_ends(n, fold.num_acting)
    return _fold_in(fold, n, size) + _halving(fold, ends, size) + _doubling(fold, ends, size) + _fold_out(fold, n, size)


@_cost_of("allreduce_hierarchical")
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


# -- all-to-alls and scans ----------------------------------------------------------------------------


@_cost_of("alltoall_linear")
def _(p, n, size):
    block = _block("alltoall_linear", p, n) * size
    return Cost(p - 1, (p - 1) * block, 0, p * (p - 1), p * (p - 1) * block)


@_cost_of("alltoall_pairwise")
def _(p, n, size):
    return COSTS["alltoall_linear"](p, n, size)


@_cost_of("alltoall_bruck")
def _(p, n, size):
    block = _block("alltoall_bruck", p, n) * size
    rounds = _ceil_log2(p)
    sent = sum(1 for distance in range(p) for digit in range(rounds) if distance >> digit & 1)
    return Cost(rounds, sent * block, 0, p * rounds, p * sent * block)


@_cost_of("scan_linear")
def _(p, n, size):
    moved = (p - 1) * n * size
    return Cost(p - 1, moved, moved, p - 1, moved, moved)


@_cost_of("exscan_linear")
def _(p, n, size):
    moved = (p - 1) * n * size
    return Cost(p - 1, moved, (p - 2) * n * size, p - 1, moved, (p - 2) * n * size)


@_cost_of("scan_recursive_doubling")
def _(p, n, size):
    return _scan_doubling(p, n, size, inclusive=True)


@_cost_of("exscan_recursive_doubling")
def _(p, n, size):
    return _scan_doubling(p, n, size, inclusive=False)


def _scan_doubling(p: int, n: int, size: int, *, inclusive: bool) -> Cost:
    rounds = _ceil_log2(p)
    receives = [p - (1 << k) for k in range(rounds)]
    messages = sum(receives)
    # An exscan combines twice in a round, but for the first vector that a rank gets.
    path = rounds if inclusive else 2 * rounds - 1
    reduced = messages if inclusive else 2 * messages - (p - 1)
    return Cost(rounds, rounds * n * size, path * n * size, messages, messages * n * size, reduced * n * size)


def _swing(p: int, n: int, size: int) -> Cost:
    """Rabenseifner's sizes with other partners; blocks of a group need not be neighbours."""
    from labkit.mpi.collectives.allreduce import swing_blocks

    fold = Fold(p, 0)
    m = fold.num_acting
    ends = block_ends(n, m)
    path = total = 0
    steps = len(_powers(m))
    for step in range(steps):
        kept = [
            sum(ends[block + 1] - ends[block] for block in swing_blocks(number, step + 1, m)) for number in range(m)
        ]
        path, total = path + max(kept), total + sum(kept)
    there = Cost(steps, path * size, path * size, m * steps, total * size, total * size)
    back = Cost(steps, path * size, 0, m * steps, total * size)
    return _fold_in(fold, n, size) + there + back + _fold_out(fold, n, size)


_cost_of("allreduce_swing")(_swing)
