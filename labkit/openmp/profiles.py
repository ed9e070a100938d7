"""What the iterations of a loop cost: profiles to try schedules on."""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import seconds, whole_number

PROFILES = ("even", "linear", "random", "mandelbrot")
MOST_ITERATIONS = 1_000_000
MANDELBROT_COLUMNS = 48  # points sampled in a row of the image
MANDELBROT_LIMIT = 64  # steps until a point counts as inside
MOST_ROWS = 2_000  # rows computed; more iterations lie between them


def cost_profile(name: str, num_iterations: int, mean_s: float = 1e-5, *, seed: int = 0) -> np.ndarray:
    """Costs of the iterations of a loop.

    Parameters
    ----------
    name : str
        ``even``; ``linear``, growing from almost nothing to twice the mean, as the rows of a triangular matrix do;
        ``random``, exponentially distributed; ``mandelbrot``, the steps that the rows of an image of the
        Mandelbrot set need.
    num_iterations : int
        0 to 1 000 000.
    mean_s : float
        Mean cost in s.
    seed : int
        Of ``random``.

    Returns
    -------
    ndarray of float64, shape (num_iterations,)
        In s.

    Raises
    ------
    UsageError
        No such profile, or sizes out of range.

    Examples
    --------
    >>> cost_profile("linear", 4, 2.5).tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    if name not in PROFILES:
        raise UsageError(f"cost profile: one of {', '.join(PROFILES)}, not {name!r}: pass one of them.")
    n = whole_number("num_iterations", num_iterations, 0, MOST_ITERATIONS)
    mean_s = seconds("mean_s", mean_s)
    if n == 0:
        return np.zeros(0)
    if name == "even":
        shape = np.ones(n)
    elif name == "linear":
        shape = np.arange(1.0, n + 1)
    elif name == "random":
        shape = np.random.default_rng(seed).exponential(size=n)
    else:
        rows = min(n, MOST_ROWS)
        shape = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, rows), mandelbrot_steps(rows))
    return shape * (mean_s / shape.mean())


def mandelbrot_steps(num_rows: int) -> np.ndarray:
    """Steps of z = z^2 + c until it escapes, summed over each row of an image of [-2, 0.6] x [-1.2, 1.2]."""
    y, x = np.meshgrid(np.linspace(-1.2, 1.2, num_rows), np.linspace(-2, 0.6, MANDELBROT_COLUMNS), indexing="ij")
    c = x + 1j * y
    z = np.zeros_like(c)
    steps = np.zeros(c.shape)
    inside = np.ones(c.shape, bool)
    for _ in range(MANDELBROT_LIMIT):
        steps += inside
        z[inside] = z[inside] ** 2 + c[inside]
        inside &= z.real**2 + z.imag**2 <= 4
    return steps.sum(axis=1)
