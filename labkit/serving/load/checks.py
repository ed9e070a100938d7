"""Checks of the numbers that this room is given."""

from __future__ import annotations

import math
import numbers

from labkit.errors import UsageError


def number(function: str, name: str, value: object, *, above: float | None = None, least: float | None = None,
           most: float | None = None) -> float:
    """A finite number within its bounds, or UsageError."""
    rule = [f"above {above:g}"] if above is not None else []
    rule += [f"at least {least:g}"] if least is not None else []
    rule += [f"at most {most:g}"] if most is not None else []
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if (
        not is_number or (above is not None and value <= above) or (least is not None and value < least)
        or (most is not None and value > most)
    ):
        words = " and ".join(["a finite number", *rule]) if len(rule) < 2 else f"a finite number, {' and '.join(rule)}"
        raise UsageError(f"{function}: {name} is {words}, not {value!r}: pass such a number.")
    return float(value)


def count(function: str, name: str, value: object, *, least: int = 0, most: int | None = None) -> int:
    """An integer within its bounds, or UsageError."""
    is_count = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_count or value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise UsageError(f"{function}: {name} is an integer, {bounds}, not {value!r}: pass such a number.")
    return int(value)
