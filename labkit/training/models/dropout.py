"""Dropout whose choice of elements depends on where they are in the whole, and not on who computes them.

Usual dropout draws from a stream of random numbers, so the mask depends on how many numbers were drawn before: on the
number of ranks, on how a tensor is divided, on micro-batches. Here the mask is a function of the seed, the step, the
layer's name, and the number of the element in the whole batch. A rank that holds any part of a tensor makes the mask of
this part, equal to the same part of the mask that one process would make.

References
----------
G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014: SplitMix64, whose k-th number is
a function of k.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import nn

from labkit.errors import UsageError

WORD = 1 << 64
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
NUM_BITS = 24  # of a random number


class Dropout(nn.Module):
    """In training, elements become 0 with a probability; the others are divided by the probability to stay.

    Parameters
    ----------
    share : float
        The probability to become 0: from 0, below 1.
    name : str
        Of the layer, in the model.
    seed : int

    Attributes
    ----------
    step, first_sample : int
        Which step of the training it is, and which sample of the whole batch is the first one here:
        :func:`set_place` sets them.

    Examples
    --------
    >>> layer, values = Dropout(0.5, name="dropout", seed=1), torch.ones(6, 4)
    >>> whole = layer(values)
    >>> lower = layer(values[4:], axis=0, start=4, shape=(6, 4))   # a rank with the last two rows
    >>> torch.equal(whole[4:], lower)
    True
    """

    def __init__(self, share: float, *, name: str, seed: int):
        super().__init__()
        if not 0 <= share < 1:
            raise UsageError(f"dropout is a probability from 0, below 1, not {share!r}: pass 0.1, for example.")
        self.share, self.name, self.seed = float(share), name, seed
        self.step = self.first_sample = 0

    def extra_repr(self) -> str:
        return f"{self.share}, name={self.name!r}"

    @property
    def is_active(self) -> bool:
        return self.training and self.share > 0

    def forward(
        self, values: torch.Tensor, *, shape: Sequence[int] | None = None, axis: int = 0, start: int = 0,
        num_samples: int | None = None,
    ) -> torch.Tensor:
        """The values with some of them 0.

        Parameters
        ----------
        values : torch.Tensor
        shape : sequence of int, optional
            Of the whole tensor that the values are a part of: consecutive places of one ``axis``, from ``start``.
        num_samples : int, optional
            Samples in the whole tensor; by default the length of its first dimension.
        """
        if not self.is_active:
            return values
        shape = tuple(values.shape) if shape is None else tuple(shape)
        numbers = element_numbers(shape, axis, start, values.shape[axis], values.device)
        samples = shape[0] if num_samples is None else num_samples
        if samples:
            numbers += self.first_sample * (math.prod(shape) // samples)
        keep = random_bits(self.key(), numbers) >= round(self.share * (1 << NUM_BITS))
        return values * keep.view(values.shape) / (1 - self.share)

    def key(self) -> int:
        """Of the random numbers of this layer in this step."""
        digest = hashlib.sha256(f"{self.seed}:{self.step}:{self.name}".encode()).digest()
        return int.from_bytes(digest[:8], "little")


def element_numbers(shape: Sequence[int], axis: int, start: int, length: int, device="cpu") -> torch.Tensor:
    """Where elements are in the whole tensor, in row-major order: those with a place ``start`` to ``start + length - 1``
    in one axis.

    Examples
    --------
    >>> element_numbers((2, 3), 1, 1, 2).tolist()
    [[[1], [2]], [[4], [5]]]
    """
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    rows = torch.arange(outer, device=device).view(-1, 1, 1) * shape[axis]
    middle = torch.arange(start, start + length, device=device).view(-1, 1)
    return (rows + middle) * inner + torch.arange(inner, device=device)


def random_bits(key: int, numbers: torch.Tensor) -> torch.Tensor:
    """A random whole number from 0 to 2**24 - 1 for each number: the top bits of SplitMix64 with the seed ``key``.

    Examples
    --------
    The first number of SplitMix64 with the seed 0 is 0xE220A8397B1DCDAF.

    >>> hex(random_bits(0, torch.tensor([0])).item())
    '0xe220a8'
    """
    state = (numbers + 1) * _signed(GOLDEN) + _signed(key)  # modulo 2**64, as int64 does
    state = (state ^ _shifted(state, 30)) * _signed(FIRST)
    state = (state ^ _shifted(state, 27)) * _signed(SECOND)
    return _shifted(state ^ _shifted(state, 31), 64 - NUM_BITS)


def set_place(model: nn.Module, step: int, first_sample: int = 0) -> None:
    """Tell all dropouts of a model which step it is, and which sample of the whole batch comes first."""
    for layer in model.modules():
        if isinstance(layer, Dropout):
            layer.step, layer.first_sample = step, first_sample


def _signed(word: int) -> int:
    """64 bits as a signed number."""
    return word - WORD if word >= WORD // 2 else word


def _shifted(words: torch.Tensor, num_bits: int) -> torch.Tensor:
    """To the right, with zeros from the left."""
    return (words >> num_bits) & ((1 << (64 - num_bits)) - 1)
