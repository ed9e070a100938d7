"""The exponential function of our own, in float32 and float64: straight code that LLVM turns into packed instructions.

Numba's ``math.exp`` is a call for every element. Here ``e**x = 2**k * e**r`` with the whole number ``k`` nearest to
``x / ln 2`` and ``|r| <= ln(2) / 2``:

- ``k`` comes from adding and subtracting 1.5 * 2^23 (2^52), which rounds to a whole number;
- ``r = x - k ln 2`` with ln 2 in two parts (Cody and Waite), the first so short that ``k`` times it is exact;
- ``e**r`` is a minimax polynomial (relative error 3.1e-9 with degree 6, 3.7e-18 with degree 11);
- ``2**k`` is written into the exponent bits of a number.

There are four functions for scalars in compiled code:

=====================  =============================================================================================
exp_near               ``e**x / 2**n`` for x of moderate size: 10 multiplications a vector, which is what its time is.
                       Softmax may subtract any number from all logits of a row; ``n ln 2`` costs nothing, and
                       nothing is rounded.
exp_scaled             the same, and what the rounding of the result has taken away.
exp_divided            ``e**x / (f * 2**n)``, down to subnormal results with one rounding.
exp_of_difference      ``e**(x - m) / (f * 2**j)`` for any x and m. The difference is not rounded: what the subtraction
                       loses (Knuth's TwoSum finds it) goes into ``r``. At -60 it would be worth 32 ulp of a float32.
=====================  =============================================================================================

Importing this module imports Numba.

References
----------
Cody, Waite: Software Manual for the Elementary Functions, 1980. Knuth: The Art of Computer Programming 2, 4.2.2.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from labkit.softmax.compiled import kernel

# No flags but contract: a * b + c may be one rounding, and nothing else may be changed.
EXACT = {"fastmath": {"contract"}, "forceinline": True}

F, I = np.float32, np.int32
LOG2E_32, LN2_HIGH_32, LN2_LOW_32 = F(1.4426950408889634), F(0.693145751953125), F(1.4286068203094173e-06)
ROUNDER_32, LEAST_32, MOST_32 = F(1.5 * 2**23), F(-126.0), F(126.0)
ZERO_32, ONE_32 = F(0), F(1)
A2, A3, A4, A5, A6 = (
    F(0.49999993412346605), F(0.16666520108249142), F(0.041668394262514535), F(0.0083687803819532),
    F(0.0013814463902222006),
)

LOG2E_64, LN2_HIGH_64, LN2_LOW_64 = 1.4426950408889634, 0.693147180559663, 2.8235290563031577e-13
ROUNDER_64, LEAST_64, MOST_64 = 1.5 * 2**52, -800.0, 800.0
B2, B3, B4, B5, B6, B7, B8, B9, B10, B11 = (
    0.5000000000000011, 0.1666666666666641, 0.041666666666529274, 0.00833333333349613, 0.0013888888943904786,
    0.00019841269503708786, 2.480149277739829e-05, 2.7557588232052367e-06, 2.763037448118994e-07, 2.4999701044178515e-08
)


@intrinsic
def bits_of(typing, x):
    """The bit pattern of a float as a signed integer of its width."""
    to = types.int32 if x == types.float32 else types.int64

    def codegen(context, builder, signature, values):
        return builder.bitcast(values[0], ir.IntType(to.bitwidth))

    return to(x), codegen


@intrinsic
def float_of(typing, bits):
    """The float with a bit pattern: integers of 32 bits give float32, of 64 bits float64."""
    to = types.float32 if bits.bitwidth == 32 else types.float64

    def codegen(context, builder, signature, values):
        return builder.bitcast(values[0], ir.FloatType() if to == types.float32 else ir.DoubleType())

    return to(bits), codegen


def exp_of_difference(x, m, log_f, j):
    """``exp(x - m - log_f) / 2**j`` for scalars in compiled code.

    ``x`` and ``m`` are floats of one type; the difference is not rounded. ``log_f`` is 0.35 in size at most. ``j`` is
    a whole number, 0 to 40: so a sum ``f * 2**j`` divides the result at the price of no rounding.

    NaN gives NaN, and so does ``m = inf`` with ``x = inf``; ``x = -inf`` gives 0.
    """
    raise NotImplementedError("for compiled code")  # the two below take its place


@njit(**EXACT)
def _exp32(x, m, log_f, j):
    t = x - m
    b = t - x
    lost = (x - (t - b)) - (m + b)  # t + lost is x - m exactly (TwoSum)
    # With infinite t that is NaN. Comparisons this way round keep a NaN in t, and are one instruction each.
    lost = lost if abs(t) < MOST_32 else ZERO_32
    t = LEAST_32 if t < LEAST_32 else t
    t = MOST_32 if t > MOST_32 else t
    z = (t - log_f) * LOG2E_32 + ROUNDER_32
    k = z - ROUNDER_32
    r = (t - k * LN2_HIGH_32) + ((lost - log_f) - k * LN2_LOW_32)
    q = (((A6 * r + A5) * r + A4) * r + A3) * r + A2
    p = (q * (r * r) + r) + ONE_32
    n = I(bits_of(z) - I(0x4B400000) - j)  # sums of int32 are int64 to Numba; LLVM sees that 32 bits are enough
    half = I(n >> I(1))
    rest = I(n - half)
    return p * float_of(I(I(half + I(127)) << I(23))) * float_of(I(I(rest + I(127)) << I(23)))


@njit(**EXACT)
def _polynomial64(r):
    r2 = r * r  # even and odd powers apart: two short chains of dependent instructions instead of a long one
    even = (((B10 * r2 + B8) * r2 + B6) * r2 + B4) * r2 + B2
    odd = (((B11 * r2 + B9) * r2 + B7) * r2 + B5) * r2 + B3
    return ((odd * r + even) * r2 + r) + 1.0


@njit(**EXACT)
def _exp64(x, m, log_f, j):
    t = x - m
    b = t - x
    lost = (x - (t - b)) - (m + b)
    lost = lost if abs(t) < MOST_64 else 0.0
    t = LEAST_64 if t < LEAST_64 else t
    t = MOST_64 if t > MOST_64 else t
    z = (t - log_f) * LOG2E_64 + ROUNDER_64
    k = z - ROUNDER_64
    r = (t - k * LN2_HIGH_64) + ((lost - log_f) - k * LN2_LOW_64)
    p = _polynomial64(r)
    n = bits_of(z) - np.int64(0x4338000000000000) - j
    half = n >> 1
    rest = n - half
    return p * float_of((half + 1023) << 52) * float_of((rest + 1023) << 52)


@overload(exp_of_difference, jit_options=EXACT)
def _exp_of_difference(x, m, log_f, j):
    if x == types.float32:
        return lambda x, m, log_f, j: _exp32(x, m, log_f, I(j))
    if x == types.float64:
        return lambda x, m, log_f, j: _exp64(x, m, log_f, j)


def exp_near(x, floor, rounder):
    """``e**x * 2**s`` as :func:`exp_scaled` has it. Error at most 1 ulp."""
    raise NotImplementedError("for compiled code")


def exp_scaled(x, floor, rounder):
    """``e**x * 2**s`` for scalars in compiled code, with ``rounder = rounder_of(x, s)``.

    Numbers below ``floor`` count as ``floor``. For ``|x| <= 200`` or ``floor``, and results that are normal
    numbers. NaN gives NaN. Returns the exponential, and what its rounding has taken away (0 in float64).
    """
    raise NotImplementedError("for compiled code")


def exp_divided(x, log_f, floor, rounder, unscale):
    """``e**(x - log_f) * 2**s * unscale``; ``log_f`` is 0.35 in size at most, ``unscale`` a power of two."""
    raise NotImplementedError("for compiled code")


def rounder_of(x, scale):
    """The number whose addition rounds to whole numbers and leaves ``k + scale`` in the exponent's bits."""
    raise NotImplementedError("for compiled code")


@njit(**EXACT)
def power_of_two(n):
    """``2.0**n`` for n of at most 1023; 2^-1022 for all below."""
    return float_of((max(n, -1022) + 1023) << 52)


@njit(**EXACT)
def _near32(x, floor, rounder):
    x = floor if x < floor else x  # this way round it is one instruction
    z = x * LOG2E_32 + rounder
    k = z - rounder
    r = (x - k * LN2_HIGH_32) - k * LN2_LOW_32
    p = (((((A6 * r + A5) * r + A4) * r + A3) * r + A2) * r + ONE_32) * r + ONE_32
    return p * float_of(I(bits_of(z) << I(23)))


@njit(**EXACT)
def _near64(x, floor, rounder):
    x = floor if x < floor else x
    z = x * LOG2E_64 + rounder
    k = z - rounder
    r = (x - k * LN2_HIGH_64) - k * LN2_LOW_64
    return _polynomial64(r) * float_of(bits_of(z) << 52)


@njit(**EXACT)
def _scaled32(x, floor, rounder):
    x = floor if x < floor else x  # this way round NaN stays
    z = x * LOG2E_32 + rounder
    k = z - rounder
    first = x - k * LN2_HIGH_32  # exact
    rest = -(k * LN2_LOW_32)
    r = first + rest
    q = (((A6 * r + A5) * r + A4) * r + A3) * r + A2
    tail = first + (q * (r * r) + rest)  # small terms first: 0.25 ulp less than with Horner's rule to the end
    p = tail + ONE_32
    scale = float_of(I(bits_of(z) << I(23)))
    return p * scale, (tail - (p - ONE_32)) * scale


@njit(**EXACT)
def _scaled64(x, floor, rounder):
    x = floor if x < floor else x
    z = x * LOG2E_64 + rounder
    k = z - rounder
    r = (x - k * LN2_HIGH_64) - k * LN2_LOW_64
    return _polynomial64(r) * float_of(bits_of(z) << 52), 0.0


@njit(**EXACT)
def _divided32(x, log_f, floor, rounder, unscale):
    x = floor if x < floor else x
    z = (x - log_f) * LOG2E_32 + rounder
    k = z - rounder
    r = (x - k * LN2_HIGH_32) - (k * LN2_LOW_32 + log_f)
    p = (((((A6 * r + A5) * r + A4) * r + A3) * r + A2) * r + ONE_32) * r + ONE_32
    return p * float_of(I(bits_of(z) << I(23))) * unscale


@njit(**EXACT)
def _divided64(x, log_f, floor, rounder, unscale):
    x = floor if x < floor else x
    z = (x - log_f) * LOG2E_64 + rounder
    k = z - rounder
    r = (x - k * LN2_HIGH_64) - (k * LN2_LOW_64 + log_f)
    return _polynomial64(r) * float_of(bits_of(z) << 52) * unscale


@overload(exp_near, jit_options=EXACT)
def _exp_near(x, floor, rounder):
    if x == types.float32:
        return lambda x, floor, rounder: _near32(x, floor, rounder)
    return lambda x, floor, rounder: _near64(x, floor, rounder)


@overload(exp_scaled, jit_options=EXACT)
def _exp_scaled(x, floor, rounder):
    if x == types.float32:
        return lambda x, floor, rounder: _scaled32(x, floor, rounder)
    return lambda x, floor, rounder: _scaled64(x, floor, rounder)


@overload(exp_divided, jit_options=EXACT)
def _exp_divided(x, log_f, floor, rounder, unscale):
    if x == types.float32:
        return lambda x, log_f, floor, rounder, unscale: _divided32(x, log_f, floor, rounder, unscale)
    return lambda x, log_f, floor, rounder, unscale: _divided64(x, log_f, floor, rounder, unscale)


@overload(rounder_of, jit_options=EXACT)
def _rounder_of(x, scale):
    if x == types.float32:
        return lambda x, scale: F(ROUNDER_32 + F(scale + 127))
    return lambda x, scale: ROUNDER_64 + (scale + 1023)


@kernel()
def exp_into32(x, out):
    """``out[i] = exp(x[i])`` for contiguous float32 arrays of one length."""
    for i in range(x.size):
        out[i] = exp_of_difference(x[i], ZERO_32, ZERO_32, 0)


@kernel()
def exp_into64(x, out):
    """``out[i] = exp(x[i])`` for contiguous float64 arrays of one length."""
    for i in range(x.size):
        out[i] = exp_of_difference(x[i], 0.0, 0.0, 0)
