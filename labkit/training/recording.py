"""What a rank did when: spans of computing, communicating and waiting, on the clock of the ranks."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

MAIN, COMMUNICATION = "main", "communication"
KINDS = ("compute", "collective", "wait")


def is_simulated(comm) -> bool:
    """Whether the ranks are simulated ones, which take turns in one thread."""
    return hasattr(comm, "charge_compute")


def clock_of(comm):
    """The clock of a rank, in ns: ``perf_counter_ns``, or virtual time."""
    if not is_simulated(comm):
        return time.perf_counter_ns
    from labkit.mpi.clock import wall_time

    return lambda: round(wall_time() * 1e9)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one rank has sent; calls of the library count as the messages of a ring.

    Attributes
    ----------
    num_calls : int
        Collective calls.
    num_messages, sent_bytes : int
    """

    num_calls: int = 0
    num_messages: int = 0
    sent_bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.num_calls + other.num_calls, self.num_messages + other.num_messages, self.sent_bytes + other.sent_bytes
        )


class Recorder:
    """Collects the spans of one rank. Its two lanes may be written to by two threads.

    A span is ``(lane, name, kind, start_ns, end_ns, num_bytes)``. The collective spans of a lane come in the same order
    on all ranks: that is how the k-th of one rank finds the k-th of another.
    """

    def __init__(self, comm):
        self.now = clock_of(comm)
        self.spans: list[tuple[str, str, str, int, int, int]] = []
        self.steps: list[tuple[int, int]] = []  # start and end of each step

    @contextlib.contextmanager
    def span(self, name: str, kind: str, lane: str = MAIN, num_bytes: int = 0):
        """Record what happens inside."""
        start = self.now()
        try:
            yield
        finally:
            self.spans.append((lane, name, kind, start, self.now(), num_bytes))

    @contextlib.contextmanager
    def step(self):
        """One training step."""
        start = self.now()
        yield
        self.steps.append((start, self.now()))
