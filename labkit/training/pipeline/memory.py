"""What each rank holds of activations while a simulated plan runs.

A forward stores the activations of its stage. B gives back all but the part that W needs, W the rest; BW gives back
all at once. Memory is there from the start of F to the end of the action that gives it back. Parameters, gradients and
optimizer are not counted: they do not change during a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.training.pipeline.simulate import SimulatedPipeline, Times

WEIGHT_SHARE = 0.5  # transformers of the Zero Bubble paper: 0.37 to 0.43; published.py has its formula


@dataclass(frozen=True)
class RankMemory:
    """The activations on one rank: ``amounts[k]`` from ``times_s[k]`` to ``times_s[k + 1]``.

    Attributes
    ----------
    rank : int
    times_s : tuple of float
        Ascending, from 0.
    amounts : tuple of float
        In the unit of ``activation``.
    """

    rank: int
    times_s: tuple[float, ...]
    amounts: tuple[float, ...]

    @property
    def peak(self) -> float:
        return max(self.amounts)


def weight_share_of(value) -> float:
    """The part of an activation that stays between B and W, 0 to 1, checked."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UsageError(
            f"weight_share is the part of an activation that W needs, from 0 to 1, not {value!r}: pass such a number."
        )
    return float(value)


def memory_over_time(
    run: SimulatedPipeline, *, activation: Times = 1.0, weight_share: float = WEIGHT_SHARE
) -> tuple[RankMemory, ...]:
    """The memory of each rank over the step.

    Parameters
    ----------
    run : SimulatedPipeline
    activation : float, or sequence by stage, or sequence by stage and slice
        What one forward stores: bytes, or 1 to count activations.
    weight_share : float
        The part of it that W needs, 0 to 1.

    Returns
    -------
    tuple of RankMemory
        By rank.

    Raises
    ------
    UsageError
        A share outside 0 to 1, or activations of another number of stages.

    Examples
    --------
    >>> from labkit.training.pipeline.one_f_one_b import one_f_one_b
    >>> from labkit.training.pipeline.simulate import StageTimes, simulate
    >>> run = simulate(one_f_one_b(4, 8), StageTimes(1.0, 1.0, 1.0))
    >>> [memory.peak for memory in memory_over_time(run)]
    [4.0, 3.0, 2.0, 1.0]
    """
    share = weight_share_of(weight_share)
    plan = run.plan
    try:
        table = np.asarray(activation, dtype=np.float64)
        table = table.reshape(table.shape + (1,) * (2 - table.ndim)) if table.ndim else table
        table = np.broadcast_to(table, (plan.num_stages, plan.num_slices)).tolist()
    except (TypeError, ValueError):
        raise UsageError(
            f"activation is one number, or one a stage (and slice), for {plan.num_stages} stages and {plan.num_slices} "
            f"slices, not {activation!r:.120}: correct it."
        ) from None
    memories = []
    for rank, of_rank in enumerate(plan.actions):
        events = []
        for action, start, end in zip(of_rank, run.start_s[rank], run.end_s[rank], strict=True):
            size = table[action.stage][action.slice or 0]
            given_back = {"F": 0.0, "B": 1 - share, "W": share, "BW": 1.0}[action.kind]
            events.append((start, size) if action.kind == "F" else (end, -size * given_back))
        memories.append(_summed(rank, events))
    return tuple(memories)


def _summed(rank: int, events: list[tuple[float, float]]) -> RankMemory:
    """Events in order of time; those of one moment are one."""
    times, amounts, held = [0.0], [0.0], 0.0
    for time, change in events:
        held += change
        held = 0.0 if abs(held) < 1e-9 * abs(change) else held  # shares do not always add up to 1 exactly
        if time == times[-1]:
            amounts[-1] = held
        else:
            times.append(time)
            amounts.append(held)
    return RankMemory(rank, tuple(times), tuple(amounts))
