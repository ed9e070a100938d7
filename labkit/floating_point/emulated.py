"""Arithmetic in any format: each operation is exact and then rounded once, through the codec.

Values are binary64 arrays that hold numbers of the format. In binary64 itself the processor does the work. In a format
with at most half of its digits an operation in binary64 followed by a second rounding is the same as one rounding
(53 >= 2 * precision + 2); for the formats between, each element is computed with fractions.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.codec import decode, encode
from labkit.floating_point.formats import Format, find_format

MOST_PRECISION = 25  # of a format whose operations may be rounded twice
MOST_EXPONENT = 500  # of such a format: products then are normal numbers of binary64


class Arithmetic:
    """The operations of a format, on arrays or single numbers.

    Parameters
    ----------
    fmt : str or Format

    Attributes
    ----------
    fmt : Format
    unit_roundoff : float
        Half of the spacing of the numbers from 1 to 2.

    Notes
    -----
    Infinities and NaN follow IEEE 754; what is too large for a format without infinities becomes its NaN, or its
    largest number where it has no NaN either. Such a format raises :class:`UsageError` where a result is NaN.

    References
    ----------
    S. A. Figueroa, When is double rounding innocuous?, ACM SIGNUM Newsletter 30 (3), 1995.

    Examples
    --------
    >>> half = Arithmetic("binary16")
    >>> float(half.div(1, 3)), float(half.mul(300, 300)), float(half.sqrt(2))
    (0.333251953125, inf, 1.4140625)
    """

    def __init__(self, fmt: str | Format):
        self.fmt = find_format(fmt)
        self.unit_roundoff = float(self.fmt.epsilon / 2)
        lowest = self.fmt.min_exponent - self.fmt.significand_bits
        self._is_native = self.fmt == find_format("binary64")
        self._is_narrow = (
            self.fmt.precision <= MOST_PRECISION and lowest > -MOST_EXPONENT and self.fmt.max_exponent < MOST_EXPONENT
        )

    def round(self, values) -> np.ndarray:
        """The nearest numbers of the format to floating-point numbers, or to exact ones (fractions, texts)."""
        if self._is_native and not isinstance(values, (str, Fraction)) and np.asarray(values).dtype.kind == "f":
            return np.asarray(values, np.float64)
        return np.asarray(decode(encode(values, self.fmt), self.fmt))

    def add(self, x, y) -> np.ndarray:
        """``x + y``."""
        return self._rounded(np.add, lambda a, b: a + b, x, y)

    def sub(self, x, y) -> np.ndarray:
        """``x - y``."""
        return self._rounded(np.subtract, lambda a, b: a - b, x, y)

    def mul(self, x, y) -> np.ndarray:
        """``x * y``."""
        return self._rounded(np.multiply, lambda a, b: a * b, x, y)

    def div(self, x, y) -> np.ndarray:
        """``x / y``."""
        return self._rounded(np.divide, lambda a, b: a / b, x, y)

    def sqrt(self, x) -> np.ndarray:
        """The square root."""
        return self._rounded(np.sqrt, self._sqrt_exact, x)

    def sum(self, terms) -> np.ndarray:
        """The terms one after the other, along the first axis."""
        total = self.round(np.zeros(np.shape(terms)[1:]))
        for term in terms:
            total = self.add(total, term)
        return total

    def _rounded(self, native, exact, *values) -> np.ndarray:
        arrays = [np.asarray(value, np.float64) for value in values]
        with np.errstate(all="ignore"):
            found = np.asarray(native(*arrays))
        if self._is_native:
            return found
        if self._is_narrow:
            return self.round(found)
        return self._each(found, exact, np.broadcast_arrays(*arrays))

    def _each(self, found: np.ndarray, exact, arrays) -> np.ndarray:
        """Element by element with fractions; what is no finite number stays what IEEE 754 makes of it."""
        result = np.array(found)
        for index in np.ndindex(found.shape):
            numbers = [float(array[index]) for array in arrays]
            # A result of 0 or of no number at all is the same in every format; an overflow of binary64 is judged anew.
            if not all(map(math.isfinite, numbers)) or math.isnan(found[index]):
                continue
            try:
                value = exact(*map(Fraction, numbers))
            except ZeroDivisionError:
                continue
            if value:
                result[index] = decode(encode(value, self.fmt), self.fmt)
        special = ~np.isfinite(result)
        if special.any():
            result[special] = self.round(result[special])
        return result

    def _sqrt_exact(self, x: Fraction) -> Fraction:
        return sqrt_to_round(x, self.fmt.significand_bits + 3)


def sqrt_to_round(x: Fraction, num_bits: int) -> Fraction:
    """A number that rounds to ``num_bits - 1`` bits, or fewer, as the square root of ``x`` does.

    The root is cut off after ``num_bits`` bits; where it goes on, half a unit of the last place stands for the rest,
    so that no number of fewer bits, and no middle between two, lies between it and the root.

    Examples
    --------
    >>> sqrt_to_round(Fraction(9, 4), 10), float(sqrt_to_round(Fraction(2), 60)) == 2**0.5
    (Fraction(3, 2), True)
    """
    if x < 0:
        raise UsageError(f"sqrt_to_round: a negative number has no real root, but x is {x}: pass 0 or more.")
    if x == 0:
        return Fraction(0)
    exponent = (x.numerator.bit_length() - x.denominator.bit_length()) // 2 - 1  # at most that of the root
    places = num_bits - exponent
    scaled = x * Fraction(4) ** places
    root = math.isqrt(scaled.numerator // scaled.denominator)
    inexact = root * root != scaled
    return Fraction(2 * root + inexact) / Fraction(2) ** (places + 1)


def exact_fraction(number) -> Fraction:
    """An ``mpmath.mpf`` as a fraction.

    Examples
    --------
    >>> import mpmath
    >>> exact_fraction(mpmath.mpf("-0.375"))
    Fraction(-3, 8)
    """
    man, exponent = number.man_exp  # without the sign
    magnitude = Fraction(man) * Fraction(2) ** exponent
    return -magnitude if number < 0 else magnitude
