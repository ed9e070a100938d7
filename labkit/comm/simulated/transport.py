"""When a message arrives: ports and links carry one message at a time, in order of its start."""

from __future__ import annotations

import random
from dataclasses import replace

from labkit.comm.network.model import Network


class Transport:
    """The ports and links of a network, and until when each is busy.

    The head of a message goes on to the next link as soon as that is free; every link is busy for
    the whole message (cut-through, with room in the switches for what has to wait). A message takes all
    links of its way when it leaves, which is simpler than in a network: one that leaves later cannot slip
    in before it on a link further on.

    Parameters
    ----------
    network : Network
    num_ranks : int
    random_delays : random.Random, optional
        Each message then takes up to ``jitter`` times longer, for looking for races.
    """

    def __init__(
        self, network: Network, num_ranks: int, random_delays: random.Random | None = None, jitter: float = 1.0
    ):
        self.network = network
        self.num_nodes = network.num_nodes(num_ranks)
        self.ranks_per_node = network.ranks_per_node
        self.cost, self.inside = network.cost, replace(network.inside or network.cost)  # two objects, also if they are equal
        self.has_overhead = bool(self.cost.overhead_s or self.inside.overhead_s)
        self.out_free: list = [0] * self.num_nodes  # ports of nodes
        self.in_free: list = [0] * self.num_nodes
        self.own_out_free: list = [0] * num_ranks  # ports of ranks, for messages inside a node
        self.own_in_free: list = [0] * num_ranks
        self.link_free: list = [0] * network.topology.num_links(self.num_nodes)
        self.routes: dict[tuple[int, int], tuple[int, ...]] = {}
        self.random, self.jitter = random_delays, jitter
        # Nothing but ports between any two ranks: the usual case, and the quick one.
        self.is_plain = not self.link_free and self.ranks_per_node == 1 and random_delays is None
        self.arrived: dict[tuple[int, int], float] = {}  # of the last message, where delays vary

    def cost_between(self, source: int, dest: int):
        """The :class:`LinkCost` of a message from rank ``source`` to rank ``dest``."""
        if source == dest or (self.ranks_per_node > 1 and source // self.ranks_per_node == dest // self.ranks_per_node):
            return self.inside
        return self.cost

    def send(self, source: int, dest: int, num_bytes: int, now, cost):
        """A message that may leave ``now``: (begin, left, arrival) as :meth:`depart` and :meth:`travel` give them.

        ``arrival`` is None if the message has to wait at its sender's port.
        """
        if not self.is_plain or source == dest:
            begin, left = self.depart(source, dest, num_bytes, now)
            return begin, left, self.travel(source, dest, num_bytes, begin) if begin <= now else None
        duration = cost.alpha_s + num_bytes * cost.beta_s_per_byte
        begin = self.out_free[source]
        if begin > now:
            left = begin + duration
            self.out_free[source] = left + cost.gap_s
            return begin, left, None
        left = now + duration
        self.out_free[source] = left + cost.gap_s
        begin = self.in_free[dest]
        if now > begin:
            begin = now
        end = begin + duration
        self.in_free[dest] = end + cost.gap_s
        return now, left, end + cost.latency_s

    def depart(self, source: int, dest: int, num_bytes: int, start):
        """Take the sender's port from ``start`` on: (when the first byte leaves, when the last has left)."""
        cost = self.cost_between(source, dest)
        free = self.own_out_free
        if cost is self.cost and source != dest:
            free = self.out_free
            if self.ranks_per_node > 1:
                source //= self.ranks_per_node
        begin = free[source]
        if start > begin:
            begin = start
        left = begin + cost.alpha_s + num_bytes * cost.beta_s_per_byte
        free[source] = left + cost.gap_s
        return begin, left

    def free_at(self, source: int, dest: int):
        """When the port is free that a message from ``source`` to ``dest`` leaves by."""
        if self.cost_between(source, dest) is self.cost and source != dest:
            return self.out_free[source // self.ranks_per_node]
        return self.own_out_free[source]

    def announce(self, source: int, dest: int, time):
        """When an envelope that leaves at ``time`` arrives; it takes no room on the way."""
        cost = self.cost_between(source, dest)
        arrival = time + cost.latency_s
        return arrival if self.random is None else self._later(source, dest, arrival, cost.alpha_s + cost.latency_s)

    def _later(self, source: int, dest: int, arrival, duration):
        """Up to ``jitter`` times the duration later, and not before earlier messages of the pair."""
        arrival += self.random.random() * self.jitter * duration
        arrival = self.arrived[source, dest] = max(arrival, self.arrived.get((source, dest), 0))
        return arrival

    def travel(self, source: int, dest: int, num_bytes: int, begin):
        """Take the links and the receiver's port, for a message that leaves at ``begin``: when its last byte arrives.

        Called when virtual time has come to ``begin``, so that links are taken in the order of time.
        """
        cost = self.cost_between(source, dest)
        duration = cost.alpha_s + num_bytes * cost.beta_s_per_byte
        pair = source, dest
        in_free = self.own_in_free
        if cost is self.cost and source != dest:
            in_free = self.in_free
            if self.ranks_per_node > 1:
                source, dest = source // self.ranks_per_node, dest // self.ranks_per_node
            if self.link_free:
                for link in self._route(source, dest):
                    begin += self.network.hop_s
                    if self.link_free[link] > begin:
                        begin = self.link_free[link]
                    self.link_free[link] = begin + duration
        if in_free[dest] > begin:
            begin = in_free[dest]
        in_free[dest] = begin + duration + cost.gap_s
        arrival = begin + duration + cost.latency_s
        if self.random is not None:
            arrival = self._later(*pair, arrival, duration + cost.latency_s)
        return arrival

    def _route(self, source: int, dest: int) -> tuple[int, ...]:
        route = self.routes.get((source, dest))
        if route is None:
            route = self.routes[source, dest] = self.network.topology.route(source, dest, self.num_nodes)
        return route
