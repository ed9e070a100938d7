"""What all collective algorithms share: checking arguments, cutting a vector into blocks.

Buffers are contiguous NumPy arrays of any shape, or CPU torch tensors; an algorithm sees them as flat
arrays that share their memory. Errors name the rank, the call and the values, and are raised before
anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from labkit.errors import UsageError

IN_PLACE = MPI.IN_PLACE
EMPTY = np.empty(0, np.uint8)
MPI_TYPES = "?bhilqBHILQfdgFDG"


def flat(comm, call: str, buffer, name: str) -> np.ndarray:
    """The buffer as a flat array that shares its memory.

    Raises
    ------
    UsageError
        Not a contiguous array of a type that MPI knows.
    """
    array = buffer
    if type(array) is not np.ndarray:
        if hasattr(buffer, "detach"):  # a torch tensor
            if buffer.device.type != "cpu" or not buffer.is_contiguous():
                refuse(comm, call, f"{name} is a tensor on {buffer.device}, contiguous: {buffer.is_contiguous()}",
                       "pass a contiguous CPU tensor, or stage it through one")
            array = buffer.detach().numpy()
        elif not isinstance(buffer, np.ndarray):
            refuse(comm, call, f"{name} is a {type(buffer).__name__}", "pass a NumPy array or a torch tensor")
    if not array.flags.c_contiguous:
        refuse(comm, call, f"{name} is not contiguous (shape {array.shape}, strides {array.strides})",
               "pass np.ascontiguousarray(...) of it")
    if array.dtype.char not in MPI_TYPES:
        refuse(comm, call, f"{name} has the type {array.dtype}, which MPI does not know",
               "convert it, for example with .astype(np.float32)")
    return array.reshape(-1)


def refuse(comm, call: str, problem: str, remedy: str):
    """Raise the error for a wrong argument."""
    raise UsageError(f"rank {comm.rank} of {comm.size}: {call}: {problem}; {remedy}.")


def check_root(comm, call: str, root: int) -> None:
    """The root is a rank."""
    if isinstance(root, bool) or not isinstance(root, (int, np.integer)) or not 0 <= root < comm.size:
        refuse(comm, call, f"root={root} is not a rank", f"the ranks are 0 to {comm.size - 1}")


def check_commutative(comm, call: str, op) -> None:
    """The operation may be applied in any order."""
    if not op.Is_commutative():
        refuse(comm, call, "the operation does not commute, and this algorithm changes the order of the operands",
               "use an algorithm that keeps it, such as allreduce_recursive_doubling")


def check_same(comm, call: str, send: np.ndarray, recv: np.ndarray) -> None:
    """Two buffers of one call have equal size and type."""
    if send.size != recv.size or send.dtype != recv.dtype:
        refuse(comm, call, f"sendbuf has {send.size} x {send.dtype} and recvbuf {recv.size} x {recv.dtype}",
               "make them equal")


def own_copy(comm, call: str, sendbuf, recvbuf) -> np.ndarray:
    """``recvbuf``, flat, with the rank's own contribution in it; ``sendbuf`` may be MPI.IN_PLACE."""
    recv = flat(comm, call, recvbuf, "recvbuf")
    if sendbuf is not IN_PLACE:
        send = flat(comm, call, sendbuf, "sendbuf")
        check_same(comm, call, send, recv)
        recv[...] = send
    return recv


def block_ends(num_elements: int, num_blocks: int) -> list[int]:
    """Where blocks end when a vector is cut as evenly as possible: block k is [ends[k], ends[k + 1]).

    Examples
    --------
    >>> block_ends(7, 3)
    [0, 3, 5, 7]
    """
    size, rest = divmod(num_elements, num_blocks)
    return [block * size + min(block, rest) for block in range(num_blocks + 1)]


def ends_of(comm, call: str, counts: Sequence[int] | None, total: int) -> list[int]:
    """Where the blocks of all ranks end in a buffer of ``total`` elements; equal blocks without ``counts``."""
    if counts is None:
        if total % comm.size:
            refuse(comm, call, f"{total} elements do not divide into {comm.size} equal blocks", "pass counts=")
        return block_ends(total, comm.size)
    counts = [int(count) for count in counts]
    if len(counts) != comm.size or min(counts) < 0 or sum(counts) != total:
        refuse(comm, call, f"counts={counts} do not describe a buffer of {total} elements for {comm.size} ranks",
               "give one count a rank, none negative, with the buffer's size as their sum")
    ends = [0]
    for count in counts:
        ends.append(ends[-1] + count)
    return ends


class Fold:
    """How p ranks act as m, the largest power of two up to p.

    Of the first ``2 * rest`` ranks, neighbours pair up: the even one of a pair acts for both. So the
    m acting ranks stand for consecutive ranks, and the order of operands is kept.
    """

    def __init__(self, size: int, rank: int):
        self.num_acting = 1 << (size.bit_length() - 1)
        self.rest = size - self.num_acting
        self.is_folded = rank < 2 * self.rest  # one of a pair
        self.acts = not (self.is_folded and rank % 2)
        self.partner = rank ^ 1 if self.is_folded else None
        self.number = rank // 2 if self.is_folded else rank - self.rest  # among those who act

    def rank_of(self, number: int) -> int:
        """The rank that acts as ``number``."""
        return 2 * number if number < self.rest else number + self.rest

    def first_of(self, number: int) -> int:
        """The first rank for which ``number`` stands; also for ``number`` = m, one past the last."""
        return 2 * number if number < self.rest else number + self.rest
