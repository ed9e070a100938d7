"""A mesh of ranks with named axes: which rank holds which replica, which stage and which part of a layer.

The ranks of a machine are numbered node by node. A mesh lays its axes over these numbers: along the last axis of its
``order`` neighbours have neighbouring numbers. Tensor parallelism talks most, several times a layer, so ``tp`` comes
last and stays inside a node; data parallelism talks once a step; a pipeline sends little, from stage to stage, so
``pp`` comes first and crosses the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from labkit.errors import UsageError

AXES = ("dp", "pp", "tp")
ORDER = ("pp", "dp", "tp")  # slowest first, as Megatron-LM has it


@dataclass(frozen=True, slots=True)
class Mesh:
    """Sizes of the axes, and how they are laid over the ranks.

    Attributes
    ----------
    dp, pp, tp : int
        Replicas, stages of the pipeline, parts of a layer; their product is the number of ranks.
    order : tuple of str
        The axes, slowest first: along the last one ranks are neighbours.

    Raises
    ------
    UsageError
        A size that is no positive whole number, or an order that does not name each axis once.

    References
    ----------
    Narayanan and others: Efficient large-scale language model training on GPU clusters using Megatron-LM, SC 2021
    (arXiv 2104.04473), section 3.

    Examples
    --------
    >>> mesh = Mesh(dp=2, pp=2, tp=2)
    >>> mesh.coordinates(5)
    {'dp': 0, 'pp': 1, 'tp': 1}
    >>> mesh.rank(dp=0, pp=1, tp=1)
    5
    >>> mesh.groups("tp")
    ((0, 1), (2, 3), (4, 5), (6, 7))
    >>> mesh.groups("pp")
    ((0, 4), (1, 5), (2, 6), (3, 7))
    """

    dp: int = 1
    pp: int = 1
    tp: int = 1
    order: tuple[str, ...] = ORDER

    def __post_init__(self):
        for axis in AXES:
            size = getattr(self, axis)
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise UsageError(f"{axis}={size!r}: the size of an axis is a whole number of at least 1.")
        object.__setattr__(self, "order", tuple(self.order))
        if sorted(self.order) != sorted(AXES):
            raise UsageError(f"order={self.order!r} must name each of {', '.join(AXES)} once, slowest first.")

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self.dp * self.pp * self.tp

    @property
    def shape(self) -> dict[str, int]:
        """Sizes by axis."""
        return {axis: getattr(self, axis) for axis in AXES}

    def check(self, world_size: int) -> None:
        """Raise unless the mesh covers a world of this size.

        Examples
        --------
        >>> Mesh(dp=2, pp=2, tp=2).check(4)
        Traceback (most recent call last):
            ...
        labkit.errors.UsageError: mesh does not cover the world: dp(2) * pp(2) * tp(2) = 8, but world_size is 4. \
Choose axes whose product is 4, or start 8 ranks.
        """
        if self.size != world_size:
            axes = " * ".join(f"{axis}({size})" for axis, size in self.shape.items())
            raise UsageError(
                f"mesh does not cover the world: {axes} = {self.size}, but world_size is {world_size}. Choose axes "
                f"whose product is {world_size}, or start {self.size} ranks."
            )

    def coordinates(self, rank: int) -> dict[str, int]:
        """Where a rank stands on each axis."""
        if isinstance(rank, bool) or not isinstance(rank, int) or not 0 <= rank < self.size:
            raise UsageError(f"rank {rank!r} is not in this mesh, whose ranks are 0 to {self.size - 1}.")
        found = {}
        for axis in reversed(self.order):
            rank, found[axis] = divmod(rank, getattr(self, axis))
        return {axis: found[axis] for axis in AXES}

    def rank(self, **coordinates: int) -> int:
        """The rank that stands there; an axis that is not named is at 0."""
        for axis, place in coordinates.items():
            if axis not in AXES:
                raise UsageError(f"there is no axis {axis!r}; the axes are {', '.join(AXES)}.")
            if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < getattr(self, axis):
                raise UsageError(f"{axis}={place!r} is outside 0 to {getattr(self, axis) - 1}.")
        number = 0
        for axis in self.order:
            number = number * getattr(self, axis) + coordinates.get(axis, 0)
        return number

    def group(self, rank: int, *axes: str) -> tuple[int, ...]:
        """The ranks that differ from this one along these axes alone, itself among them, in the order of the axes."""
        for axis in axes:
            if axis not in AXES:
                raise UsageError(f"there is no axis {axis!r}; the axes are {', '.join(AXES)}.")
        here = self.coordinates(rank)
        places = product(*(range(getattr(self, axis)) for axis in axes))
        return tuple(self.rank(**(here | dict(zip(axes, place, strict=True)))) for place in places)

    def groups(self, *axes: str) -> tuple[tuple[int, ...], ...]:
        """All groups along these axes, each once, by their lowest rank."""
        fixed = [range(1 if axis in axes else getattr(self, axis)) for axis in AXES]
        firsts = (self.rank(**dict(zip(AXES, place, strict=True))) for place in product(*fixed))
        return tuple(sorted((self.group(first, *axes) for first in firsts), key=min))

    def communicators(self, comm) -> dict[str, object]:
        """A communicator of each axis for this rank's group; ranks in it are the coordinates. Collective.

        Parameters
        ----------
        comm : communicator
            Of all ranks of the mesh.

        Raises
        ------
        UsageError
            The mesh does not cover it.
        """
        self.check(comm.size)
        here = self.coordinates(comm.rank)
        return {axis: comm.Split(min(self.group(comm.rank, axis)), here[axis]) for axis in AXES}

    def num_nodes_of(self, axis: str, ranks_per_node: int) -> int:
        """Nodes that a group along this axis is spread over, at most.

        Examples
        --------
        >>> mesh = Mesh(dp=4, pp=4, tp=8)
        >>> [mesh.num_nodes_of(axis, 8) for axis in ("tp", "dp", "pp")]
        [1, 4, 4]
        """
        if isinstance(ranks_per_node, bool) or not isinstance(ranks_per_node, int) or ranks_per_node < 1:
            raise UsageError(f"ranks_per_node={ranks_per_node!r} must be a whole number of at least 1.")
        return max(len({rank // ranks_per_node for rank in group}) for group in self.groups(axis))

    def __str__(self) -> str:
        return " x ".join(f"{axis} {size}" for axis, size in self.shape.items())


def all_meshes(num_ranks: int, *, limits: Mapping[str, int] | None = None) -> list[Mesh]:
    """Every mesh of so many ranks, smallest ``tp`` and ``pp`` first: data parallelism is tried first.

    Parameters
    ----------
    num_ranks : int
    limits : mapping, optional
        The largest size of an axis.

    Examples
    --------
    >>> [str(mesh) for mesh in all_meshes(4, limits={"tp": 2})]
    ['dp 4 x pp 1 x tp 1', 'dp 2 x pp 2 x tp 1', 'dp 1 x pp 4 x tp 1', 'dp 2 x pp 1 x tp 2', 'dp 1 x pp 2 x tp 2']
    """
    if isinstance(num_ranks, bool) or not isinstance(num_ranks, int) or num_ranks < 1:
        raise UsageError(f"num_ranks={num_ranks!r} must be a whole number of at least 1.")
    most = {axis: math.inf for axis in AXES} | dict(limits or {})
    meshes = []
    for tp in _divisors(num_ranks):
        for pp in _divisors(num_ranks // tp):
            mesh = Mesh(num_ranks // tp // pp, pp, tp)
            if all(mesh.shape[axis] <= most[axis] for axis in AXES):
                meshes.append(mesh)
    return meshes


def _divisors(number: int) -> list[int]:
    small = [k for k in range(1, math.isqrt(number) + 1) if number % k == 0]
    return small + [number // k for k in reversed(small) if k * k != number]
