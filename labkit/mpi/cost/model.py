"""What a cost is, the table of all cost functions, and the patterns that many of them are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Cost:
    """The exact cost of one call of an algorithm.

    Attributes
    ----------
    num_rounds : int
    path_bytes, path_reduced_bytes : int
        The largest message, and the largest reduction, of each round, added up.
    num_messages, total_bytes, total_reduced_bytes : int
        Of all ranks together.
    """

    num_rounds: int = 0
    path_bytes: int = 0
    path_reduced_bytes: int = 0
    num_messages: int = 0
    total_bytes: int = 0
    total_reduced_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def time_s(self, alpha_s: float, beta_s_per_byte: float, gamma_s_per_byte: float = 0.0) -> float:
        """The time that the alpha-beta-gamma model predicts, in s."""
        return (
            alpha_s * self.num_rounds + beta_s_per_byte * self.path_bytes + gamma_s_per_byte * self.path_reduced_bytes
        )


COSTS: dict[str, Callable[..., Cost]] = {}


def cost_of(name: str):
    """Register a cost function of (p, n, itemsize); one rank alone costs nothing."""

    def register(function):
        def cost(num_ranks: int, num_elements: int, itemsize: int = 8, **options) -> Cost:
            given = {"num_ranks": num_ranks, "num_elements": num_elements, "itemsize": itemsize, **options}
            for word, value in given.items():
                least = 0 if word == "num_elements" else 1
                if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                    raise UsageError(f"cost of {name}: {word} is a whole number of at least {least}, not {value!r}.")
            if num_ranks == 1:
                return Cost()
            sizes = int(num_ranks), int(num_elements), int(itemsize)  # products of NumPy's integers may overflow
            return function(*sizes, **options)

        cost.__name__, cost.__doc__ = name, function.__doc__
        COSTS[name] = cost
        return cost

    return register


def ceil_log2(p: int) -> int:
    return (p - 1).bit_length()


def block_size(name: str, p: int, n: int) -> int:
    """Elements of a block, where all blocks must be equal."""
    if n % p:
        raise UsageError(f"{name}: n = {n} elements do not divide into p = {p} equal blocks.")
    return n // p


def powers(limit: int) -> list[int]:
    """1, 2, 4, ... below ``limit``, a power of two."""
    return [1 << k for k in range(limit.bit_length() - 1)]


def equal_ends(name: str, p: int, n: int) -> list[int]:
    block = block_size(name, p, n)
    return [rank * block for rank in range(p + 1)]


def star(p: int, n: int, size: int) -> Cost:
    moved = (p - 1) * block_size("scatter and gather", p, n) * size
    return Cost(p - 1, moved, 0, p - 1, moved)


def scatter_tree(ends: list[int], size: int) -> Cost:
    """A binomial tree over blocks: in the round of distance d, ranks 0, 2 d, ... send what begins at d further."""
    p = len(ends) - 1
    rounds = path = messages = total = 0
    for distance in reversed(powers(1 << ceil_log2(p))):
        sent = [
            ends[min(first + distance, p)] - ends[first] for first in range(distance, p, 2 * distance)
        ]
        rounds, path = rounds + 1, path + max(sent)
        messages, total = messages + len(sent), total + sum(sent)
    return Cost(rounds, path * size, 0, messages, total * size)


def ring_lap(ends: list[int], size: int, *, reduces: bool = False) -> Cost:
    """Once around the ring: in every round every block moves on by one rank."""
    p = len(ends) - 1
    largest = max(b - a for a, b in zip(ends[:-1], ends[1:], strict=True))
    path, total = (p - 1) * largest * size, (p - 1) * ends[-1] * size
    return Cost(p - 1, path, path if reduces else 0, p * (p - 1), total, total if reduces else 0)
