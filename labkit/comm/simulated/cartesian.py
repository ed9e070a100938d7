"""Cartesian communicators of simulated ranks."""

from __future__ import annotations

import math

from mpi4py import MPI

from labkit.comm.deadlock import ranks_text
from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.communicator import SimulatedComm


class SimulatedCartcomm(SimulatedComm):
    """A simulated communicator whose members stand on a grid, row by row, like ``mpi4py.MPI.Cartcomm``."""

    extents: tuple[int, ...] = ()
    wraps: tuple[bool, ...] = ()

    @property
    def dims(self) -> list[int]:
        return list(self.extents)

    @property
    def periods(self) -> list[int]:
        return [int(wraps) for wraps in self.wraps]

    def Get_topology(self):
        return MPI.CART

    def Get_dim(self):
        return len(self.extents)

    ndim = dim = property(Get_dim)

    def Get_topo(self):
        return self.dims, self.periods, self.coords

    topo = property(Get_topo)

    @property
    def coords(self) -> list[int]:
        return self.Get_coords(self.rank)

    def Get_coords(self, rank):
        if not 0 <= rank < self.size:
            raise MPIError(MPI.ERR_RANK, f"rank {self.rank}: Get_coords({rank}): the ranks are 0 to {self.size - 1}")
        coords = []
        for extent in reversed(self.extents):
            rank, coord = divmod(rank, extent)
            coords.append(coord)
        return coords[::-1]

    def Get_cart_rank(self, coords):
        rank = 0
        for coord, extent, periodic in zip(coords, self.extents, self.wraps, strict=True):
            if not 0 <= coord < extent and not periodic:
                raise MPIError(
                    MPI.ERR_RANK,
                    f"rank {self.rank}: Get_cart_rank({list(coords)}): {coord} is outside 0 to {extent - 1}, "
                    f"and that dimension is not periodic",
                )
            rank = rank * extent + coord % extent
        return rank

    def Shift(self, direction, disp):
        if not 0 <= direction < len(self.extents):
            raise MPIError(
                MPI.ERR_DIMS, f"rank {self.rank}: Shift(direction={direction}): there are {len(self.extents)} dimensions"
            )
        return self._neighbor(direction, -disp), self._neighbor(direction, disp)

    def _neighbor(self, direction, disp) -> int:
        coords = self.coords
        coords[direction] += disp
        if not 0 <= coords[direction] < self.extents[direction] and not self.wraps[direction]:
            return MPI.PROC_NULL
        return self.Get_cart_rank(coords)

    def Sub(self, remain_dims):
        kept = [bool(keep) for keep in remain_dims]
        coords = self.coords
        color = 0
        for coord, extent, keep in zip(coords, self.extents, kept, strict=True):
            if not keep:
                color = color * extent + coord
        comm = self._split_as_cart(color)
        comm.extents = tuple(e for e, keep in zip(self.extents, kept, strict=True) if keep)
        comm.wraps = tuple(p for p, keep in zip(self.wraps, kept, strict=True) if keep)
        return comm

    def _split_as_cart(self, color):
        def groups(values):
            chosen: dict[int, list] = {}
            for rank in sorted(values):
                chosen.setdefault(values[rank], []).append(rank)
            return {rank: tuple(ranks) for ranks in chosen.values() for rank in ranks}

        return self._make("Sub", groups, color, SimulatedCartcomm)

    def Dup(self, info=None):
        comm = self._make("Dup", lambda values: {r: tuple(range(self.size)) for r in values}, None, SimulatedCartcomm)
        comm.extents, comm.wraps = self.extents, self.wraps
        return comm

    Clone = Dup


def make_cart(comm: SimulatedComm, dims, periods):
    """Collective: the first ``prod(dims)`` ranks of ``comm`` on a grid; MPI.COMM_NULL for the rest."""
    dims = tuple(int(extent) for extent in dims)
    periods = (False,) * len(dims) if periods is None else periods
    if isinstance(periods, (bool, int)):
        periods = (bool(periods),) * len(dims)
    size = math.prod(dims)
    if not 0 < size <= comm.size or len(periods) != len(dims):
        raise MPIError(
            MPI.ERR_ARG,
            f"rank {comm.rank}: Create_cart({list(dims)}, periods={list(periods)}): a grid of {size} ranks, and the "
            f"communicator has {comm.size}",
        )
    wraps = tuple(bool(p) for p in periods)

    def groups(values):
        if len(set(values.values())) > 1:
            raise MPIError(MPI.ERR_ARG, f"rank {comm.rank}: {_disagreement(values)}")
        return {rank: tuple(range(size)) for rank in range(size)}

    cart = comm._make("Create_cart", groups, (dims, wraps), SimulatedCartcomm)
    if cart != MPI.COMM_NULL:
        cart.extents, cart.wraps = dims, wraps
    return cart


def _disagreement(values) -> str:
    """Which members of a communicator ask for which grid."""
    askers: dict[tuple, list[int]] = {}
    for rank, grid in sorted(values.items()):
        askers.setdefault(grid, []).append(rank)
    calls = "; ".join(
        f"{ranks_text(ranks)}: dims {list(dims)}, periods {list(wraps)}" for (dims, wraps), ranks in askers.items()
    )
    return f"Create_cart: every member passes the same dims and periods, and these differ ({calls}): compute them alike"
