"""How long collectives take, as curves over message size and over the number of ranks: predicted and simulated.

A message size is that of the whole buffer, all blocks together, in bytes; where an operation needs equal
blocks of 8-byte elements, it is rounded up to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labkit.comm.network.model import LinkCost, Network
from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.mpi.collective_calls import EQUAL_BLOCKS, num_elements_for, own_size, prepare
from labkit.mpi.collectives.registry import find
from labkit.mpi.cost import COSTS, Cost

# With several ranks a node: how many of them send to other nodes at the same time. Neighbours in a line: one, while the
# others send inside. Trees, and all from or to one root: one, when no other sends. Chains: one, and one after the other.
# In all others a round goes either inside the nodes, or all ranks of a node share its port.
NEIGHBOURS = {
    "broadcast_chain", "allgather_ring", "allgather_neighbor_exchange", "reduce_scatter_ring", "allreduce_ring",
    "allreduce_chunked_ring", "allreduce_segmented_ring",
}
TREES = {
    "barrier_central", "barrier_tree",
    "broadcast_flat", "broadcast_binomial", "scatter_flat", "scatter_binomial", "gather_flat", "gather_binomial",
    "reduce_flat", "reduce_binomial", "allreduce_reduce_broadcast",
}
# Messages to or from one rank that do not wait for each other; by the number of times that a rank does wait.
STARTED_AT_ONCE = {
    "broadcast_flat": 1, "scatter_flat": 1, "gather_flat": 1, "reduce_flat": 1, "alltoall_linear": 1,
    "allreduce_all_pairs": 2,
}
PAIRWISE = {"alltoall_linear", "allreduce_all_pairs"}
CHAINS = {"scan_linear", "exscan_linear"}
TWO_PARTS = {
    "broadcast_scatter_allgather": ("scatter_binomial", "allgather_ring"),
    "reduce_rabenseifner": ("reduce_scatter_recursive_halving", "gather_binomial"),
}
FOLDS = {
    "allgather_recursive_doubling", "reduce_scatter_recursive_halving", "allreduce_recursive_doubling",
    "allreduce_rabenseifner",
}
WHOLE_VECTORS = {  # every message is as long as the buffer; in all others it is some of p blocks
    "broadcast_flat", "broadcast_binomial", "reduce_flat", "reduce_binomial", "allreduce_reduce_broadcast",
    "allreduce_recursive_doubling", "scan_recursive_doubling", "exscan_recursive_doubling",
}
SIZES_BYTES = tuple(8 * 4**k for k in range(12))  # 8 B to 32 MiB
RANKS = tuple(2**k for k in range(1, 11))
MAX_SIMULATED_MESSAGES = 30_000


@dataclass(frozen=True, slots=True)
class Curve:
    """Times of one algorithm: ``predicted`` is the line, ``points`` are measured or simulated.

    Both are tuples of (x, seconds), in order of x, which is a size in bytes or a number of ranks.
    """

    name: str
    predicted: tuple[tuple[float, float], ...] = ()
    points: tuple[tuple[float, float], ...] = ()


def predicted_time_s(name: str, num_ranks: int, num_bytes: float, network: Network, *, itemsize: int = 8) -> float:
    """The time that the alpha-beta-gamma model gives an algorithm, in s.

    Raises
    ------
    UsageError
        The algorithm sends no messages, so that it has no cost in messages.

    Notes
    -----
    alpha is what an empty message takes, latency and overheads included; waits for a receive and crowded links
    are not part of the model. With several ranks a node, messages inside a node and between nodes have their own
    alpha and beta, and ranks of a node that send to other nodes at the same time do it one after the other.

    Examples
    --------
    >>> from labkit.comm.network.model import alpha_beta
    >>> predicted_time_s("broadcast_binomial", 8, 1000, alpha_beta(1e-6, 1e-9))  # 3 rounds of 1000 bytes
    6e-06
    """
    algorithm = find(name)
    num_elements = num_elements_for(algorithm.operation, num_ranks, num_bytes, itemsize)
    per_node = network.ranks_per_node
    if name == "allreduce_hierarchical" and per_node > 1:
        inside_ranks = min(num_ranks, per_node)
        up, down = COSTS["reduce_binomial"], COSTS["broadcast_binomial"]
        inside = up(inside_ranks, num_elements, itemsize) + down(inside_ranks, num_elements, itemsize)
        between = COSTS["allreduce_rabenseifner"](network.num_nodes(num_ranks), num_elements, itemsize)
        return _time_s(inside, network.inside, network) + _time_s(between, network.cost, network)
    cost = algorithm.cost(num_ranks, num_elements, itemsize)
    if 1 < per_node >= num_ranks:
        return _on_one_kind_of_link_s(name, cost, network.inside, network)
    if per_node > 1:
        if name in TWO_PARTS:
            return sum(predicted_time_s(part, num_ranks, num_bytes, network, itemsize=itemsize) for part in TWO_PARTS[name])
        return _across_nodes_s(name, cost, num_ranks, num_elements, itemsize, network)
    return _on_one_kind_of_link_s(name, cost, network.cost, network)


def _on_one_kind_of_link_s(name: str, cost: Cost, link: LinkCost, network: Network) -> float:
    """Of an algorithm whose messages all cross the same kind of link."""
    time_s = _time_s(cost, link, network)
    waits_for_answer = name not in PAIRWISE and cost.path_bytes > network.eager_limit_bytes * cost.num_rounds
    if name not in STARTED_AT_ONCE or waits_for_answer or not cost.num_rounds:
        return time_s
    # The next message starts while one travels: after the first, only processor and port count.
    hidden_s = link.latency_s + link.overhead_s - link.gap_s
    return time_s - max(0, cost.num_rounds - STARTED_AT_ONCE[name]) * hidden_s


def _across_nodes_s(name: str, cost: Cost, num_ranks: int, num_elements: int, itemsize: int, network: Network) -> float:
    """Of an algorithm that is the same for all ranks, wherever they are, on several nodes of several ranks."""
    per_node = network.ranks_per_node
    all_inside, all_between = _time_s(cost, network.inside, network), _time_s(cost, network.cost, network)
    if name in NEIGHBOURS:
        return max(all_inside, all_between)
    if name in CHAINS:
        share = (network.num_nodes(num_ranks) - 1) / (num_ranks - 1)
        return share * all_between + (1 - share) * all_inside
    if name == "allreduce_swing":
        return _swing_across_nodes_s(num_ranks, num_elements * itemsize, cost, network)
    time_s, acting = 0.0, 1 << num_ranks.bit_length() - 1
    if name in FOLDS and acting < num_ranks:  # pairs, inside nodes, before and after, and one of a pair acts
        if find(name).operation in EQUAL_BLOCKS:
            num_elements = num_elements // num_ranks * acting
        alone = COSTS[name](acting, num_elements, itemsize)
        time_s, cost = _time_s(_without(cost, alone), network.inside, network), alone
        if 2 * acting - num_ranks < per_node:  # no node is without pairs
            per_node = max(1, per_node // 2)
        num_ranks = acting
    if name not in WHOLE_VECTORS:
        num_elements = -(-num_elements // num_ranks) * per_node
    inside = COSTS[name](per_node, num_elements, itemsize)  # what the ranks of one node do among themselves
    between = _without(cost, inside)
    at_once = 1 if name in TREES else per_node
    sums = between.path_reduced_bytes * network.gamma_s_per_byte
    time_s += _time_s(inside, network.inside, network)
    return time_s + at_once * (_time_s(between, network.cost, network) - sums) + sums


def _without(whole: Cost, part: Cost) -> Cost:
    return Cost(*(max(0, getattr(whole, field) - getattr(part, field)) for field in whole.__dataclass_fields__))


def _swing_across_nodes_s(num_ranks: int, num_bytes: float, cost: Cost, network: Network) -> float:
    """Swing: half of the vector goes to distance 1, a quarter to distance 1, an eighth to 3, 5, 11, ... and back."""
    num_steps = num_ranks.bit_length() - 1
    time_s, part = cost.path_reduced_bytes * network.gamma_s_per_byte, num_bytes
    if num_ranks != 1 << num_steps:  # a vector comes first, and goes back at the end
        time_s += 2 * network.inside.message_s(num_bytes)
    for step in range(num_steps):
        part /= 2
        at_once = min(network.ranks_per_node, abs(1 - (-2) ** (step + 1)) // 3) if step else 0
        time_s += 2 * max(network.inside.message_s(part), at_once * network.cost.message_s(part))
    return time_s


def _time_s(cost: Cost, link: LinkCost, network: Network) -> float:
    return cost.time_s(link.message_s(0), link.beta_s_per_byte, network.gamma_s_per_byte)


def simulated_time_s(name: str, num_ranks: int, num_bytes: float, network: Network) -> float:
    """The virtual time of the algorithm on simulated ranks, in s: ports, links and rendezvous included."""
    algorithm = find(name)
    if algorithm.needs_shared_memory:
        raise UsageError(f"{name} sends no messages, so it is not simulated: measure it on real ranks.")
    num_elements = num_elements_for(algorithm.operation, num_ranks, num_bytes)

    def program(comm):
        prepare(comm, algorithm, np.zeros(own_size(algorithm.operation, comm.size, num_elements)))[0]()

    return float(simulate(num_ranks, program, network=network).time_s)


def size_curves(
    names: Sequence[str], num_ranks: int, network: Network, sizes_bytes: Sequence[float] = SIZES_BYTES
) -> tuple[Curve, ...]:
    """The predicted time of each algorithm over the message size.

    An algorithm without messages has no line, and one for nodes has none where every rank is a node.
    Barriers have one size, 0, so they are not a curve.
    """
    curves = []
    for name in names:
        no_line = find(name).needs_shared_memory or (name == "allreduce_hierarchical" and network.ranks_per_node == 1)
        sizes = [] if no_line else sizes_bytes
        curves.append(Curve(name, tuple((float(s), predicted_time_s(name, num_ranks, s, network)) for s in sizes)))
    return tuple(curves)


def with_points(curves: Sequence[Curve], points: Mapping[str, Sequence[tuple[float, float]]]) -> tuple[Curve, ...]:
    """The same curves with measured points, by the algorithm's name.

    Examples
    --------
    >>> with_points([Curve("a"), Curve("b")], {"b": [(64, 2e-6), (8, 1e-6)]})[1].points
    ((8, 1e-06), (64, 2e-06))
    """
    return tuple(replace(curve, points=tuple(sorted(points.get(curve.name, ())))) for curve in curves)


def scaling_curves(
    names: Sequence[str], num_bytes: float, network: Network, ranks: Sequence[int] = RANKS,
    *, max_messages: int = MAX_SIMULATED_MESSAGES,
) -> tuple[Curve, ...]:
    """Time over the number of ranks at one message size: predicted, and simulated up to so many messages.

    Parameters
    ----------
    names : sequence of str
    num_bytes : float
        Of the whole buffer.
    network : Network
    ranks : sequence of int
    max_messages : int
        A run with more messages is not simulated: it takes a few seconds for each 100,000. 0 simulates none.
    """
    curves = []
    for name in names:
        algorithm = find(name)
        if algorithm.needs_shared_memory:
            curves.append(Curve(name))
            continue
        predicted, points = [], []
        for p in ranks:
            predicted.append((float(p), predicted_time_s(name, p, num_bytes, network)))
            if algorithm.cost(p, num_elements_for(algorithm.operation, p, num_bytes)).num_messages <= max_messages:
                points.append((float(p), simulated_time_s(name, p, num_bytes, network)))
        curves.append(Curve(name, tuple(predicted), tuple(points)))
    return tuple(curves)
