"""What the checks share: data of any rank, buffers with guards around them, operations."""

import functools

import numpy as np
import torch
from mpi4py import MPI

from labkit.errors import UsageError
from labkit.mpi.collectives.registry import family

DTYPES = ("?", "i4", "i8", "u1", "f4", "f8", "c16")
GUARD = 3  # elements on each side of a result that nobody may write to
PRIME = 251


def sizes(comm) -> list[int]:
    p = comm.size
    return sorted({0, 1, p - 1, p, p + 1, 3 * p + 2, 64} if p < 10 else {0, p - 1, p + 1, 64})


def can_run(comm, algorithm) -> bool:
    """Simulated ranks share no memory."""
    return isinstance(comm, MPI.Comm) or not algorithm.needs_shared_memory


def algorithms(comm, operation: str):
    """Those of the operation that these ranks can run."""
    return [algorithm for algorithm in family(operation) if can_run(comm, algorithm)]


def roots(comm):
    return range(comm.size) if comm.size < 13 else (0, 1, comm.size // 2, comm.size - 1)


@functools.cache
def data(rank: int, n: int, dtype, low=0, high=100) -> np.ndarray:
    """The vector of a rank: whole numbers that every type can hold, different on all ranks. It is read-only."""
    values = np.random.default_rng([rank, n, 7]).integers(low, high, n)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * np.roll(values, 1)
    array = values % 2 == 1 if np.dtype(dtype) == bool else values.astype(dtype)
    array.flags.writeable = False
    return array


class Room:
    """A buffer for a result, with guards on both sides. ``fill`` is what it has in it before."""

    def __init__(self, n, dtype, fill=None):
        self.whole = np.resize(np.array([1, 0, 1]), n + 2 * GUARD).astype(dtype)
        self.before = self.whole.copy()
        self.array = self.whole[GUARD : GUARD + n]
        if fill is not None:
            self.array[: len(fill)] = fill

    def check(self, expected, what):
        assert self.array.dtype == expected.dtype
        assert self.array.tobytes() == expected.tobytes(), f"{what}: {self.array} is not {expected}"
        for side in (slice(0, GUARD), slice(self.whole.size - GUARD, None)):
            assert self.whole[side].tobytes() == self.before[side].tobytes(), f"{what}: wrote beyond its block"


def counts_of(comm, seed: int) -> list[int]:
    """Uneven counts, some of them zero; with seed 0, all in one block."""
    if seed == 0:
        return [5 if rank == comm.size // 2 else 0 for rank in range(comm.size)]
    return [(7 * rank * seed + seed) % 4 for rank in range(comm.size)]


def ends_of(counts) -> list[int]:
    return [0, *np.cumsum(counts).tolist()]


def refused(call, *words):
    """``call`` raises UsageError with these words in its message."""
    try:
        call()
    except UsageError as error:
        missing = [word for word in words if word not in str(error)]
        assert not missing, f"{missing} not in: {error}"
    else:
        raise AssertionError(f"not refused; expected {words}")


# -- operations -----------------------------------------------------------------------------------------


def _elementwise(function):
    def apply(left, right, datatype):
        left, right = np.frombuffer(left, np.int64), np.frombuffer(right, np.int64)
        right[:] = function(left, right)

    return apply


def affine(left, right):
    """Maps x -> (a x + b) mod 251, each packed in one number; first the left one."""
    (a, b), (c, d) = divmod(left, 256), divmod(right, 256)
    return (a * c % PRIME) * 256 + (b * c + d) % PRIME


def matrices(left, right):
    """Products of 2 x 2 matrices mod 251: four numbers belong together."""
    return (left.reshape(-1, 2, 2) @ right.reshape(-1, 2, 2) % PRIME).reshape(-1)


def modular(left, right):
    return (left + right) % PRIME


AFFINE = MPI.Op.Create(_elementwise(affine), commute=False)
MATRICES = MPI.Op.Create(_elementwise(matrices), commute=False)
MODULAR = MPI.Op.Create(_elementwise(modular), commute=True)

# name: (operation, its definition for two vectors, types, range of the data)
OPERATIONS = {
    "SUM": (MPI.SUM, np.add, ("i4", "i8", "u1", "f4", "f8", "c16"), (0, 100)),
    "PROD": (MPI.PROD, np.multiply, ("i4", "i8", "u1", "f4", "f8"), (1, 3)),
    "MAX": (MPI.MAX, np.maximum, ("i4", "u1", "f4", "f8"), (0, 100)),
    "MIN": (MPI.MIN, np.minimum, ("i8", "u1", "f8"), (0, 100)),
    "BAND": (MPI.BAND, np.bitwise_and, ("i4", "u1"), (0, 256)),
    "BOR": (MPI.BOR, np.bitwise_or, ("i8", "u1"), (0, 256)),
    "BXOR": (MPI.BXOR, np.bitwise_xor, ("i8", "u1"), (0, 256)),
    "LAND": (MPI.LAND, np.logical_and, ("?", "i4"), (0, 3)),
    "LOR": (MPI.LOR, np.logical_or, ("?", "u1"), (0, 2)),
    "LXOR": (MPI.LXOR, np.logical_xor, ("?", "i8"), (0, 2)),
    "modular": (MODULAR, modular, ("i8",), (0, PRIME)),
    "affine": (AFFINE, affine, ("i8",), (0, 256 * PRIME)),
}
COMMUTATIVE = {name: value for name, value in OPERATIONS.items() if name != "affine"}


def combined(definition, vectors) -> np.ndarray:
    """The vectors combined from left to right, in the type of the first."""
    total = vectors[0]
    for vector in vectors[1:]:
        total = definition(total, vector).astype(vector.dtype, copy=False)
    return total


def tensor(array):
    return torch.from_numpy(array.copy())
