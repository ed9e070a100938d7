"""Inputs that are hard to sum: of a chosen condition number, with their exact sum beside.

The condition number of a sum is sum|x| / |sum x|: how much relative errors of the terms are magnified. In float64, a
plain sum has no correct digit left beyond about 1e16; compensated in twofold precision, beyond about 1e32.

References
----------
T. Ogita, S. M. Rump, S. Oishi, Accurate sum and dot product, SIAM Journal on Scientific Computing 26, 2005, section 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.summation.arguments import DTYPES, check_count, check_pair, check_terms

FEWEST, MOST = 8, 10_000_000
LARGEST_CONDITION = {np.dtype(np.float64): 1e250, np.dtype(np.float32): 1e25}


@dataclass(frozen=True, slots=True, eq=False)
class HardSum:
    """Terms, or two vectors of a dot product, that cancel.

    Attributes
    ----------
    x : ndarray of float64 or float32, shape (n,)
    y : ndarray or None
        The other vector of a dot product.
    exact : Fraction
        The exact result.
    condition : float
        The condition number that was reached.
    """

    x: np.ndarray
    y: np.ndarray | None
    exact: Fraction
    condition: float


def exact_terms(x) -> list[Fraction]:
    """The terms as fractions."""
    return [Fraction(value) for value in np.asarray(x, np.float64).tolist()]


def condition_number(x, y=None) -> float:
    """The condition number of a sum, ``sum|x| / |sum x|``, or of a dot product, ``2 sum|x y| / |sum x y|``.

    Parameters
    ----------
    x, y : array_like, shape (n,), finite
        Computed in fractions, so not for millions of terms.

    Returns
    -------
    float
        1 at least for a sum; infinite where the terms cancel altogether, NaN where all are 0.

    Raises
    ------
    UsageError
        A term is infinite or NaN, or the vectors do not fit.

    Examples
    --------
    >>> condition_number([1.0, 2.0, -2.5]), condition_number([1.0, -1.0]), condition_number([3.0, 1.0], [1.0, -2.0])
    (11.0, inf, 10.0)
    """
    if y is None:
        terms, factor = _finite(check_terms(x, "condition_number")), 1
    else:
        x, y = check_pair(x, y, "condition_number")
        terms, factor = [a * b for a, b in zip(_finite(x), _finite(y), strict=True)], 2
    return _condition(terms, factor)


def _finite(x) -> list[Fraction]:
    if not np.isfinite(x).all():
        raise UsageError("condition_number: all terms are finite, but some are infinite or NaN: leave them out.")
    return exact_terms(x)


def _condition(terms: list[Fraction], factor: int) -> float:
    magnitude, total = factor * sum(map(abs, terms), Fraction(0)), abs(sum(terms, Fraction(0)))
    if total == 0:
        return math.inf if magnitude else math.nan
    ratio = magnitude / total
    return float(ratio) if ratio < Fraction(2) ** 1023 else math.inf


def hard_sum(num_terms: int, condition: float, *, seed: int = 1, dtype=np.float64) -> HardSum:
    """Terms whose sum has about a chosen condition number, in random order.

    Most terms are random, of magnitudes from about 1 to the condition number's root; the others take what these sum up
    to away again, rounded, and rounded again, until the small sum that was aimed at is left.

    Parameters
    ----------
    num_terms : int
        8 to 10,000,000.
    condition : float
        1 to 1e250 for float64, to 1e25 for float32. Every 53 (24) bits of it need a term that takes the sum of the
        others away, and those may be half of the terms.
    seed : int
    dtype : numpy.float64 or numpy.float32

    Returns
    -------
    HardSum
        ``condition`` is within a factor of 2 of the one that was chosen.

    Raises
    ------
    UsageError
        Values out of range, or too few terms for the condition.

    Examples
    --------
    >>> hard = hard_sum(1000, 1e20)
    >>> 0.5e20 < hard.condition < 2e20, hard.exact == sum(map(Fraction, hard.x.tolist()))
    (True, True)
    """
    dtype = _checked("hard_sum", num_terms, condition, dtype)
    rng = np.random.default_rng(seed)
    num_corrections = _num_corrections(num_terms, condition, dtype)
    x = _spread(rng, num_terms - num_corrections, math.sqrt(condition)).astype(dtype)
    if condition < 4:  # few cancellations: that many signs
        return _mildly_hard(rng, num_terms, condition, dtype)
    terms = exact_terms(x)
    total, magnitude = sum(terms, Fraction(0)), sum(map(abs, terms), Fraction(0))
    aim = (magnitude + abs(total)) / Fraction(condition)
    last = []
    for _ in range(num_corrections):
        value = dtype.type(float(aim - total))
        last.append(value)
        total += Fraction(float(value))
    x = np.concatenate([x, np.array(last, dtype)])
    return _found(rng.permutation(x), None)


def _mildly_hard(rng, num_terms: int, condition: float, dtype) -> HardSum:
    """Random numbers, as many of them negative as the condition number says."""
    x = rng.random(num_terms).astype(dtype) + dtype.type(0.5)
    share = (1 - 1 / condition) / 2  # of the magnitude
    num_negative = int(np.sum(np.cumsum(x) < share * float(x.sum())))
    if condition > 1:  # few terms do not have the share by their number alone
        num_negative = min(max(num_negative, 1), num_terms - 1)
        negative, positive = x[:num_negative], x[num_negative:]
        negative *= dtype.type(-share / (1 - share) * float(positive.sum()) / float(negative.sum()))
    return _found(rng.permutation(x), None)


def hard_dot(num_terms: int, condition: float, *, seed: int = 1, dtype=np.float64) -> HardSum:
    """Two vectors whose dot product has about a chosen condition number, in random order.

    Parameters
    ----------
    num_terms, condition, seed, dtype
        As for :func:`hard_sum`; the condition number is at least 4.

    Returns
    -------
    HardSum
        ``condition`` is within a factor of 2 of the one that was chosen.

    Raises
    ------
    UsageError
        Values out of range, or too few terms for the condition.

    Examples
    --------
    >>> hard = hard_dot(100, 1e30)
    >>> 0.5e30 < hard.condition < 2e30
    True
    """
    dtype = _checked("hard_dot", num_terms, condition, dtype)
    if condition < 4:
        raise UsageError(f"hard_dot: the condition number is 4 or more, not {condition:g}: pass a larger one.")
    rng = np.random.default_rng(seed)
    num_corrections = _num_corrections(num_terms, condition, dtype)
    x = _spread(rng, num_terms, condition**0.25).astype(dtype)
    y = _spread(rng, num_terms, condition**0.25).astype(dtype)
    x[-num_corrections:] = (rng.random(num_corrections) + 1).astype(dtype)
    products = [a * b for a, b in zip(exact_terms(x), exact_terms(y), strict=True)][:-num_corrections]
    total, magnitude = sum(products, Fraction(0)), sum(map(abs, products), Fraction(0))
    aim = 2 * (magnitude + abs(total)) / Fraction(condition)
    for i in range(num_terms - num_corrections, num_terms):
        y[i] = dtype.type(float((aim - total) / Fraction(float(x[i]))))
        total += Fraction(float(x[i])) * Fraction(float(y[i]))
    order = rng.permutation(num_terms)
    return _found(x[order], y[order])


def _checked(call: str, num_terms, condition, dtype) -> np.dtype:
    check_count(call, "num_terms", num_terms, FEWEST, MOST)
    dtype = np.dtype(dtype)
    if dtype not in DTYPES:
        raise UsageError(f"{call}: the terms are float64 or float32, not {dtype}: pass one of these types.")
    if not 1 <= condition <= LARGEST_CONDITION[dtype]:
        raise UsageError(
            f"{call}: the condition number lies from 1 to {LARGEST_CONDITION[dtype]:g} for {dtype}, not at "
            f"{condition!r}: pass such a number."
        )
    return dtype


def _num_corrections(num_terms: int, condition: float, dtype) -> int:
    """Terms that take the sum of the others away: each leaves a rounding error of its own."""
    needed = 2 + math.ceil(math.log2(condition) / (np.finfo(dtype).nmant + 1))
    if needed > num_terms // 2:
        raise UsageError(
            f"a condition number of {condition:g} needs {2 * needed} terms or more in {dtype}, not {num_terms}: pass "
            f"more terms, or a smaller condition number."
        )
    return needed


def _spread(rng, num_terms: int, largest: float) -> np.ndarray:
    """Random signs and significands; magnitudes from 1 to ``largest`` by powers of two, both ends there."""
    exponents = rng.integers(0, max(1, round(math.log2(largest)) + 1), num_terms)
    exponents[:1] = max(0, round(math.log2(largest)))
    return np.ldexp(rng.uniform(-1, 1, num_terms), exponents)


def _found(x, y) -> HardSum:
    terms = exact_terms(x)
    if y is not None:
        terms = [a * b for a, b in zip(terms, exact_terms(y), strict=True)]
    return HardSum(x, y, sum(terms, Fraction(0)), _condition(terms, 1 if y is None else 2))
