"""Tensors as message buffers: seen by MPI without a copy where that is possible, staged through the host elsewhere.

``host_array(tensor)`` is the memory of a CPU tensor as a NumPy array; of 16-bit floating-point numbers, as an array
of 16-bit integers, which MPI moves and must not add. A tensor on a GPU is *staged*: copied to pinned host memory
before it is sent, and back after it has been received.
"""

from __future__ import annotations

import contextlib

import numpy as np
import torch

from labkit.comm.torch.arrays import HALF_TYPES, TensorArray
from labkit.errors import NotAvailableError, UsageError

_BYTE_VIEWS = {1: torch.uint8, 2: torch.int16}  # types that NumPy lacks, by their size: what their bytes go as


def as_tensor(buffer) -> torch.Tensor | None:
    """The tensor in a buffer argument, or None if it is something else."""
    if isinstance(buffer, TensorArray):
        return buffer.tensor
    return buffer.detach() if isinstance(buffer, torch.Tensor) else None


def check_tensor(tensor: torch.Tensor, who: str) -> None:
    """A tensor that has memory of its own, one element behind the other.

    Raises
    ------
    UsageError
        Strided, sparse, a conjugate view, or without memory.
    """
    shape = f"a tensor of shape {tuple(tensor.shape)}"
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        raise UsageError(f"{who}: {shape} with layout {tensor.layout} on {tensor.device} has no memory to send. Pass t.to_dense().")
    if not tensor.is_contiguous():
        raise UsageError(
            f"{who}: {shape} and strides {tensor.stride()} is not contiguous: its elements do not stand one behind the "
            "other. Send t.contiguous(), or receive with: with labkit.comm.torch.contiguous(t) as buffer: ..."
        )
    if tensor.is_conj() or tensor.is_neg():
        raise UsageError(f"{who}: {shape} is a conjugate or negative view. Pass t.resolve_conj().resolve_neg().")


def host_array(tensor: torch.Tensor, who: str = "host_array") -> np.ndarray:
    """The memory of a contiguous CPU tensor as a NumPy array: no copy is made.

    Parameters
    ----------
    tensor : torch.Tensor
        Of any shape; gradients do not matter.
    who : str
        Begins an error message.

    Returns
    -------
    numpy.ndarray
        Of the same shape. bfloat16 and float16 as int16, float8 types as uint8: bytes to be moved.

    Raises
    ------
    UsageError
        Not contiguous, or not on the CPU.

    Examples
    --------
    >>> tensor = torch.zeros(3, requires_grad=True)
    >>> host_array(tensor)[1] = 5
    >>> tensor.tolist()
    [0.0, 5.0, 0.0]
    >>> host_array(torch.ones(2, dtype=torch.bfloat16))
    array([16256, 16256], dtype=int16)
    """
    tensor = tensor.detach()
    check_tensor(tensor, who)
    if tensor.device.type != "cpu":
        raise UsageError(f"{who}: the tensor is on {tensor.device}, not on the CPU. Stage it: tensor.cpu().")
    if tensor.dtype in HALF_TYPES:
        return tensor.view(torch.int16).numpy()
    try:
        return tensor.numpy()
    except TypeError:  # float8 and its like
        return tensor.view(_BYTE_VIEWS[tensor.element_size()]).numpy()


class Staging:
    """A host copy of a tensor on another device, or of another type.

    Attributes
    ----------
    array : numpy.ndarray
        What MPI sees.
    """

    def __init__(self, tensor: torch.Tensor, *, reads: bool, widen: bool = False):
        self.device_tensor = tensor
        host_type = torch.float32 if widen else tensor.dtype
        is_pinned = tensor.device.type == "cuda"
        self.host = torch.empty(tensor.shape, dtype=host_type, pin_memory=is_pinned)
        if reads:
            self.host.copy_(tensor)
        self.array = host_array(self.host)

    def copy_back(self, num_bytes: int | None = None) -> None:
        """What has been received to the device; ``num_bytes`` of it if the message was shorter."""
        if num_bytes is None or num_bytes >= self.array.nbytes:
            self.device_tensor.copy_(self.host)
            return
        count = num_bytes // self.array.itemsize
        self.device_tensor.view(-1)[:count].copy_(self.host.view(-1)[:count])


@contextlib.contextmanager
def contiguous(tensor: torch.Tensor):
    """A contiguous tensor to receive into in the place of a strided one, which gets the data at the end.

    The one way to receive into a column or a transposed matrix; the copies stand where they can be seen.

    Examples
    --------
    >>> matrix = torch.zeros(2, 3)
    >>> with contiguous(matrix[:, 1]) as buffer:
    ...     _ = buffer.fill_(7)
    >>> matrix.tolist()
    [[0.0, 7.0, 0.0], [0.0, 7.0, 0.0]]
    """
    tensor = tensor.detach()
    if tensor.is_contiguous():
        yield tensor
        return
    buffer = tensor.contiguous()
    yield buffer
    tensor.copy_(buffer)


def check_device(device) -> torch.device:
    """The device, if this machine has it.

    Raises
    ------
    NotAvailableError
        There is no such GPU.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NotAvailableError(
            f"device {str(device)!r}: torch finds no GPU here (torch {torch.__version__}). Use the CPU, or a machine with a "
            "GPU and a CUDA build of torch; labkit doctor says what this one has."
        )
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise NotAvailableError(f"device {str(device)!r}: this machine has {torch.cuda.device_count()} GPUs, counted from 0.")
    return device
