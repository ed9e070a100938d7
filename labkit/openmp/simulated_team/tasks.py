"""Tasks on simulated threads: a task is run by a thread that is free, once all that it depends on have ended."""

from __future__ import annotations

from labkit.openmp.simulated_team.fibers import Fiber
from labkit.openmp.simulated_team.strands import Strand


class TaskFiber(Fiber):
    """A task."""

    def __init__(self, strand: Strand, function, hub, parent: TaskFiber | None):
        super().__init__(strand, function, hub)
        self.parent, self.is_task = parent, True
        self.num_missing = 0  # tasks that it depends on and that have not ended
        self.num_children = 0  # that have not ended
        self.told_by_children: list = []
        self.successors: list[TaskFiber] = []
        self.tokens: dict[int, list] = {}  # of its children: address -> [last writer, readers since]
        self.is_waiting = False


class Tasks:
    """All tasks of a region, and its threads: each runs one at a time.

    A task that waits in ``taskwait`` gives its thread to others and goes on with the same one (a tied task).
    """

    def __init__(self, region, root):
        self.region, self.scheduler = region, region.scheduler
        self.running: list[TaskFiber | None] = [None] * region.num_threads
        self.ready: list[TaskFiber] = []
        self.resumable: list[TaskFiber] = []
        self.all: list[TaskFiber] = []
        self.num_made = self.num_ordered_pairs = 0
        self.ended: dict[int, int] = {}  # by number: the moment of its end
        first = TaskFiber(Strand(0, 0), root, self.scheduler.hub, None)
        first.is_task = False
        self.all.append(first)
        self.running[0] = first
        self.scheduler.add(first)
        self.scheduler.at_end = self._ended

    def make(self, function, arguments, out: tuple[int, ...], in_: tuple[int, ...]) -> None:
        """A new task of the one that runs."""
        parent = self.scheduler.current
        self.num_made += 1
        strand = Strand(self.num_made, parent.thread_num, after=parent.strand)
        new = TaskFiber(strand, lambda: function(*arguments), self.scheduler.hub, parent)
        self.all.append(new)
        parent.num_children += 1
        for before in self._before(parent.tokens, new, out, in_):
            if before.is_done:
                new.strand.hear(*before.told)
            else:
                before.successors.append(new)
                new.num_missing += 1
        if new.num_missing == 0:
            self.ready.append(new)
        self._deal()

    @staticmethod
    def _before(tokens, new, out, in_) -> list[TaskFiber]:
        """The tasks that must end first: for in the last writer, for out also those that have read since."""
        found: dict[int, TaskFiber] = {}
        for address in in_:
            writer, readers = tokens.setdefault(address, [None, []])
            if writer is not None and writer is not new:
                found[id(writer)] = writer
            if address not in out:
                readers.append(new)
        for address in out:
            writer, readers = tokens.setdefault(address, [None, []])
            found |= {id(task): task for task in (*readers, writer) if task is not None and task is not new}
            tokens[address] = [new, []]
        return list(found.values())

    def wait(self) -> None:
        """The task that runs goes on when its children have ended."""
        me = self.scheduler.current
        if me.num_children:
            me.is_waiting = True
            self.running[me.thread_num] = None
            self._deal()
            self.scheduler.wait("for its tasks")
        for told in me.told_by_children:
            me.strand.hear(*told)
        me.told_by_children.clear()

    def _ended(self, fiber: TaskFiber) -> None:
        self.ended[fiber.strand.number] = fiber.strand.moment
        fiber.told = fiber.strand.tell()
        self.running[fiber.thread_num] = None
        for following in fiber.successors:
            following.strand.hear(*fiber.told)
            following.num_missing -= 1
            if following.num_missing == 0:
                self.ready.append(following)
        parent = fiber.parent
        if parent is not None:
            parent.num_children -= 1
            parent.told_by_children.append(fiber.told)
            if parent.is_waiting and parent.num_children == 0:
                parent.is_waiting = False
                self.resumable.append(parent)
        self._deal()

    def _deal(self) -> None:
        """Give work to the threads that have none."""
        for thread, busy in enumerate(self.running):
            if busy is not None:
                continue
            own = [fiber for fiber in self.resumable if fiber.thread_num == thread]
            candidates = own + self.ready
            if not candidates:
                continue
            chosen = candidates[int(self.scheduler.random() * len(candidates))]
            self.running[thread] = chosen
            if chosen in own:
                self.resumable.remove(chosen)
                self.scheduler.wake(chosen)
            else:
                self.ready.remove(chosen)
                self.num_ordered_pairs += sum(
                    moment >= self.ended.get(number, moment + 1) for number, moment in chosen.strand.clock.items()
                )
                chosen.strand.thread_num = thread
                self.scheduler.add(chosen)
