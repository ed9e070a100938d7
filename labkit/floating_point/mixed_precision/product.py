"""Matrix products as tensor cores do them: short inputs, longer accumulators, sums in chunks."""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.codec import decode, encode
from labkit.floating_point.formats import Format, find_format

INPUTS = ("binary32", "TF32", "bfloat16", "binary16", "E4M3", "E5M2")
ACCUMULATORS = ("binary16", "binary32", "binary64")
MOST_SIZE = 8192
ROUNDINGS = ("ties_to_even", "toward_zero")
MOST_PRECISION = 26  # of inputs: the product of two is a binary64 number


def round_to(values, fmt: str | Format, *, rounding: str = "ties_to_even", seed: int | None = None) -> np.ndarray:
    """The numbers of a format that values are rounded to, as binary64 numbers.

    Examples
    --------
    >>> round_to([0.1, 300.0, 1e6], "E4M3").tolist()
    [0.1015625, 288.0, nan]
    """
    fmt = find_format(fmt)
    return np.asarray(decode(encode(np.asarray(values, np.float64), fmt, rounding=rounding, seed=seed), fmt))


def multiply_matrices(
    a, b, *, inputs: str | Format = "bfloat16", accumulator: str | Format = "binary32", chunk_size: int = 1,
    accumulator_rounding: str = "ties_to_even",
) -> np.ndarray:  # fmt: skip
    """``a @ b`` with rounded inputs, exact products, and sums rounded to an accumulator's format.

    The inputs are rounded to a short format; products of two such numbers are exact. ``chunk_size`` of them are added
    to the accumulator at a time: the sum of old accumulator and chunk is formed exactly and rounded once. With
    ``chunk_size=1`` that is a chain of fused multiply-adds; tensor cores take 4 to 16 products at a time.

    Parameters
    ----------
    a : array_like of float, shape (m, k)
    b : array_like of float, shape (k, n)
    inputs : str or Format
        At most 26 bits of precision, such as one of ``INPUTS``.
    accumulator : str or Format
        Such as one of ``ACCUMULATORS``.
    chunk_size : int
        1 to 8192.
    accumulator_rounding : str
        ``"ties_to_even"``, or ``"toward_zero"`` as tensor cores do.

    Returns
    -------
    ndarray of float64, shape (m, n)
        Numbers of the accumulator's format.

    Raises
    ------
    UsageError
        Shapes that do not fit, sizes above 8192, formats that the emulation is not exact for.

    Notes
    -----
    Cost m k n additions of 106 bits. "Exact" has one limit: the terms of a chunk are carried in two binary64 numbers,
    so that terms 2**106 times smaller than the largest may be lost. Real tensor cores carry less: they align the
    products of a chunk with the largest and cut off beyond a few more bits than binary32 has (Fasi et al.), so they
    differ from this emulation by a few units of roundoff of the largest term of a chunk. Overflow becomes infinity,
    or NaN where the accumulator's format has none.

    References
    ----------
    M. Fasi, N. J. Higham, M. Mikaitis, S. Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ Computer Science 7,
    2021. P. Blanchard et al., Mixed precision block fused multiply-add: error analysis and application to GPU tensor
    cores, SIAM Journal on Scientific Computing 42, 2020.

    Examples
    --------
    >>> ones = np.ones((1, 4096))
    >>> [multiply_matrices(ones, ones.T, inputs="binary16", accumulator=name).item() for name in ACCUMULATORS]
    [2048.0, 4096.0, 4096.0]
    >>> multiply_matrices(ones, ones.T, inputs="binary16", accumulator="binary16", chunk_size=16).item()
    4096.0
    """
    from labkit.floating_point.mixed_precision.kernels import multiply

    input_format, accumulator_format = _formats(inputs, accumulator)
    if accumulator_rounding not in ROUNDINGS:
        raise UsageError(
            f"multiply_matrices: accumulator_rounding is {' or '.join(ROUNDINGS)}, not {accumulator_rounding!r}: "
            f"pass one of them."
        )
    is_whole = isinstance(chunk_size, (int, np.integer)) and not isinstance(chunk_size, bool)
    if not is_whole or not 1 <= chunk_size <= MOST_SIZE:
        raise UsageError(
            f"multiply_matrices: chunk_size is a whole number from 1 to {MOST_SIZE}, not {chunk_size!r}: pass such "
            f"a one."
        )
    a, b = _matrices(a, b)
    a, b = round_to(a, input_format), round_to(b, input_format)
    largest = float(accumulator_format.max)
    overflow = largest if accumulator_format.saturates else np.inf if accumulator_format.infinities else np.nan
    target = accumulator_format.significand_bits, accumulator_format.min_exponent, largest, overflow
    out = np.empty((a.shape[0], b.shape[1]))
    multiply(
        np.ascontiguousarray(a), np.ascontiguousarray(b.T), int(chunk_size), target,
        accumulator_rounding == "toward_zero", out,
    )
    return out


def exact_product(a, b) -> np.ndarray:
    """``a @ b`` for comparison: inputs of at most 26 bits, sums in about 106 bits, rounded to binary64."""
    a, b = _matrices(a, b)
    return multiply_matrices(a, b, inputs="binary32", accumulator="binary64", chunk_size=max(a.shape[1], 1))


def _formats(inputs, accumulator) -> tuple[Format, Format]:
    inputs, accumulator = find_format(inputs), find_format(accumulator)
    lowest, highest = 2 * (inputs.min_exponent - inputs.significand_bits), 2 * (inputs.max_exponent + 1)
    if inputs.precision > MOST_PRECISION or lowest < -1022 or highest > 1000:
        raise UsageError(
            f"multiply_matrices: products of inputs must be binary64 numbers, but those of {inputs.name} need not be: "
            f"pass inputs of at most {MOST_PRECISION} bits of precision, such as 'binary32'."
        )
    if accumulator.significand_bits == 0:
        raise UsageError(
            f"multiply_matrices: {accumulator.name} has no trailing bits, so that sums hardly move in it: pass an "
            f"accumulator with at least one, such as 'binary16'."
        )
    return inputs, accumulator


def _matrices(a, b) -> tuple[np.ndarray, np.ndarray]:
    try:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    except (TypeError, ValueError):
        raise UsageError("multiply_matrices: a and b are arrays of numbers: convert them to float64 first.") from None
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise UsageError(
            f"multiply_matrices: shapes (m, k) and (k, n) fit together, but a has {a.shape} and b has {b.shape}: "
            f"pass such two matrices."
        )
    if max(*a.shape, *b.shape) > MOST_SIZE:
        raise UsageError(
            f"multiply_matrices: an emulated matrix has at most {MOST_SIZE} rows and columns, but the shapes are "
            f"{a.shape} and {b.shape}: pass smaller ones."
        )
    return a, b
