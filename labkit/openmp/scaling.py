"""Laws of speed-up: Amdahl, Gustafson, the Universal Scalability Law; fitted to measured points.

References
----------
G. Amdahl, "Validity of the single processor approach", AFIPS 1967. J. Gustafson, "Reevaluating Amdahl's law",
CACM 31(5), 1988. N. Gunther, "Guerrilla Capacity Planning", Springer 2007, chapter 4 (USL).
A. Karp and H. Flatt, "Measuring parallel processor performance", CACM 33(5), 1990.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import number_array

NUM_STEPS = 200  # of a fit; a few are enough, but far-off points may need more


def amdahl(num_threads, serial_fraction: float):
    """Speed-up of a problem of fixed size, of which ``serial_fraction`` is not parallel: ``1 / (f + (1 - f) / p)``.

    Examples
    --------
    >>> amdahl(4, 0.25)
    2.2857142857142856
    """
    return 1 / (serial_fraction + (1 - serial_fraction) / num_threads)


def gustafson(num_threads, serial_fraction: float):
    """Scaled speed-up of a problem that grows with p; ``serial_fraction`` of the parallel time: ``p - f (p - 1)``.

    Examples
    --------
    >>> gustafson(4, 0.25)
    3.25
    """
    return num_threads - serial_fraction * (num_threads - 1)


def usl(num_threads, contention: float, coherency: float):
    """Universal Scalability Law: ``p / (1 + a (p - 1) + b p (p - 1))``; with b = 0 it is Amdahl's.

    ``contention`` a is what waits for one at a time, ``coherency`` b what every pair must settle.

    Examples
    --------
    >>> usl(4, 0.25, 0.0) == amdahl(4, 0.25)
    True
    """
    p = num_threads
    return p / (1 + contention * (p - 1) + coherency * p * (p - 1))


def usl_peak(contention: float, coherency: float) -> float:
    """Where the USL is highest: ``sqrt((1 - a) / b)`` threads, at least 1; infinitely many without coherency."""
    if coherency == 0:
        return math.inf if contention < 1 else 1.0
    return max(1.0, math.sqrt(max(0.0, 1 - contention) / coherency))


def karp_flatt(num_threads, speedup):
    """The serial fraction that a measured speed-up amounts to: ``(1/s - 1/p) / (1 - 1/p)``; NaN for one thread.

    If it grows with p, the cause is overhead, not a serial part. Takes numbers or arrays.

    Examples
    --------
    >>> round(karp_flatt(4, amdahl(4, 0.25)), 12)
    0.25
    """
    p, s = np.asarray(num_threads, np.float64), np.asarray(speedup, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.where(p > 1, (1 / s - 1 / p) / (1 - 1 / p), np.nan)
    return float(fraction) if fraction.ndim == 0 else fraction


@dataclass(frozen=True, eq=False)
class ScalingFit:
    """A law fitted to speed-ups.

    Attributes
    ----------
    law : str
        ``amdahl``, ``gustafson`` or ``usl``.
    parameters : dict of str to float
        By their names in the law's function.
    num_threads, residuals : ndarray of float64
        The points, and at each the measured speed-up less the law's.
    """

    law: str
    parameters: dict[str, float]
    num_threads: np.ndarray
    residuals: np.ndarray

    def predict(self, num_threads):
        """The law's speed-up for other numbers of threads."""
        return LAWS[self.law][0](num_threads, **self.parameters)

    @property
    def rms_residual(self) -> float:
        """Root of the mean squared residual, in units of speed-up."""
        return float(np.sqrt(np.mean(self.residuals**2)))


# law -> its function, the names of its parameters, their highest values (the lowest are 0)
LAWS: dict[str, tuple[Callable, tuple[str, ...], tuple[float, ...]]] = {
    "amdahl": (amdahl, ("serial_fraction",), (1.0,)),
    "gustafson": (gustafson, ("serial_fraction",), (1.0,)),
    "usl": (usl, ("contention", "coherency"), (math.inf, math.inf)),
}


def speedups_of_times(num_threads, times_s) -> np.ndarray:
    """Speed-ups from times: the time of one thread over each; of several times of one thread the least counts.

    Raises
    ------
    UsageError
        No time of one thread, or values that are no times.

    Examples
    --------
    >>> speedups_of_times([1, 2, 4], [8.0, 4.0, 2.5]).tolist()
    [1.0, 2.0, 3.2]
    """
    threads, times = _points(num_threads, times_s, "times_s")
    if not (threads == 1).any():
        raise UsageError("speed-up: it is relative to one thread, and no time of one was given: measure it, too.")
    return times[threads == 1].min() / times


def fit_scaling(law: str, num_threads, speedups) -> ScalingFit:
    """Fit a law by least squares of the speed-up's residuals.

    Parameters
    ----------
    law : str
        ``amdahl``, ``gustafson`` or ``usl``.
    num_threads, speedups : array_like, shape (n,)
        Points; at least as many different numbers of threads above 1 as the law has parameters, because at one
        thread all laws say 1.

    Returns
    -------
    ScalingFit
        Parameters are never negative and fractions at most 1: a speed-up above p cannot be met, and shows in the
        residuals.

    Raises
    ------
    UsageError
        No such law, too few points, or values out of range.

    Examples
    --------
    >>> fit = fit_scaling("amdahl", [1, 2, 4, 8], amdahl(np.array([1, 2, 4, 8]), 0.1))
    >>> round(fit.parameters["serial_fraction"], 9), round(fit.predict(1000), 2)
    (0.1, 9.91)
    """
    if law not in LAWS:
        raise UsageError(f"fit: a law is one of {', '.join(LAWS)}, not {law!r}: pass one of them.")
    threads, measured = _points(num_threads, speedups, "speedups")
    function, names, high = LAWS[law]
    different = len(set(threads[threads > 1].tolist()))
    if different < len(names):
        raise UsageError(
            f"fit: {law} has {len(names)} parameter{'s' * (len(names) > 1)}, so it needs as many different numbers of "
            f"threads above 1, and there are {different}: measure more of them."
        )
    values = _least_squares(lambda x: function(threads, *x), measured, len(names), np.array(high))
    parameters = dict(zip(names, values.tolist(), strict=True))
    return ScalingFit(law, parameters, threads, measured - function(threads, **parameters))


def _points(num_threads, values, name: str) -> tuple[np.ndarray, np.ndarray]:
    threads, measured = number_array("num_threads", num_threads), number_array(name, values, positive=True)
    if len(threads) != len(measured):
        raise UsageError(f"{name}: one value a number of threads, but there are {len(measured)} and {len(threads)}.")
    if len(threads) == 0 or (threads < 1).any() or (threads != np.rint(threads)).any():
        raise UsageError(f"num_threads: whole numbers, 1 or more, at least one of them, not {num_threads!r:.80}.")
    return threads, measured


def _least_squares(function, measured: np.ndarray, num_parameters: int, high: np.ndarray) -> np.ndarray:
    """The minimum of |measured - function(x)|^2 over 0 <= x <= high: Levenberg-Marquardt, from several starts."""
    starts = [np.full(num_parameters, value) for value in (1e-4, 0.03, 0.5)]
    found = [_descend(function, measured, x, high) for x in starts]
    return min(found, key=lambda x: float(np.sum((measured - function(x)) ** 2)))


def _descend(function, measured: np.ndarray, x: np.ndarray, high: np.ndarray) -> np.ndarray:
    damping, residual = 1e-3, measured - function(x)
    for _ in range(NUM_STEPS):
        steps = 1e-7 * np.maximum(x, 1e-3)
        slopes = np.stack([(function(x + d) - function(x)) / d.sum() for d in np.diag(steps)], axis=1)
        gradient = slopes.T @ residual  # of -|residual|^2 / 2: uphill is better
        # A parameter that sits on its bound and wants to go beyond it is left out of the step.
        free = ~(((x <= 0) & (gradient < 0)) | ((x >= high) & (gradient > 0)))
        normal = slopes[:, free].T @ slopes[:, free]
        if not free.any() or not np.all(np.diag(normal) > 0):
            break
        wanted = x.copy()
        wanted[free] += np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient[free])
        wanted = np.clip(wanted, 0, high)
        better = measured - function(wanted)
        if np.sum(better**2) < np.sum(residual**2):
            x, residual, damping = wanted, better, damping / 4
        elif damping > 1e8:
            break
        else:
            damping *= 4
    return x
