"""Numbers as people write them: ``1e-6``, ``1 000``, ``3/4``, ``2**20``, ``12 us``."""

from __future__ import annotations

import math
import re

from labkit.errors import UsageError

GROUPED = re.compile(r"[+-]?\d{1,3}(?:[ _]\d{3})+(?:\.\d+)?")
PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
NUMBER = rf"(?:{GROUPED.pattern}|{PLAIN.pattern})"
WHOLE = re.compile(
    rf"(?P<first>{NUMBER})\s*(?:(?P<sign>/|\*\*|\^)\s*(?P<second>{NUMBER}))?\s*(?P<unit>[^\d\s+.,/*^-].*)?"
)
SPACES = dict.fromkeys(map(ord, "\u00a0\u2009\u202f\t"), " ")
MICRO = str.maketrans({"µ": "u", "μ": "u"})


def read_number(text: str, unit: str = "") -> float:
    """The number that ``text`` says, which may end with its unit.

    Parameters
    ----------
    text : str
    unit : str
        The unit the question asks for. The text may leave it out; it may not name another one.

    Returns
    -------
    float

    Raises
    ------
    UsageError
        It is no number, or one that can be read in two ways; the message says how to write it.

    Examples
    --------
    >>> read_number("1e-6"), read_number("1 000"), read_number("3/4"), read_number("2**20"), read_number("12 µs", "us")
    (1e-06, 1000.0, 0.75, 1048576.0, 12.0)
    >>> read_number("1,5")
    Traceback (most recent call last):
    labkit.errors.UsageError: '1,5': a comma can mean two things; write 1.5 for one and a half, 1000 for a thousand.
    """
    cleaned = text.translate(SPACES).strip()
    if re.search(r"\d,\d|^,\d", cleaned):
        raise UsageError(f"{text!r}: a comma can mean two things; write 1.5 for one and a half, 1000 for a thousand.")
    found = WHOLE.fullmatch(cleaned)
    if not found:
        raise UsageError(f"{text!r} cannot be read as a number; write it like 12, 0.5, 1e-6, 3/4 or 2**20.")
    _check_unit(text, found["unit"] or "", unit)
    first = _plain(found["first"])
    try:
        value = first if found["sign"] is None else _combined(first, found["sign"], _plain(found["second"]))
    except ZeroDivisionError:
        raise UsageError(f"{text!r} divides by zero; check the lower number.") from None
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise UsageError(f"{text!r} is too large to be meant; check the exponent.")
    return value


def _plain(digits: str) -> float:
    return float(digits.replace(" ", "").replace("_", ""))


def _combined(first: float, sign: str, second: float) -> float:
    if sign == "/":
        return first / second
    value = first**second
    if isinstance(value, complex):
        raise UsageError(f"{first:g} to the power of {second:g} is no real number; check the sign.")
    return value


def _check_unit(text: str, given: str, wanted: str) -> None:
    if not given or _same(given) == _same(wanted):
        return
    if not wanted:
        raise UsageError(f"{text!r}: the answer is a number without a unit; leave {given!r} out.")
    raise UsageError(f"{text!r}: the answer is asked for in {wanted}, not in {given}; convert it first.")


def _same(unit: str) -> str:
    """Units that differ in a blank, in the letter for micro or in the plural's s are the same; ``Ms`` is not ``ms``."""
    word = unit.translate(MICRO).replace(" ", "")
    return word.removesuffix("s") if len(word) > 3 else word
