"""Synchronous steps with noise: everybody waits for the slowest, and the more there are, the slower that one is.

A worker computes ``t0`` and is delayed by an exponentially distributed time of mean ``mu``. The longest of P such delays
is ``mu * H_P`` on average, with the harmonic number ``H_P = 1 + 1/2 + ... + 1/P``, about ``ln P + 0.577``.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from labkit.errors import UsageError

CHUNK = 1 << 20  # random numbers at a time


@functools.cache
def harmonic_number(count: int) -> float:
    """``1 + 1/2 + ... + 1/count``.

    Examples
    --------
    >>> harmonic_number(4)
    2.0833333333333335
    """
    _check_workers(count)
    return math.fsum(1 / k for k in range(1, count + 1))


def bsp_step_s(num_workers: int, t0_s: float, mu_s: float) -> float:
    """The mean time of a step: ``t0 + mu * H_P``, in s."""
    return t0_s + mu_s * harmonic_number(num_workers)


def simulate_bsp(num_workers: int, t0_s: float, mu_s: float, num_steps: int, *, seed: int = 0) -> np.ndarray:
    """Times of synchronous steps, drawn worker by worker.

    Parameters
    ----------
    num_workers : int
    t0_s, mu_s : float
        Computing without noise; mean of the exponential delay.
    num_steps : int
    seed : int

    Returns
    -------
    numpy.ndarray
        Of shape (num_steps,): when the last worker was there, step by step, in s.

    Examples
    --------
    >>> float(simulate_bsp(1, 1.0, 0.0, 3).sum())
    3.0
    """
    _check_workers(num_workers)
    if isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < 1:
        raise UsageError(f"num_steps={num_steps!r} must be a whole number of at least 1.")
    if not (0 <= t0_s < math.inf and 0 <= mu_s < math.inf):
        raise UsageError(f"t0_s={t0_s} and mu_s={mu_s} are times: 0 or more.")
    random, times, done = np.random.default_rng(seed), np.empty(num_steps), 0
    rows = max(1, CHUNK // num_workers)
    while done < num_steps:
        count = min(rows, num_steps - done)
        ends = t0_s + random.exponential(1.0, (count, num_workers)) * mu_s  # when each worker reaches the barrier
        times[done : done + count] = ends.max(axis=1)
        done += count
    return times


def _check_workers(count) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"num_workers={count!r} must be a whole number of at least 1.")
