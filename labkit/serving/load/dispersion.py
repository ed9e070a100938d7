"""How uneven arrivals are: variance over mean of their number a window."""

from __future__ import annotations

import math

import numpy as np

from labkit.errors import UsageError
from labkit.serving.load.checks import number


def index_of_dispersion(times: np.ndarray, window_s: float, duration_s: float) -> float:
    """Variance over mean of the number of arrivals a window: 0 evenly spaced, 1 Poisson, more in bursts.

    Parameters
    ----------
    times : ndarray
    window_s, duration_s : float
        The run is cut into whole windows; the rest is left out. At least two windows.

    Examples
    --------
    >>> from labkit.serving.load.arrivals import constant
    >>> index_of_dispersion(constant(100, 10), 1, 10)
    0.0
    """
    window_s = number("index_of_dispersion", "window_s", window_s, above=0)
    duration_s = number("index_of_dispersion", "duration_s", duration_s, least=2 * window_s)
    num_windows = int(duration_s / window_s * (1 + 1e-12))
    counts = np.histogram(times, num_windows, (0, num_windows * window_s))[0]
    if not counts.any():
        raise UsageError("index_of_dispersion: there is no arrival in the windows: pass a longer or busier run.")
    return float(counts.var(ddof=1) / counts.mean())


def bursty_dispersion(rate: float, burstiness: float, burst_s: float, window_s: float) -> float:
    """What :func:`index_of_dispersion` of :func:`bursty` is expected to be, for windows of ``window_s``.

    References
    ----------
    H. Heffes, D. M. Lucantoni, A Markov modulated characterization of packetized voice and data traffic and related
    statistical multiplexer performance, IEEE Journal on Selected Areas in Communications 4(6), 1986, section III.

    Examples
    --------
    >>> bursty_dispersion(50, 1, 1, 10), round(bursty_dispersion(50, 4, 0.5, 10), 2)
    (1.0, 109.28)
    """
    rate = number("bursty_dispersion", "rate", rate, above=0)
    burstiness = number("bursty_dispersion", "burstiness", burstiness, least=1)
    burst_s = number("bursty_dispersion", "burst_s", burst_s, above=0)
    window_s = number("bursty_dispersion", "window_s", window_s, above=0)
    if burstiness == 1:
        return 1.0
    change = 1 / burst_s + 1 / (burst_s * (burstiness - 1))  # the two states' rates of change, added
    growth = 1 - -math.expm1(-change * window_s) / (change * window_s)
    return 1 + 2 * rate * (burstiness - 1) / change * growth
