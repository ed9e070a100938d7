"""Tensors as bytes and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from labkit.errors import UsageError
from labkit.training.checkpoint.manifest import TensorInfo
from labkit.training.checkpoint.pieces import ALIGNMENT
from labkit.training.checkpoint.tree import Flat, Leaf, Shard, owner_of


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a dtype without the word torch.

    Examples
    --------
    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


def dtype_of(name: str) -> torch.dtype:
    """The dtype of a name; ValueError if torch has none such."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"this version of torch has no dtype {name!r}")
    return found


def info_of(leaf: Leaf) -> TensorInfo:
    """What the manifest says of a tensor."""
    if leaf.tensor.layout != torch.strided or leaf.tensor.is_quantized:
        raise UsageError(
            f"{leaf.name} is sparse or quantized; a checkpoint stores dense tensors: use .to_dense() or .dequantize()."
        )
    is_shard = not leaf.is_replicated and owner_of(leaf.name) is None
    return TensorInfo(dtype_name(leaf.tensor.dtype), leaf.shape, is_shard)


def signature(tensors: Mapping[str, torch.Tensor | Shard]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> (dtype, shape): what two models must agree in.

    Examples
    --------
    >>> signature(torch.nn.Linear(2, 3).state_dict())
    {'weight': ('float32', (3, 2)), 'bias': ('float32', (3,))}
    """
    whole = {name: (value.tensor.dtype if isinstance(value, Shard) else value.dtype) for name, value in tensors.items()}
    return {name: (dtype_name(dtype), tuple(tensors[name].shape)) for name, dtype in whole.items()}


def as_bytes(tensor: torch.Tensor) -> memoryview:
    """The memory of a tensor as bytes, without a copy where it is contiguous and on the CPU."""
    flat = tensor.detach().reshape(-1).cpu().contiguous()
    if flat.is_conj() or flat.is_neg():
        flat = flat.resolve_conj().resolve_neg()
    return memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else memoryview(b"")


class Arena:
    """One block of memory for many tensors, each aligned as torch aligns its own.

    One large block, because the system gives it large pages, and zeroing many small ones takes as long as reading.

    Parameters
    ----------
    num_bytes : int
        Of all tensors, each rounded up to 64.
    """

    def __init__(self, num_bytes: int):
        memory = np.empty(num_bytes + ALIGNMENT, np.uint8)
        skip = -memory.ctypes.data % ALIGNMENT
        self.memory = memory[skip : skip + num_bytes]
        self._used = 0

    @staticmethod
    def rounded(num_bytes: int) -> int:
        return -(-num_bytes // ALIGNMENT) * ALIGNMENT

    def take(self, num_bytes: int) -> np.ndarray:
        """The next ``num_bytes``, as an array of bytes."""
        part = self.memory[self._used : self._used + num_bytes]
        self._used += self.rounded(num_bytes)
        return part

    def rewind(self) -> None:
        """Give all memory out again."""
        self._used = 0


def as_tensor(memory: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Bytes as a flat tensor over the same memory."""
    if not memory.size:
        return torch.empty(0, dtype=dtype)
    return torch.from_numpy(memory).view(dtype)


def check_leaves(flat: Flat) -> dict[str, TensorInfo]:
    """Name -> info of all leaves."""
    return {leaf.name: info_of(leaf) for leaf in flat.leaves}
