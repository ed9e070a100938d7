"""Requests a month at which a function and a fleet of instances cost the same.

The function's cost is a line with two kinks: nothing (or the price of environments kept ready) until the free tier's
seconds and requests are used up, then in proportion. The fleet's cost is a staircase: an instance more for every
``capacity`` requests. So there may be no crossing, one, or many: the line can rise above a step, and fall below the next.
All of it is computed with fractions, exactly; only the answer is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.dedicated_cost import Capacity
from labkit.serving.cost.prices import LAMBDA, MONTH_S, InstancePrice, ServerlessPrices, find_instance
from labkit.serving.cost.serverless_cost import MB_A_GB, billed_ms


@dataclass(frozen=True, slots=True)
class FunctionCost:
    """What a month of a function costs, as a function of the number of requests.

    Attributes
    ----------
    duration_s : float
        Of a warm request; rounded up to the millisecond.
    memory_mb : int
    cold_fraction, cold_start_s : float
        Share of cold requests and what a start takes, where starts are billed.
    provisioned : int
        Environments kept ready; all requests are taken to run in them.
    free_tier : bool
    prices : ServerlessPrices

    Examples
    --------
    >>> float(FunctionCost(1.0, 512).usd(3_000_000))
    18.737
    """

    duration_s: float
    memory_mb: int = 512
    cold_fraction: float = 0.0
    cold_start_s: float = 0.0
    provisioned: int = 0
    free_tier: bool = True
    prices: ServerlessPrices = LAMBDA

    def __post_init__(self):
        checks.positive("duration_s", self.duration_s)
        checks.memory(self.memory_mb)
        checks.share("cold_fraction", self.cold_fraction)
        checks.not_negative("cold_start_s", self.cold_start_s)
        checks.whole("provisioned", self.provisioned)

    @property
    def gb_s_a_request(self) -> Fraction:
        milliseconds = Fraction(billed_ms(self.duration_s, self.prices.step_ms))
        if self.prices.bills_init and not self.provisioned:
            extra = billed_ms(self.duration_s + self.cold_start_s, self.prices.step_ms) - milliseconds
            milliseconds += extra * Fraction(self.cold_fraction)
        return milliseconds * self.memory_mb / MB_A_GB / 1000

    @property
    def fixed_usd(self) -> Fraction:
        """For environments kept ready, a month."""
        kept = Fraction(self.prices.provisioned_usd_per_gb_s) * MONTH_S * self.memory_mb / MB_A_GB
        return self.provisioned * kept

    def parts(self) -> tuple[tuple[Fraction, Fraction], ...]:
        """((requests a month that are free, USD for each one beyond), ...) of seconds and of requests."""
        has_free = self.free_tier and not self.provisioned
        rate = self.prices.provisioned_duration_usd_per_gb_s if self.provisioned else self.prices.usd_per_gb_s
        free_by_seconds = Fraction(self.prices.free_gb_s) / self.gb_s_a_request if has_free else Fraction(0)
        return (
            (free_by_seconds, self.gb_s_a_request * Fraction(rate)),
            (Fraction(self.prices.free_requests if has_free else 0), Fraction(self.prices.usd_per_million_requests) / 10**6),
        )

    @property
    def kinks(self) -> tuple[Fraction, ...]:
        """Requests a month at which the free tier's seconds, and its requests, are used up; from below."""
        return tuple(sorted(free for free, _ in self.parts()))

    @property
    def usd_a_request(self) -> Fraction:
        """Beyond the free tier."""
        return sum(rate for _, rate in self.parts())

    def usd(self, num_requests) -> Fraction:
        """A month's cost, exact and not rounded to cents."""
        num = Fraction(num_requests)
        return self.fixed_usd + sum(max(num - free, Fraction(0)) * rate for free, rate in self.parts())

    def requests_for(self, usd: Fraction) -> Fraction | None:
        """The most requests that cost no more than ``usd``; None: even none costs more, or any number costs less."""
        left = usd - self.fixed_usd
        if left < 0 or not self.usd_a_request:
            return None
        (first, rate), (second, other) = sorted(self.parts())
        if rate and left <= (second - first) * rate:
            return first + left / rate
        return second + (left - (second - first) * rate) / (rate + other) if rate + other else None


@dataclass(frozen=True, slots=True)
class FleetCost:
    """What a month of instances costs: a staircase.

    Attributes
    ----------
    instance : str or InstancePrice
    capacity : Capacity
        What one of them is planned for.
    least : int
        Instances, however few requests there are.

    Examples
    --------
    >>> fleet = FleetCost("c5.large", Capacity(50, 0.6))
    >>> [float(fleet.usd(n)) for n in (0, 78_840_000, 78_840_001)]
    [62.05, 62.05, 124.1]
    """

    instance: InstancePrice
    capacity: Capacity
    least: int = 1

    def __post_init__(self):
        object.__setattr__(self, "instance", find_instance(self.instance))
        checks.whole("least", self.least, 1)
        if self.requests_an_instance < 1:
            raise UsageError(
                f"an instance is planned for less than one request a month ({self.capacity.requests_a_month:.3g}): pass a larger "
                "capacity."
            )

    @property
    def requests_an_instance(self) -> int:
        """A month."""
        return math.floor(self.capacity.requests_a_month * (1 + 1e-12))

    @property
    def usd_an_instance(self) -> Fraction:
        """A month."""
        return Fraction(self.instance.usd_per_month)

    def num_instances(self, num_requests) -> int:
        return max(self.least, math.ceil(Fraction(num_requests) / self.requests_an_instance))

    def usd(self, num_requests) -> Fraction:
        return self.num_instances(num_requests) * self.usd_an_instance


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the cheaper one changes.

    Attributes
    ----------
    num_requests : float
        A month. Up to here the other is cheaper (or as cheap), beyond it ``cheaper`` is.
    usd : float
        A month, of both; at a step: of the function.
    cheaper : str
        ``"dedicated"`` or ``"serverless"``, beyond it.
    num_instances : int
        Of the fleet, below it.
    is_step : bool
        Whether the fleet needs an instance more beyond it.
    """

    num_requests: float
    usd: float
    cheaper: str
    num_instances: int
    is_step: bool


def crossings(function: FunctionCost, fleet: FleetCost, *, most: int = 1000) -> list[Crossing]:
    """All requests a month at which the cheaper one changes, from below.

    Parameters
    ----------
    function : FunctionCost
    fleet : FleetCost
    most : int
        Crossings to give: where an instance costs as much as the requests it is planned for, they never end.

    Examples
    --------
    A second on 512 MB, against an instance that answers ten a second:

    >>> found = crossings(FunctionCost(1.0, 512), FleetCost("c5.large", Capacity(10, 0.6)))
    >>> [(round(one.num_requests), one.cheaper) for one in found]
    [(8074751, 'dedicated')]

    Instances that are planned for little: the line meets the staircase several times.

    >>> found = crossings(FunctionCost(1.0, 512), FleetCost("c5.large", Capacity(5, 0.65)))
    >>> [(round(one.num_requests / 1e6, 2), one.cheaper) for one in found[:3]], len(found)
    ([(8.07, 'dedicated'), (8.54, 'serverless'), (15.34, 'dedicated')], 13)
    """
    found = []
    for crossing in _all(function, fleet):
        if len(found) == checks.whole("most", most, 1):
            break
        found.append(crossing)
    return found


def _all(function: FunctionCost, fleet: FleetCost) -> Iterator[Crossing]:
    """Step by step; steps without a crossing are left out in one go, as far as the function's line is straight."""
    width, price, k = fleet.requests_an_instance, fleet.usd_an_instance, fleet.least
    low = Fraction(0)
    while True:
        high, level = Fraction(k * width), k * price
        at_low, at_high = function.usd(low), function.usd(high)
        if at_low < level < at_high:
            yield Crossing(float(function.requests_for(level)), float(level), "dedicated", k, False)
        if level < at_high < level + price:
            yield Crossing(float(high), float(at_high), "serverless", k, True)
        bend = next((kink for kink in function.kinks if kink > low), None)
        straight = math.inf if bend is None else math.floor((bend - high) / width)  # whole steps before the next kink
        skip = 0
        if straight >= 1 or bend is None:
            gain = function.usd(high + width) - at_high - price  # how the line gains on the staircase, a step
            if at_low >= level:  # dedicated is cheaper from the step's beginning on
                if gain >= 0 and bend is None:
                    return
                skip = straight if gain >= 0 else math.floor((at_low - level) / -gain)
            elif at_high <= level:  # serverless is, to its end
                if gain <= 0 and bend is None:
                    return
                skip = straight if gain <= 0 else math.ceil((level - at_high) / gain)
        k += max(1, int(min(skip, straight)))
        low = Fraction((k - 1) * width)


def cheaper(function: FunctionCost, fleet: FleetCost, num_requests: float) -> str:
    """``"serverless"``, ``"dedicated"`` or ``"equal"`` at this number of requests a month.

    Examples
    --------
    >>> cheaper(FunctionCost(1.0, 512), FleetCost("c5.large", Capacity(10)), 3_000_000)
    'serverless'
    """
    checks.not_negative("num_requests", num_requests, advice="pass requests a month")
    one, other = function.usd(num_requests), fleet.usd(num_requests)
    return "equal" if one == other else "serverless" if one < other else "dedicated"


def crossover(duration_s: float, memory_mb: int, instance: str | InstancePrice, *, free_tier: bool = True) -> float:
    """The closed form for one instance that is large enough: requests a month at which both cost the same.

    Notes
    -----
    With the free tier used up: ``n = (P + a G + b R) / (a g + b)``, where P is the instance's price a month, a and b those of
    a GB-s and of a request, g the GB-s of a request, G and R the free GB-s and requests. If that n lies below one of the
    kinks, the free part that is not yet used up does not count.

    Examples
    --------
    >>> round(crossover(1.0, 512, "c5.large"))
    8074751
    >>> round((62.05 + 0.00001667 * 400_000 + 0.2) / (0.00001667 * 0.5 + 0.2e-6))
    8074751
    """
    at = FunctionCost(duration_s, memory_mb, free_tier=free_tier).requests_for(Fraction(find_instance(instance).usd_per_month))
    return float(at)
