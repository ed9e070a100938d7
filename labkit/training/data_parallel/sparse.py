"""An all-reduce of the largest values alone; the others wait until they have grown."""

from __future__ import annotations

import numpy as np
import torch

from labkit.errors import UsageError


class TopK:
    """Each rank sends its k largest values with their places, to all; what it does not send it keeps for later.

    The kept rest is added to the next gradient (error feedback), so every gradient arrives at some time, the small
    ones late. Without it, most of the gradient would be lost for ever.

    Parameters
    ----------
    share : float
        k is this share of the values of a vector, rounded up. Above 0, at most 1.
    error_feedback : bool

    Notes
    -----
    8 k (p - 1) bytes a rank: the places differ, so this is an all-gather, and with many ranks its bytes grow with p, where
    those of an all-reduce do not. Bitwise equal on all ranks: everybody adds up the same values in the order of the ranks.

    References
    ----------
    Y. Lin et al., Deep gradient compression, ICLR 2018. S. Stich et al., Sparsified SGD with memory, NeurIPS 2018.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     reducer = TopK(0.25)
    ...     reducer.prepare(comm, [4])
    ...     for _ in range(2):
    ...         vector = torch.tensor([3.0, 2.0, 0.0, 0.0])
    ...         reducer.reduce(comm, vector, 0)
    ...         print(comm.rank, vector.tolist()) if comm.rank == 0 else None
    >>> _ = simulate(2, program)
    0 [6.0, 0.0, 0.0, 0.0]
    0 [0.0, 8.0, 0.0, 0.0]
    """

    takes_gpu_tensors = False

    def __init__(self, share: float = 0.01, *, error_feedback: bool = True):
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise UsageError(f"TopK: share is above 0 and at most 1, not {share!r}: pass 0.01, for example.")
        self.name = f"top {100 * share:g} %" + (" with error feedback" if error_feedback else "")
        self.share, self.error_feedback = share, error_feedback
        self.residuals: list[torch.Tensor] = []

    def num_kept(self, size: int) -> int:
        """k."""
        return max(1, -int(-size * self.share // 1)) if size else 0

    def prepare(self, comm, sizes: list[int]) -> None:
        self.residuals = [torch.zeros(size) for size in sizes] if self.error_feedback else []

    def reduce(self, comm, vector: torch.Tensor, key: int) -> None:
        values = vector.float() + self.residuals[key] if self.error_feedback else vector.float()
        k = self.num_kept(len(vector))
        places = values.abs().topk(k).indices.sort().values
        mine = np.empty((2, k), np.int32)  # places, and the bits of the values
        mine[0] = places.numpy()
        mine[1] = values[places].numpy().view(np.int32)
        everyone = np.empty((comm.size, 2, k), np.int32)
        comm.Allgather(mine, everyone)
        if self.error_feedback:
            values[places] = 0.0
            self.residuals[key] = values
        vector.zero_()
        for theirs in everyone:  # in the order of the ranks; the places of one rank differ
            index = torch.from_numpy(theirs[0].astype(np.int64))
            vector[index] += torch.from_numpy(theirs[1].view(np.float32)).to(vector.dtype)

    def memory_bytes(self) -> int:
        return sum(4 * residual.numel() for residual in self.residuals)

    def state_dict(self) -> dict:
        return {"residuals": list(self.residuals)}

    def load_state_dict(self, state: dict) -> None:
        """What was not sent yet; dropped if the vectors have other lengths."""
        theirs = state.get("residuals", [])
        fits = [len(tensor) for tensor in self.residuals] == [len(tensor) for tensor in theirs]
        self.residuals = [t.clone() for t in theirs] if fits else [torch.zeros_like(t) for t in self.residuals]
