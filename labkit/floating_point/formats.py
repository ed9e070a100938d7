"""Floating-point formats as values: how many bits, which exponents, what the last codes mean.

A code is read as sign, biased exponent, trailing significand, from the top. The biased exponent 0 holds zero and
the subnormal numbers. What the largest codes mean is where formats differ, and has a name here:

=================  ===============================================================================
``nan="ieee"``     the largest biased exponent holds infinity (trailing 0) and NaN: IEEE 754, E5M2
``"all_ones"``     only the code of all ones is NaN, and there is no infinity: E4M3 ("fn")
``"minus_zero"``   the code of minus zero is NaN; no infinity and no minus zero ("fnuz")
``"none"``         every code is a number: E2M1
=================  ===============================================================================
"""

from __future__ import annotations

import difflib
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from numbers import Integral

from labkit.errors import UsageError

NAN_ENCODINGS = ("ieee", "all_ones", "minus_zero", "none")
LEAST_EXPONENT = -1074  # of binary64's smallest subnormal: every value of a format is a binary64 number
MOST_EXPONENT = 1023


@dataclass(frozen=True, slots=True)
class Format:
    """A binary floating-point format of at most 64 bits, all of whose values are binary64 numbers.

    Parameters
    ----------
    name : str
    exponent_bits : int
        2 to 11.
    significand_bits : int
        Of the trailing significand, without the hidden bit: 0 to 52.
    bias : int, optional
        Exponent 0 is stored as this; ``2**(exponent_bits - 1) - 1`` where it is not given.
    infinities : bool
        Whether there are any. Needs, and by default means, ``nan="ieee"``.
    nan : str, optional
        What the last codes mean, see the module; ``"all_ones"`` by default in a format without infinities.
    signed : bool
        Whether there is a sign bit.

    Raises
    ------
    UsageError
        Widths that make no sense together, or values that binary64 does not have.

    Examples
    --------
    >>> tiny = Format("E3M2", 3, 2, infinities=False, nan="none")
    >>> tiny.max, tiny.min_subnormal, tiny.epsilon, tiny.num_values
    (Fraction(28, 1), Fraction(1, 16), Fraction(1, 4), 63)
    """

    name: str
    exponent_bits: int
    significand_bits: int
    bias: int | None = None
    _: KW_ONLY
    infinities: bool = True
    nan: str | None = None
    signed: bool = True

    def __post_init__(self):
        _check_whole(self, "exponent_bits", 2, 11)
        _check_whole(self, "significand_bits", 0, 52)
        if self.bias is None:
            object.__setattr__(self, "bias", 2 ** (self.exponent_bits - 1) - 1)
        _check_whole(self, "bias", -2048, 2048)
        if self.nan is None:
            object.__setattr__(self, "nan", "ieee" if self.infinities else "all_ones")
        _check_encoding(self)
        if self.min_exponent - self.significand_bits < LEAST_EXPONENT or self.max >= 2 ** (MOST_EXPONENT + 1):
            raise UsageError(
                f"{self.name}: values of a format lie between 2**{LEAST_EXPONENT} and 2**{MOST_EXPONENT + 1}, those of "
                f"binary64, but bias={self.bias} with {self.exponent_bits} exponent bits and {self.significand_bits} "
                f"significand bits leads beyond: choose a bias nearer to {2 ** (self.exponent_bits - 1) - 1}."
            )

    @property
    def num_bits(self) -> int:
        """Bits of a code."""
        return self.signed + self.exponent_bits + self.significand_bits

    @property
    def precision(self) -> int:
        """Bits of the significand of a normal number, the hidden one included."""
        return self.significand_bits + 1

    @property
    def min_exponent(self) -> int:
        """Of normal numbers; subnormal numbers have the spacing of this exponent, too."""
        return 1 - self.bias

    @property
    def max_exponent(self) -> int:
        """Of the largest finite number."""
        return (self.max_code >> self.significand_bits) - self.bias

    @property
    def max_code(self) -> int:
        """The code of the largest finite number; positive codes are in the order of their values."""
        last = (1 << (self.exponent_bits + self.significand_bits)) - 1
        reserved = {"ieee": 1 << self.significand_bits, "all_ones": 1}
        return last - reserved.get(self.nan, 0)

    @property
    def sign_bit(self) -> int:
        """The code of minus zero, or 0 in a format without a sign."""
        return int(self.signed) << (self.exponent_bits + self.significand_bits)

    @property
    def infinity_code(self) -> int | None:
        """The code of plus infinity."""
        return self.max_code + 1 if self.infinities else None

    @property
    def nan_code(self) -> int | None:
        """The code that a NaN is given: quiet and without payload."""
        if self.nan == "ieee":
            return self.max_code + 1 + (1 << (self.significand_bits - 1))
        return {"all_ones": self.max_code + 1, "minus_zero": self.sign_bit, "none": None}[self.nan]

    @property
    def max(self) -> Fraction:
        """The largest finite number."""
        return self.value_of(self.max_code)

    @property
    def min_normal(self) -> Fraction:
        """The smallest positive number with full precision."""
        return Fraction(2) ** self.min_exponent

    @property
    def min_subnormal(self) -> Fraction:
        """The smallest positive number; in a format without trailing bits that is :attr:`min_normal`."""
        return self.value_of(1)

    @property
    def epsilon(self) -> Fraction:
        """The spacing of the numbers from 1 to 2; the unit roundoff of rounding to nearest is half of it."""
        return Fraction(1, 2**self.significand_bits)

    @property
    def num_values(self) -> int:
        """How many different finite numbers there are; the two zeros are one."""
        return (2 if self.signed else 1) * self.max_code + 1

    @property
    def saturates(self) -> bool:
        """Whether a number that is too large can only become the largest one."""
        return self.nan == "none"

    def value_of(self, code: int) -> Fraction:
        """The value of the code of a finite positive number."""
        exponent, trailing = code >> self.significand_bits, code & ((1 << self.significand_bits) - 1)
        significand = trailing + (1 << self.significand_bits) if exponent else trailing
        return significand * Fraction(2) ** (max(exponent, 1) - self.bias - self.significand_bits)


def _check_whole(fmt: Format, field: str, least: int, most: int) -> None:
    value = getattr(fmt, field)
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(
            f"{fmt.name}: {field} is a whole number from {least} to {most}, not {value!r}: pass such a one, or take a "
            f"format that exists, such as find_format('binary32')."
        )
    object.__setattr__(fmt, field, int(value))


def _check_encoding(fmt: Format) -> None:
    if fmt.nan not in NAN_ENCODINGS:
        raise UsageError(f"{fmt.name}: nan={fmt.nan!r} is no encoding of NaN: pass one of {', '.join(NAN_ENCODINGS)}.")
    if fmt.infinities != (fmt.nan == "ieee"):
        other = "'ieee'" if fmt.infinities else "'all_ones', 'minus_zero' or 'none'"
        raise UsageError(
            f"{fmt.name}: infinities and the encoding 'ieee' go together, but infinities={fmt.infinities} and "
            f"nan={fmt.nan!r}: pass infinities={not fmt.infinities}, or nan={other}."
        )
    if fmt.nan == "ieee" and fmt.significand_bits == 0:
        raise UsageError(
            f"{fmt.name}: infinity and NaN share an exponent and differ in the trailing significand, which has 0 bits: "
            f"pass significand_bits=1 or more, or infinities=False."
        )
    if fmt.nan == "minus_zero" and not fmt.signed:
        raise UsageError(
            f"{fmt.name}: nan='minus_zero' needs a sign bit, but signed=False: pass another encoding of NaN."
        )


PRESETS = {
    fmt.name: fmt
    for fmt in (
        Format("binary16", 5, 10),
        Format("binary32", 8, 23),
        Format("binary64", 11, 52),
        Format("bfloat16", 8, 7),
        Format("TF32", 8, 10),
        Format("E5M2", 5, 2),
        Format("E4M3", 4, 3, infinities=False),
        Format("E3M2", 3, 2, infinities=False, nan="none"),
        Format("E2M3", 2, 3, infinities=False, nan="none"),
        Format("E2M1", 2, 1, infinities=False, nan="none"),
        Format("E5M2FNUZ", 5, 2, 16, infinities=False, nan="minus_zero"),
        Format("E4M3FNUZ", 4, 3, 8, infinities=False, nan="minus_zero"),
    )
}
_OTHER_NAMES = {
    "half": "binary16", "float16": "binary16", "fp16": "binary16", "single": "binary32", "float32": "binary32",
    "fp32": "binary32", "double": "binary64", "float64": "binary64", "fp64": "binary64", "bf16": "bfloat16",
    "e4m3fn": "E4M3",
}
_BY_LOWER_NAME = {name.lower(): fmt for name, fmt in PRESETS.items()}
_BY_LOWER_NAME |= {other: PRESETS[name] for other, name in _OTHER_NAMES.items()}


def find_format(name: str | Format) -> Format:
    """The format of this name, in any case; a format is given back as it is.

    Parameters
    ----------
    name : str or Format
        One of ``PRESETS``, or a usual other name such as ``"float32"`` or ``"bf16"``.

    Raises
    ------
    UsageError
        No such format; the message has the nearest name.

    Examples
    --------
    >>> find_format("fp16").max, float(find_format("e4m3").max)
    (Fraction(65504, 1), 448.0)
    """
    if isinstance(name, Format):
        return name
    if isinstance(name, str) and name.lower() in _BY_LOWER_NAME:
        return _BY_LOWER_NAME[name.lower()]
    near = difflib.get_close_matches(str(name).lower(), _BY_LOWER_NAME, 1)
    nearest = f"did you mean {_BY_LOWER_NAME[near[0]].name!r}? " if near else ""
    raise UsageError(
        f"no format is called {name!r}: {nearest}There are {', '.join(PRESETS)}; "
        f"make any other with Format(name, exponent_bits, significand_bits)."
    )
