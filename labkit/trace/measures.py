"""Numbers of a run: totals by rank, who sent how much to whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.trace.timeline import Timeline


@dataclass(frozen=True, slots=True)
class RankTotals:
    """What one rank communicated: messages and bytes both ways, time in calls, time waiting."""

    rank: int
    num_calls: int
    num_sent: int
    num_received: int
    bytes_sent: int
    bytes_received: int
    communication_ns: int
    waiting_ns: int
    duration_ns: int

    @property
    def wait_share(self) -> float:
        """Of the run's duration, the share this rank waited for others (0 to 1)."""
        return self.waiting_ns / self.duration_ns if self.duration_ns else 0.0

    @property
    def communication_share(self) -> float:
        """Of the run's duration, the share this rank spent in communication calls (0 to 1)."""
        return self.communication_ns / self.duration_ns if self.duration_ns else 0.0


def rank_totals(timeline: Timeline) -> tuple[RankTotals, ...]:
    """The totals of each rank, in rank order."""
    messages, sizes = communication_matrix(timeline)
    calls = [0] * timeline.num_ranks
    inside = [0] * timeline.num_ranks
    waiting = [0] * timeline.num_ranks
    for span in timeline.spans:
        if span.kind != "compute":
            calls[span.rank] += 1
            inside[span.rank] += span.duration_ns
            waiting[span.rank] += span.waiting_ns
    return tuple(
        RankTotals(
            rank=rank,
            num_calls=calls[rank],
            num_sent=int(messages[rank].sum()),
            num_received=int(messages[:, rank].sum()),
            bytes_sent=int(sizes[rank].sum()),
            bytes_received=int(sizes[:, rank].sum()),
            communication_ns=inside[rank],
            waiting_ns=waiting[rank],
            duration_ns=timeline.duration_ns,
        )
        for rank in range(timeline.num_ranks)
    )


def communication_matrix(timeline: Timeline) -> tuple[np.ndarray, np.ndarray]:
    """Messages and bytes from each rank (row) to each rank (column), two (p, p) integer arrays."""
    shape = (timeline.num_ranks, timeline.num_ranks)
    messages, sizes = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for message in timeline.messages:
        messages[message.source, message.dest] += 1
        sizes[message.source, message.dest] += message.num_bytes
    return messages, sizes
