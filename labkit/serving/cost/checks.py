"""What numbers must be: each check gives the number back, or says the rule, the value and the next step."""

from __future__ import annotations

import math
import numbers

import numpy as np

from labkit.errors import UsageError

LEAST_MEMORY_MB = 128
MOST_MEMORY_MB = 10240


def number(name: str, value, *, advice: str = "pass a finite number") -> float:
    """A finite number.

    Examples
    --------
    >>> number("rate", 2)
    2.0
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)) and not _is_decimal(value):
        raise UsageError(f"{name} is a number, not {value!r}: {advice}.")
    if not math.isfinite(value):
        raise UsageError(f"{name} is a finite number, not {value!r}: {advice}.")
    return float(value)


def _is_decimal(value) -> bool:
    from decimal import Decimal

    return isinstance(value, Decimal)


def positive(name: str, value, *, advice: str = "pass a number above 0") -> float:
    """A finite number above 0."""
    if number(name, value, advice=advice) <= 0:
        raise UsageError(f"{name} is more than 0, not {value!r}: {advice}.")
    return float(value)


def not_negative(name: str, value, *, advice: str = "pass 0 or more") -> float:
    """A finite number, 0 or more."""
    if number(name, value, advice=advice) < 0:
        raise UsageError(f"{name} is 0 or more, not {value!r}: {advice}.")
    return float(value)


def share(name: str, value, *, advice: str = "pass a number from 0 to 1") -> float:
    """A number from 0 to 1."""
    if not 0 <= number(name, value, advice=advice) <= 1:
        raise UsageError(f"{name} is a share, from 0 to 1, not {value!r}: {advice}.")
    return float(value)


def whole(name: str, value, least: int = 0, *, advice: str = "") -> int:
    """A whole number of at least ``least``.

    Examples
    --------
    >>> whole("instances", 3.0, 1)
    3
    """
    advice = advice or f"pass a whole number of at least {least}"
    if number(name, value, advice=advice) != int(value):
        raise UsageError(f"{name} is a whole number, not {value!r}: {advice}.")
    if value < least:
        raise UsageError(f"{name} is at least {least}, not {value!r}: {advice}.")
    return int(value)


def memory(memory_mb) -> int:
    """Memory of a function in MB, in steps of 1.

    Raises
    ------
    UsageError
        Outside of what AWS Lambda gives.
    """
    advice = f"pass a whole number of MB from {LEAST_MEMORY_MB} to {MOST_MEMORY_MB}, such as 512"
    value = whole("memory_mb", memory_mb, 0, advice=advice)
    if not LEAST_MEMORY_MB <= value <= MOST_MEMORY_MB:
        raise UsageError(
            f"memory_mb: a function has {LEAST_MEMORY_MB} to {MOST_MEMORY_MB} MB of memory, not {value}: {advice}."
        )
    return value


def keep_alive(keep_alive_s) -> float:
    """How long an idle environment stays, in s; more than 0."""
    return positive(
        "keep_alive_s", keep_alive_s,
        advice="pass the seconds that an idle environment stays, such as 300; one that ends at once would make every "
        "request cold",
    )


def arrival_times(times_s) -> np.ndarray:
    """Arrival times as a float64 array: at least one, finite, not negative, sorted."""
    times = np.asarray(times_s, np.float64)
    if times.ndim != 1 or not times.size:
        raise UsageError(
            f"arrival times are one row of at least one number, not an array of shape {times.shape}: pass the seconds at "
            "which requests arrive."
        )
    if not np.isfinite(times[[0, -1]]).all() or not np.isfinite(times).all() or times[0] < 0:
        raise UsageError("arrival times are finite and not negative: take NaN, infinite and negative ones out.")
    falls = np.flatnonzero(times[1:] < times[:-1])
    if falls.size:
        k = int(falls[0])
        raise UsageError(
            f"arrival times are sorted, but request {k + 1} arrives at {times[k + 1]:g} s, after one at {times[k]:g} s: "
            "sort them with numpy.sort."
        )
    return times
