"""Which links a message crosses between two nodes. A link carries one message at a time.

Every node has one port out and one port in, which :mod:`labkit.comm.simulated.transport` keeps; a
topology adds the links between them. Links are numbered from 0, and a route is a tuple of numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Crossbar:
    """Every pair of nodes has a way of its own: only the ports are shared."""

    def num_links(self, num_nodes: int) -> int:
        return 0

    def route(self, source: int, dest: int, num_nodes: int) -> tuple[int, ...]:
        """The links from node ``source`` to node ``dest``, in order."""
        return ()

    def __str__(self) -> str:
        return "crossbar"


@dataclass(frozen=True, slots=True)
class Ring:
    """Each node has a link to each of its two neighbours; messages take the shorter way.

    Examples
    --------
    >>> Ring().route(0, 2, 8), Ring().route(0, 7, 8)
    ((0, 1), (8,))
    """

    def num_links(self, num_nodes: int) -> int:
        return 2 * num_nodes

    def route(self, source: int, dest: int, num_nodes: int) -> tuple[int, ...]:
        """The links from node ``source`` to node ``dest``: link i goes up from node i, link n + i down."""
        up = (dest - source) % num_nodes
        if up <= num_nodes - up:
            return tuple((source + step) % num_nodes for step in range(up))
        return tuple(num_nodes + (source - step) % num_nodes for step in range(num_nodes - up))

    def __str__(self) -> str:
        return "ring"


@dataclass(frozen=True, slots=True)
class Torus:
    """A two-dimensional torus; messages go along the row first, then along the column.

    Parameters
    ----------
    num_rows, num_columns : int or None
        Of nodes, counted row by row; by default the most square shape that holds all nodes.
    """

    num_rows: int | None = None
    num_columns: int | None = None

    def __post_init__(self):
        if any(number is not None and number < 1 for number in (self.num_rows, self.num_columns)):
            raise UsageError(
                f"a torus has at least 1 row and 1 column, not {self.num_rows} and {self.num_columns}: write for "
                "example torus(4x8)."
            )

    def shape(self, num_nodes: int) -> tuple[int, int]:
        """(rows, columns) for so many nodes.

        Raises
        ------
        UsageError
            The given shape has another number of nodes.
        """
        rows, columns = self.num_rows, self.num_columns
        if rows is None and columns is None:
            rows = max(d for d in range(1, math.isqrt(num_nodes) + 1) if num_nodes % d == 0)
        if rows is None:
            rows = num_nodes // columns
        if columns is None:
            columns = num_nodes // rows
        if rows * columns != num_nodes:
            raise UsageError(
                f"a torus of {rows} x {columns} nodes has {rows * columns}, but the network has {num_nodes}: "
                f"choose rows x columns = {num_nodes}."
            )
        return rows, columns

    def num_links(self, num_nodes: int) -> int:
        rows, columns = self.shape(num_nodes)
        return 4 * rows * columns

    def route(self, source: int, dest: int, num_nodes: int) -> tuple[int, ...]:
        """The links from node ``source`` to node ``dest``: 4 i + (0 right, 1 left, 2 down, 3 up) leaves node i."""
        rows, columns = self.shape(num_nodes)
        row, column = divmod(source, columns)
        links = []
        for step in _steps(column, dest % columns, columns):
            links.append(4 * (row * columns + column) + (0 if step > 0 else 1))
            column = (column + step) % columns
        for step in _steps(row, dest // columns, rows):
            links.append(4 * (row * columns + column) + (2 if step > 0 else 3))
            row = (row + step) % rows
        return tuple(links)

    def __str__(self) -> str:
        if self.num_rows is None and self.num_columns is None:
            return "torus"
        return f"torus({self.num_rows or ''}x{self.num_columns or ''})"


def _steps(start: int, end: int, size: int) -> list[int]:
    """Steps of +1 or -1 along the shorter way around a circle."""
    up = (end - start) % size
    return [1] * up if up <= size - up else [-1] * (size - up)


@dataclass(frozen=True, slots=True)
class FatTree:
    """Two levels of switches: leaves with nodes below and uplinks to the spine above.

    A leaf has ``nodes_per_leaf / oversubscription`` uplinks and as many downlinks. Messages to one
    node always take the same one (static routing), which is how real fat trees get their hot spots.

    Parameters
    ----------
    nodes_per_leaf : int
    oversubscription : float
        1 gives every node its own uplink, 4 lets four share one.
    """

    nodes_per_leaf: int = 16
    oversubscription: float = 1.0

    def __post_init__(self):
        if self.nodes_per_leaf < 1 or not 1 <= self.oversubscription < math.inf:
            raise UsageError(
                f"a fat tree has at least 1 node a leaf and an oversubscription of at least 1, not "
                f"{self.nodes_per_leaf} and {self.oversubscription:g}."
            )

    @property
    def num_uplinks(self) -> int:
        """Of a leaf."""
        return max(1, int(self.nodes_per_leaf / self.oversubscription * (1 + 1e-12)))  # 33 / 1.1 is a little below 30

    def num_links(self, num_nodes: int) -> int:
        return 2 * self.num_uplinks * -(-num_nodes // self.nodes_per_leaf)

    def route(self, source: int, dest: int, num_nodes: int) -> tuple[int, ...]:
        """The uplink of the leaf of ``source`` and the downlink of the leaf of ``dest``."""
        leaf_up, leaf_down = source // self.nodes_per_leaf, dest // self.nodes_per_leaf
        if leaf_up == leaf_down:
            return ()
        num_uplinks = self.num_uplinks
        lane = dest % num_uplinks
        return (2 * num_uplinks * leaf_up + lane, 2 * num_uplinks * leaf_down + num_uplinks + lane)

    def __str__(self) -> str:
        return f"fat-tree({self.nodes_per_leaf},{self.oversubscription:g})"


Topology = Crossbar | Ring | Torus | FatTree
