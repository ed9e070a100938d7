"""Axes and checks that the pictures of serving share."""

from __future__ import annotations

import math
from collections.abc import Iterable

from labkit.errors import UsageError

BELOW = {"yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0, "traceorder": "normal"}  # a legend under all


def seconds_text(seconds: float) -> str:
    """A time in words, from microseconds to seconds.

    Examples
    --------
    >>> seconds_text(0.00025), seconds_text(0.1), seconds_text(12.34)
    ('250 µs', '100 ms', '12.3 s')
    """
    for size, name in ((1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= size * (1 - 1e-9):
            return f"{seconds / size:.3g} {name}"
    return f"{seconds * 1e6:.3g} µs" if seconds else "0 s"


def log_seconds_axis(values: Iterable[float]) -> dict:
    """A logarithmic axis of seconds, its ticks with units, that reaches a little beyond the values."""
    finite = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (1e-3, 1.0)
    bottom, top = math.log10(low) - 0.12, math.log10(high) + 0.2
    factors = (1,) if top - bottom > 3.5 else (1, 3) if top - bottom > 1.2 else (1, 2, 3, 5, 7)
    ticks = [factor * 10.0**power for power in range(math.floor(bottom), math.ceil(top) + 1) for factor in factors]
    ticks = [tick for tick in ticks if bottom <= math.log10(tick) <= top]
    words = [seconds_text(tick) for tick in ticks]
    return {"type": "log", "range": [bottom, top], "tickvals": ticks, "ticktext": words}


def log_axis(values: Iterable[float]) -> dict:
    """A logarithmic axis of plain numbers, with few round ticks."""
    finite = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (1.0, 10.0)
    bottom, top = math.log10(low) - 0.06, math.log10(high) + 0.06
    factors = (1,) if top - bottom > 3 else (1, 2, 5)
    ticks = [factor * 10.0**power for power in range(math.floor(bottom), math.ceil(top) + 1) for factor in factors]
    ticks = [tick for tick in ticks if bottom <= math.log10(tick) <= top]
    return {"type": "log", "range": [bottom, top], "tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks]}


def seconds_given(function: str, name: str, value: object) -> float:
    """A finite number of seconds, 0 or more, or UsageError."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise UsageError(f"{function}: {name} is a finite number of seconds, 0 or more, not {value!r}.")
    return seconds


def empty_note(figure, words: str) -> None:
    """Say in the middle of a figure why there is nothing in it."""
    figure.add_annotation(xref="paper", yref="paper", x=0.5, y=0.5, showarrow=False, font={"size": 15}, text=words)
