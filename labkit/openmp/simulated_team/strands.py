"""Vector clocks: which of two steps of a parallel program comes before the other, on every run.

A *strand* is work whose steps follow one another: a thread of a region, a task, or a chunk that any thread may take.
It counts the moments at which it tells others how far it is (the end of a critical section, a barrier, its end); its
clock holds the last such moment that it has heard of, of itself and of every other strand. A step of strand s at moment
m comes before a step of strand u exactly if u has heard of moment m of s (Fidge 1988, Mattern 1989).
"""

from __future__ import annotations


class Strand:
    """Steps that follow one another.

    Attributes
    ----------
    number : int
        Its own among the strands of a region.
    thread_num : int
        The thread that executes it.
    clock : dict
        By the number of a strand: the last moment of it that is known here.
    path : int
        Accesses on the longest chain that ends here, each of which had to wait for the one before.
    """

    __slots__ = ("number", "thread_num", "clock", "path")

    def __init__(self, number: int, thread_num: int, after: Strand | None = None):
        self.number, self.thread_num = number, thread_num
        self.clock: dict[int, int] = {}
        self.path = 0
        if after is not None:
            self.hear(*after.tell())
        self.clock[number] = 1

    @property
    def moment(self) -> int:
        """The present one."""
        return self.clock[self.number]

    def tell(self) -> tuple[dict[int, int], int]:
        """All that is known here, and the path, for who comes after; what follows is a new moment."""
        told = dict(self.clock)
        if self.number in self.clock:
            self.clock[self.number] += 1
        return told, self.path

    def hear(self, clock: dict[int, int], path: int = 0) -> None:
        """Come after what another strand has told."""
        own = self.clock
        for number, moment in clock.items():
            if own.get(number, 0) < moment:
                own[number] = moment
        self.path = max(self.path, path)

    def comes_after(self, number: int, moment: int) -> bool:
        """Whether a step of another strand at this moment is over for certain."""
        return self.clock.get(number, 0) >= moment
