"""Work of a known amount, for compiled kernels: steps that no processor can overlap and no compiler can leave out."""

from __future__ import annotations

import functools

import numpy as np
from numba import njit

from labkit.openmp.experiments.rounds import clocked

CALIBRATION_STEPS = 200_000
CALIBRATION_ROUNDS = 15


@njit(cache=True, nogil=True)
def spend(num_steps, state):
    """So many steps of a linear congruential generator (Knuth's MMIX): each needs the result of the one before."""
    for _ in range(num_steps):
        state = state * 6364136223846793005 + 1442695040888963407
    return state


@njit(cache=True, nogil=True)
def spend_iterations(start, stop, steps):
    """Iterations of a loop, of ``steps[i]`` steps each; gives the sum of the last 16 bits of what came out."""
    total = 0
    for i in range(start, stop):
        total += spend(steps[i], i) & 0xFFFF
    return total


@functools.cache
def steps_per_second() -> float:
    """How many steps one thread of this machine does in a second: the best of several measurements."""
    steps = np.array([CALIBRATION_STEPS])
    spend_iterations(0, 1, steps)
    return CALIBRATION_STEPS / min(clocked(lambda: spend_iterations(0, 1, steps)) for _ in range(CALIBRATION_ROUNDS))


def steps_of(costs_s: np.ndarray) -> np.ndarray:
    """The steps that take so long on one thread of this machine, int64, shape of ``costs_s``."""
    return np.rint(costs_s * steps_per_second()).astype(np.int64)
