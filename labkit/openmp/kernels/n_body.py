"""Gravity of n bodies: each attracts all others.

References
----------
L. Nyland, M. Harris, J. Prins, "Fast N-body simulation with CUDA", GPU Gems 3, chapter 31, 2007: 20 operations a pair.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.intrinsics import fetch_add, load, store
from labkit.openmp.kernels.arrays import dense, finite_number, output, vector
from labkit.openmp.kernels.ladder import Ladder, Version

SOFTENING = 0.05  # of make_input
ANY_ORDER = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True, error_model="numpy")
def attract_rows(start, stop, positions, masses, softening, out):
    x, y, z = positions[0], positions[1], positions[2]
    for i in range(start, stop):
        a_x = a_y = a_z = 0.0
        for j in range(x.size):
            d_x, d_y, d_z = x[j] - x[i], y[j] - y[i], z[j] - z[i]
            square = d_x * d_x + d_y * d_y + d_z * d_z + softening * softening
            weight = masses[j] / (square * np.sqrt(square))
            a_x += weight * d_x
            a_y += weight * d_y
            a_z += weight * d_z
        out[0, i], out[1, i], out[2, i] = a_x, a_y, a_z


@njit(cache=True, nogil=True, error_model="numpy", fastmath=ANY_ORDER)
def attract_rows_vector(start, stop, positions, masses, softening, out):
    x, y, z = positions[0], positions[1], positions[2]
    masses = masses[: x.size]
    for i in range(start, stop):
        a_x = a_y = a_z = 0.0
        x_i, y_i, z_i = x[i], y[i], z[i]
        for j in range(x.size):
            d_x, d_y, d_z = x[j] - x_i, y[j] - y_i, z[j] - z_i
            square = d_x * d_x + d_y * d_y + d_z * d_z + softening * softening
            weight = masses[j] / (square * np.sqrt(square))
            a_x += weight * d_x
            a_y += weight * d_y
            a_z += weight * d_z
        out[0, i], out[1, i], out[2, i] = a_x, a_y, a_z


@njit(cache=True, nogil=True)
def add_race(array, index, value):
    store(array, index, load(array, index) + value)  # between the two another thread may have added


@njit(cache=True, nogil=True)
def add_atomic(array, index, value):
    fetch_add(array, index, value)


@njit(cache=True, nogil=True, error_model="numpy")
def attract_pairs(start, stop, positions, masses, softening, out, is_atomic):
    """Each pair once: body j > i attracts i as i attracts j. ``out`` is flat: x, then y, then z of all bodies."""
    n = positions.shape[1]
    for i in range(start, stop):
        for j in range(i + 1, n):
            square = softening * softening
            for d in range(3):
                square += (positions[d, j] - positions[d, i]) ** 2
            weight = 1 / (square * np.sqrt(square))
            for d in range(3):
                force = weight * (positions[d, j] - positions[d, i])
                if is_atomic:
                    add_atomic(out, d * n + i, masses[j] * force)
                    add_atomic(out, d * n + j, -masses[i] * force)
                else:
                    add_race(out, d * n + i, masses[j] * force)
                    add_race(out, d * n + j, -masses[i] * force)


def _bodies(positions, masses, softening, out):
    positions = dense("positions", positions, 2)
    if positions.shape[0] != 3:
        raise UsageError(f"positions has shape (3, n): x, y and z of n bodies, not {positions.shape}: see .T.copy().")
    masses = vector("masses", masses, positions.shape[1])
    softening = finite_number("softening", softening)
    if softening <= 0:
        raise UsageError(f"softening is more than 0, not {softening:g}: else forces have no bound. Pass such a number.")
    return positions, masses, softening, output(out, positions.shape, np.float64, positions, masses)


def n_body_serial(team, positions, masses, softening, *, out=None, schedule="static") -> np.ndarray:
    """Accelerations of all bodies, shape (3, n), on one thread."""
    given = _bodies(positions, masses, softening, out)
    attract_rows(0, masses.size, *given)
    return given[-1]


def _pairs(team, positions, masses, softening, out, schedule, is_atomic):
    *given, out = _bodies(positions, masses, softening, out)
    out[:] = 0
    team.parallel_for(attract_pairs, masses.size, *given, out.reshape(-1), is_atomic, schedule=schedule)
    return out


def n_body_race(team, positions, masses, softening, *, out=None, schedule="dynamic") -> np.ndarray:
    """Half of the work, each pair once; but two threads may add to the same body."""
    return _pairs(team, positions, masses, softening, out, schedule, False)


def n_body_atomic(team, positions, masses, softening, *, out=None, schedule="dynamic") -> np.ndarray:
    """Each pair once, with atomic additions."""
    return _pairs(team, positions, masses, softening, out, schedule, True)


def n_body_rows(team, positions, masses, softening, *, out=None, schedule="static") -> np.ndarray:
    """Each pair twice, once for each body: a thread writes to its own bodies only."""
    given = _bodies(positions, masses, softening, out)
    team.parallel_for(attract_rows, masses.size, *given, schedule=schedule)
    return given[-1]


def n_body_fast(team, positions, masses, softening, *, out=None, schedule="static") -> np.ndarray:
    """As :func:`n_body_rows`, in vectors.

    Parameters
    ----------
    positions : ndarray of float64, shape (3, n)
    masses : ndarray of float64, shape (n,)
        With 1 as the constant of gravitation.
    softening : float
        More than 0: bodies are clouds of about this size.
    out : ndarray of float64, shape (3, n), optional
        Where the result goes.
    schedule : str
        Of the bodies.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> n_body_fast(Team(2), np.array([[0.0, 2.0], [0, 0], [0, 0]]), np.array([1.0, 4.0]), 1e-9)[0]
    array([ 1.  , -0.25])
    """
    given = _bodies(positions, masses, softening, out)
    team.parallel_for(attract_rows_vector, masses.size, *given, schedule=schedule)
    return given[-1]


def make_input(size: int, seed: int = 0) -> tuple:
    """``size`` bodies in a cube."""
    rng = np.random.default_rng(seed)
    return rng.random((3, size)), rng.random(size), SOFTENING


def oracle(positions, masses, softening) -> np.ndarray:
    """Body by body in NumPy."""
    result = np.zeros(positions.shape)
    for i in range(masses.size):
        away = positions - positions[:, i : i + 1]
        result[:, i] = (masses * away / ((away**2).sum(axis=0) + softening**2) ** 1.5).sum(axis=1)
    return result


LADDERS = (
    Ladder(
        "n_body",
        (
            Version("serial", n_body_serial, True, "One thread."),
            Version("race", n_body_race, False, "Wrong: each pair once, so two threads may add to one body at once."),
            Version("atomic", n_body_atomic, True, "Slow: half of the work, but additions take cache lines away."),
            Version("rows", n_body_rows, True, "Twice the work, and nothing is shared."),
            Version("fast", n_body_fast, True, "Sums in any order: several bodies at once, in vectors."),
        ),
        oracle, make_input, bytes=lambda positions, masses, softening: 7 * 8 * masses.size,
        flops=lambda positions, masses, softening: 20 * masses.size**2, tolerance=1e-11,
    ),
)  # fmt: skip
