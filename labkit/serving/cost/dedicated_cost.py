"""A month of instances, and how many of them a rate needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.prices import HOURS_A_MONTH, MONTH_S, InstancePrice, find_instance, to_cents


@dataclass(frozen=True, slots=True)
class DedicatedBill:
    """Hours of instances, and their price in USD."""

    instance: InstancePrice
    instance_hours: Decimal

    @property
    def exact_total(self) -> Decimal:
        return self.instance_hours * self.instance.usd_per_hour

    @property
    def total(self) -> Decimal:
        """Rounded to the cent."""
        return to_cents(self.exact_total)

    def __str__(self) -> str:
        return f"{self.instance_hours:f} h x {self.instance.usd_per_hour} USD = {self.total} USD"


def dedicated_cost(instance: str | InstancePrice, num_instances: int = 1, hours: float = HOURS_A_MONTH) -> DedicatedBill:
    """Instances that are on, whether anybody asks or not.

    Parameters
    ----------
    instance : str or InstancePrice
        A name of :data:`labkit.serving.cost.prices.INSTANCES`, or a price of your own.
    num_instances : int
        At least 1.
    hours : float
        Each of them; a month has 730.

    Examples
    --------
    >>> print(dedicated_cost("c5.large", 2))
    1460 h x 0.085 USD = 124.10 USD
    """
    num = checks.whole("num_instances", num_instances, 1)
    checks.not_negative("hours", hours)
    return DedicatedBill(find_instance(instance), num * Decimal(str(hours)))


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one instance can answer.

    Attributes
    ----------
    requests_per_s : float
        At most, with batches as large as they get; measure it (:mod:`labkit.serving.cost.calibrate`).
    target_utilisation : float
        Share of it that is planned with: near 1 the queue grows without end.
    peak_over_mean : float
        The busiest time over the average; a fixed fleet is bought for the busiest.

    Examples
    --------
    A hundred requests a second at most, planned for 60 %, and afternoons three times as busy as the average day:

    >>> capacity = Capacity(100, 0.6, 3)
    >>> capacity.requests_a_month
    52560000.0
    >>> capacity.num_instances(60_000_000)
    2
    """

    requests_per_s: float
    target_utilisation: float = 0.6
    peak_over_mean: float = 1.0

    def __post_init__(self):
        checks.positive("requests_per_s", self.requests_per_s, advice="pass what an instance can answer in a second")
        if not 0 < checks.number("target_utilisation", self.target_utilisation) <= 1:
            raise UsageError(
                f"target_utilisation is more than 0 and at most 1, not {self.target_utilisation!r}: pass for example 0.6."
            )
        if checks.number("peak_over_mean", self.peak_over_mean) < 1:
            raise UsageError(
                f"peak_over_mean is at least 1, not {self.peak_over_mean!r}: the busiest time is no quieter than the average."
            )

    @property
    def requests_a_month(self) -> float:
        """That one instance is planned for."""
        return self.requests_per_s * self.target_utilisation / self.peak_over_mean * MONTH_S

    def num_instances(self, num_requests: float) -> int:
        """For so many requests a month; at least 1."""
        checks.not_negative("num_requests", num_requests)
        return max(1, math.ceil(num_requests / self.requests_a_month * (1 - 1e-12)))
