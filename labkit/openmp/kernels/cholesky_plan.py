"""The plan of a blocked Cholesky factorisation: its tasks, what they read and write, and who waits for whom.

A plan is a list, which can be drawn and counted without running anything. With n blocks a row, step k of n

- factors the diagonal block (k, k),
- solves with it for each block (i, k) below,
- updates each block (i, j) to the right of them, down to the diagonal: minus (i, k) times (j, k) transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.openmp.checks import whole_number

KINDS = ("factor", "solve", "update")
FACTOR, SOLVE, UPDATE = range(3)
MOST_BLOCKS = 128  # 366 000 tasks


@dataclass(frozen=True)
class BlockTask:
    """A task on blocks (row, column).

    Attributes
    ----------
    kind : str
        ``factor``, ``solve`` or ``update``.
    k : int
        The step that it belongs to.
    writes : (int, int)
        The block that it changes (and reads, too).
    reads : tuple of (int, int)
        The other blocks that it reads.
    """

    kind: str
    k: int
    writes: tuple[int, int]
    reads: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.writes[0]},{self.writes[1]}"


def cholesky_plan(num_blocks: int) -> tuple[BlockTask, ...]:
    """The tasks for ``num_blocks`` blocks a row, 0 to 128, in an order that one thread can run them in.

    Examples
    --------
    >>> [str(task) for task in cholesky_plan(2)]
    ['factor 0,0', 'solve 1,0', 'update 1,1', 'factor 1,1']
    """
    n = whole_number("num_blocks", num_blocks, 0, MOST_BLOCKS)
    plan = []
    for k in range(n):
        plan.append(BlockTask("factor", k, (k, k), ()))
        plan += [BlockTask("solve", k, (i, k), ((k, k),)) for i in range(k + 1, n)]
        plan += [
            BlockTask("update", k, (i, j), ((i, k), (j, k)) if i != j else ((i, k),))
            for i in range(k + 1, n) for j in range(k + 1, i + 1)
        ]  # fmt: skip
    return tuple(plan)


def edges(plan: Sequence[BlockTask]) -> tuple[tuple[int, int], ...]:
    """Who waits for whom, as OpenMP's ``depend`` defines it: pairs (earlier, later) of numbers in the plan.

    A task waits for the last one before it that wrote a block which it reads or writes, and for those that read, since
    then, the block which it writes.

    Examples
    --------
    >>> edges(cholesky_plan(2))
    ((0, 1), (1, 2), (2, 3))
    """
    writer: dict[tuple, int] = {}
    readers: dict[tuple, list[int]] = {}
    found = []
    for number, task in enumerate(plan):
        before = {writer[block] for block in (task.writes, *task.reads) if block in writer}
        before.update(readers.get(task.writes, ()))
        found += [(earlier, number) for earlier in sorted(before)]
        for block in task.reads:
            readers.setdefault(block, []).append(number)
        writer[task.writes] = number
        readers[task.writes] = []
    return tuple(found)


def levels(plan: Sequence[BlockTask]) -> tuple[int, ...]:
    """For each task the length of the longest chain of tasks before it: tasks on one level can run at the same time.

    Examples
    --------
    >>> levels(cholesky_plan(3))
    (0, 1, 1, 2, 2, 2, 3, 4, 5, 6)
    """
    level = [0] * len(plan)
    for earlier, later in edges(plan):
        level[later] = max(level[later], level[earlier] + 1)
    return tuple(level)


def most_parallel(plan: Sequence[BlockTask]) -> float:
    """Tasks over the longest chain of them: the speed-up that tasks of equal cost can reach at most; 0 for none.

    Examples
    --------
    >>> most_parallel(cholesky_plan(3))
    1.4285714285714286
    """
    return len(plan) / (max(levels(plan)) + 1) if plan else 0.0
