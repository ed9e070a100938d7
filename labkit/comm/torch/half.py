"""Reductions of 16-bit floating-point tensors (float16, bfloat16), which MPI does not know.

A sum of p numbers that is rounded to 16 bits after every addition loses up to p - 1 half units of bfloat16's eight
bits. Here the pieces of a block travel as they are, and the rank that owns the block adds them in float32, in the
order of the ranks, and rounds once. The traffic is that of a ring: n (p - 1) / p elements of 16 bits out and in, twice.
"""

from __future__ import annotations

import torch
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.torch.arrays import HALF_TYPES

_FUNCTIONS = {
    op.handle: function
    for op, function in (
        (MPI.SUM, torch.add), (MPI.PROD, torch.mul), (MPI.MAX, torch.maximum), (MPI.MIN, torch.minimum),
    )
}


def check_half_op(who: str, op, tensor_type: torch.dtype) -> None:
    """The operation is one that is defined for numbers of 16 bits.

    Raises
    ------
    MPIError
        ``MPI_ERR_OP``.
    """
    if op.handle not in _FUNCTIONS:
        raise MPIError(
            MPI.ERR_OP, f"{who}: this operation is not defined for {tensor_type}: use MPI.SUM, PROD, MAX or MIN, or send "
            "t.float()"
        )


def block_ends(num_elements: int, num_blocks: int) -> list[int]:
    """Where blocks end that are as equal as possible."""
    size, rest = divmod(num_elements, num_blocks)
    return [block * size + min(block, rest) for block in range(num_blocks + 1)]


def allreduce_half(comm, tensor: torch.Tensor, op=MPI.SUM) -> None:
    """Combine 16-bit tensors of all ranks in place; every element is rounded once, and bitwise equal on all ranks.

    Parameters
    ----------
    comm : labkit.comm.torch.tensors.TensorComm
    tensor : torch.Tensor
        1-D, contiguous, float16 or bfloat16, on any device; of one size on all ranks.
    op : mpi4py.MPI.Op
        SUM, PROD, MAX or MIN.
    """
    if comm.size == 1:
        return
    ends = block_ends(tensor.numel(), comm.size)
    counts = [b - a for a, b in zip(ends[:-1], ends[1:], strict=True)]
    mine = reduce_pieces(comm, tensor, counts, op)
    words = tensor.view(torch.int16)
    comm.Allgatherv(mine.view(torch.int16), [words, counts])


def reduce_pieces(comm, tensor: torch.Tensor, counts: list[int], op) -> torch.Tensor:
    """This rank's block of the sum (a reduce-scatter): pieces of all ranks, added in float32, rounded once."""
    assert tensor.dtype in HALF_TYPES
    own = counts[comm.rank]
    pieces = torch.empty(comm.size * own, dtype=torch.int16, device=tensor.device)
    comm.Alltoallv([tensor.view(torch.int16), counts], [pieces, [own] * comm.size])
    rows = pieces.view(tensor.dtype).view(comm.size, own)
    total = rows[0].float()
    function = _FUNCTIONS[op.handle]
    for row in rows[1:]:
        total = function(total, row.float())
    return total.to(tensor.dtype)
