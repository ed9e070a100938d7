"""A value of an answer against the expected one."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.grading.remote.wire import Odd

MAX_WIDTH = 160
EXACT = 2**53  # from here on, a float is not every integer
SCALARS = (bool, int, float, complex, np.number, np.bool_)


def difference(expected: Any, actual: Any, rtol: float = 1e-12, atol: float = 0.0, max_ulp: float | None = None) -> str:
    """What is wrong with ``actual``; "" if nothing is.

    Lists, tuples and arrays of equal shape and values are equal; integers, strings and truth values must be
    exact, floating-point numbers within ``atol + rtol * abs(expected)``, or within ``max_ulp`` units in the last
    place of ``expected`` (in its own type); a NaN equals a NaN, and infinities equal themselves only. Whatever
    ``actual`` is, nothing is raised.

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
        return "" if _is_same(expected, actual) else f"is {short(actual)}"
    if isinstance(expected, dict):
        return _of_dicts(expected, actual, rtol, atol, max_ulp)
    wanted, found = _as_array(expected), _as_array(actual)
    if wanted is None and not isinstance(expected, SCALARS):
        return _of_lists(expected, actual, rtol, atol, max_ulp)
    if wanted is None or found is None:
        if isinstance(expected, SCALARS) and isinstance(actual, SCALARS):  # integers beyond those of NumPy
            return "" if _is_equal(expected, actual, rtol, atol, max_ulp) else f"is {short(actual)} instead of {short(expected)}"
        if isinstance(expected, (list, tuple)):
            return _of_lists(expected, actual, rtol, atol, max_ulp)
        return f"is {_kind(actual)} instead of {_kind(expected)}"
    if found.shape != wanted.shape:
        return f"has the shape {found.shape} instead of {wanted.shape}"
    return _of_arrays(wanted, found, rtol, atol, max_ulp)


def _as_array(value) -> np.ndarray | None:
    """The numbers of a value; None if it holds others, or numbers that an array does not hold exactly."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "biufc" else None
    if not isinstance(value, (*SCALARS, list, tuple)):
        return None
    try:
        array = np.asarray(value)
    except Exception:  # lists of unequal lengths, numbers too large
        return None
    if array.dtype.kind not in "biufc":
        return None
    if isinstance(value, (list, tuple)) and array.dtype.kind in "fc" and array.size:
        with np.errstate(all="ignore"):
            if np.any(np.abs(array) >= EXACT) and _has_large_integers(value):
                return None
    return array


def _has_large_integers(value) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_large_integers, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iu"
    return isinstance(value, (int, np.integer)) and abs(int(value)) >= EXACT


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
            near = (np.abs(found - wanted) <= bound) & np.isfinite(bound)
            wrong = ~((wanted == found) | near | (np.isnan(wanted) & np.isnan(found)))
    count = int(np.count_nonzero(wrong))
    if not count:
        return ""
    if not wanted.shape:
        return f"is {found[()]} instead of {wanted[()]}"
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = where[0] if len(where) == 1 else where
    words = f"{count} of {wanted.size} differ{'s' if count == 1 else ''}"
    return f"element {place} is {found[where]} instead of {wanted[where]} ({words})"


def _is_equal(wanted, found, rtol, atol, max_ulp) -> bool:
    """Two numbers of which one is an integer that no array holds."""
    if isinstance(wanted, (int, np.integer)) and isinstance(found, (int, np.integer)):
        return int(wanted) == int(found)
    try:
        return not _of_arrays(np.asarray(complex(wanted)), np.asarray(complex(found)), rtol, atol, max_ulp)
    except OverflowError:
        return False


def _of_lists(expected, actual, rtol, atol, max_ulp) -> str:
    """Item by item; arrays of anything but numbers are lists too."""
    expected, actual = (value.tolist() if isinstance(value, np.ndarray) else value for value in (expected, actual))
    if not isinstance(expected, (list, tuple)):
        return "" if _is_same(expected, actual) else f"is {short(actual)}"
    if not isinstance(actual, (list, tuple)):
        return f"is {_kind(actual)} instead of {_kind(expected)}"
    if len(actual) != len(expected):
        return f"has {len(actual)} items instead of {len(expected)}"
    for number, (wanted, found) in enumerate(zip(expected, actual, strict=True)):
        problem = difference(wanted, found, rtol, atol, max_ulp)
        if problem:
            return f"item {number}{':' * problem.startswith(('element', 'item'))} {problem}"
    return ""


def _is_same(expected, actual) -> bool:
    """Of values that are no numbers; NumPy's texts are texts."""
    kinds = [kind for kind in (str, bytes, type(expected)) if isinstance(expected, kind)]
    return isinstance(actual, kinds[0]) and bool(actual == expected)


def _of_dicts(expected, actual, rtol, atol, max_ulp) -> str:
    if not isinstance(actual, dict):
        return f"is {_kind(actual)} instead of {_kind(expected)}"
    if set(actual) != set(expected):
        return f"has the keys {short(sorted(map(short, actual)))} instead of {short(sorted(map(short, expected)))}"
    for key, wanted in expected.items():
        problem = difference(wanted, actual[key], rtol, atol, max_ulp)
        if problem:
            return f"{short(key)}: {problem}"
    return ""


def _kind(value) -> str:
    if value is None:
        return "None"
    if isinstance(value, Odd):
        return repr(value)
    if isinstance(value, np.ndarray):
        kind = "" if value.dtype.kind in "biufc" else "without numbers "
        return f"an array {kind}of shape {value.shape}"
    if isinstance(value, (bool, np.bool_)):
        return "a truth value"
    if isinstance(value, SCALARS):
        return "a number"
    return f"a {type(value).__name__}"


def short(value: Any) -> str:
    """A value in one line.

    Examples
    --------
    >>> short(np.arange(3.0)), short("a" * 300)[-5:]
    ('[0. 1. 2.]', 'aa...')
    """
    try:
        if isinstance(value, np.ndarray):
            text = np.array2string(value, threshold=12, edgeitems=4, max_line_width=10_000, precision=17)
        else:
            text = repr(value)
    except Exception:  # an integer of thousands of digits, say
        text = f"a {type(value).__name__} that cannot be shown"
    text = " ".join(text.split())
    return text if len(text) <= MAX_WIDTH else text[: MAX_WIDTH - 3] + "..."
