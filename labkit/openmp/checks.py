"""Arguments of this room, checked: each gives the value, or a UsageError that says the rule."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from labkit.errors import UsageError

NO_LIMIT = 2**62
LONGEST_S = 9e9  # 285 years: in ns still a 64-bit integer


def whole_number(name: str, value, least: int, most: int = NO_LIMIT) -> int:
    """``value`` as a Python integer from ``least`` to ``most``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or not least <= value <= most:
        span = f"{least} or more" if most == NO_LIMIT else f"{least} to {most}"
        raise UsageError(f"{name} is a whole number, {span}, not {value!r}: pass such a number.")
    return int(value)


def seconds(name: str, value) -> float:
    """A time in s, 0 or more."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) or not 0 <= value <= LONGEST_S:
        raise UsageError(f"{name} is a time in s, 0 to {LONGEST_S:g}, not {value!r}: pass such a number.")
    return float(value)


def number_array(name: str, values, *, positive: bool = False) -> np.ndarray:
    """A one-dimensional array of float64: finite, and 0 or more, or ``positive``."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: {values!r:.80} cannot be read as numbers: pass an array of them.") from None
    if array.ndim != 1:
        raise UsageError(f"{name} has one dimension, but its shape is {array.shape}: pass for example values.ravel().")
    wrong = ~np.isfinite(array) | (array <= 0 if positive else array < 0)
    if wrong.any():
        where = int(np.argmax(wrong))
        rule = "more than 0" if positive else "0 or more"
        raise UsageError(
            f"{name}: all values are finite and {rule}, but number {where} of {len(array)} is "
            f"{array[where]:g}: correct it."
        )
    return array
