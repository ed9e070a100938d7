"""What all collective algorithms share: checking arguments, cutting a vector into blocks.

Buffers are contiguous NumPy arrays of any shape, or CPU torch tensors; an algorithm sees them as flat
arrays that share their memory. On a communicator for tensors (:mod:`labkit.comm.torch`) they may be tensors of
any type on any device, which an algorithm sees as a ``TensorArray``. Errors name the rank, the call and the values (see
:mod:`labkit.mpi.arguments`), and are raised before anything is sent. What only shows when ranks talk to each
other is found by :mod:`.messages`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from mpi4py import MPI

from labkit.mpi.arguments import check_count, usage_error

IN_PLACE = MPI.IN_PLACE
EMPTY = np.empty(0, np.uint8)
MPI_TYPES = frozenset("?bhilqBHILQfdgFDG")
KNOWN_TYPES = frozenset(np.dtype(char) for char in MPI_TYPES)
# MPI 4.1, section 6.9.2: the kinds of types (NumPy's letters) for which an operation is defined.
KINDS = {
    op.handle: (name, kinds)
    for names, kinds in (
        ("SUM PROD", "iufc"), ("MAX MIN", "iuf"), ("BAND BOR BXOR", "iu"), ("LAND LOR LXOR", "iub"),
    )
    for name in names.split()
    for op in [getattr(MPI, name)]
}


def flat(comm, call: str, buffer, name: str, *, is_filled: bool = False) -> np.ndarray:
    """The buffer as a flat array that shares its memory; ``is_filled``: the call writes into it.

    Raises
    ------
    UsageError
        Not a contiguous array of a type that MPI knows, or one to be filled that is read-only.
    """
    array = buffer
    if type(array) is np.ndarray and array.ndim == 1 and array.dtype in KNOWN_TYPES and array.flags.carray:
        return array  # the common case first: a microsecond counts beside a message of a megabyte
    if type(array) is not np.ndarray:
        array = _as_array(comm, call, buffer, name)
        if type(array) is not np.ndarray:
            return array.reshape(-1)  # a TensorArray
    flags = array.flags
    if not flags.c_contiguous:
        raise usage_error(
            comm, call, f"{name} is not contiguous in C order: shape {array.shape}, strides {array.strides}. "
            "Pass np.ascontiguousarray(...) of it.",
        )
    if array.dtype.char not in MPI_TYPES or not array.dtype.isnative:
        raise usage_error(
            comm, call, f"{name} has the type {array.dtype}, which MPI does not know. "
            "Convert it, for example with .astype(np.float32).",
        )
    if is_filled and not flags.writeable:
        raise usage_error(comm, call, f"{name} is read-only, and the result goes there. Pass a copy.")
    return array.reshape(-1)


def _as_array(comm, call: str, buffer, name: str) -> np.ndarray:
    """What is no plain array: a torch tensor, or a subclass of NumPy's array."""
    if isinstance(buffer, np.ndarray):
        return np.asarray(buffer)  # a matrix would stay 2-D
    if type(buffer).__name__ == "TensorArray":
        return buffer
    if not hasattr(buffer, "is_contiguous"):
        raise usage_error(comm, call, f"{name} is a {type(buffer).__name__}. Pass a NumPy array or a torch tensor.")
    if getattr(comm, "carries_tensors", False) and buffer.is_contiguous():
        from labkit.comm.torch.arrays import TensorArray, needs_tensor_array

        if needs_tensor_array(buffer):
            return TensorArray(buffer)
    if buffer.device.type != "cpu" or not buffer.is_contiguous():
        raise usage_error(
            comm, call, f"{name} is a tensor on {buffer.device}, contiguous: {buffer.is_contiguous()}. "
            "Pass a contiguous CPU tensor, or stage it through one; labkit.comm.torch.communicator(comm) takes tensors on GPUs.",
        )
    try:
        return buffer.detach().numpy()
    except (TypeError, RuntimeError):  # bfloat16, conjugate views
        raise usage_error(
            comm, call, f"{name} is a tensor of {buffer.dtype} that NumPy cannot read. "
            "Convert it, for example with .float(), or use labkit.comm.torch.communicator(comm).",
        ) from None


def check_root(comm, call: str, root: int) -> None:
    """The root is a rank."""
    if isinstance(root, bool) or not isinstance(root, (int, np.integer)) or not 0 <= root < comm.size:
        raise usage_error(comm, call, f"root={root!r} is not a rank. Pass one of 0 to {comm.size - 1}.")


def check_op(comm, call: str, op, array: np.ndarray, *, must_commute: bool = False) -> None:
    """The operation is defined for the type and, if the algorithm asks for it, may be applied in any order."""
    name, kinds = KINDS.get(op.handle, ("this one", "")) if isinstance(op, MPI.Op) else (None, "")
    if array.dtype.kind in kinds:
        return  # all of these commute
    if name is None or op == MPI.OP_NULL:
        raise usage_error(comm, call, f"op={op!r} is no operation. Pass one such as MPI.SUM, or make one with MPI.Op.Create.")
    if op.is_predefined:
        raise usage_error(
            comm, call, f"the operation MPI.{name} is not defined for {array.dtype}. Convert the data"
            ", for example with .astype(np.int32), or make an operation with MPI.Op.Create.",
        )
    if must_commute and not op.Is_commutative():
        raise usage_error(
            comm, call, "the operation does not commute, and this algorithm changes the order of the operands. "
            "Use an algorithm that keeps it, such as allreduce_recursive_doubling.",
        )


def check_pair(comm, call: str, name: str, array, partner_name: str, partner, *, memory=None) -> None:
    """Two buffers have equal size and type and are apart; ``memory`` is all of the partner's buffer."""
    if array.size != partner.size or array.dtype != partner.dtype:
        raise usage_error(
            comm, call, f"{name} has {array.size} elements of {array.dtype}, but {partner_name} "
            f"{partner.size} of {partner.dtype}. Make them equal.",
        )
    if np.may_share_memory(array, partner if memory is None else memory):
        raise usage_error(
            comm, call, "sendbuf and recvbuf share memory. Pass MPI.IN_PLACE if the data stand in recvbuf, or a copy."
        )


def own_copy(comm, call: str, sendbuf, recvbuf, op, *, must_commute: bool = False) -> np.ndarray:
    """``recvbuf``, flat, with the rank's own contribution to a reduction in it."""
    recv = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
    check_op(comm, call, op, recv, must_commute=must_commute)
    if sendbuf is not IN_PLACE:
        send = flat(comm, call, sendbuf, "sendbuf")
        check_pair(comm, call, "sendbuf", send, "recvbuf", recv)
        recv[...] = send
    return recv


@functools.lru_cache(maxsize=256)
def block_ends(num_elements: int, num_blocks: int) -> tuple[int, ...]:
    """Where blocks end when a vector is cut as evenly as possible: block k is [ends[k], ends[k + 1]).

    One tuple for all who ask: a thousand simulated ranks with one each would not fit into any cache.

    Examples
    --------
    >>> block_ends(7, 3)
    (0, 3, 5, 7)
    """
    size, rest = divmod(num_elements, num_blocks)
    return tuple(block * size + min(block, rest) for block in range(num_blocks + 1))


def ends_of(comm, call: str, counts: Sequence[int] | None, total: int | None) -> list[int]:
    """Where the blocks of all ranks end in a buffer of ``total`` elements; equal blocks without ``counts``.

    ``total`` is None on ranks that do not have the buffer; then there are ``counts``.
    """
    if counts is None:
        size = comm.size
        if total % size:
            raise usage_error(
                comm, call, f"{total} elements do not divide into {size} equal blocks. Pass counts=, if the "
                "algorithm takes it, or another buffer.",
            )
        return block_ends(total, size)
    is_sequence = hasattr(counts, "__len__") and hasattr(counts, "__getitem__") and np.ndim(counts) == 1
    if not is_sequence or len(counts) != comm.size:
        raise usage_error(comm, call, f"counts={counts!r} is not one number for each of {comm.size} ranks. Pass such a list.")
    counts = [check_count(comm, call, "each of counts", count) for count in counts]
    if total is not None and sum(counts) != total:
        raise usage_error(
            comm, call, f"counts={counts} has the sum {sum(counts)}, but the buffer {total} elements. Make them equal."
        )
    return [0, *itertools.accumulate(counts)]


def check_block(comm, call: str, name: str, block: np.ndarray, counts) -> list[int]:
    """On a rank that has only its block: the ends of all blocks, and its own is as long as they say."""
    if counts is None:
        return block_ends(block.size * comm.size, comm.size)
    ends = ends_of(comm, call, counts, None)
    expected = ends[comm.rank + 1] - ends[comm.rank]
    if block.size != expected:
        raise usage_error(
            comm, call, f"{name} has {block.size} elements, but counts={list(counts)} says {expected}. Make them equal."
        )
    return ends


def ends_from(ends: Sequence[int], root: int) -> list[int]:
    """Where blocks end when they stand in order from the root's on.

    Examples
    --------
    >>> ends_from([0, 3, 5, 9], 1)
    [0, 2, 6, 9]
    """
    sizes = [end - start for start, end in pairwise(ends)]
    return list(accumulate(sizes[root:] + sizes[:root], initial=0))


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
