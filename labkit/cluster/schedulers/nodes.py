"""Lists of nodes as schedulers write them."""

from __future__ import annotations

import re

MAX_NODES = 100_000
_BRACKETS = re.compile(r"(?P<before>[^\[\]]*)\[(?P<ranges>[^\[\]]+)\](?P<after>.*)")


def expand_nodes(text: str) -> tuple[str, ...]:
    """The nodes of a list in Slurm's form, in its order.

    Raises
    ------
    ValueError
        The text is no such list, or names more than 100 000 nodes.

    Examples
    --------
    >>> expand_nodes("n[1-3,7],gpu01")
    ('n1', 'n2', 'n3', 'n7', 'gpu01')
    >>> expand_nodes("r[1-2]n[08-10]")
    ('r1n08', 'r1n09', 'r1n10', 'r2n08', 'r2n09', 'r2n10')
    """
    if text.strip() in ("", "(null)", "None", "None assigned", "n/a"):
        return ()
    names: list[str] = []
    for part in re.split(r",(?![^\[]*\])", text.strip()):
        names += _expand(part.strip())
        if len(names) > MAX_NODES:
            raise ValueError(f"{text[:80]!r} names more than {MAX_NODES} nodes")
    return tuple(names)


def _expand(part: str) -> list[str]:
    if not re.search(r"[\[\]]", part):
        if not part:
            raise ValueError("a list of nodes has an empty name")
        return [part]
    match = _BRACKETS.fullmatch(part)
    if match is None:
        raise ValueError(f"{part[:80]!r} is not a list of nodes: its brackets do not match")
    afters = _expand(match["after"]) if match["after"] else [""]
    numbers = _numbers(match["ranges"])
    if len(numbers) * len(afters) > MAX_NODES:
        raise ValueError(f"{part[:80]!r} names more than {MAX_NODES} nodes")
    return [f"{match['before']}{number}{after}" for number in numbers for after in afters]


def _numbers(ranges: str) -> list[str]:
    """Numbers of ``"1-3,007"``, with their leading zeros."""
    numbers: list[str] = []
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (re.fullmatch(r"\d+", first, re.ASCII) and re.fullmatch(r"\d+", last, re.ASCII)):
            raise ValueError(f"{part[:80]!r} is not a range of node numbers")
        if not 0 <= int(last) - int(first) < MAX_NODES:
            raise ValueError(f"{part[:80]!r} is no range of at most {MAX_NODES} nodes")
        numbers += [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return numbers


def unique(names) -> tuple[str, ...]:
    """Names without repetition, in the order of their first appearance."""
    return tuple(dict.fromkeys(names))
