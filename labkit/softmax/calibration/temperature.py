"""Temperature scaling: one number, fitted on data held out, that makes confidence true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.softmax.calibration.reliability import _checked, negative_log_likelihood
from labkit.softmax.shifted import softmax_shifted

LEAST, MOST = 0.01, 100.0
MOST_STEPS, EXACT = 100, 1e-13


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """The temperature with the least loss.

    Attributes
    ----------
    temperature : float
        0.01 to 100.
    loss_before, loss_after : float
        Mean negative log-likelihood at temperature 1 and at this one, in nats, on the data of the fit.
    is_at_end : bool
        The loss has no least value in between: where all are right it falls for ever as the temperature falls; where
        guesses are worse than none, as it rises.
    """

    temperature: float
    loss_before: float
    loss_after: float
    is_at_end: bool


def fit_temperature(logits: np.ndarray, targets) -> TemperatureFit:
    """Find the temperature at which the right classes are most likely.

    Data that was trained on would not do: there the network is right almost always, so no confidence is too large.

    Parameters
    ----------
    logits : array (n, C), contiguous, of float16, float32 or float64
        Finite.
    targets : array (n,) of whole numbers
        The right classes.

    Raises
    ------
    UsageError
        No rows, logits that are not finite, or targets out of range.

    Notes
    -----
    The loss is convex in ``b = 1 / temperature``: its first derivative is the mean of ``E[x] - x[target]``, with the
    expectation over the probabilities at b, its second the mean of their variances. Newton's method, kept between two
    bounds that close in.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017, section 4.2.

    Examples
    --------
    9 of 10 are right, and the network says 99 %:

    >>> fit = fit_temperature(np.log([[0.99, 0.01]] * 10), [0] * 9 + [1])
    >>> fitted = np.log([0.99, 0.01]) / fit.temperature
    >>> float(np.round(np.exp(fitted[0]) / np.exp(fitted).sum(), 9))
    0.9
    """
    logits, targets = _checked(logits, targets)
    if not np.isfinite(logits).all():
        raise UsageError("fit_temperature: logits are finite, but some are -inf: leave out the classes that cannot be.")
    with np.errstate(over="ignore"):
        x = np.maximum(logits - logits.max(axis=1, keepdims=True), -np.finfo(np.float64).max)
    low, high = 1 / MOST, 1 / LEAST
    if _slope(x, targets, high)[0] < 0:
        return _fit(logits, targets, LEAST, True)
    if _slope(x, targets, low)[0] > 0:
        return _fit(logits, targets, MOST, True)
    inverse = 1.0
    for _ in range(MOST_STEPS):
        slope, curvature = _slope(x, targets, inverse)
        if slope > 0:
            high = inverse
        elif slope < 0:
            low = inverse
        else:
            break
        step = inverse - slope / curvature if curvature > 0 else low - 1
        following = step if low < step < high else (low * high) ** 0.5
        if abs(following - inverse) <= EXACT * inverse:
            break
        inverse = following
    return _fit(logits, targets, 1 / inverse, False)


def _slope(x: np.ndarray, targets: np.ndarray, inverse: float) -> tuple[float, float]:
    """First and second derivative of the loss by the inverse of the temperature; x has the maximum 0 in each row."""
    with np.errstate(over="ignore", invalid="ignore"):
        p = softmax_shifted(x * inverse)
        means = np.where(p > 0, p * x, 0).sum(axis=1)
        squares = np.where(p > 0, p * (x - means[:, None]) ** 2, 0).sum(axis=1)
    return float((means - x[np.arange(len(x)), targets]).mean()), float(squares.mean())


def _fit(logits, targets, temperature: float, is_at_end: bool) -> TemperatureFit:
    before, after = (negative_log_likelihood(logits, targets, temperature=t) for t in (1.0, temperature))
    return TemperatureFit(float(temperature), before, after, is_at_end)
