"""An all-reduce that sends 16 bits a value, and remembers what the rounding took away."""

from __future__ import annotations

import math

import numpy as np
import torch
from mpi4py import MPI

from labkit.errors import UsageError
from labkit.mpi.collectives.arguments import block_ends

FORMATS = {"fp16": torch.float16, "bf16": torch.bfloat16}
TOP_EXPONENT = 14  # the largest value of a vector is scaled below 2**15; fp16 ends at 65504
MOST_EXPONENT = 120


class Compressed:
    """Values are rounded to 16 bits, sent, and added up in 32 bits in the order of the ranks.

    Rank r adds up block r of all ranks, rounds the sum, and sends it to all: half the bytes of an exact ring. MPI has no
    sums of fp16 or bf16, and adding up in 16 bits would round at every addition.

    With *error feedback* each rank keeps what the rounding took away from its values and adds it to those of the next
    step; the owner of a block does the same with the sum. So errors do not pile up: over many steps what was sent tends
    to the sum of the gradients.

    Parameters
    ----------
    form : str
        ``"fp16"``: 11 bits of significand, scaled by a power of 2 for each vector, because gradients are often below
        fp16's smallest number. ``"bf16"``: 8 bits, and the range of fp32.
    error_feedback : bool

    Notes
    -----
    2 (p - 1) messages, 2 n (p - 1) / p bytes and 4 (p - 1) more, for n bytes of 16-bit values. Bitwise equal on all ranks:
    each block is rounded once, by its owner.

    References
    ----------
    F. Seide et al., 1-bit stochastic gradient descent, Interspeech 2014. H. Tang et al., DoubleSqueeze, ICML 2019.

    Examples
    --------
    A third is no number of bf16; after many rounds the mean of what was sent is one nevertheless.

    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     reducer = Compressed("bf16")
    ...     reducer.prepare(comm, [4])
    ...     total = 0.0
    ...     for _ in range(100):
    ...         vector = torch.full((4,), 1 / 3)
    ...         reducer.reduce(comm, vector, 0)
    ...         total += float(vector[0]) / 100
    ...     return float(vector[0]), round(total, 4)
    >>> simulate(2, program).results[0]
    (0.66796875, 0.6667)
    """

    takes_gpu_tensors = False

    def __init__(self, form: str = "fp16", *, error_feedback: bool = True):
        if form not in FORMATS:
            raise UsageError(f"Compressed: form is one of {', '.join(FORMATS)}, not {form!r}: pass one of these.")
        self.name = f"{form} with error feedback" if error_feedback else form
        self.form, self.error_feedback = FORMATS[form], error_feedback
        self.residuals: list[torch.Tensor] = []  # of the values of this rank, by key
        self.sum_residuals: list[torch.Tensor] = []  # of the sums of this rank's block

    def prepare(self, comm, sizes: list[int]) -> None:
        own = []
        for size in sizes:
            ends = block_ends(size, comm.size)
            own.append(ends[comm.rank + 1] - ends[comm.rank])
        self.residuals = [torch.zeros(size) for size in sizes] if self.error_feedback else []
        self.sum_residuals = [torch.zeros(size) for size in own] if self.error_feedback else []

    def reduce(self, comm, vector: torch.Tensor, key: int) -> None:
        ends = block_ends(vector.numel(), comm.size)
        sizes = [end - start for start, end in zip(ends[:-1], ends[1:], strict=True)]
        values = vector.float() + self.residuals[key] if self.error_feedback else vector.float()
        exponent, words = self._encode(values, self.residuals, key)
        # Each block goes to its owner, behind the exponent of its sender.
        outgoing = np.concatenate([part for size, end in zip(sizes, ends[1:], strict=True) for part in (exponent, words[end - size : end])])
        arrived = np.empty((comm.size, sizes[comm.rank] + 1), np.int16)
        counts, room = [size + 1 for size in sizes], [arrived.shape[1]] * comm.size
        comm.Alltoallv([outgoing, counts, _starts(counts), MPI.SHORT], [arrived.reshape(-1), room, _starts(room), MPI.SHORT])
        total = torch.zeros(sizes[comm.rank])
        for row in arrived:  # in the order of the ranks
            total += self._decode(row)
        if self.error_feedback:
            total += self.sum_residuals[key]
        mine = np.concatenate(self._encode(total, self.sum_residuals, key))
        everything = np.empty(sum(counts), np.int16)
        comm.Allgatherv(mine, [everything, counts, _starts(counts), MPI.SHORT])
        for start, count, end in zip(_starts(counts), counts, ends[1:], strict=True):
            vector[end - count + 1 : end] = self._decode(everything[start : start + count])

    def _encode(self, values: torch.Tensor, residuals, key: int) -> tuple[np.ndarray, np.ndarray]:
        """(The exponent that values were scaled with, the scaled values in 16 bits), both as int16."""
        exponent = 0
        if self.form is torch.float16 and values.numel():
            largest = float(values.abs().max())
            if 0 < largest < math.inf:
                exponent = max(-MOST_EXPONENT, min(MOST_EXPONENT, TOP_EXPONENT - math.frexp(largest)[1] + 1))
        rounded = (values * 2.0**exponent).to(self.form)
        if residuals:
            rest = values - rounded.float() * 2.0**-exponent
            residuals[key] = rest if bool(torch.isfinite(rest).all()) else torch.zeros_like(rest)
        return np.array([exponent], np.int16), rounded.view(torch.int16).numpy()

    def _decode(self, words: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(words[1:]).view(self.form).float() * 2.0 ** -int(words[0])

    def memory_bytes(self) -> int:
        return sum(4 * residual.numel() for residual in [*self.residuals, *self.sum_residuals])

    def state_dict(self) -> dict:
        return {"residuals": list(self.residuals), "sum_residuals": list(self.sum_residuals)}

    def load_state_dict(self, state: dict) -> None:
        """What was left over; of another number of ranks it does not fit, and is dropped."""
        for name in ("residuals", "sum_residuals"):
            mine, theirs = getattr(self, name), state.get(name, [])
            fits = [len(tensor) for tensor in mine] == [len(tensor) for tensor in theirs]
            setattr(self, name, [tensor.clone() for tensor in theirs] if fits else [torch.zeros_like(tensor) for tensor in mine])


def _starts(counts: list[int]) -> list[int]:
    return [sum(counts[:k]) for k in range(len(counts))]
