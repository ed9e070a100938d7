"""One block of a transformer, forward and backward, on the ranks of a communicator: the calls that it has made.

Under mpiexec: ``counted_block.py WIDTH LENGTH BATCH SCHEME`` prints them as JSON.
"""

from __future__ import annotations

import json
import sys

from labkit.training.tensor_parallel.traffic import PARTS, SCHEMES, TENSOR


def counted_block(comm, width: int, length: int, batch: int, scheme: str = TENSOR) -> list[dict]:
    """The collective calls of a block on this rank, in their order. Collective.

    Parameters
    ----------
    comm : communicator
    width, length, batch : int
        ``width`` is a multiple of the ranks, which have a head each.
    scheme : str

    Returns
    -------
    list of dict
        ``part``, ``is_backward``, ``kind``, ``num_bytes``, ``sent_bytes`` of each.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> [call["kind"] for call in simulate(2, lambda comm: counted_block(comm, 8, 4, 1)).results[0]]
    ['all-reduce', 'all-reduce', 'all-reduce', 'all-reduce']
    """
    import torch

    from labkit.training.models.initial import initialise
    from labkit.training.models.transformer import Block
    from labkit.training.tensor_parallel.blocks import ParallelBlock
    from labkit.training.tensor_parallel.group import ParallelGroup
    from labkit.training.tensor_parallel.shards import Rows

    group = ParallelGroup(comm, sequence_parallel=scheme != TENSOR)
    block = ParallelBlock(initialise(Block(width, comm.size, causal=True), seed=1), group, "block")
    rows = group.rows = Rows.of(batch, length, comm.size, comm.rank)
    values = torch.randn(batch, length, width, generator=torch.Generator().manual_seed(1))
    if group.sequence_parallel:
        values = values.view(-1, width)[rows.start : rows.stop]
    group.backward(block(values.requires_grad_(), None).square().sum())
    return [
        {
            "part": PARTS[0] if call.layer.startswith("block.attention") else PARTS[1], "is_backward": call.is_backward,
            "kind": call.kind, "num_bytes": call.num_bytes, "sent_bytes": call.sent_bytes,
        }
        for call in group.calls
    ]


def main() -> None:
    import torch
    from mpi4py import MPI

    torch.set_num_threads(1)
    comm = MPI.COMM_WORLD
    width, length, batch = map(int, sys.argv[1:4])
    everyone = comm.gather(counted_block(comm, width, length, batch, SCHEMES[int(sys.argv[4])]))
    if comm.rank == 0:
        print(json.dumps(everyone))


if __name__ == "__main__":
    main()
