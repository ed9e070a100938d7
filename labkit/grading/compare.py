"""A value of an answer against the expected one."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.grading.remote.wire import Odd

MAX_WIDTH = 160


def difference(expected: Any, actual: Any, rtol: float = 1e-12, atol: float = 0.0, max_ulp: float | None = None) -> str:
    """What is wrong with ``actual``; "" if nothing is.

    Lists, tuples and arrays of equal shape and values are equal; integers, strings and truth values must be
    exact, floating-point numbers within ``atol + rtol * abs(expected)``, or within ``max_ulp`` units in the last
    place of ``expected`` (in its own type); a NaN equals a NaN.

    Examples
    --------
    >>> difference([1, 2, 3], np.array([1, 2, 4]))
    'element 2 is 4 instead of 3 (1 of 3 differs)'
    >>> difference(1.0, 1.0 + 1e-15), difference(0.5, "0.5")
    ('', 'is a str instead of a number')
    """
    if isinstance(actual, Odd):
        return f"is {actual!r} instead of {_kind(expected)}"
    if expected is None or isinstance(expected, (str, bytes)):
        return "" if type(actual) is type(expected) and actual == expected else f"is {short(actual)}"
    if isinstance(expected, dict):
        return _of_dicts(expected, actual, rtol, atol, max_ulp)
    if isinstance(expected, (list, tuple)) and not _is_numeric(expected):
        return _of_lists(expected, actual, rtol, atol, max_ulp)
    wanted = np.asarray(expected)
    if not _is_numeric(actual):
        return f"is {_kind(actual)} instead of {_kind(expected)}"
    found = np.asarray(actual)
    if found.shape != wanted.shape:
        return f"has the shape {found.shape} instead of {wanted.shape}"
    return _of_arrays(wanted, found, rtol, atol, max_ulp)


def _of_arrays(wanted: np.ndarray, found: np.ndarray, rtol: float, atol: float, max_ulp: float | None) -> str:
    if wanted.dtype.kind == "b" and found.dtype.kind != "b":
        return "is a number instead of a truth value" if not wanted.shape else "has numbers instead of truth values"
    if wanted.dtype.kind in "iub" and found.dtype.kind in "iub":
        wrong = wanted != found
    else:
        with np.errstate(all="ignore"):
            bound = atol + rtol * np.abs(wanted)
            if max_ulp is not None and wanted.dtype.kind == "f":
                bound = max_ulp * np.spacing(np.abs(wanted)).astype(np.float64)
            wrong = ~((wanted == found) | (np.abs(found - wanted) <= bound) | (np.isnan(wanted) & np.isnan(found)))
    count = int(np.count_nonzero(wrong))
    if not count:
        return ""
    if not wanted.shape:
        return f"is {found[()]} instead of {wanted[()]}"
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = where[0] if len(where) == 1 else where
    return f"element {place} is {found[where]} instead of {wanted[where]} ({count} of {wanted.size} differ{'s' if count == 1 else ''})"


def _of_lists(expected, actual, rtol, atol, max_ulp) -> str:
    if not isinstance(actual, (list, tuple)):
        return f"is {_kind(actual)} instead of {_kind(expected)}"
    if len(actual) != len(expected):
        return f"has {len(actual)} items instead of {len(expected)}"
    for number, (wanted, found) in enumerate(zip(expected, actual, strict=True)):
        problem = difference(wanted, found, rtol, atol, max_ulp)
        if problem:
            return f"item {number} {problem}" if not problem.startswith(("element", "item")) else f"item {number}: {problem}"
    return ""


def _of_dicts(expected, actual, rtol, atol, max_ulp) -> str:
    if not isinstance(actual, dict):
        return f"is {_kind(actual)} instead of {_kind(expected)}"
    if set(actual) != set(expected):
        return f"has the keys {sorted(map(str, actual))} instead of {sorted(map(str, expected))}"
    for key, wanted in expected.items():
        problem = difference(wanted, actual[key], rtol, atol, max_ulp)
        if problem:
            return f"{key!r}: {problem}"
    return ""


def _is_numeric(value) -> bool:
    """Whether NumPy makes an array of numbers of it."""
    if isinstance(value, (bool, int, float, complex, np.number, np.bool_)):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc"
    if not isinstance(value, (list, tuple)):
        return False
    try:
        return not value or np.asarray(value).dtype.kind in "biufc"
    except (ValueError, OverflowError):
        return False


def _kind(value) -> str:
    if value is None:
        return "None"
    if isinstance(value, Odd):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, (bool, np.bool_)):
        return "a truth value"
    if isinstance(value, (int, float, complex, np.number)):
        return "a number"
    return f"a {type(value).__name__}"


def short(value: Any) -> str:
    """A value in one line.

    Examples
    --------
    >>> short(np.arange(3.0)), short("a" * 300)[-5:]
    ('[0. 1. 2.]', 'aa...')
    """
    if isinstance(value, np.ndarray):
        text = np.array2string(value, threshold=12, edgeitems=4, max_line_width=10_000, precision=17)
    else:
        text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= MAX_WIDTH else text[: MAX_WIDTH - 3] + "..."
