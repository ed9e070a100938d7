"""Compiled loops of the codec: one pass over the bit patterns, integers alone.

Importing this module imports Numba; :mod:`labkit.floating_point.codec` does so when it meets an array.
"""

from __future__ import annotations

from numba import njit

from labkit.floating_point.rounding import DOWN, STOCHASTIC, TIES_AWAY, TIES_TO_EVEN, UP


@njit(cache=True, nogil=True)
def round_patterns(patterns, source, target, mode, special, random, codes):
    """Write the target's code of every IEEE bit pattern, and return how many were NaN.

    Parameters
    ----------
    patterns : array of signed integers, shape (n,)
        Of binary16, binary32 or binary64 numbers; the sign of the number is the sign of the integer.
    source : tuple of int
        Width of the trailing significand, bias, largest biased exponent.
    target : tuple of int
        Width of the trailing significand, smallest exponent, code of the largest number, sign bit, code of minus zero.
    mode : int
    special : tuple of int
        Codes for numbers that are too large, for infinity, for NaN, and for negative numbers where there is no sign
        bit; all without sign.
    random : array of int64, shape (n,) or (1,)
        Uniform from 0 to 2**63 - 1; read in stochastic rounding only.
    codes : array of unsigned integers, shape (n,)
    """
    source_width, source_bias, source_top = source
    width, min_exponent, max_code, sign_bit, minus_zero = target
    overflow_code, infinity_code, nan_code, below_code = special
    trailing_mask = (1 << source_width) - 1
    num_nan = 0
    for i in range(patterns.size):
        pattern = int(patterns[i])
        negative = pattern < 0
        biased = (pattern >> source_width) & source_top
        significand = pattern & trailing_mask
        if biased == source_top:
            if significand:
                num_nan += 1
                code = nan_code
            else:
                code = infinity_code
        else:
            if biased:
                significand |= 1 << source_width
                exponent = biased - source_bias
            else:
                exponent = 1 - source_bias
                while significand and not significand >> source_width:  # a subnormal number of the source
                    significand <<= 1
                    exponent -= 1
            # The number is significand * 2**(exponent - source_width); its last place in the target is
            # 2**(at_least - width). So many bits of the significand lie below it:
            at_least = max(exponent, min_exponent)
            shift = source_width - width + at_least - exponent
            code = (at_least - min_exponent) << width
            if shift <= 0:
                code += significand << -shift
            else:
                kept = significand >> min(shift, 62)
                remainder = significand - (kept << min(shift, 62))
                code += kept
                if remainder:
                    half = 1 << min(shift - 1, 61)
                    if mode == TIES_TO_EVEN:
                        away = remainder > half or (remainder == half and code & 1 == 1)
                    elif mode == TIES_AWAY:
                        away = remainder >= half
                    elif mode == UP:
                        away = not negative
                    elif mode == DOWN:
                        away = negative
                    elif mode == STOCHASTIC:
                        # 63 random bits against remainder / 2**shift
                        limit = remainder << (63 - shift) if shift <= 63 else remainder >> min(shift - 63, 62)
                        away = random[i] < limit
                    else:
                        away = False
                    if away:
                        code += 1  # a carry into the exponent is the right one
            if significand == 0:
                code = 0
            if code > max_code:
                toward_zero = mode > TIES_AWAY and mode != STOCHASTIC and not (
                    (mode == UP and not negative) or (mode == DOWN and negative)
                )
                code = max_code if toward_zero else overflow_code
        if negative:
            if code == 0:
                code = minus_zero
            elif sign_bit:
                code |= sign_bit
            elif code != nan_code:
                code = below_code
        codes[i] = code
    return num_nan
