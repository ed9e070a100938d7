"""Decoding: all codes of short formats, the ends of long ones; zeros by sign, NaN by being one."""

import math
import random
from fractions import Fraction

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def value_of(code, e, m):
    """The value of a code, from fractions; infinities, NaN and zeros as floats."""
    negative, exponent, trailing = code >> (e + m), code >> m & ((1 << e) - 1), code & ((1 << m) - 1)
    if exponent == (1 << e) - 1:
        value = math.nan if trailing else math.inf
    else:
        significand = Fraction(trailing, 1 << m) + (exponent > 0)
        value = float(significand * Fraction(2) ** (max(exponent, 1) - (1 << (e - 1)) + 1))
    return -value if negative else value


def same(one, other):
    """Equal as numbers, with the sign of zero; all NaN are equal."""
    if not isinstance(other, (int, float)) or isinstance(other, bool):
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other and math.copysign(1, one) == math.copysign(1, other)


def code_text(code, e, m):
    """``0b1_01111_1000000000``."""
    digits = f"{code:0{1 + e + m}b}"
    return f"0b{digits[0]}_{digits[1 : 1 + e]}_{digits[1 + e :]}"


def case(label, codes, e, m):
    """Some codes of a format of 1 + e + m bits."""
    codes = list(codes)

    def judge(results):
        found = results[0]["return"]
        if not isinstance(found, (list, tuple)) or len(found) != len(codes):
            what = f"{len(found)} values" if isinstance(found, (list, tuple)) else f"a {type(found).__name__}"
            return f"{what} came back: return a list of {len(codes)} floats, one a code"
        for code, value in zip(codes, found, strict=True):
            if not same(value_of(code, e, m), value):
                return f"{code_text(code, e, m)} is {value!r}, but it should be {value_of(code, e, m)!r}"
        return ""

    return Case(f"1 + {e} + {m} bits, {label}", ((codes, e, m),), judge=judge)


def ends(e, m):
    """Both zeros, the smallest and largest of each kind, infinities, NaN; with both signs."""
    top, hidden = ((1 << e) - 1) << m, 1 << m
    positive = [0, 1, hidden - 1, hidden, hidden + 1, top // 2 >> m << m, top - 1, top, top + 1, top + hidden - 1]
    return [code | sign << (e + m) for sign in (0, 1) for code in dict.fromkeys(positive)]


def some(e, m, seed, number=200):
    """Random codes; a few of them with the smallest and the largest exponents."""
    rng = random.Random(seed)
    found = [rng.getrandbits(1 + e + m) for _ in range(number)]
    exponents = [0, 0, 1, (1 << e) - 2, (1 << e) - 1]
    return found + [rng.getrandbits(1) << (e + m) | E << m | rng.getrandbits(m) for E in exponents for _ in range(9)]


def cases():
    return [
        case("the number 1", [0b0_01111_0000000000], 5, 10),
        case("normal numbers", [0b0_01111_1000000000, 0b1_10000_0100000000, 0b0_00001_1111111111], 5, 10),
        case("subnormal numbers", [0b0_00000_0000000001, 0b0_00000_1111111111, 0b1_00000_1000000000], 5, 10),
        case("zeros", [0, 1 << 15], 5, 10),
        case("infinities", [0b0_11111_0000000000, 0b1_11111_0000000000], 5, 10),
        case("NaN", [0b0_11111_1000000000, 0b1_11111_0000000001], 5, 10),
        case("all codes", range(1 << 8), 4, 3),
        case("all codes", range(1 << 4), 2, 1),
        case("its ends", ends(8, 7), 8, 7),
        case("random codes", some(8, 23, 1), 8, 23),
        case("its ends", ends(11, 52), 11, 52),
        case("random codes", some(11, 52, 2), 11, 52),
        case("no codes", [], 5, 10),
    ]


def _first_wrong(failure):
    """(sign, exponent, trailing, e, m, right value, value found) of the first wrong code."""
    codes, e, m = failure.case.arguments[0]
    for code, value in zip(codes, failure.actual(0), strict=True):
        if not same(value_of(code, e, m), value):
            return code >> (e + m), code >> m & ((1 << e) - 1), code & ((1 << m) - 1), e, m, value_of(code, e, m), value
    raise LookupError


def _when(is_so):
    """A slip shown by ``is_so(sign, exponent, trailing, e, m, right, found)`` at the first wrong code."""
    return lambda failure: failure.status is Status.INCORRECT and is_so(*_first_wrong(failure))


def _other_bias(s, E, t, e, m, right, found):
    return E not in (0, (1 << e) - 1) and right and found and math.frexp(found)[0] == math.frexp(right)[0]


exercise = Exercise(
    title="What the bits say",
    function="decode_bits",
    points=4,
    cases=cases,
    hints=(
        "Take each code apart with >> and &: the last m bits, the e bits before them, and the sign. Then there are "
        "three kinds: biased exponent 0, all ones, and the rest.",
        "exponent = code >> significand_bits & (2**exponent_bits - 1). A normal number is (2^m + T) x 2^(E - b - m), a "
        "subnormal one T x 2^(1 - b - m): no hidden 1, and the same power as E = 1.",
        "if exponent == 2**exponent_bits - 1:\n    value = math.nan if trailing else math.inf\n"
        "elif exponent == 0:\n    value = math.ldexp(trailing, 1 - bias - significand_bits)\n"
        "else:\n    value = math.ldexp(2**significand_bits + trailing, exponent - bias - significand_bits)\n"
        "found.append(-value if negative else value)",
    ),
    slips=(
        Slip(
            "The sign of zero is lost: the code of minus zero has a sign bit like any other. Negate the float, "
            "-0.0, after it has been made, and not a whole number 0.",
            _when(lambda s, E, t, e, m, right, found: right == 0 == found),
        ),
        Slip(
            "A biased exponent of 0 means: no hidden 1 before the significand. These are zero and the subnormal "
            "numbers.",
            _when(lambda s, E, t, e, m, right, found: E == 0 and abs(found) in (
                abs(float((1 + Fraction(t, 1 << m)) * Fraction(2) ** (2 - (1 << (e - 1))))),
                abs(float((1 + Fraction(t, 1 << m)) * Fraction(2) ** (1 - (1 << (e - 1))))))),
        ),
        Slip(
            "Subnormal numbers are twice as large: they have the power of the biased exponent 1, that is 1 - b, not "
            "-b. So they continue the smallest normal numbers without a gap.",
            _when(lambda s, E, t, e, m, right, found: E == 0 and t > 0 and abs(found) == abs(right) / 2),
        ),
        Slip(
            "The largest biased exponent, all ones, is kept for infinity and NaN.",
            _when(lambda s, E, t, e, m, right, found: E == (1 << e) - 1 and math.isfinite(found)),
        ),
        Slip(
            "With the largest biased exponent only T = 0 is infinity: everything else is NaN.",
            _when(lambda s, E, t, e, m, right, found: E == (1 << e) - 1 and t > 0 and math.isinf(found)),
        ),
        Slip(
            "The significand is right, the power of two is not: the bias is 2^(e-1) - 1, from the exponent bits of "
            "this format.",
            _when(_other_bias),
        ),
        Slip(
            "The hidden 1 is missing: a normal number is 1 + T / 2^m times its power of two.",
            _when(lambda s, E, t, e, m, right, found: 0 < E < (1 << e) - 1 and abs(found) == abs(right) - 2.0 ** (
                E - (1 << (e - 1)) + 1)),
        ),
        Slip(
            "Negative numbers are wrong: floating point keeps sign and magnitude. The sign bit changes the sign, and "
            "the other bits mean the same; there is no two's complement.",
            _when(lambda s, E, t, e, m, right, found: s == 1),
        ),
        Slip(
            "NumPy's float16 is the format with 5 and 10 bits only. Take the code apart with >> and &.",
            lambda f: ".view(" in f.source or "unpack(" in f.source,
        ),
    ),
)
