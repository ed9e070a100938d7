"""What a simulation gives: the latency of every request, what ran over time, and the bill of a month."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.dedicated_cost import DedicatedBill, dedicated_cost
from labkit.serving.cost.prices import MONTH_S
from labkit.serving.cost.serverless_cost import ServerlessBill, serverless_bill

if TYPE_CHECKING:
    from labkit.serving.cost.dedicated import Fleet
    from labkit.serving.cost.serverless import Function


@dataclass(frozen=True, eq=False)
class Run:
    """What both simulations give.

    Attributes
    ----------
    period_s : float
        What was simulated.
    latency_s : ndarray, float32, (requests,)
        From arrival to answer; NaN: refused.
    num_refused : int
    bin_s : float
        Width of the bins of the arrays over time.
    busy : ndarray, (bins,)
        Requests (serverless) or workers (dedicated) in work, averaged over a bin.
    refused : ndarray, (bins,)
    """

    period_s: float
    latency_s: np.ndarray = field(repr=False)
    num_refused: int
    bin_s: float
    busy: np.ndarray = field(repr=False)
    refused: np.ndarray = field(repr=False)

    @property
    def num_requests(self) -> int:
        return self.latency_s.size

    @property
    def num_answered(self) -> int:
        return self.num_requests - self.num_refused

    @property
    def refused_fraction(self) -> float:
        return self.num_refused / self.num_requests

    @cached_property
    def _answered_sorted(self) -> np.ndarray:
        answered = self.latency_s[~np.isnan(self.latency_s)]
        answered.sort()
        return answered

    @property
    def mean_latency_s(self) -> float:
        """Of the answered ones."""
        return float(self._some().mean(dtype=np.float64))

    def _some(self) -> np.ndarray:
        if not self.num_answered:
            raise UsageError(
                f"all {self.num_requests} requests were refused, and none has a latency: give it more environments or instances."
            )
        return self._answered_sorted

    def percentile(self, q: float) -> float:
        """Latency in s that ``q`` % of the answered requests do not exceed."""
        if not 0 <= checks.number("q", q, advice="pass a percentage such as 99") <= 100:
            raise UsageError(f"a percentile is from 0 to 100, not {q!r}: pass for example 99.")
        answered = self._some()
        return float(answered[max(0, int(np.ceil(q / 100 * answered.size - 1e-9)) - 1)])

    def share_within(self, limit_s: float) -> float:
        """Share of all requests that were answered within ``limit_s``; refused ones were not."""
        limit = np.float32(checks.not_negative("limit_s", limit_s))
        return int(np.searchsorted(self._answered_sorted, limit, "right")) / self.num_requests

    @property
    def bins_s(self) -> np.ndarray:
        """Start of each bin."""
        return np.arange(self.busy.size) * self.bin_s

    @property
    def months(self) -> float:
        """What part of a month was simulated."""
        return self.period_s / MONTH_S

    @property
    def requests_a_month(self) -> float:
        return self.num_requests / self.months


@dataclass(frozen=True, eq=False)
class ServerlessRun(Run):
    """A function's day.

    Attributes
    ----------
    function : Function
    is_cold : ndarray, bool, (requests,)
    environments : ndarray, (bins,)
        Alive, averaged over a bin: in work or idle; those kept ready too.
    peak_busy : ndarray, (bins,)
        Most in work at once. (0 where nothing arrived.)
    cold : ndarray, (bins,)
    num_ms, num_provisioned_ms : int
        Billed.
    most_busy : int
    """

    function: Function
    is_cold: np.ndarray = field(repr=False)
    environments: np.ndarray = field(repr=False)
    peak_busy: np.ndarray = field(repr=False)
    cold: np.ndarray = field(repr=False)
    num_ms: int
    num_provisioned_ms: int
    most_busy: int

    @property
    def num_cold(self) -> int:
        return int(np.count_nonzero(self.is_cold))

    @property
    def cold_fraction(self) -> float:
        """Of the answered requests; 0 if there are none."""
        return self.num_cold / max(self.num_answered, 1)

    def bill(self, *, free_tier: bool = True) -> ServerlessBill:
        """Of a month that is like this."""
        month = 1 / self.months
        return serverless_bill(
            round(self.num_answered * month), round(self.num_ms * month), self.function.memory_mb,
            prices=self.function.prices, free_tier=free_tier, provisioned=self.function.provisioned,
            num_provisioned_ms=round(self.num_provisioned_ms * month),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class DedicatedRun(Run):
    """A fleet's day.

    Attributes
    ----------
    fleet : Fleet
    instances : ndarray, (bins,)
        That are paid, averaged over a bin; starting ones too.
    longest_queue : ndarray, (bins,)
    batches : ndarray, (max_batch + 1,)
        How many batches of each size there were.
    instance_s : float
        Paid seconds of instances.
    most_instances, most_waiting : int
    """

    fleet: Fleet
    instances: np.ndarray = field(repr=False)
    longest_queue: np.ndarray = field(repr=False)
    batches: np.ndarray = field(repr=False)
    instance_s: float
    most_instances: int
    most_waiting: int

    @property
    def mean_batch(self) -> float:
        """Requests a batch."""
        return float(self.batches @ np.arange(self.batches.size) / max(self.batches.sum(), 1))

    @property
    def utilisation(self) -> float:
        """Share of the paid time of workers in which they worked."""
        return float(self.busy.sum() * self.bin_s / (self.instance_s * self.fleet.workers))

    def bill(self) -> DedicatedBill:
        """Of a month that is like this."""
        hours = round(self.instance_s / self.months / 3600, 6)
        return dedicated_cost(self.fleet.instance, 1, hours)
