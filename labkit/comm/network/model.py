"""What a message costs: the alpha-beta-gamma model, LogGP, and both put together in one value.

A message of n bytes keeps its sender's port busy for ``alpha + n * beta`` (and ``gap`` more before
the next one), travels ``latency`` besides, and costs ``overhead`` of processor time at each end.

- alpha-beta-gamma (Hockney 1994): only alpha, beta, gamma.
- LogGP (Alexandrov, Ionescu, Schauser, Scheiman 1995): L = latency, o = overhead, g = gap, G = beta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from labkit.comm.network.topologies import Crossbar, Topology
from labkit.errors import UsageError

UNLIMITED = float("inf")


@dataclass(frozen=True, slots=True)
class LinkCost:
    """The cost of a message on one kind of link.

    Attributes
    ----------
    alpha_s : float
        Time a message takes at a port before its first byte, in s.
    beta_s_per_byte : float
        Time of a byte, in s: the inverse of the bandwidth.
    latency_s : float
        Time in the wire, in s; other messages may follow meanwhile.
    overhead_s : float
        Processor time of the sender, and of the receiver, in s.
    gap_s : float
        Least time between the end of a message and the next one at a port, in s.
    """

    alpha_s: float = 0
    beta_s_per_byte: float = 0
    latency_s: float = 0
    overhead_s: float = 0
    gap_s: float = 0

    def __post_init__(self):
        for name in self.__dataclass_fields__:
            if not 0 <= getattr(self, name) < UNLIMITED:
                raise UsageError(
                    f"{name} = {getattr(self, name)}: no cost of a link is negative or without end; pass seconds."
                )

    def message_s(self, num_bytes: int) -> float:
        """From the start of a send to the end of its receive, with nobody in the way, in s."""
        return self.alpha_s + num_bytes * self.beta_s_per_byte + self.latency_s + 2 * self.overhead_s


@dataclass(frozen=True, slots=True)
class Network:
    """The network that simulated ranks communicate on.

    Costs may be ``fractions.Fraction``: then virtual times are exact.

    Attributes
    ----------
    name : str
    cost : LinkCost
        Of a message between two nodes, and of every link it crosses.
    gamma_s_per_byte : float
        Time to combine a byte in a reduction, in s.
    eager_limit_bytes : float
        A larger message waits for its receive (rendezvous); one up to this is put aside (eager).
    topology : Topology
        Of the nodes.
    hop_s : float
        Latency of each link on the way, in s.
    ranks_per_node : int
        Ranks 0 to ranks_per_node - 1 are on node 0, and so on; they share the node's ports.
    inside : LinkCost or None
        Of a message between two ranks of a node; each rank has ports of its own there.
    source : str
        Where the numbers come from.

    Examples
    --------
    >>> network = alpha_beta(1e-6, 1e-9)
    >>> f"{network.cost.message_s(1000):.1e}"
    '2.0e-06'
    """

    name: str
    cost: LinkCost
    gamma_s_per_byte: float = 0
    eager_limit_bytes: float = UNLIMITED
    topology: Topology = Crossbar()
    hop_s: float = 0
    ranks_per_node: int = 1
    inside: LinkCost | None = None
    source: str = ""

    def __post_init__(self):
        if self.ranks_per_node < 1:
            raise UsageError(f"ranks_per_node = {self.ranks_per_node}: a node has at least one rank.")
        if self.ranks_per_node > 1 and self.inside is None:
            raise UsageError("a network with several ranks a node needs the cost of a message inside a node.")
        if not (0 <= self.gamma_s_per_byte < UNLIMITED and self.eager_limit_bytes >= 0 and 0 <= self.hop_s < UNLIMITED):
            raise UsageError(
                f"gamma, eager limit and hop latency are not negative, and only the limit may be infinite, but they "
                f"are {self.gamma_s_per_byte}, {self.eager_limit_bytes} and {self.hop_s}."
            )

    def with_(self, **changes) -> Network:
        """The same network with other values."""
        return replace(self, **changes)

    def num_nodes(self, num_ranks: int) -> int:
        """Nodes that so many ranks need."""
        return -(-num_ranks // self.ranks_per_node)

    def __str__(self) -> str:
        cost = self.cost
        words = [self.name]
        if cost.alpha_s or not cost.latency_s:
            words.append(f"alpha {cost.alpha_s * 1e6:.3g} us")
        if cost.latency_s or cost.overhead_s:
            words.append(f"L {cost.latency_s * 1e6:.3g} us, o {cost.overhead_s * 1e6:.3g} us, g {cost.gap_s * 1e6:.3g} us")
        words.append(f"beta {cost.beta_s_per_byte * 1e9:.3g} ns/B")
        if not isinstance(self.topology, Crossbar):
            words.append(str(self.topology))
        if self.ranks_per_node > 1:
            words.append(f"{self.ranks_per_node} ranks a node")
        return ", ".join(words)


def alpha_beta(
    alpha_s: float, beta_s_per_byte: float, gamma_s_per_byte: float = 0, *, name: str = "alpha-beta", **options
) -> Network:
    """A network of the alpha-beta-gamma model; ``options`` are further fields of :class:`Network`."""
    return Network(name, LinkCost(alpha_s, beta_s_per_byte), gamma_s_per_byte, **options)


def loggp(
    latency_s: float, overhead_s: float, gap_s: float, seconds_per_byte: float,
    gamma_s_per_byte: float = 0, *, name: str = "LogGP", **options,
) -> Network:
    """A network of the LogGP model: L, o, g, G; ``options`` are further fields of :class:`Network`."""
    cost = LinkCost(0, seconds_per_byte, latency_s, overhead_s, gap_s)
    return Network(name, cost, gamma_s_per_byte, **options)
