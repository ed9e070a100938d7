"""Small updates of large weights: lost by rounding to nearest, kept on average by stochastic rounding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.codec import decode, encode
from labkit.floating_point.formats import Format, find_format

MOST_UPDATES, MOST_WEIGHTS = 100_000, 1_000_000


@dataclass(frozen=True, eq=False)
class Updates:
    """Many weights that get the same small update again and again.

    Attributes
    ----------
    fmt : Format
    rounding : str
    exact : ndarray of float64, shape (num_updates + 1,)
        What each weight would be without rounding.
    mean, least, most : ndarray of float64, shape (num_updates + 1,)
        Over the weights as they are kept.
    expected_deviation : ndarray of float64, shape (num_updates + 1,)
        Of one weight about the exact value, if each rounding is independent, of the first spacing: from theory; 0 where
        rounding is not stochastic.
    """

    fmt: Format
    rounding: str
    exact: np.ndarray
    mean: np.ndarray
    least: np.ndarray
    most: np.ndarray
    expected_deviation: np.ndarray


def apply_updates(
    num_updates: int = 1000, *, update: float = 1e-4, start: float = 1.0, fmt: str | Format = "bfloat16",
    rounding: str = "stochastic", num_weights: int = 1000, seed: int = 1,
) -> Updates:  # fmt: skip
    """Add a small number to weights again and again, rounding each time.

    With ties to even an update below half a spacing changes nothing, ever. Stochastic rounding goes to the neighbour
    above with the probability of the part of the way, so that the expected weight is the exact one, and what is lost is
    precision: one weight is off by about ``spacing * sqrt(n p (1-p))`` after n updates of p spacings.

    Parameters
    ----------
    num_updates : int
        1 to 100 000.
    update, start : float
        The start is rounded to the format first.
    fmt : str or Format
    rounding : str
        As in :func:`labkit.floating_point.codec.encode`.
    num_weights : int
        1 to 1 000 000, at most 10**8 with the updates together.
    seed : int
        Of stochastic rounding: the same seed gives the same weights.

    Notes
    -----
    Weight plus update is formed in binary64, whose own rounding (2**-53) is far below every spacing here.

    References
    ----------
    M. Croci, M. Fasi, N. J. Higham, T. Mary, M. Mikaitis, Stochastic rounding: implementation, error analysis and
    applications, Royal Society Open Science 9, 2022. S. Gupta et al., Deep learning with limited numerical precision,
    ICML 2015.

    Examples
    --------
    >>> kept = {name: apply_updates(1000, rounding=name) for name in ("ties_to_even", "stochastic")}
    >>> round(float(kept["ties_to_even"].exact[-1]), 4), float(kept["ties_to_even"].mean[-1])
    (1.1, 1.0)
    >>> abs(float(kept["stochastic"].mean[-1]) - 1.1) < 0.005
    True
    """
    for name, value, most in (("num_updates", num_updates, MOST_UPDATES), ("num_weights", num_weights, MOST_WEIGHTS)):
        if not isinstance(value, Integral) or isinstance(value, bool) or not 1 <= value <= most:
            raise UsageError(
                f"apply_updates: {name} is a whole number from 1 to {most}, not {value!r}: pass such a one."
            )
    if num_updates * num_weights > 10**8:
        raise UsageError(
            f"apply_updates: {num_updates} updates of {num_weights} weights are more than 10**8 roundings: pass fewer."
        )
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"apply_updates: seed is a whole number from 0, not {seed!r}: pass such a one.")
    for name, value in (("update", update), ("start", start)):
        if not isinstance(value, Real) or not np.isfinite(float(value)):
            raise UsageError(f"apply_updates: {name} is a finite number, not {value!r}: pass such a one.")
    fmt = find_format(fmt)
    weights = np.full(num_weights, decode(encode(float(start), fmt), fmt))
    seeds = np.random.default_rng(seed).integers(0, 2**63, num_updates)
    rows = [(weights[0],) * 3]
    for i in range(num_updates):
        own = int(seeds[i]) if rounding == "stochastic" else None
        weights = decode(encode(weights + update, fmt, rounding=rounding, seed=own), fmt)
        rows.append((weights.mean(), weights.min(), weights.max()))
    mean, least, most = np.array(rows).T
    counts = np.arange(num_updates + 1)
    exact = np.array([float(Fraction(float(mean[0])) + int(n) * Fraction(float(update))) for n in counts])
    deviation = np.zeros(num_updates + 1)
    if rounding == "stochastic":
        spacing = _spacing(float(mean[0]), fmt)
        part = abs(update) / spacing % 1
        deviation = spacing * np.sqrt(counts * part * (1 - part))
    return Updates(fmt, rounding, exact, mean, least, most, deviation)


def _spacing(value: float, fmt: Format) -> float:
    from labkit.floating_point.ulp import ulp

    return ulp(value, fmt)
