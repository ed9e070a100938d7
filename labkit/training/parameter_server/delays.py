"""Workers that are slow, and workers that stall: injected, so that the rules show what they are worth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Delay:
    """A worker sleeps.

    Attributes
    ----------
    worker : int
        Number of the worker, from 0 (not its rank).
    seconds : float
        How long each time.
    first_step : int
        The first step at which it does.
    every : int or None
        Again after so many steps; None: once. ``Delay(0, 0.01, every=1)`` is a slow worker, ``Delay(0, 2.0, 10)`` one
        that stalls.
    """

    worker: int
    seconds: float
    first_step: int = 0
    every: int | None = None

    def __post_init__(self):
        if self.worker < 0 or self.first_step < 0 or not 0 <= self.seconds < float("inf"):
            raise UsageError(
                f"Delay: worker {self.worker!r}, {self.seconds!r} s from step {self.first_step!r}: none of them can be "
                f"negative or infinite: pass a worker and a step from 0."
            )
        if self.every is not None and self.every < 1:
            raise UsageError(f"Delay: again every {self.every!r} steps: pass 1 or more, or None for once.")

    def at(self, worker: int, step: int) -> float:
        """Seconds that ``worker`` sleeps at ``step``.

        Examples
        --------
        >>> [Delay(1, 0.5, first_step=2, every=3).at(1, step) for step in range(6)]
        [0.0, 0.0, 0.5, 0.0, 0.0, 0.5]
        """
        ahead = step - self.first_step
        due = ahead == 0 if self.every is None else ahead >= 0 and ahead % self.every == 0
        return self.seconds if worker == self.worker and due else 0.0


def delay_s(delays: Iterable[Delay], worker: int, step: int) -> float:
    """Seconds that a worker sleeps at a step, all delays together."""
    return sum(delay.at(worker, step) for delay in delays)
