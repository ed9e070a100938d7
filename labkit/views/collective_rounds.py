"""What to draw of a round of a collective: cells, their words, arrows on a circle of ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.mpi.collectives.rounds import CollectiveRounds

COLUMN_WORDS = {
    "barrier": "news of rank", "scan": "contribution of rank", "exscan": "contribution of rank",
    "alltoall": "block from rank", "broadcast": "chunk",
}
BOW_STEPS = 8
PIXELS_A_UNIT = 125  # of the circle's radius, about


@dataclass(frozen=True, slots=True)
class Arrow:
    """A message on the circle of ranks: a straight line from rim to rim, or a bow where there are many ranks."""

    source: int
    dest: int
    points: tuple[tuple[float, float], ...]
    hover: str


@dataclass(frozen=True, slots=True)
class RoundLayout:
    """All that is drawn of one round; rows are ranks, columns chunks.

    ``fractions`` say how complete a cell is, ``texts`` what stands in it, ``changed`` are the (rank, chunk) that
    are other than before the round. By rank: whether it is to get a result at all, and whether it has all of it.
    """

    step: int
    title: str
    fractions: tuple[tuple[float, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    hovers: tuple[tuple[str, ...], ...]
    changed: tuple[tuple[int, int], ...]
    gets_result: tuple[bool, ...]
    done: tuple[bool, ...]
    arrows: tuple[Arrow, ...]


def round_layout(rounds: CollectiveRounds, step: int) -> RoundLayout:
    """What to draw after ``step`` rounds, 0 to ``rounds.num_rounds``; other steps count as the nearest."""
    step = max(0, min(step, rounds.num_rounds))
    ranks, columns = range(rounds.num_ranks), range(rounds.num_chunks)
    state = rounds.states[step]
    before = rounds.states[max(0, step - 1)]
    messages = rounds.rounds[step - 1] if step else ()
    gets_result = tuple(any(wanted is not None for wanted in row) for row in rounds.goal)
    return RoundLayout(
        step=step,
        title=_title(rounds, step, messages),
        fractions=tuple(tuple(rounds.fraction(step, r, c) for c in columns) for r in ranks),
        texts=tuple(tuple(_cell_text(rounds, state[r][c]) for c in columns) for r in ranks),
        hovers=tuple(tuple(_cell_hover(rounds, r, c, state[r][c]) for c in columns) for r in ranks),
        changed=tuple((r, c) for r in ranks for c in columns if state[r][c] != before[r][c]),
        gets_result=gets_result,
        done=tuple(gets and rounds.is_done(step, rank) for rank, gets in enumerate(gets_result)),
        arrows=tuple(_arrow(m, rounds) for m in messages),
    )


def node_size(num_ranks: int) -> int:
    """Pixels of a rank on the circle.

    Examples
    --------
    >>> node_size(4), node_size(16), node_size(32)
    (30, 22, 16)
    """
    return 30 if num_ranks <= 10 else 22 if num_ranks <= 20 else 16


def node_place(rank: float, num_ranks: int) -> tuple[float, float]:
    """Where a rank stands on the circle: rank 0 at the top, then clockwise."""
    angle = 2 * math.pi * rank / num_ranks
    return (math.sin(angle), math.cos(angle)) if num_ranks > 1 else (0.0, 0.0)


def _arrow(message, rounds: CollectiveRounds) -> Arrow:
    hover = f"message {message.source} → {message.dest}: {_amount(message)}"
    if message.chunks and rounds.operation == "alltoall":
        pairs = [divmod(chunk, rounds.num_ranks) for chunk in message.chunks[:12]]
        hover += "<br>blocks " + ", ".join(f"{s}→{d}" for s, d in pairs) + (", ..." if len(message.chunks) > 12 else "")
    elif message.chunks and rounds.num_chunks > 1 and rounds.operation not in ("scan", "exscan"):
        hover += f"<br>chunks {ranges_text(message.chunks)}"
    way = _straight if rounds.num_ranks <= 10 else _bow
    return Arrow(message.source, message.dest, way(message.source, message.dest, rounds.num_ranks), hover)


def _straight(source: int, dest: int, num_ranks: int) -> tuple[tuple[float, float], ...]:
    """From rim to rim, a little to the right so that two arrows can pass."""
    (ax, ay), (bx, by) = node_place(source, num_ranks), node_place(dest, num_ranks)
    length = math.dist((ax, ay), (bx, by))
    ux, uy = (bx - ax) / length, (by - ay) / length
    rim = min((node_size(num_ranks) / 2 + 3) / PIXELS_A_UNIT, 0.4 * length)
    dx, dy = 0.03 * uy, -0.03 * ux
    first, last = (ax + ux * rim + dx, ay + uy * rim + dy), (bx - ux * rim + dx, by - uy * rim + dy)
    return first, ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2), last


def _bow(source: int, dest: int, num_ranks: int) -> tuple[tuple[float, float], ...]:
    """Inside the circle, bent to its middle: near ranks are told apart. Out and in are at different places."""
    inside = 1 - (node_size(num_ranks) / 2 + 4) / PIXELS_A_UNIT
    ax, ay = node_place(source + 0.17, num_ranks)
    bx, by = node_place(dest - 0.17, num_ranks)
    ax, ay, bx, by = ax * inside, ay * inside, bx * inside, by * inside
    cx, cy = 0.31 * (ax + bx), 0.31 * (ay + by)  # of a quadratic Bezier curve
    shares = [k / BOW_STEPS for k in range(BOW_STEPS + 1)]
    return tuple(
        ((1 - t) ** 2 * ax + 2 * t * (1 - t) * cx + t * t * bx, (1 - t) ** 2 * ay + 2 * t * (1 - t) * cy + t * t * by)
        for t in shares
    )


def _amount(message) -> str:
    return "empty" if not message.num_chunks else f"{message.num_chunks} chunk{'s' if message.num_chunks > 1 else ''}"


def _title(rounds: CollectiveRounds, step: int, messages) -> str:
    words = f"<b>{rounds.name}</b>, {rounds.num_ranks} rank{'s' if rounds.num_ranks > 1 else ''}"
    if not step:
        return f"{words}: before the first of {rounds.num_rounds} rounds" if rounds.num_rounds else f"{words}: nothing to do"
    numbers = sorted({m.num_chunks for m in messages})
    count = f"{len(messages)}{'' if numbers[-1] else ' empty'} message{'s' if len(messages) != 1 else ''}"
    sizes = str(numbers[-1]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    of = f" of {sizes} chunk{'s' if numbers[-1] != 1 else ''}" if numbers[-1] else ""
    return f"{words}: round {step} of {rounds.num_rounds}, {count}{of}"


def _cell_text(rounds: CollectiveRounds, value: int) -> str:
    if rounds.operation in ("broadcast", "barrier", "scan", "exscan"):
        return ""
    if rounds.holds == "blocks":
        return "" if value < 0 else str(value)
    return str(value.bit_count())


def _cell_hover(rounds: CollectiveRounds, rank: int, chunk: int, value: int) -> str:
    column = COLUMN_WORDS.get(rounds.operation, "chunk")
    words = f"<b>rank {rank}, {column} {chunk}</b><br>"
    if rounds.holds == "blocks":
        return words + ("not here" if value < 0 else f"here: of rank {value}")
    held = [r for r in range(rounds.num_ranks) if value >> r & 1]
    if column != "chunk":
        return words + ("has come" if held else "has not come")
    return words + f"sum over {len(held)} of {rounds.num_ranks} ranks: {ranges_text(held)}"


def ranges_text(numbers: Iterable[int]) -> str:
    """Numbers with their runs put together.

    Examples
    --------
    >>> ranges_text([0, 1, 2, 5, 7, 8])
    '0-2, 5, 7-8'
    """
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
