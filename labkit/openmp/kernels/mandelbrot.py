"""The Mandelbrot set: every point is independent, but they need from 1 to ``max_steps`` steps.

``steps[i, j]`` counts the steps z -> z^2 + c, from z = 0, that begin inside of the circle of radius 2, for
c = ``real[j] + 1j * imaginary[i]``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.openmp.checks import whole_number
from labkit.openmp.kernels.arrays import output, vector
from labkit.openmp.kernels.ladder import Ladder, Version

MOST_STEPS = 2**31 - 1
LANES = 32  # points computed side by side: enough vectors to hide how long a multiplication takes
STRIDE = 8  # steps between two looks whether all have left
INPUT_STEPS = 200  # of make_input


@njit(cache=True, nogil=True)
def mandelbrot_rows(start, stop, real, imaginary, max_steps, steps):
    for i in range(start, stop):
        c_y = imaginary[i]
        for j in range(real.size):
            c_x, x, y, n = real[j], 0.0, 0.0, 0
            while n < max_steps and x * x + y * y <= 4.0:
                x, y = x * x - y * y + c_x, 2.0 * x * y + c_y
                n += 1
            steps[i, j] = n


@njit(cache=True, nogil=True)
def advance(xs, ys, counts, c_xs, c_y):
    """STRIDE steps of all lanes. A point that has left never comes back, so it may go on, to infinity."""
    for lane in range(LANES):
        x, y, n, c_x = xs[lane], ys[lane], counts[lane], c_xs[lane]
        for _ in range(STRIDE):
            x_squared, y_squared = x * x, y * y
            n += 1 if x_squared + y_squared <= 4.0 else 0
            y = 2.0 * x * y + c_y
            x = x_squared - y_squared + c_x
        xs[lane], ys[lane], counts[lane] = x, y, n


@njit(cache=True, nogil=True)
def mandelbrot_lanes(start, stop, real, imaginary, max_steps, steps):
    xs, ys, c_xs, counts = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES, np.int64)
    for i in range(start, stop):
        c_y = imaginary[i]
        for first in range(0, real.size, LANES):
            num_lanes = min(LANES, real.size - first)
            for lane in range(LANES):  # lanes beyond the row repeat its last point
                c_xs[lane] = real[first + min(lane, num_lanes - 1)]
                xs[lane] = ys[lane] = 0.0
                counts[lane] = 0
            done = 0
            while done < max_steps:
                advance(xs, ys, counts, c_xs, c_y)
                done += STRIDE
                inside = 0
                for lane in range(LANES):
                    inside += counts[lane] == done
                if inside == 0:
                    break
            for lane in range(num_lanes):
                steps[i, first + lane] = min(counts[lane], max_steps)


def _points(real, imaginary, max_steps, out):
    real, imaginary = vector("real", real), vector("imaginary", imaginary)
    max_steps = whole_number("max_steps", max_steps, 0, MOST_STEPS)
    return real, imaginary, max_steps, output(out, (imaginary.size, real.size), np.int32, real, imaginary)


def mandelbrot_serial(team, real, imaginary, max_steps, *, out=None, schedule="static") -> np.ndarray:
    """Steps of all points, int32 of shape (rows, columns), on one thread."""
    given = _points(real, imaginary, max_steps, out)
    mandelbrot_rows(0, imaginary.size, *given)
    return given[-1]


def mandelbrot_static(team, real, imaginary, max_steps, *, out=None, schedule="static") -> np.ndarray:
    """A block of rows a thread."""
    given = _points(real, imaginary, max_steps, out)
    team.parallel_for(mandelbrot_rows, imaginary.size, *given, schedule=schedule)
    return given[-1]


def mandelbrot_dynamic(team, real, imaginary, max_steps, *, out=None, schedule="dynamic") -> np.ndarray:
    """Row by row, to whichever thread is free."""
    return mandelbrot_static(team, real, imaginary, max_steps, out=out, schedule=schedule)


def mandelbrot_fast(team, real, imaginary, max_steps, *, out=None, schedule="dynamic") -> np.ndarray:
    """As :func:`mandelbrot_dynamic`, with several points of a row at once in vectors.

    Parameters
    ----------
    real, imaginary : ndarray of float64, shapes (columns,) and (rows,)
    max_steps : int
        0 to 2^31 - 1: points that make so many steps count as inside.
    out : ndarray of int32, shape (rows, columns), optional
        Where the result goes.
    schedule : str
        Of the rows.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> mandelbrot_fast(Team(2), np.array([-1.0, 0.5, 3.0]), np.zeros(1), 50)
    array([[50,  5,  1]], dtype=int32)
    """
    given = _points(real, imaginary, max_steps, out)
    team.parallel_for(mandelbrot_lanes, imaginary.size, *given, schedule=schedule)
    return given[-1]


def make_input(size: int, seed: int = 0) -> tuple:
    """``size`` x ``size`` points over the upper half of the set (the lower one is its mirror image); 200 steps."""
    return np.linspace(-2.0, 0.6, size), np.linspace(0.0, 1.3, size), INPUT_STEPS


def oracle(real, imaginary, max_steps) -> np.ndarray:
    """All points at once in NumPy, those that have left no longer."""
    c_x, c_y = (grid.ravel() for grid in np.meshgrid(real, imaginary))
    steps = np.zeros(c_x.size, np.int32)
    left, x, y = np.arange(c_x.size), np.zeros(c_x.size), np.zeros(c_x.size)
    for _ in range(max_steps):
        inside = x * x + y * y <= 4.0
        left, x, y = left[inside], x[inside], y[inside]
        if left.size == 0:
            break
        steps[left] += 1
        x, y = x * x - y * y + c_x[left], 2.0 * x * y + c_y[left]
    return steps.reshape(imaginary.size, real.size)


def flops(real, imaginary, max_steps) -> int:
    """7 operations a step (3 products, 4 sums; a doubling is not counted), as many steps as the points need."""
    return 7 * int(oracle(real, imaginary, max_steps).sum(dtype=np.int64))


LADDERS = (
    Ladder(
        "mandelbrot",
        (
            Version("serial", mandelbrot_serial, True, "One thread, point by point."),
            Version("static", mandelbrot_static, True, "Slow: who has most of the set works while others wait."),
            Version("dynamic", mandelbrot_dynamic, True, "The next row goes to whoever is free."),
            Version("fast", mandelbrot_fast, True, "Dynamic, and 32 points side by side, in vectors."),
        ),
        oracle, make_input, bytes=lambda real, imaginary, max_steps: 4 * real.size * imaginary.size, flops=flops,
    ),
)  # fmt: skip
