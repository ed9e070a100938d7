"""Memory that the ranks of one node share: vectors to work on, and a room through which others pass.

References
----------
MPI 4.1, sections 12.2.3 (MPI_WIN_ALLOCATE_SHARED) and 7.7 (attributes of communicators).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import LINE_BYTES, reduce_local
from labkit.mpi.arguments import check_count, usage_error
from labkit.mpi.collectives.arguments import MPI_TYPES, block_ends, check_op, flat
from labkit.mpi.collectives.fused import TYPES, sum_into_all, to_and_fro

ROOM_BYTES = 1 << 22  # of each rank; longer vectors pass in pieces
HALF_BYTES = ROOM_BYTES // 2
NUMBERS = {char: np.dtype(np.dtype(char).str).num for char in MPI_TYPES}  # one for equal types, such as l and q
MOST_PASSAGES = 64  # kept for sizes and types that come again


class SharedVectors:
    """Vectors of all ranks of one node in memory that all of them can read and write.

    Making it is collective and takes a while; then :meth:`allreduce` needs no messages: each rank combines
    its slice of all vectors and writes the result into all of them.

    Parameters
    ----------
    comm : communicator
        All of its ranks must be on one node.
    num_elements : int
    dtype : numpy dtype

    Attributes
    ----------
    own : numpy.ndarray
        This rank's vector: fill it, call ``allreduce``, read the result.

    Raises
    ------
    UsageError
        The ranks are on several nodes or simulated, or disagree about the size.
    """

    def __init__(self, comm, num_elements: int, dtype=np.float64):
        call = "SharedVectors"
        num_elements = check_count(comm, call, "num_elements", num_elements)
        flat(comm, call, np.empty(0, dtype), "a vector")  # a type that MPI knows
        _check_real(comm, call)
        node_comm = comm.Split_type(MPI.COMM_TYPE_SHARED)
        node_size = node_comm.size
        node_comm.Free()
        if node_size != comm.size:
            raise usage_error(
                comm, call, f"only {node_size} of {comm.size} ranks are on this node. "
                "Across nodes use an algorithm that sends messages, such as allreduce_hierarchical.",
            )
        sizes = comm.allgather((num_elements, np.dtype(dtype).str))
        if len(set(sizes)) > 1:
            raise usage_error(comm, call, f"the ranks ask for {sizes}. All pass the same num_elements and dtype.")
        self.comm, self.dtype = comm, np.dtype(dtype)
        # Each vector begins a cache line of its own.
        lines = -(-num_elements * self.dtype.itemsize // LINE_BYTES)
        self.window = MPI.Win.Allocate_shared(max(lines, 1) * LINE_BYTES, 1, comm=comm)
        self.vectors = []
        for rank in range(comm.size):
            memory, _ = self.window.Shared_query(rank)
            self.vectors.append(np.frombuffer(memory, self.dtype, num_elements))
        self.own = self.vectors[comm.rank]
        # Whole lines for each rank: no two of them write into one.
        ends = block_ends(lines, comm.size)
        start, stop = (min(end * LINE_BYTES // self.dtype.itemsize, num_elements) for end in ends[comm.rank : comm.rank + 2])
        self._slices = [vector[start:stop] for vector in self.vectors]
        self._sums = itertools.cycle(to_and_fro(self._slices))
        self.window.Lock_all(MPI.MODE_NOCHECK)

    def allreduce(self, op=MPI.SUM) -> None:
        """Every rank's vector becomes the combination of all. Collective.

        Notes
        -----
        Two barriers; each rank reads p slices and writes p. Bitwise equal on all ranks, and in rank order, so
        the operation need not commute: each element is computed once, from left to right.
        """
        is_sum = op == MPI.SUM and self.dtype in TYPES
        if not is_sum:
            check_op(self.comm, "SharedVectors.allreduce", op, self.own)
        self.meet(self.comm)  # all vectors are filled
        if is_sum:
            next(self._sums)()
        else:
            combine(self.comm, self._slices, op)
        self.meet(self.comm)  # all slices are written

    def meet(self, comm) -> None:
        """A barrier of ``comm``, the ranks that share, after which the memory of the others is what they have written."""
        self.window.Sync()
        comm.Barrier()
        self.window.Sync()

    def free(self) -> None:
        """Give the memory back. Collective."""
        self.own, self.vectors, self._slices, self._sums = None, [], [], None
        self.window.Unlock_all()
        self.window.Free()


def combine(comm, slices, op) -> None:
    """Slices of all ranks' vectors, in the order of the ranks, become the combination of all."""
    first, *others = slices
    if not first.size:
        return
    if op == MPI.SUM and first.dtype in TYPES:
        sum_into_all(slices)
        return
    for vector in others:
        reduce_local(comm, first, vector, op, first)
    for vector in others:
        vector[...] = first


class Passage:
    """The way of an ordinary vector through shared ones of its size and type.

    A rank combines its own slice where it is, in the buffer: only the others' slices are copied in, and come back.
    """

    def __init__(self, shared: SharedVectors, vectors):
        rank, size = shared.comm.rank, shared.comm.size
        self.shared, self.rank, own = shared, rank, vectors[rank]
        self.start, self.stop = block_ends(own.size, size)[rank : rank + 2]
        self._before, self._after = own[: self.start], own[self.stop :]
        self._slices = [vector[self.start : self.stop] for vector in vectors]

    def copy_in(self, mine: np.ndarray) -> None:
        """What the other ranks combine."""
        self._before[...] = mine[: self.start]
        self._after[...] = mine[self.stop :]

    def combine(self, mine: np.ndarray, op) -> None:
        """This rank's slice of all, once all have copied in; the sum stands in ``mine`` and in the others' vectors."""
        slices = self._slices.copy()
        slices[self.rank] = mine[self.start : self.stop]
        combine(self.shared.comm, slices, op)

    def copy_out(self, mine: np.ndarray) -> None:
        """What the other ranks have combined, once all have."""
        mine[: self.start] = self._before
        mine[self.stop :] = self._after


class SharedRoom:
    """Room for ordinary vectors on their way through shared memory; :func:`room_of` keeps one with a communicator.

    An all-reduce meets before and after it combines, so nobody looks into the room when it is over. ``show`` meets
    once a piece, and a slow rank may still read: the next piece goes into the other half of the room, and by its meeting
    all have read the half before.

    Attributes
    ----------
    shared : SharedVectors
        ``ROOM_BYTES`` of each rank, as bytes, after a line for each half in which the rank says what it brings.
    """

    def __init__(self, comm):
        self.shared = SharedVectors(comm, 2 * LINE_BYTES + ROOM_BYTES, np.uint8)
        lines = [[vector[half * LINE_BYTES :][:24] for vector in self.shared.vectors] for half in (0, 1)]
        self._brought = [[memoryview(line).cast("q") for line in half] for half in lines]  # elements, type, cut
        self._rank, self._half, self._is_read, self._cell = comm.rank, 0, False, None
        self._passages = {}  # by size and type

    def enter(self, comm, *, leaves: bool = False) -> None:
        """Before something is laid into the room; that which it ``leaves`` to be read goes into the other half each time.

        A cell may have been interrupted on some ranks in the middle of a call: with each cell they begin anew.
        """
        cell = comm.monitor.cell_number if hasattr(comm, "monitor") else None
        if cell != self._cell or (self._is_read and not leaves):
            self.shared.meet(comm)
            self._half = 0
        elif leaves:
            self._half = 1 - self._half
        self._cell, self._is_read = cell, leaves

    def passage(self, size: int, dtype: np.dtype) -> Passage:
        """For a piece of at most ``ROOM_BYTES``."""
        passage = self._passages.get((size, dtype))
        if passage is None:
            start, end = 2 * LINE_BYTES, 2 * LINE_BYTES + size * dtype.itemsize
            passage = Passage(self.shared, [vector[start:end].view(dtype) for vector in self.shared.vectors])
            if len(self._passages) == MOST_PASSAGES:
                self._passages.clear()
            self._passages[size, dtype] = passage
        return passage

    def say(self, vector: np.ndarray, cut: int = 0) -> None:
        """Tell the others what this rank brings; ``cut`` is a number for where it cuts the vector into blocks."""
        own = self._brought[self._half][self._rank]
        own[0], own[1], own[2] = vector.size, NUMBERS[vector.dtype.char], cut

    def check(self, comm, call: str) -> None:
        """After ``say`` and a meeting: all ranks bring the same.

        Raises
        ------
        UsageError
            On all ranks, after all have seen it.
        """
        brought = self._brought[self._half]
        if all(one == brought[0] for one in brought):
            return
        kinds = {number: np.dtype(char).name for char, number in NUMBERS.items()}
        told = [f"{size} elements of {kinds[num]}" for size, num, _ in brought]
        self.shared.meet(comm)
        self._half, self._is_read = 0, False  # all have read; some may have made another call, which uses another half
        if len(set(told)) == 1:
            raise usage_error(
                comm, call, f"the ranks cut their {told[0]} into different blocks. Pass the same counts, or root, on all."
            )
        raise usage_error(
            comm, call, f"the ranks pass {', '.join(told)} in the order of their ranks. Pass as many on all, of one type."
        )

    def show(self, comm, call: str, data: np.ndarray, ends: Sequence[int]) -> None:
        """Of ``data``, flat and as long on all ranks, rank k's block [ends[k], ends[k + 1]) becomes that of all."""
        blocks = [data[start:end].view(np.uint8) for start, end in pairwise(ends)]
        for start in range(0, max(1, *map(len, blocks)), HALF_BYTES):
            self.enter(comm, leaves=True)
            self.say(data, hash(tuple(ends)))
            first = 2 * LINE_BYTES + self._half * HALF_BYTES
            pieces = [block[start : start + HALF_BYTES] for block in blocks]
            places = [vector[first : first + len(piece)] for vector, piece in zip(self.shared.vectors, pieces, strict=True)]
            places[self._rank][...] = pieces[self._rank]
            self.shared.meet(comm)
            self.check(comm, call)
            for other in range(self._rank + 1 - comm.size, self._rank):  # those after this rank first: -1 is the last one
                if len(pieces[other]):
                    pieces[other][...] = places[other]

    def free(self) -> None:
        """Give the memory back. Collective."""
        self._brought, self._passages = [], {}
        self.shared.free()


def room_of(comm, call: str) -> SharedRoom:
    """The room of a communicator: made at the first call, which is collective, and freed with the communicator.

    An interruptible communicator of a cell ends with its cell, on one rank sooner than on another; its gate does not,
    so the room is kept with that. ``call`` is who asks, for errors.

    Raises
    ------
    UsageError
        The ranks are on several nodes, or simulated.
    """
    _check_real(comm, call)
    keeper = getattr(comm, "gate", comm)
    room = keeper.Get_attr(_key())
    if room is None:
        comm.Barrier()  # where ranks may be interrupted: this can be, making a window cannot
        room = SharedRoom(keeper)
        keeper.Set_attr(_key(), room)
    return room


def _check_real(comm, call: str) -> None:
    if not isinstance(comm, MPI.Comm):
        raise usage_error(
            comm, call, f"a {type(comm).__name__} is no communicator of MPI, whose ranks can share memory. Pass one of real "
            "ranks on one node, or use an algorithm that sends messages.",
        )


@functools.cache
def _key() -> int:
    return MPI.Comm.Create_keyval(delete_fn=lambda comm, key, room: room.free())
