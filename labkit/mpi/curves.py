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
from labkit.mpi.collective_calls import num_elements_for, own_size, prepare
from labkit.mpi.collectives.registry import find
from labkit.mpi.cost import COSTS, Cost

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
    are not part of the model. With several ranks a node all messages count as messages between nodes, but for
    the hierarchical algorithm.

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
    link = network.inside if 1 < per_node >= num_ranks else network.cost
    return _time_s(algorithm.cost(num_ranks, num_elements, itemsize), link, network)


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

    An algorithm without messages has no line. Barriers have one size, 0, so they are not a curve.
    """
    curves = []
    for name in names:
        sizes = [] if find(name).needs_shared_memory else sizes_bytes
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
