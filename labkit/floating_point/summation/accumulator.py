"""A superaccumulator: a fixed-point number as wide as the whole format, so that adding to it never rounds.

A finite float64 is a whole number of up to 2098 bits times 2**-1074. The accumulator keeps such a number as limbs of
32 bits in 64-bit integers: limb k counts 2**(32 k) units. A term touches three neighbouring limbs with less than 2**32
each, so 2**31 terms may be added before carries are moved on. Adding accumulators adds the limbs: in any order, by any
all-reduce, from as many as 2**31 threads or ranks.

::

    limbs 0 .. NUM_LIMBS - 1   the sum of the finite terms, in units of 2**-1074
    then                       how many terms were +infinity, -infinity, NaN

In *normal* form (:func:`normalise`) all limbs but the last lie from 0 to 2**32 - 1: one form for one value, so equal
sums are equal arrays.

References
----------
R. M. Neal, Fast exact summation using small and large superaccumulators, arXiv 1505.05571, 2015. U. Kulisch,
W. Miranker, The arithmetic of the digital computer: a new approach, SIAM Review 28, 1986.
"""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError

LIMB_BITS = 32
UNIT_EXPONENT = -1074
NUM_LIMBS = 70  # 2240 bits: 2098 of the largest terms, 63 for their number, and a sign
PLUS_INF, MINUS_INF, NAN = NUM_LIMBS, NUM_LIMBS + 1, NUM_LIMBS + 2
NUM_ENTRIES = NUM_LIMBS + 3
# Products: units of 2**-2162, so that the limbs of a sum fit in with a shift of whole limbs
DOT_SHIFT = 34
NUM_DOT_LIMBS = NUM_LIMBS + 2 * DOT_SHIFT  # 4416 bits: 2 * 2098 and more
DOT_UNIT_EXPONENT = UNIT_EXPONENT - DOT_SHIFT * LIMB_BITS


def normalise(accumulator: np.ndarray) -> np.ndarray:
    """Move carries on, in place: every limb but the last then lies from 0 to 2**32 - 1.

    Examples
    --------
    >>> total = np.zeros(NUM_ENTRIES, np.int64)
    >>> total[:2] = -1, 2**33 + 5
    >>> normalise(total)[:4].tolist()
    [4294967295, 4, 2, 0]
    """
    from labkit.floating_point.summation.exact_kernels import carry

    carry(accumulator)
    return accumulator


def whole_number_of(accumulator: np.ndarray) -> int:
    """The sum of the finite terms in units of the accumulator; it is brought to normal form."""
    limbs = normalise(accumulator)[:-3]
    low = int.from_bytes(limbs[:-1].astype("<u4").tobytes(), "little")
    return low + (int(limbs[-1]) << LIMB_BITS * (limbs.size - 1))


def round_accumulator(accumulator: np.ndarray, dtype=np.float64):
    """The sum, rounded once to the nearest number, ties to even.

    Parameters
    ----------
    accumulator : ndarray of int64, shape (73,) or (141,)
        Of a sum or of a dot product; it is brought to normal form.
    dtype : numpy.float64 or numpy.float32

    Returns
    -------
    float or numpy.float32
        NaN if a term was NaN, or terms were infinite with both signs; else the infinity, if there was one. A sum of
        0 is +0.0. Beyond the largest number it is infinity.

    Raises
    ------
    UsageError
        An array that is no accumulator.
    """
    units = {NUM_ENTRIES: UNIT_EXPONENT, NUM_DOT_LIMBS + 3: DOT_UNIT_EXPONENT}
    if accumulator.shape not in [(size,) for size in units] or accumulator.dtype != np.int64:
        raise UsageError(
            f"an accumulator is an array of int64 with {NUM_ENTRIES} entries, or {NUM_DOT_LIMBS + 3} of a dot product, "
            f"not one of {accumulator.dtype} with shape {accumulator.shape}: pass one from exact_accumulator()."
        )
    plus, minus, nan = accumulator[-3:].tolist()
    if nan or (plus and minus):
        value = np.nan
    elif plus or minus:
        value = np.inf if plus else -np.inf
    else:
        value = round_whole_number(whole_number_of(accumulator), units[accumulator.size], dtype)
    return float(value) if dtype == np.float64 else np.float32(value)


def round_whole_number(number: int, exponent: int, dtype=np.float64) -> float:
    """``number * 2**exponent``, rounded once to a format of IEEE 754, ties to even.

    Examples
    --------
    >>> round_whole_number(3, -1), round_whole_number((1 << 53) + 1, 0), round_whole_number(-1, 2000)
    (1.5, 9007199254740992.0, -inf)
    """
    info = np.finfo(dtype)
    magnitude = abs(number)
    # The last place of the result, in powers of two, and how many bits of the number lie below it:
    place = max(magnitude.bit_length() + exponent - info.nmant - 1, int(info.minexp) - info.nmant)
    cut = place - exponent
    if cut > 0:
        kept = magnitude >> cut
        remainder, half = magnitude & ((1 << cut) - 1), 1 << (cut - 1)
        kept += remainder > half or (remainder == half and kept & 1)
    else:
        kept = magnitude << -cut
    if kept.bit_length() + place > int(info.maxexp):
        return -np.inf if number < 0 else np.inf
    value = float(np.ldexp(float(kept), place))  # exact: kept has at most 53 bits
    return -value if number < 0 else value
