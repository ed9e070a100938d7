"""Where the time of a step went: computing, communicating, both at once, or neither."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.trace.events import Span
from labkit.trace.timeline import Timeline
from labkit.training.recording import MAIN

PARTS = ("compute_s", "communication_s", "overlap_s", "idle_s")
MAX_SPANS = 100_000  # of a rank, in the timeline


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Times of all steps on all ranks, in s; arrays (ranks, steps).

    ``step_s = compute_s + (communication_s - overlap_s) + idle_s``, exactly.

    Attributes
    ----------
    step_s : numpy.ndarray
    compute_s : numpy.ndarray
        The main thread works: forward, backward, optimizer, taking samples.
    communication_s : numpy.ndarray
        Something is transferred: in collectives, from the moment that the last rank has come.
    overlap_s : numpy.ndarray
        The part of it during which the main thread works.
    idle_s : numpy.ndarray
        The main thread waits and nothing of this rank is transferred: other ranks have not come yet.
    """

    step_s: np.ndarray
    compute_s: np.ndarray
    communication_s: np.ndarray
    overlap_s: np.ndarray
    idle_s: np.ndarray

    def median(self) -> dict[str, float]:
        """Medians over ranks and steps; the first step, which allocates and warms up, is left out if there are others."""
        first = 1 if self.step_s.shape[1] > 1 else 0
        return {name: float(np.median(getattr(self, name)[:, first:])) if self.step_s.size else 0.0 for name in ("step_s", *PARTS)}


@dataclass(frozen=True, slots=True)
class RankSpans:
    """What one rank has recorded, on rank 0's clock; see :class:`labkit.training.recording.Recorder`."""

    spans: tuple[tuple, ...]
    steps: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, recorder, offset_ns: int = 0) -> RankSpans:
        """Of a recorder, its clock moved by ``offset_ns``."""
        spans = tuple((lane, name, kind, start + offset_ns, end + offset_ns, size) for lane, name, kind, start, end, size in recorder.spans)
        return cls(spans, tuple((start + offset_ns, end + offset_ns) for start, end in recorder.steps))


def with_waiting(ranks: Sequence[RankSpans]) -> list[list[tuple[tuple, int]]]:
    """Of each rank, its spans with the ns that each waited at its start for other ranks to come.

    The k-th collective of a lane is the same call on all ranks; it can begin when the last rank has come.
    """
    latest: dict[tuple[str, int], int] = {}
    for part in ranks:
        for key, span in _numbered(part.spans):
            latest[key] = max(latest.get(key, span[3]), span[3])
    result = []
    for part in ranks:
        waiting = {id(span): min(latest[key], span[4]) - span[3] for key, span in _numbered(part.spans)}
        result.append([(span, waiting.get(id(span), 0)) for span in part.spans])
    return result


def step_times(ranks: Sequence[RankSpans]) -> StepTimes:
    """The split of every step.

    Examples
    --------
    Two ranks compute; rank 1 comes 1 s late to a collective that takes 2 s.

    >>> second = 10**9
    >>> early = RankSpans((("main", "sum", "collective", 3 * second, 6 * second, 8),), ((0, 6 * second),))
    >>> late = RankSpans((("main", "sum", "collective", 4 * second, 6 * second, 8),), ((0, 6 * second),))
    >>> times = step_times([early, late])
    >>> times.compute_s.ravel().tolist(), times.communication_s.ravel().tolist(), times.idle_s.ravel().tolist()
    ([3.0, 4.0], [2.0, 2.0], [1.0, 0.0])
    """
    num_steps = min((len(part.steps) for part in ranks), default=0)
    result = {name: np.zeros((len(ranks), num_steps)) for name in ("step_s", *PARTS)}
    for rank, (part, spans) in enumerate(zip(ranks, with_waiting(ranks), strict=True)):
        by_step = _by_step(spans, part.steps)
        for number in range(num_steps):
            start, end = part.steps[number]
            transfers, blocked = [], []
            for (lane, _, kind, first, last, _), waited in by_step[number]:
                first, last = max(first, start), min(last, end)
                if kind == "collective":
                    transfers.append((min(first + waited, last), last))
                if lane == MAIN and kind in ("collective", "wait"):
                    blocked.append((first, last))
            transfers, blocked = union(transfers), union(blocked)
            busy, stuck, both = length(transfers), length(blocked), length(intersection(transfers, blocked))
            parts = (end - start, end - start - stuck, busy, busy - both, stuck - both)
            for name, value in zip(("step_s", *PARTS), parts, strict=True):
                result[name][rank, number] = value / 1e9
    return StepTimes(**result)


def make_timeline(ranks: Sequence[RankSpans]) -> Timeline:
    """All spans as a timeline, with the time that each waited."""
    spans = []
    for rank, rows in enumerate(with_waiting(ranks)):
        numbers = defaultdict(int)
        for (lane, name, kind, start, end, size), waited in rows[-MAX_SPANS:]:
            sequence = None
            if kind == "collective":
                sequence, numbers[lane] = numbers[lane], numbers[lane] + 1
            spans.append(Span(rank, lane, name, kind, start, end, None, None, size, lane, sequence, None, waited))
    return Timeline(
        num_ranks=len(ranks), spans=tuple(sorted(spans, key=lambda s: (s.rank, s.start_ns, -s.end_ns))),
        clock_offsets_ns=(0,) * len(ranks), start_ns=min((s.start_ns for s in spans), default=0),
        end_ns=max((s.end_ns for s in spans), default=0),
        num_dropped=sum(max(0, len(part.spans) - MAX_SPANS) for part in ranks),
    )


def union(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint intervals in order that cover the same.

    Examples
    --------
    >>> union([(5, 7), (0, 2), (1, 3)])
    [(0, 3), (5, 7)]
    """
    result: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        elif end > start:
            result.append((start, end))
    return result


def intersection(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What two lists of disjoint intervals in order have in common."""
    result, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        start, end = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if start < end:
            result.append((start, end))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return result


def length(intervals: list[tuple[int, int]]) -> int:
    """Of disjoint intervals, together."""
    return sum(end - start for start, end in intervals)


def _numbered(spans):
    """Each collective with (lane, its number in the lane)."""
    numbers = defaultdict(int)
    for span in spans:
        if span[2] == "collective":
            yield (span[0], numbers[span[0]]), span
            numbers[span[0]] += 1


def _by_step(spans, steps) -> list[list]:
    """The spans that touch each step; steps follow each other."""
    result = [[] for _ in steps]
    starts = [start for start, _ in steps]
    for row in spans:
        first = int(np.searchsorted(starts, row[0][3], side="right")) - 1
        for number in range(max(first, 0), len(steps)):
            if steps[number][0] >= row[0][4]:
                break
            if steps[number][1] > row[0][3]:
                result[number].append(row)
    return result
