"""What is to come in a simulation, in the order of virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush


class Agenda:
    """A queue of tuples that compare: the smallest goes first.

    Ranks that do the same one after the other ask for the same time to pass, so nearly all entries come in order.
    Those stand in a line, where coming and going take one comparison; what comes out of order goes to a heap.
    """

    __slots__ = ("line", "heap")

    def __init__(self):
        self.line: deque[tuple] = deque()
        self.heap: list[tuple] = []

    def __len__(self) -> int:
        return len(self.line) + len(self.heap)

    def __iter__(self) -> Iterator[tuple]:
        """All entries, in any order."""
        yield from self.line
        yield from self.heap

    def add(self, entry: tuple) -> None:
        line = self.line
        if not line or entry > line[-1]:
            line.append(entry)
        else:
            heappush(self.heap, entry)

    def first(self) -> tuple | None:
        """The smallest, which stays; None if there is nothing."""
        line, heap = self.line, self.heap
        if heap and not (line and line[0] < heap[0]):
            return heap[0]
        return line[0] if line else None

    def pop(self) -> tuple | None:
        """The smallest; None if there is nothing."""
        line, heap = self.line, self.heap
        if heap and not (line and line[0] < heap[0]):
            return heappop(heap)
        return line.popleft() if line else None

    def clear(self) -> None:
        self.line.clear()
        self.heap.clear()
