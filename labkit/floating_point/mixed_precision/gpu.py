"""Matrix products on a GPU's tensor cores, through torch, to compare the emulation with."""

from __future__ import annotations

import numpy as np

from labkit.errors import NotAvailableError, UsageError
from labkit.floating_point.formats import Format, find_format

GPU_INPUTS = ("binary32", "TF32", "bfloat16", "binary16")


def has_tensor_cores() -> bool:
    """Whether torch finds a GPU with tensor cores for these formats: compute capability 8.0 or above."""
    import torch

    return torch.cuda.is_available() and torch.version.cuda is not None and torch.cuda.get_device_capability()[0] >= 8


def multiply_on_gpu(a, b, *, inputs: str | Format = "bfloat16") -> np.ndarray:
    """``a @ b`` on the first GPU: inputs rounded to a format, sums and result in binary32.

    Parameters
    ----------
    a : array_like of float, shape (m, k)
    b : array_like of float, shape (k, n)
    inputs : str or Format
        ``"binary32"`` (no tensor cores), ``"TF32"``, ``"bfloat16"`` or ``"binary16"``.

    Returns
    -------
    ndarray of float64, shape (m, n)
        Numbers of binary32.

    Raises
    ------
    UsageError
        Another format, or shapes that do not fit.
    NotAvailableError
        No GPU with tensor cores here, or a torch that cannot give the result in binary32.

    Notes
    -----
    The order of the sums is the library's. The result differs from the emulation by at most
    ``4 k u`` relative to ``|a| @ |b|``, u = 2**-24: twice the bound of a sum that is cut off at each addition.
    """
    fmt = find_format(inputs)
    if fmt.name not in GPU_INPUTS:
        raise UsageError(f"multiply_on_gpu: inputs are {', '.join(GPU_INPUTS)}, not {fmt.name}: pass one of them.")
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise UsageError(
            f"multiply_on_gpu: shapes (m, k) and (k, n) fit together, but a has {a.shape} and b has {b.shape}: "
            f"pass such two matrices."
        )
    if not has_tensor_cores():
        raise NotAvailableError(
            "multiply_on_gpu: torch finds no GPU with tensor cores here (compute capability 8.0 or above): use "
            "multiply_matrices, which emulates them, or run this on a machine with such a GPU."
        )
    import torch

    left, right = (torch.from_numpy(np.ascontiguousarray(x)).cuda() for x in (a, b))
    if fmt.name in ("bfloat16", "binary16"):
        dtype = torch.bfloat16 if fmt.name == "bfloat16" else torch.float16
        try:
            result = torch.mm(left.to(dtype), right.to(dtype), out_dtype=torch.float32)
        except TypeError as error:
            raise NotAvailableError(
                f"multiply_on_gpu: torch {torch.__version__} gives products of {fmt.name} only in {fmt.name}: install "
                f"torch 2.8 or later."
            ) from error
        return result.double().cpu().numpy()
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = fmt.name == "TF32"
        if fmt.name == "TF32":  # the hardware cuts the inputs off; rounded before, there is nothing to cut
            from labkit.floating_point.mixed_precision.product import round_to

            left, right = (torch.from_numpy(round_to(x, "TF32").astype(np.float32)).cuda() for x in (a, b))
        return (left @ right).double().cpu().numpy()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
