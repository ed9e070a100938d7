"""Numbers of this room, checked: each gives the value, or a UsageError that says the rule."""

from __future__ import annotations

from numbers import Integral

from labkit.errors import UsageError

MOST_ACTIONS = 4_000_000


def whole_number(name: str, value, least: int) -> int:
    """``value`` as a Python integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{name} is a whole number, {least} or more, not {value!r}: pass such a number.")
    return int(value)


def sizes(num_stages, num_microbatches) -> tuple[int, int]:
    """Both as integers of at least 1, if a plan of that size can be held in memory."""
    p, m = whole_number("num_stages", num_stages, 1), whole_number("num_microbatches", num_microbatches, 1)
    if 3 * p * m > MOST_ACTIONS:
        raise UsageError(
            f"a plan has at most {MOST_ACTIONS} actions, but {p} stages with {m} micro-batches have up to {3 * p * m}: "
            f"take at most {max(MOST_ACTIONS // (3 * p), 1)} micro-batches."
        )
    return p, m
