"""How the error of a matrix product grows with the number of terms, and what bounds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.mixed_precision.product import exact_product, multiply_matrices, round_to

KINDS = ("normal", "uniform")
MOST_TERMS = 8192


@dataclass(frozen=True, eq=False)
class ErrorGrowth:
    """Errors of a product over the number of terms k; relative to ``|a| @ |b|``, element by element.

    Attributes
    ----------
    inputs, accumulator : Format
    chunk_size : int
    toward_zero : bool
    num_terms : ndarray of int
    worst, typical : ndarray of float64
        The largest error of an element, and the root of the mean square, of summation: against the exact product of
        the rounded inputs.
    worst_of_inputs : ndarray of float64
        The largest error that rounding the inputs has caused, whatever the sum does.
    num_roundings : ndarray of int
        Of the accumulator: ``ceil(k / chunk_size)``.
    bound, probable : ndarray of float64
        ``r u / (1 - r u)`` for r roundings, and ``sqrt(r) u``; u is the unit roundoff of the accumulator, twice as
        large if it rounds toward zero. The bound is infinite from ``r u = 1`` on.
    """

    inputs: Format
    accumulator: Format
    chunk_size: int
    toward_zero: bool
    num_terms: np.ndarray
    worst: np.ndarray
    typical: np.ndarray
    worst_of_inputs: np.ndarray
    num_roundings: np.ndarray
    bound: np.ndarray
    probable: np.ndarray


def error_growth(
    num_terms: Sequence[int] = (16, 64, 256, 1024, 4096), *, inputs: str | Format = "binary16",
    accumulator: str | Format = "binary32", chunk_size: int = 1, accumulator_rounding: str = "ties_to_even",
    kind: str = "normal", num_rows: int = 16, seed: int = 1,
) -> ErrorGrowth:  # fmt: skip
    """Errors of random products of growing length.

    The sum of k terms is rounded ``r = k / chunk_size`` times, so its error is at most about ``r u``. Roundings to
    nearest err to both sides, and mostly it is about ``sqrt(r) u`` (as long as the terms have no common sign and the
    accumulator still moves). Rounding toward zero errs to one side, and the error of positive terms does grow with r.

    Parameters
    ----------
    num_terms : sequence of int
        1 to 8192 each.
    inputs, accumulator, chunk_size, accumulator_rounding
        As in :func:`labkit.floating_point.mixed_precision.product.multiply_matrices`.
    kind : str
        Elements ``"normal"`` with mean 0 and deviation 1, or ``"uniform"`` from 0 to 1.
    num_rows : int
        The products have ``num_rows**2`` elements; 1 to 512.
    seed : int

    References
    ----------
    N. J. Higham, T. Mary, A new approach to probabilistic rounding error analysis, SIAM Journal on Scientific Computing
    41, 2019. P. Blanchard, N. J. Higham, T. Mary, A class of fast and accurate summation algorithms, SIAM Journal on
    Scientific Computing 42, 2020.

    Examples
    --------
    >>> growth = error_growth([64, 1024], accumulator="binary16", kind="uniform")
    >>> bool((growth.worst <= growth.bound).all()), growth.num_roundings.tolist()
    (True, [64, 1024])
    """
    ks = list(num_terms)
    if not ks or not all(isinstance(k, (int, np.integer)) and 1 <= k <= MOST_TERMS for k in ks):
        raise UsageError(f"error_growth: num_terms are whole numbers from 1 to {MOST_TERMS}, not {ks}: pass such ones.")
    if kind not in KINDS:
        raise UsageError(f"error_growth: kind is {' or '.join(KINDS)}, not {kind!r}: pass one of them.")
    if not isinstance(num_rows, int) or isinstance(num_rows, bool) or not 1 <= num_rows <= 512:
        raise UsageError(f"error_growth: num_rows is a whole number from 1 to 512, not {num_rows!r}: pass such a one.")
    if not isinstance(seed, int) or seed < 0:
        raise UsageError(f"error_growth: seed is a whole number from 0, not {seed!r}: pass such a one.")
    inputs, accumulator = find_format(inputs), find_format(accumulator)
    found = []
    for k in ks:
        rng = np.random.default_rng([seed, k])
        draw = rng.standard_normal if kind == "normal" else rng.random
        a, b = draw((num_rows, k)).astype(np.float32), draw((k, num_rows)).astype(np.float32)
        short_a, short_b = round_to(a, inputs), round_to(b, inputs)
        result = multiply_matrices(
            a, b, inputs=inputs, accumulator=accumulator, chunk_size=chunk_size,
            accumulator_rounding=accumulator_rounding,
        )
        exact, size = exact_product(short_a, short_b), exact_product(abs(short_a), abs(short_b))
        errors = np.abs(result - exact) / np.where(size > 0, size, 1)
        of_inputs = np.abs(exact - exact_product(a, b)) / exact_product(abs(a), abs(b))
        found.append((errors.max(), np.sqrt(np.mean(errors**2)), of_inputs.max()))
    worst, typical, of_inputs = np.array(found).T
    roundings = -(-np.array(ks) // chunk_size)
    toward_zero = accumulator_rounding == "toward_zero"
    u = float(accumulator.epsilon) / (1 if toward_zero else 2)
    with np.errstate(divide="ignore"):
        bound = np.where(roundings * u < 1, roundings * u / (1 - np.minimum(roundings * u, 1)), np.inf)
    return ErrorGrowth(
        inputs, accumulator, chunk_size, toward_zero, np.array(ks), worst, typical, of_inputs, roundings, bound,
        np.sqrt(roundings) * u,
    )
