"""Which requests make a batch, and when it starts: decisions without a clock, a thread or an event loop.

A batch is ready when it is full, or when its first request has waited ``max_wait_s``. Requests stay whole and in the
order in which they came: a batch ends before the first one that does not fit into it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that waits.

    Attributes
    ----------
    rows : array (n, ...)
    num_rows : int
        1 to ``max_batch``.
    arrived_s : float
        On the caller's clock.
    reply : object
        Whatever its answer is given to.
    is_taken : bool
        It is in a batch, or was removed.
    """

    rows: Any
    num_rows: int
    arrived_s: float
    reply: Any = None
    is_taken: bool = False


class BatchQueue:
    """Requests in the order in which they came.

    Examples
    --------
    >>> queue = BatchQueue(max_batch=4, max_wait_s=0.5)
    >>> for rows, now in ((["a"], 10.0), (["b", "c"], 10.1)):
    ...     queue.add(Waiting(rows, len(rows), now))
    >>> queue.ready_s()            # half a second after the first one
    10.5
    >>> queue.add(Waiting(["d", "e"], 2, 10.2))
    >>> queue.ready_s()            # no more fits: when that became so
    10.2
    >>> [request.rows for request in queue.take()], len(queue)
    ([['a'], ['b', 'c']], 1)
    """

    def __init__(self, max_batch: int, max_wait_s: float):
        self.max_batch, self.max_wait_s = max_batch, max_wait_s
        self.num_rows = 0  # that wait
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: Waiting) -> None:
        """One more, at the end."""
        self._waiting.append(request)
        self.num_rows += request.num_rows

    def remove(self, request: Waiting) -> None:
        """Nobody waits for it any more; nothing happens if it was taken already."""
        if not request.is_taken:
            self._waiting.remove(request)
            self.num_rows -= request.num_rows
            request.is_taken = True

    def ready_s(self) -> float | None:
        """When the next batch is ready, on the clock of the arrivals: None if nothing waits."""
        if not self._waiting:
            return None
        deadline = self._waiting[0].arrived_s + self.max_wait_s
        if self.num_rows < self.max_batch:
            return deadline
        num_rows = 0
        for request in self._waiting:
            num_rows += request.num_rows
            if num_rows >= self.max_batch:
                return min(deadline, request.arrived_s)
        return deadline

    def take(self) -> list[Waiting]:
        """The next batch: as many of the first requests as fit."""
        batch, num_rows = [], 0
        while self._waiting and num_rows + self._waiting[0].num_rows <= self.max_batch:
            batch.append(self._waiting.popleft())
            num_rows += batch[-1].num_rows
            batch[-1].is_taken = True
        self.num_rows -= num_rows
        return batch
