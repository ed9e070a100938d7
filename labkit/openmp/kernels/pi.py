"""Pi by chance: random points in a square, and how many of them lie in the quarter of a circle.

The generator is SplitMix64: its state grows by a constant with each draw, and a draw is a mixture of the state. So the
state of draw k is ``seed + k * GAMMA``: a thread can jump to any draw, no two share a state, and the points are the
same for any number of threads.

References
----------
G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from labkit.openmp.checks import whole_number
from labkit.openmp.intrinsics import fetch_add, load, store
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.shared import LINE

GAMMA = 0x9E3779B97F4A7C15
TWO_GAMMA = 2 * GAMMA % 2**64  # a point takes two draws
SIGNED_TWO_GAMMA = TWO_GAMMA - 2**64 if TWO_GAMMA >= 2**63 else TWO_GAMMA
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # factors of the mixture
UNIT = 2.0**-53
MOST_POINTS = 2**40


@njit(cache=True, nogil=True)
def mix(state):
    """A draw, uniform in [0, 1), of a state (uint64)."""
    state = (state ^ (state >> uint64(30))) * uint64(FIRST)
    state = (state ^ (state >> uint64(27))) * uint64(SECOND)
    return np.float64((state ^ (state >> uint64(31))) >> uint64(11)) * UNIT


@njit(cache=True, nogil=True)
def is_hit(state):
    """Whether the point of the two draws after this state lies in the circle."""
    x, y = mix(state + uint64(GAMMA)), mix(state + uint64(TWO_GAMMA))
    return 1 if x * x + y * y < 1.0 else 0


@njit(cache=True, nogil=True)
def hits_jump(start, stop, seed):
    state = uint64(seed) + uint64(start) * uint64(TWO_GAMMA)
    hits = 0
    for _ in range(stop - start):
        hits += is_hit(state)
        state += uint64(TWO_GAMMA)
    return hits


@njit(cache=True, nogil=True)
def hits_race(start, stop, shared_state):
    hits = 0
    for _ in range(stop - start):
        state = load(shared_state, 0)
        store(shared_state, 0, state + SIGNED_TWO_GAMMA)  # another thread may have taken the same state
        hits += is_hit(uint64(state))
    return hits


@njit(cache=True, nogil=True)
def hits_atomic(start, stop, shared_state):
    hits = 0
    for _ in range(stop - start):
        hits += is_hit(uint64(fetch_add(shared_state, 0, SIGNED_TWO_GAMMA)))
    return hits


def _checked(num_points, seed) -> tuple[int, int]:
    return whole_number("num_points", num_points, 1, MOST_POINTS), whole_number("seed", seed, 0, 2**63 - 1)


def _state(seed) -> np.ndarray:
    """The state of a generator that all threads draw from, in a cache line."""
    return np.full(LINE, seed, np.int64)


def pi_serial(team, num_points, seed=0, *, schedule="static") -> float:
    """4 times the fraction of ``num_points`` random points that lie in the circle, on one thread."""
    num_points, seed = _checked(num_points, seed)
    return 4 * hits_jump(0, num_points, seed) / num_points


def pi_race(team, num_points, seed=0, *, schedule="static") -> float:
    """All threads draw from one generator, and some draw the same point."""
    num_points, seed = _checked(num_points, seed)
    return 4 * team.parallel_for(hits_race, num_points, _state(seed), schedule=schedule, reduction="+") / num_points


def pi_atomic(team, num_points, seed=0, *, schedule="static") -> float:
    """All threads draw from one generator, one at a time."""
    num_points, seed = _checked(num_points, seed)
    return 4 * team.parallel_for(hits_atomic, num_points, _state(seed), schedule=schedule, reduction="+") / num_points


def pi_fast(team, num_points, seed=0, *, schedule="static") -> float:
    """Each chunk jumps to its first draw; threads share nothing.

    Parameters
    ----------
    num_points : int
        1 to 2^40.
    seed : int
        0 to 2^63 - 1.

    Notes
    -----
    The error is about ``1.64 / sqrt(num_points)`` (one standard deviation), whatever the number of threads.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> pi_fast(Team(2), 1_000_000) == pi_fast(Team(5), 1_000_000, schedule="dynamic,1000")
    True
    """
    num_points, seed = _checked(num_points, seed)
    return 4 * team.parallel_for(hits_jump, num_points, seed, schedule=schedule, reduction="+") / num_points


def make_input(size: int, seed: int = 0) -> tuple:
    """``size`` points, at least one."""
    return max(size, 1), seed


def oracle(num_points, seed=0) -> float:
    """The same generator, draw by draw, in Python's whole numbers."""
    state, hits, mask = seed, 0, 2**64 - 1
    for _ in range(num_points):
        point = []
        for _ in range(2):
            state = (state + GAMMA) & mask
            z = ((state ^ (state >> 30)) * FIRST) & mask
            z = ((z ^ (z >> 27)) * SECOND) & mask
            point.append(((z ^ (z >> 31)) >> 11) / 2**53)
        hits += point[0] ** 2 + point[1] ** 2 < 1
    return 4 * hits / num_points


LADDERS = (
    Ladder(
        "pi",
        (
            Version("serial", pi_serial, True, "One thread."),
            Version("race", pi_race, False, "Wrong: threads that read the state at once draw the same point."),
            Version("atomic", pi_atomic, True, "Slow: threads queue up for the generator."),
            Version("fast", pi_fast, True, "A stream a chunk: each jumps to its first draw."),
        ),
        oracle, make_input, bytes=lambda num_points, seed=0: 0,
        flops=lambda num_points, seed=0: 5 * num_points,  # the mixing is done in whole numbers and is not counted
    ),
)  # fmt: skip
