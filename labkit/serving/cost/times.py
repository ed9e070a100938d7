"""Random times with a given mean and spread: gaps between requests, durations of requests, cold starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks


@dataclass(frozen=True, slots=True)
class Times:
    """Independent positive times, by their mean and coefficient of variation (standard deviation / mean).

    ======= =========================================================================================
    cv      distribution
    ======= =========================================================================================
    0       always the mean
    0 to 1  gamma of shape 1 / cv^2
    1       exponential: as gaps, a Poisson process
    above 1 two exponentials with balanced means: mostly short ones, sometimes very long ones; as gaps, bursts
    ======= =========================================================================================

    Attributes
    ----------
    mean_s : float
        In s; 0 is allowed with cv 0: no time at all.
    cv : float
        From 0 to 100.

    Raises
    ------
    UsageError
        A mean below 0 or no number, a cv outside 0 to 100.

    Examples
    --------
    >>> gaps = Times(mean_s=60, cv=1)
    >>> round(gaps.survival(300), 4)              # no request for five minutes: exp(-5)
    0.0067
    >>> Times(2.0, 0).sample(3, seed=1).tolist()
    [2.0, 2.0, 2.0]
    """

    mean_s: float
    cv: float = 1.0

    def __post_init__(self):
        checks.not_negative("mean_s", self.mean_s, advice="pass the mean time in s")
        advice = "pass 0 for equal times, 1 for exponential ones, more for bursts"
        if checks.not_negative("cv", self.cv, advice=advice) > 100:
            raise UsageError(f"cv is from 0 to 100, not {self.cv!r}: {advice}.")
        if self.mean_s == 0 and self.cv != 0:
            raise UsageError(f"times of mean 0 do not vary, but cv is {self.cv!r}: pass cv=0.")

    @property
    def second_moment_s2(self) -> float:
        """Mean of the square, in s^2."""
        return self.mean_s**2 * (1 + self.cv**2)

    def _branches(self) -> tuple[float, float, float]:
        """Of two exponentials: probability of the first, and both rates (Whitt's balanced means)."""
        square = self.cv**2
        first = (1 + math.sqrt((square - 1) / (square + 1))) / 2
        return first, 2 * first / self.mean_s, 2 * (1 - first) / self.mean_s

    def survival(self, time_s):
        """Probability of a time longer than ``time_s``; arrays give arrays."""
        time = np.asarray(time_s, np.float64)
        if np.isnan(time).any():
            raise UsageError("time_s is a number of seconds, not NaN: pass a time of 0 or more.")
        if self.cv == 0:
            value = np.where(time < self.mean_s, 1.0, 0.0)
        elif self.cv == 1:
            value = np.exp(-np.maximum(time, 0) / self.mean_s)
        elif self.cv < 1:
            from scipy.special import gammaincc

            shape = self.cv**-2
            value = gammaincc(shape, np.maximum(time, 0) * shape / self.mean_s)
        else:
            first, fast, slow = self._branches()
            after = np.maximum(time, 0)
            value = first * np.exp(-fast * after) + (1 - first) * np.exp(-slow * after)
        return float(value) if value.ndim == 0 else value

    def sample(self, num: int, *, seed=0) -> np.ndarray:
        """``num`` times, float64, in s.

        Parameters
        ----------
        num : int
        seed : int or numpy.random.Generator
        """
        num, generator = checks.whole("num", num), np.random.default_rng(seed)
        if self.cv == 0:
            return np.full(num, float(self.mean_s))
        if self.cv == 1:
            return generator.exponential(self.mean_s, num)
        if self.cv < 1:
            shape = self.cv**-2
            return generator.gamma(shape, self.mean_s / shape, num)
        first, fast, slow = self._branches()
        rates = np.where(generator.random(num) < first, fast, slow)
        return generator.standard_exponential(num) / rates

    def arrivals(self, num: int, *, seed=0) -> np.ndarray:
        """Arrival times of ``num`` requests with these gaps, sorted, in s."""
        return np.cumsum(self.sample(num, seed=seed))


def as_times(name: str, value) -> Times:
    """A Times as it is; a number as always that time.

    Examples
    --------
    >>> as_times("duration", 0.2)
    Times(mean_s=0.2, cv=0.0)
    """
    if isinstance(value, Times):
        return value
    return Times(checks.not_negative(name, value, advice=f"pass seconds, or Times(mean_s, cv), as {name}"), 0.0)
