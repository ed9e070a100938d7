"""The communicator of one world: the calls that a trainer makes, by Gloo. A world that breaks raises in all of them."""

from __future__ import annotations

import datetime
import pickle
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

WORDS = ("gloo", "connection", "timed out", "timeout", "socket", "broken pipe", "peer", "store")


def is_broken(error: BaseException) -> bool:
    """Whether an error says that other ranks are gone, rather than that something is wrong here."""
    text = str(error).lower()
    return isinstance(error, (RuntimeError, OSError)) and any(word in text for word in WORDS)


class GlooComm:
    """Ranks joined by Gloo, with mpi4py's names, for buffers of NumPy and for objects.

    Parameters
    ----------
    meeting : Path
        A file where the ranks meet, new for each world.
    rank, size : int
    timeout_s : float
        How long a call waits for ranks that are there and do not answer.
    """

    def __init__(self, meeting: Path, rank: int, size: int, timeout_s: float):
        self.rank, self.size = rank, size
        dist.init_process_group(
            "gloo", store=dist.FileStore(str(meeting), size), rank=rank, world_size=size,
            timeout=datetime.timedelta(seconds=timeout_s),
        )

    def Allreduce(self, sendbuf, recvbuf, op=None):
        if isinstance(sendbuf, np.ndarray):
            recvbuf[...] = sendbuf
        if op is not None and getattr(op, "name", "MPI_SUM") != "MPI_SUM":
            raise NotImplementedError("worlds add, and nothing else")
        dist.all_reduce(torch.from_numpy(recvbuf))

    def Allgather(self, sendbuf, recvbuf):
        rows = torch.from_numpy(recvbuf.reshape(self.size, -1))
        dist.all_gather(list(rows.unbind()), torch.from_numpy(sendbuf.reshape(-1)))

    def Bcast(self, buf, root=0):
        dist.broadcast(torch.from_numpy(buf), root)

    def Barrier(self):
        dist.barrier()

    def allgather(self, obj) -> list:
        mine = torch.frombuffer(bytearray(pickle.dumps(obj)), dtype=torch.uint8)
        sizes = np.empty(self.size, np.int64)
        self.Allgather(np.array([mine.numel()]), sizes)
        longest = int(sizes.max())
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: mine.numel()] = mine
        rows = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(rows, padded)
        return [pickle.loads(row[:size].numpy().tobytes()) for row, size in zip(rows, sizes, strict=True)]

    def bcast(self, obj, root=0):
        return self.allgather(obj)[root]

    def Dup(self, info=None) -> GlooComm:
        return self

    def Free(self) -> None:
        pass

    def leave(self) -> None:
        """Close the connections, whatever state they are in."""
        if dist.is_initialized():
            dist.destroy_process_group()
