"""Costs of the algorithms that move data: barriers, broadcasts, scatters, gathers, all-gathers, all-to-alls."""

from __future__ import annotations

from labkit.mpi.collectives.arguments import Fold, block_ends
from labkit.mpi.collectives.broadcast import SEGMENT_BYTES
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
    star,
)

# -- barriers -----------------------------------------------------------------------------------------


@cost_of("barrier_central")
def _(p, n, size):
    return Cost(2 * (p - 1), num_messages=2 * (p - 1))


@cost_of("barrier_tree")
def _(p, n, size):
    return Cost(2 * ceil_log2(p), num_messages=2 * (p - 1))


@cost_of("barrier_dissemination")
def _(p, n, size):
    return Cost(ceil_log2(p), num_messages=p * ceil_log2(p))


# -- from one to all and back -------------------------------------------------------------------------


@cost_of("broadcast_flat")
def _(p, n, size):
    return Cost(p - 1, (p - 1) * n * size, 0, p - 1, (p - 1) * n * size)


@cost_of("broadcast_chain")
def _(p, n, size, segment_bytes=SEGMENT_BYTES):
    length = max(1, segment_bytes // size)
    num_segments = max(1, -(-n // length))
    last = n - (num_segments - 1) * length
    # Only the last round has nothing but the last segment under way, or all rounds if it is the only one.
    path = (p - 1) * last if num_segments == 1 else (p - 3 + num_segments) * length + last
    return Cost(p - 2 + num_segments, path * size, 0, (p - 1) * num_segments, (p - 1) * n * size)


@cost_of("broadcast_binomial")
def _(p, n, size):
    return Cost(ceil_log2(p), ceil_log2(p) * n * size, 0, p - 1, (p - 1) * n * size)


@cost_of("broadcast_scatter_allgather")
def _(p, n, size):
    ends = block_ends(n, p)
    return scatter_tree(ends, size) + ring_lap(ends, size)


@cost_of("scatter_flat")
def _(p, n, size):
    return star(p, n, size)


@cost_of("scatter_binomial")
def _(p, n, size):
    return scatter_tree(equal_ends("scatter_binomial", p, n), size)


@cost_of("gather_flat")
def _(p, n, size):
    return star(p, n, size)


@cost_of("gather_binomial")
def _(p, n, size):
    return scatter_tree(equal_ends("gather_binomial", p, n), size)  # the same tree, the other way


# -- all-gathers --------------------------------------------------------------------------------------


@cost_of("allgather_ring")
def _(p, n, size):
    return ring_lap(equal_ends("allgather_ring", p, n), size)


@cost_of("allgather_recursive_doubling")
def _(p, n, size):
    block = block_size("allgather_recursive_doubling", p, n) * size
    fold = Fold(p, 0)
    m, rest = fold.num_acting, fold.rest
    steps = powers(m)
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


@cost_of("allgather_bruck")
def _(p, n, size):
    block = block_size("allgather_bruck", p, n) * size
    return Cost(ceil_log2(p), (p - 1) * block, 0, p * ceil_log2(p), p * (p - 1) * block)


@cost_of("allgather_neighbor_exchange")
def _(p, n, size):
    if p % 2:
        return COSTS["allgather_ring"](p, n, size)
    block = block_size("allgather_neighbor_exchange", p, n) * size
    return Cost(p // 2, (p - 1) * block, 0, p * (p // 2), p * (p - 1) * block)


# -- all-to-alls ------------------------------------------------------------------------------------ ----------------------------------------------------------------------------


@cost_of("alltoall_linear")
def _(p, n, size):
    block = block_size("alltoall_linear", p, n) * size
    return Cost(p - 1, (p - 1) * block, 0, p * (p - 1), p * (p - 1) * block)


@cost_of("alltoall_pairwise")
def _(p, n, size):
    return COSTS["alltoall_linear"](p, n, size)


@cost_of("alltoall_bruck")
def _(p, n, size):
    block = block_size("alltoall_bruck", p, n) * size
    rounds = ceil_log2(p)
    sent = sum(1 for distance in range(p) for digit in range(rounds) if distance >> digit & 1)
    return Cost(rounds, sent * block, 0, p * rounds, p * sent * block)
