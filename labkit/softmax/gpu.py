"""Softmax and cross-entropy on a GPU: torch tensors and NumPy arrays to the kernels of :mod:`.triton_kernels`.

The ladder's functions take NumPy arrays and copy them to the GPU and back, which costs more than the softmax; torch
tensors on the GPU are worked on where they are. With ``TRITON_INTERPRET=1`` everything runs on the CPU, slowly.

Importing this module imports neither Triton nor torch.
"""

from __future__ import annotations

import os

import numpy as np

from labkit.errors import NotAvailableError, UsageError
from labkit.softmax.arguments import check_rows, check_same, result_array

ONE_BLOCK = 2**15  # columns of a row that a program holds in registers
LONG_BLOCK = 2**13  # columns done at a time in longer rows


def is_interpreted() -> bool:
    """Whether Triton runs kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def _device():
    """Where kernels run, or NotAvailableError."""
    from labkit.softmax import triton_kernels

    triton_kernels.check_triton()
    import torch

    if is_interpreted():
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise NotAvailableError(
            "softmax on a GPU: torch finds none here. Set TRITON_INTERPRET=1 before Python starts to run the kernels "
            "on the CPU, or take version='threaded'."
        )
    return torch.device("cuda")


def _launch(kernel, grid, *arguments, num_columns, block, double):
    warps = {"num_warps": min(max(block // 1024, 4), 32)}
    kernel[grid](*arguments, num_columns, BLOCK=block, DOUBLE=double, **warps)


def _power(n: int) -> int:
    """The least power of two that is n or more."""
    return 1 << max(n - 1, 0).bit_length()


def _check_tensor(name, tensor, like=None):
    import torch

    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    fits = isinstance(tensor, torch.Tensor) and tensor.dtype in kinds and tensor.dim() == 2 and tensor.is_contiguous()
    if not fits:
        raise UsageError(f"{name} is a contiguous torch tensor of floats, rows by columns: pass {name}.contiguous().")
    device = _device()
    if tensor.device.type != device.type:
        raise UsageError(f"{name} is on {tensor.device}, but kernels run on {device}: pass {name}.to('{device}').")
    if like is not None and (tensor.shape != like.shape or tensor.dtype != like.dtype):
        raise UsageError(
            f"{name} has the shape and type {tuple(like.shape)} {like.dtype} of the other array, not "
            f"{tuple(tensor.shape)} {tensor.dtype}: pass such a tensor."
        )
    return tensor


def softmax_tensor(x, *, out=None):
    """The probabilities of rows of a torch tensor (n, C) on the GPU: float16, bfloat16, float32 or float64.

    Rows of up to 32768 columns are read once and written once, longer ones are read twice.

    Raises
    ------
    UsageError
        A tensor that does not fit.
    NotAvailableError
        No Triton, or no GPU.
    """
    import torch

    from labkit.softmax import triton_kernels as kernels

    _check_tensor("x", x)
    result = torch.empty_like(x) if out is None else _check_tensor("out", out, x)
    if x.numel():
        n, num_columns = x.shape
        double = x.dtype == torch.float64
        if num_columns <= ONE_BLOCK:
            kernel, block = kernels.softmax_row, _power(num_columns)
        else:
            kernel, block = kernels.softmax_long_row, LONG_BLOCK
        _launch(kernel, (n,), x, result, num_columns=num_columns, block=block, double=double)
    return result


def softmax_tensor_backward(y, gradient, *, out=None):
    """The gradient by the logits, of torch tensors on the GPU; raises as :func:`softmax_tensor`."""
    import torch

    from labkit.softmax import triton_kernels as kernels

    _check_tensor("y", y), _check_tensor("gradient", gradient, y)
    result = torch.empty_like(y) if out is None else _check_tensor("out", out, y)
    if y.numel():
        block = min(_power(y.shape[1]), LONG_BLOCK)
        _launch(
            kernels.softmax_backward_row, (len(y),), y, gradient, result, num_columns=y.shape[1], block=block,
            double=y.dtype == torch.float64,
        )
    return result


def cross_entropy_tensor(x, targets):
    """The losses of rows, and what the gradient needs: fused, so that nothing of the size of x is stored.

    Parameters
    ----------
    x : torch tensor (n, C) on the GPU
    targets : torch tensor (n,) of int64 on the same device, 0 to C - 1

    Returns
    -------
    losses : torch tensor (n,)
        float32, of float64 logits float64.
    log_sums : torch tensor (2, n) of the same type
        The maxima of the rows, and the logarithms of their sums of ``exp(x - maximum)``.

    Raises
    ------
    UsageError
        Tensors that do not fit, or targets out of range.
    NotAvailableError
        No Triton, or no GPU.
    """
    import torch

    from labkit.softmax import triton_kernels as kernels

    _check_tensor("x", x)
    _check_targets(targets, x)
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    losses, log_sums = torch.empty(len(x), dtype=kind, device=x.device), torch.empty(2, len(x), dtype=kind, device=x.device)
    if len(x):
        _launch(
            kernels.cross_entropy_row, (len(x),), x, targets, losses, log_sums, num_columns=x.shape[1],
            block=min(_power(x.shape[1]), LONG_BLOCK), double=kind == torch.float64,
        )
    return losses, log_sums


def cross_entropy_tensor_backward(x, targets, log_sums, gradient, *, out=None):
    """The gradient by the logits; ``out`` may be ``x``: then no memory of its size is needed.

    Parameters
    ----------
    x, targets, log_sums
        As given to and returned by :func:`cross_entropy_tensor`.
    gradient : torch tensor (n,)
        Of the final loss by those of the rows.
    out : torch tensor (n, C), optional
    """
    import torch

    from labkit.softmax import triton_kernels as kernels

    _check_tensor("x", x)
    _check_targets(targets, x)
    for name, values, shape in (("log_sums", log_sums, (2, len(x))), ("gradient", gradient, (len(x),))):
        if not isinstance(values, torch.Tensor) or values.shape != shape or values.device != x.device:
            raise UsageError(f"{name} is a torch tensor of the shape {shape}, on {x.device}: pass one.")
    result = torch.empty_like(x) if out is None else _check_tensor("out", out, x)
    if x.numel():
        block = min(_power(x.shape[1]), LONG_BLOCK)
        grid = (len(x), -(-x.shape[1] // block))
        _launch(
            kernels.cross_entropy_backward_row, grid, x, targets, log_sums.contiguous(), gradient.contiguous(), result,
            num_columns=x.shape[1], block=block, double=x.dtype == torch.float64,
        )
    return result


def _check_targets(targets, x):
    import torch

    is_tensor = isinstance(targets, torch.Tensor) and targets.dtype == torch.int64
    if not is_tensor or targets.shape != (len(x),) or targets.device != x.device:
        raise UsageError(
            f"targets is a torch tensor of int64, one class for each of the {len(x)} rows, on {x.device}: pass one."
        )
    if len(x) and not (0 <= int(targets.min()) and int(targets.max()) < x.shape[1]):
        raise UsageError(
            f"targets are from 0 to {x.shape[1] - 1}, but these are from {int(targets.min())} to {int(targets.max())}: "
            "correct them."
        )


def softmax_gpu(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The probabilities of rows of a NumPy array, on the GPU.

    Parameters, result and errors as :func:`.naive.softmax_naive` and :func:`softmax_tensor`.
    """
    result = result_array(out, check_rows("x", x))
    import torch

    result[...] = softmax_tensor(torch.from_numpy(x.copy()).to(_device())).cpu().numpy()
    return result


def softmax_gpu_backward(y: np.ndarray, gradient: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient by the logits of NumPy arrays, on the GPU; errors as :func:`softmax_gpu`."""
    check_same("gradient", gradient, "y", check_rows("y", y))
    result = result_array(out, y, gradient)
    import torch

    device = _device()
    a, b = (torch.from_numpy(array.copy()).to(device) for array in (y, gradient))
    result[...] = softmax_tensor_backward(a, b).cpu().numpy()
    return result
