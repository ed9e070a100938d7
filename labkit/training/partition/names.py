"""Names of modules: of what is inside what, and of many in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MOST_LISTED = 4


def folded(modules: Sequence[tuple[str, ...]], start: int, stop: int) -> tuple[str, ...]:
    """The modules of some layers, each once; those that are all of what is inside another one go by its name.

    Examples
    --------
    >>> folded([("embed",), ("blocks.0.norm",), ("blocks.0.widen",), ("blocks.1.norm",)], 0, 3)
    ('embed', 'blocks.0')
    """
    inside = list(dict.fromkeys(name for names in modules[start:stop] for name in names))
    others = (*modules[:start], *modules[stop:])
    elsewhere = {prefix for names in others for name in names for prefix in _prefixes(name)}
    num_inside = Counter(prefix for name in inside for prefix in _prefixes(name))
    return tuple(dict.fromkeys(
        next((p for p in _prefixes(name) if p not in elsewhere and num_inside[p] > 1), name) for name in inside
    ))


def _prefixes(name: str) -> list[str]:
    """The modules around a module, the largest first, and itself."""
    parts = name.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]


def listed(names: Sequence[str]) -> str:
    """Names in a sentence; of many, the first few and the last."""
    if len(names) <= MOST_LISTED:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_LISTED - 1])}, ..., {names[-1]} ({len(names)} in all)"
