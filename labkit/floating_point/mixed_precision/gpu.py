"""Matrix products on a GPU's tensor cores, through torch, to compare the emulation with."""

from __future__ import annotations

import numpy as np

from labkit.errors import NotAvailableError, UsageError
from labkit.floating_point.formats import Format, find_format

GPU_INPUTS = ("binary32", "TF32", "bfloat16", "binary16", "E4M3")
TILE = 16  # the library multiplies matrices of 8-bit numbers whose sides are multiples of it


def has_tensor_cores(inputs: str | Format = "bfloat16") -> bool:
    """Whether torch finds a GPU with tensor cores for a format: compute capability 8.0 or above, for E4M3 8.9."""
    import torch

    least = (8, 9) if find_format(inputs).name == "E4M3" else (8, 0)
    return torch.cuda.is_available() and torch.version.cuda is not None and torch.cuda.get_device_capability() >= least


def multiply_on_gpu(a, b, *, inputs: str | Format = "bfloat16") -> np.ndarray:
    """``a @ b`` on the first GPU: inputs rounded to a format, sums and result in binary32.

    Parameters
    ----------
    a : array_like of float, shape (m, k)
    b : array_like of float, shape (k, n)
    inputs : str or Format
        ``"binary32"`` (no tensor cores), ``"TF32"``, ``"bfloat16"``, ``"binary16"`` or ``"E4M3"``.

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
    ``4 k u`` relative to ``|a| @ |b|``, u = 2**-24: twice the bound of a sum that is cut off at each addition. With E4M3
    the tensor cores of the Hopper generation keep about 14 bits of a partial sum (DeepSeek-V3 Technical Report, 2024,
    arXiv 2412.19437, section 3.3.2), so the difference may be some thousand times as large.
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
    if not has_tensor_cores(fmt):
        raise NotAvailableError(
            f"multiply_on_gpu: torch finds no GPU with tensor cores for {fmt.name} here (compute capability "
            f"{'8.9' if fmt.name == 'E4M3' else '8.0'} or above): use multiply_matrices, which emulates them, or run this "
            f"on a machine with such a GPU."
        )
    import torch

    if fmt.name == "E4M3":
        return multiply_8_bits(a, b, "cuda")
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


def multiply_8_bits(a: np.ndarray, b: np.ndarray, device: str) -> np.ndarray:
    """``a @ b`` by the library's product of E4M3 numbers, on ``"cuda"`` or, where there is no hurry, ``"cpu"``."""
    import torch

    from labkit.floating_point.mixed_precision.product import round_to

    (m, k), n = a.shape, b.shape[1]
    sides = [-(-side // TILE) * TILE for side in (m, k, n)]
    left, right = np.zeros((sides[0], sides[1]), np.float32), np.zeros((sides[2], sides[1]), np.float32)
    left[:m, :k], right[:n, :k] = round_to(a, "E4M3"), round_to(b, "E4M3").T
    left, right = (torch.from_numpy(x).to(device).to(torch.float8_e4m3fn) for x in (left, right))
    one = torch.ones((), dtype=torch.float32, device=device)
    # The second factor column by column, as the tensor cores read it.
    result = torch._scaled_mm(left, right.t(), scale_a=one, scale_b=one, out_dtype=torch.float32, use_fast_accum=False)
    return result[:m, :n].double().cpu().numpy()
