"""What happened in an elastic run: plain values, for tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step that a world has finished, told by its rank 0. ``step`` counts the steps done, from 1."""

    world: int
    step: int
    loss: float
    time_s: float


@dataclass(frozen=True, slots=True)
class World:
    """Workers that trained together.

    Attributes
    ----------
    number : int
    workers : tuple of int
        By rank.
    first_step : int
        Steps done when it began: those of the checkpoint.
    last_step : int
        Steps done when it ended.
    formed_s, began_s, ended_s : float
        Since the run began: the order to form it, its first step done, its end.
    ended_by : str
        In words.
    """

    number: int
    workers: tuple[int, ...]
    first_step: int
    last_step: int
    formed_s: float
    began_s: float
    ended_s: float
    ended_by: str


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was noticed: by which worker (None: the supervisor), its rank then, after how many steps."""

    time_s: float
    kind: str
    text: str
    worker: int | None = None
    rank: int | None = None
    step: int = 0


@dataclass(frozen=True, slots=True)
class Recovery:
    """From the moment something went wrong to training again.

    Attributes
    ----------
    cause : str
    lost_steps : int
        Done before, and done again.
    recovery_s : float
        From noticing it to the first step of the next world.
    caught_up_s : float or None
        To the first step that had not been done before; None if the run ended before.
    num_ranks : int
        Of the next world.
    """

    cause: str
    lost_steps: int
    recovery_s: float
    caught_up_s: float | None
    num_ranks: int


@dataclass(frozen=True)
class ElasticReport:
    """An elastic run.

    Attributes
    ----------
    losses : tuple of float
        By step, as in a run without faults.
    accuracy : float or None
    digests : tuple of str
        Of the weights, by rank of the last world.
    worlds : tuple of World
    steps : tuple of StepDone
        Also those that were lost.
    happenings : tuple of Happening
    recoveries : tuple of Recovery
    seconds : float
    """

    losses: tuple[float, ...]
    accuracy: float | None
    digests: tuple[str, ...]
    worlds: tuple[World, ...]
    steps: tuple[StepDone, ...]
    happenings: tuple[Happening, ...]
    recoveries: tuple[Recovery, ...]
    seconds: float

    @property
    def lost_steps(self) -> int:
        """Steps that were done twice."""
        return sum(recovery.lost_steps for recovery in self.recoveries)

    @property
    def replicas_are_equal(self) -> bool:
        return len(set(self.digests)) == 1

    def __str__(self) -> str:
        lines = [
            f"{len(self.losses)} steps in {self.seconds:.1f} s by {len(self.worlds)} world{'s' * (len(self.worlds) != 1)}; "
            f"{self.lost_steps} steps were done twice"
        ]
        for world in self.worlds:
            lines.append(
                f"  {_ranks(len(world.workers))}, steps {world.first_step} to {world.last_step}: ended by {world.ended_by}"
            )
        for r in self.recoveries:
            lines.append(
                f"  {r.cause}: {r.lost_steps} steps lost, training again on {_ranks(r.num_ranks)} after {r.recovery_s:.2f} s"
            )
        return "\n".join(lines)


def _ranks(number: int) -> str:
    return f"{number} rank{'s' * (number != 1)}"


def find_recoveries(worlds: tuple[World, ...], steps: tuple[StepDone, ...]) -> tuple[Recovery, ...]:
    """What each change of worlds cost.

    Examples
    --------
    >>> worlds = (World(0, (0, 1), 0, 12, 0.0, 1.0, 5.0, "kill"), World(1, (0,), 10, 20, 5.1, 5.5, 9.0, "the end"))
    >>> steps = (StepDone(1, 11, 0.5, 5.5), StepDone(1, 12, 0.4, 5.7), StepDone(1, 13, 0.3, 6.0))
    >>> find_recoveries(worlds, steps)
    (Recovery(cause='kill', lost_steps=2, recovery_s=0.5, caught_up_s=1.0, num_ranks=1),)
    """
    recoveries, reached = [], 0
    for before, after in zip(worlds, worlds[1:], strict=False):
        reached = max(reached, before.last_step)
        first_new = next((s.time_s for s in steps if s.world >= after.number and s.step > reached), None)
        recoveries.append(
            Recovery(
                before.ended_by, max(0, before.last_step - after.first_step), round(after.began_s - before.ended_s, 6),
                None if first_new is None else round(first_new - before.ended_s, 6), len(after.workers),
            )
        )
    return tuple(recoveries)
