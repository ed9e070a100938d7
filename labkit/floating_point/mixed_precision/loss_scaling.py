"""Loss scaling: the loss is multiplied so that small gradients do not become 0, the gradients divided again."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.mixed_precision.product import round_to

LEAST_SCALE, MOST_SCALE = 2.0**-60, 2.0**60


@dataclass(frozen=True, slots=True)
class LossScaling:
    """By what the loss is multiplied, and whether that follows what happens.

    Parameters
    ----------
    scale : float
        To begin with, 2**-60 to 2**60. A power of 2 rounds nothing.
    is_dynamic : bool
        A step whose gradients overflow is left out and the scale divided by ``factor``; after ``growth_interval``
        steps without an overflow it is multiplied by it.
    factor : float
        Above 1.
    growth_interval : int
        1 or more.

    References
    ----------
    P. Micikevicius et al., Mixed precision training, ICLR 2018, section 3.2.

    Examples
    --------
    >>> scaling = LossScaling(1024.0, is_dynamic=True, growth_interval=2)
    >>> scaling.next(1024.0, 0, overflowed=True), scaling.next(512.0, 0, overflowed=False)
    ((512.0, 0), (512.0, 1))
    >>> scaling.next(512.0, 1, overflowed=False)
    (1024.0, 0)
    """

    scale: float = 1.0
    is_dynamic: bool = False
    factor: float = 2.0
    growth_interval: int = 50

    def __post_init__(self):
        if not isinstance(self.scale, Real) or not LEAST_SCALE <= self.scale <= MOST_SCALE:
            raise UsageError(
                f"LossScaling: scale is a number from 2**-60 to 2**60, not {self.scale!r}: pass such a one."
            )
        if not isinstance(self.factor, Real) or not 1 < self.factor < MOST_SCALE:
            raise UsageError(f"LossScaling: factor is a number above 1, not {self.factor!r}: pass 2.0, for example.")
        if not isinstance(self.growth_interval, Integral) or self.growth_interval < 1:
            raise UsageError(
                f"LossScaling: growth_interval is a whole number from 1, not {self.growth_interval!r}: pass such a one."
            )

    def next(self, scale: float, num_good_steps: int, *, overflowed: bool) -> tuple[float, int]:
        """The scale of the next step, and how many steps in a row were good since it last changed."""
        if not self.is_dynamic:
            return scale, 0
        if overflowed:
            return max(scale / self.factor, LEAST_SCALE), 0
        if num_good_steps + 1 == self.growth_interval:
            return min(scale * self.factor, MOST_SCALE), 0
        return scale, num_good_steps + 1


def underflow_share(gradients, fmt: str | Format = "binary16", *, scale: float = 1.0) -> float:
    """The share of the gradients other than 0 that a format makes 0.

    Parameters
    ----------
    gradients : array_like of float
    fmt : str or Format
    scale : float
        The gradients are multiplied by it before they are rounded.

    Examples
    --------
    >>> gradients = [1e-9, 1e-8, 1e-7, 1e-3, 0.0]
    >>> underflow_share(gradients), underflow_share(gradients, scale=1024.0)
    (0.5, 0.0)
    """
    gradients = np.asarray(gradients, np.float64).ravel()
    there = gradients[gradients != 0]
    return float((round_to(there * scale, find_format(fmt)) == 0).mean()) if there.size else 0.0
