"""Threads as greenlets that take turns: at every step a seed decides who goes on."""

from __future__ import annotations

import random
from collections.abc import Callable

import greenlet

from labkit.openmp.simulated_team.memory import user_frame
from labkit.openmp.simulated_team.strands import Strand

MOST_STEPS = 2_000_000


class Released(BaseException):
    """Ends a fiber whose region ends early."""


class TooLong(Exception):
    """More steps than a simulation may take."""


class Fiber:
    """One thread, or one task: a function with a stack of its own, and the strand of its steps.

    Attributes
    ----------
    waits_for : str
        Words, while it waits; "" while it can go on.
    line : int
        Where it waits.
    """

    def __init__(self, strand: Strand, function: Callable, hub):
        self.strand, self.function = strand, function
        self.greenlet = greenlet.greenlet(self._run, parent=hub)
        self.waits_for, self.line = "", 0
        self.is_done = False
        self.error: BaseException | None = None
        self.is_task = False
        self.chunk: tuple[int, int] | None = None  # iterations it is at
        self.num_singles = 0

    @property
    def thread_num(self) -> int:
        return self.strand.thread_num

    def _run(self):
        try:
            self.function()
        except Released:
            pass
        except BaseException as error:
            self.error = error
        self.is_done = True


class Scheduler:
    """Lets fibers take turns until all have ended, one raises, or none can move."""

    def __init__(self, seed: int):
        self.random = random.Random(seed).random
        self.hub = greenlet.getcurrent()
        self.runnable: list[Fiber] = []
        self.current: Fiber | None = None
        self.num_steps = 0
        self.at_end: Callable[[Fiber], None] = lambda fiber: None

    def add(self, fiber: Fiber) -> None:
        """From now on it takes turns."""
        self.runnable.append(fiber)

    def run(self) -> Fiber | None:
        """Until nobody can move; the fiber that raised, if one did."""
        while self.runnable:
            fiber = self._choose()
            self.current = fiber
            fiber.greenlet.switch()
            ended = self.current
            if ended.is_done:
                if ended in self.runnable:
                    self.runnable.remove(ended)
                if ended.error is not None:
                    return ended
                self.at_end(ended)
        return None

    def _choose(self) -> Fiber:
        return self.runnable[int(self.random() * len(self.runnable))]

    def pause(self) -> None:
        """In a fiber: before a step that others can see. Another one may go on."""
        self.num_steps += 1
        if self.num_steps > MOST_STEPS:
            raise TooLong(
                f"{MOST_STEPS} steps were not enough: does a thread wait in a loop for what never comes? Take a "
                "smaller problem, or barrier instead of a loop that looks again and again."
            )
        if len(self.runnable) > 1:
            self._go_to(self._choose())

    def wait(self, words: str) -> None:
        """In a fiber: until somebody calls :meth:`wake` for it."""
        me = self.current
        me.waits_for, me.line = words, user_frame().f_lineno
        self.runnable.remove(me)
        if self.runnable:
            self._go_to(self._choose())
        else:
            self.hub.switch()

    def wake(self, fiber: Fiber) -> None:
        """It can go on."""
        fiber.waits_for = ""
        self.runnable.append(fiber)

    def _go_to(self, fiber: Fiber) -> None:
        if fiber is not self.current:
            self.current = fiber
            fiber.greenlet.switch()

    def release(self, fibers: list[Fiber]) -> None:
        """End those that have not ended."""
        self.runnable.clear()
        for fiber in fibers:
            if not fiber.greenlet:  # it has never begun, or is over
                continue
            self.current = fiber
            for _ in range(100):  # a body that catches everything
                if fiber.greenlet.dead:
                    break
                fiber.greenlet.throw(Released)
