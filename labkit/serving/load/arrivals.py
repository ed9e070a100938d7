"""When requests arrive: sorted arrays of seconds from the start of a run, reproducible by their seed.

A mean rate says little about a load. Poisson arrivals (many users who know nothing of each other) have a count per
window whose variance is its mean; bursty ones have far more, and it is the bursts that fill queues and start
environments. :mod:`.dispersion` measures it and has its theory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from labkit.errors import UsageError
from labkit.serving.load.checks import count, number

MOST_ARRIVALS = 50_000_000
SLICE = 1 << 20  # candidates that are thinned at a time


def constant(rate: float, duration_s: float) -> np.ndarray:
    """Evenly spaced arrivals, the first at 0: all times k / rate below ``duration_s``.

    Parameters
    ----------
    rate : float
        Requests a second, above 0.
    duration_s : float
        Seconds, above 0.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    UsageError
        Numbers out of their bounds, or more than fifty million arrivals.

    Examples
    --------
    >>> constant(4, 1).tolist()
    [0.0, 0.25, 0.5, 0.75]
    """
    rate, duration_s = _checked("constant", rate, duration_s)
    times = np.arange(math.ceil(rate * duration_s) + 1) / rate
    return times[times < duration_s]


def poisson(rate: float, duration_s: float, seed: int = 0) -> np.ndarray:
    """A Poisson process: in any window a Poisson number of arrivals, independent of every other window.

    Parameters
    ----------
    rate, duration_s : float
        As in :func:`constant`.
    seed : int
        The same seed gives the same arrivals.

    Notes
    -----
    Given their number, the arrivals of a Poisson process are independent and uniform, so they are drawn and sorted.

    References
    ----------
    S. M. Ross, Introduction to Probability Models, 11th edition, 2014, section 5.3.5.

    Examples
    --------
    >>> times = poisson(100, 50, seed=1)
    >>> 4600 < len(times) < 5400, bool((np.diff(times) >= 0).all())
    (True, True)
    """
    rate, duration_s = _checked("poisson", rate, duration_s)
    random = _random("poisson", seed)
    return np.sort(random.uniform(0, duration_s, random.poisson(rate * duration_s)))


def bursty(
    rate: float, duration_s: float, seed: int = 0, *, burstiness: float = 5.0, burst_s: float = 1.0
) -> np.ndarray:
    """Poisson arrivals that are switched on and off: bursts of ``burstiness`` times the mean rate, silence between.

    Parameters
    ----------
    rate, duration_s : float
        As in :func:`constant`; the mean over bursts and silence.
    seed : int
    burstiness : float
        Rate within a burst over the mean rate, at least 1; 1 is a Poisson process. Bursts fill 1 / burstiness of
        the time.
    burst_s : float
        Mean length of a burst in seconds. Lengths of bursts and of silences are exponential.

    Notes
    -----
    An interrupted Poisson process, the simplest Markov-modulated one. It begins in its steady state. A run holds
    duration_s / (burst_s * burstiness) bursts or so: of a run with few, the mean rate varies a lot.

    References
    ----------
    A. Kuczura, The interrupted Poisson process as an overflow process, Bell System Technical Journal 52(3), 1973.

    Examples
    --------
    >>> times = bursty(50, 2000, seed=3, burstiness=4, burst_s=0.5)
    >>> from labkit.serving.load.dispersion import index_of_dispersion
    >>> index_of_dispersion(times, 10, 2000) > 10      # a Poisson process has 1
    True
    """
    rate, duration_s = _checked("bursty", rate, duration_s)
    burstiness = number("bursty", "burstiness", burstiness, least=1)
    burst_s = number("bursty", "burst_s", burst_s, above=0)
    if burstiness == 1:
        return poisson(rate, duration_s, seed)
    if duration_s / (burst_s * burstiness) > MOST_ARRIVALS:
        raise UsageError(
            f"bursty: at most {MOST_ARRIVALS:,} bursts a run, and those of {burst_s:g} s are more in {duration_s:g} s: "
            f"pass a larger burst_s."
        )
    random = _random("bursty", seed)
    starts, stops = _bursts(random, duration_s, burst_s, burst_s * (burstiness - 1))
    # Arrivals of the time within bursts, laid end to end, are a Poisson process.
    ends = np.cumsum(stops - starts)
    total = float(ends[-1]) if len(ends) else 0.0
    inside = np.sort(random.uniform(0, total, random.poisson(rate * burstiness * total)))
    burst = np.minimum(np.searchsorted(ends, inside, side="right"), len(ends) - 1)
    return np.minimum(inside - (ends - (stops - starts))[burst] + starts[burst], stops[burst])


def _bursts(random: np.random.Generator, duration_s: float, on_s: float, off_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the bursts, cut off at 0 and at the duration."""
    is_on = random.random() < on_s / (on_s + off_s)
    lengths, covered = [], 0.0
    while covered < duration_s:  # exponential lengths have no memory, so the first one is as long as any
        pairs = int((duration_s - covered) / (on_s + off_s) * 1.1) + 16
        part = np.empty(2 * pairs)
        part[0::2] = random.exponential(on_s if is_on else off_s, pairs)
        part[1::2] = random.exponential(off_s if is_on else on_s, pairs)
        lengths.append(part)
        covered += float(part.sum())
    edges = np.concatenate([[0.0], np.cumsum(np.concatenate(lengths))])
    first = 0 if is_on else 1
    starts, stops = edges[first:-1:2], edges[first + 1::2]
    kept = starts < duration_s
    return starts[kept], np.minimum(stops[: len(starts)][kept], duration_s)


def diurnal(
    rate: float, duration_s: float, seed: int = 0, *, period_s: float = 86400.0, swing: float = 0.8,
    peak_at_s: float | None = None,
) -> np.ndarray:
    """Poisson arrivals whose rate goes up and down like that of a day: rate * (1 + swing * cos(...)).

    Parameters
    ----------
    rate, duration_s : float
        As in :func:`constant`; the mean over a whole period.
    seed : int
    period_s : float
        Seconds of a day; a short one packs a day into a short run.
    swing : float
        0 (none) to 1 (silent at night).
    peak_at_s : float, optional
        When the rate is highest; in the middle of the period by default.

    Examples
    --------
    >>> times = diurnal(100, 60, seed=2, period_s=60)
    >>> night, day = np.histogram(times, [0, 15, 45])[0] / (15, 30)
    >>> bool(day > 2 * night)
    True
    """
    rate, duration_s = _checked("diurnal", rate, duration_s)
    period_s = number("diurnal", "period_s", period_s, above=0)
    swing = number("diurnal", "swing", swing, least=0, most=1)
    peak = period_s / 2 if peak_at_s is None else number("diurnal", "peak_at_s", peak_at_s)

    def rate_at(times: np.ndarray) -> np.ndarray:
        return rate * (1 + swing * np.cos(2 * np.pi * (times - peak) / period_s))

    return inhomogeneous(rate_at, rate * (1 + swing), duration_s, seed)


def inhomogeneous(
    rate_at: Callable[[np.ndarray], np.ndarray], most_rate: float, duration_s: float, seed: int = 0
) -> np.ndarray:
    """A Poisson process with a rate that depends on time, by thinning.

    Candidates arrive at ``most_rate``; one at time t is kept with probability rate_at(t) / most_rate.

    Parameters
    ----------
    rate_at : callable
        Takes an array of seconds, returns requests a second, from 0 to ``most_rate``.
    most_rate, duration_s : float
    seed : int

    Raises
    ------
    UsageError
        Also if ``rate_at`` leaves its bounds at a candidate.

    References
    ----------
    P. A. W. Lewis, G. S. Shedler, Simulation of nonhomogeneous Poisson processes by thinning, Naval Research Logistics
    Quarterly 26(3), 1979.

    Examples
    --------
    >>> ramp = inhomogeneous(lambda times: 10 * times, 100, 10, seed=5)
    >>> early, late = np.histogram(ramp, [0, 5, 10])[0]
    >>> bool(2 < late / early < 4)
    True
    """
    most_rate, duration_s = _checked("inhomogeneous", most_rate, duration_s)
    random = _random("inhomogeneous", seed)
    candidates = np.sort(random.uniform(0, duration_s, random.poisson(most_rate * duration_s)))
    kept = np.empty(len(candidates), bool)
    for start in range(0, len(candidates), SLICE):
        part = candidates[start:start + SLICE]
        rates = np.broadcast_to(np.asarray(rate_at(part), float), part.shape)
        wrong = ~((rates >= -1e-12 * most_rate) & (rates <= most_rate * (1 + 1e-12)))
        if wrong.any():
            raise UsageError(
                f"inhomogeneous: rate_at stays from 0 to most_rate = {most_rate:g}, but is {rates[wrong][0]:g} at "
                f"{part[wrong][0]:.6g} s: pass its largest value as most_rate."
            )
        kept[start:start + SLICE] = random.random(len(part)) * most_rate < rates
    return candidates[kept]


def from_counts(counts: Sequence[int], window_s: float, seed: int = 0) -> np.ndarray:
    """Arrivals from numbers of requests a window, as providers publish them (often a number a minute).

    Within a window the arrivals are independent and uniform.

    Parameters
    ----------
    counts : sequence of int
    window_s : float
        Seconds of a window.
    seed : int

    Examples
    --------
    >>> times = from_counts([2, 0, 3], 60)
    >>> np.histogram(times, [0, 60, 120, 180])[0].tolist()
    [2, 0, 3]
    """
    window_s = number("from_counts", "window_s", window_s, above=0)
    checked = [count("from_counts", f"counts[{k}]", value, most=MOST_ARRIVALS) for k, value in enumerate(counts)]
    numbers = np.array(checked, np.int64)
    if numbers.sum() > MOST_ARRIVALS:
        raise UsageError(f"from_counts: at most {MOST_ARRIVALS:,} arrivals, not {numbers.sum():,}: pass fewer windows.")
    random = _random("from_counts", seed)
    windows = np.repeat(np.arange(len(numbers)), numbers)
    return np.sort((windows + random.random(len(windows))) * window_s)


def _checked(function: str, rate: object, duration_s: object) -> tuple[float, float]:
    rate = number(function, "most_rate" if function == "inhomogeneous" else "rate", rate, above=0)
    duration_s = number(function, "duration_s", duration_s, above=0)
    if rate * duration_s > MOST_ARRIVALS:
        raise UsageError(
            f"{function}: at most {MOST_ARRIVALS:,} arrivals, not {rate:g} a second for {duration_s:g} s = "
            f"{rate * duration_s:.3g}: pass a smaller rate or duration."
        )
    return rate, duration_s


def _random(function: str, seed: object) -> np.random.Generator:
    return np.random.default_rng(count(function, "seed", seed))
