"""A month of a function, as the bill says it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.prices import HOURS_A_MONTH, LAMBDA, ServerlessPrices, to_cents

MILLION = Decimal(1_000_000)
MB_A_GB = 1024
PROVISIONED_STEP_S = 300  # the time that environments are kept ready is rounded up to five minutes


@dataclass(frozen=True, slots=True)
class ServerlessBill:
    """The lines of a bill, in USD and exact; each line is rounded to the cent, and ``total`` is their sum.

    Attributes
    ----------
    num_requests : int
    gb_s : Decimal
        Memory times billed time of the requests in ordinary environments.
    free_gb_s, free_requests : Decimal, int
        What of it the free tier covered.
    exact_compute, exact_requests, exact_provisioned : Decimal
        Before rounding.
    """

    num_requests: int
    gb_s: Decimal
    free_gb_s: Decimal
    free_requests: int
    exact_compute: Decimal
    exact_requests: Decimal
    exact_provisioned: Decimal = Decimal(0)

    @property
    def compute(self) -> Decimal:
        """For the time that requests ran."""
        return to_cents(self.exact_compute)

    @property
    def requests(self) -> Decimal:
        """For their number."""
        return to_cents(self.exact_requests)

    @property
    def provisioned(self) -> Decimal:
        """For environments that were kept ready."""
        return to_cents(self.exact_provisioned)

    @property
    def total(self) -> Decimal:
        return self.compute + self.requests + self.provisioned

    @property
    def exact_total(self) -> Decimal:
        """Not rounded."""
        return self.exact_compute + self.exact_requests + self.exact_provisioned

    def __str__(self) -> str:
        ready = f" + {self.provisioned} kept ready" if self.exact_provisioned else ""
        return f"{self.compute} compute + {self.requests} requests{ready} = {self.total} USD"


def billed_ms(duration_s, step_ms: int = 1) -> int:
    """The milliseconds that are billed for one request: rounded up to the step.

    Examples
    --------
    >>> billed_ms(1), billed_ms(0.1), billed_ms(0.0123), billed_ms(0.0123, step_ms=100)
    (1000, 100, 13, 100)
    """
    checks.not_negative("duration_s", duration_s, advice="pass the seconds that a request runs")
    step = checks.whole("step_ms", step_ms, 1)
    milliseconds = Decimal(str(float(duration_s))) * 1000
    return int((milliseconds / step).to_integral_value(ROUND_CEILING)) * step


def total_billed_ms(durations_s: np.ndarray, step_ms: int = 1) -> int:
    """The same of many requests, each rounded up for itself.

    Examples
    --------
    >>> total_billed_ms(np.array([0.0101, 0.1]))
    111
    """
    steps = np.asarray(durations_s, np.float64) * (1000 / step_ms)
    return int(np.ceil(steps - 1e-6).sum()) * step_ms  # 100 ms stay 100 ms although 0.1 has no exact binary form


def serverless_bill(
    num_requests: int, num_ms: int, memory_mb: int, *, prices: ServerlessPrices = LAMBDA, free_tier: bool = True,
    provisioned: int = 0, provisioned_hours: float = HOURS_A_MONTH, num_provisioned_ms: int = 0,
) -> ServerlessBill:  # fmt: skip
    """The bill of a month for requests that were billed ``num_ms`` in sum.

    Parameters
    ----------
    num_requests : int
        0 or more; those refused are not among them.
    num_ms : int
        Billed milliseconds in ordinary environments, over all requests.
    memory_mb : int
        128 to 10240.
    prices : ServerlessPrices
    free_tier : bool
        Whether this month's free tier is still there for this function. It does not apply to a function with
        provisioned environments.
    provisioned : int
        Environments that are kept ready.
    provisioned_hours : float
        For how long.
    num_provisioned_ms : int
        Billed milliseconds in those environments.

    Raises
    ------
    UsageError
        Memory outside the limits, a negative number or no number.

    Examples
    --------
    AWS's own: 3 million requests of a second with 512 MB

    >>> print(serverless_bill(3_000_000, 3_000_000_000, 512))
    18.34 compute + 0.40 requests = 18.74 USD
    """
    num_requests = checks.whole("num_requests", num_requests)
    num_ms = checks.whole("num_ms", num_ms)
    memory = Decimal(checks.memory(memory_mb)) / MB_A_GB
    provisioned = checks.whole("provisioned", provisioned)
    ready_ms = checks.whole("num_provisioned_ms", num_provisioned_ms)
    hours = checks.not_negative("provisioned_hours", provisioned_hours)
    if ready_ms and not provisioned:
        raise UsageError(
            f"{ready_ms} ms ran in provisioned environments, but provisioned is 0: pass how many there were."
        )
    gb_s = num_ms * memory / 1000
    has_free = free_tier and not provisioned
    free_gb_s = min(gb_s, Decimal(prices.free_gb_s)) if has_free else Decimal(0)
    free_requests = min(num_requests, prices.free_requests) if has_free else 0
    compute = (gb_s - free_gb_s) * prices.usd_per_gb_s
    compute += ready_ms * memory / 1000 * prices.provisioned_duration_usd_per_gb_s
    periods = (Decimal(str(hours)) * 3600 / PROVISIONED_STEP_S).to_integral_value(ROUND_CEILING)
    kept = provisioned * periods * PROVISIONED_STEP_S * memory * prices.provisioned_usd_per_gb_s
    return ServerlessBill(
        num_requests, gb_s, free_gb_s, free_requests, compute,
        (num_requests - free_requests) * prices.usd_per_million_requests / MILLION, kept,
    )  # fmt: skip


def serverless_cost(
    num_requests: int, duration_s: float, memory_mb: int, *, prices: ServerlessPrices = LAMBDA, free_tier: bool = True,
    num_cold: int = 0, cold_start_s: float = 0.0, provisioned: int = 0, provisioned_hours: float = HOURS_A_MONTH,
    provisioned_share: float = 1.0,
) -> ServerlessBill:  # fmt: skip
    """The bill of a month of equal requests.

    Parameters
    ----------
    num_requests : int
    duration_s : float
        Of one; rounded up to the millisecond.
    memory_mb : int
    num_cold, cold_start_s : int, float
        How many met a cold environment, and what its start takes: billed too, if ``prices.bills_init``.
    provisioned, provisioned_hours, provisioned_share : int, float, float
        Environments kept ready, for how long, and the share of the requests that ran in them.

    Examples
    --------
    >>> serverless_cost(3_000_000, 1.0, 512).total
    Decimal('18.74')
    >>> print(serverless_cost(1_200_000, 1.0, 1024, provisioned=1000, provisioned_hours=2))   # AWS's example
    11.67 compute + 0.24 requests + 30.00 kept ready = 41.91 USD
    """
    num_requests = checks.whole("num_requests", num_requests)
    num_cold = checks.whole("num_cold", num_cold)
    if num_cold > num_requests:
        raise UsageError(f"of {num_requests} requests at most as many are cold, not {num_cold}: pass a smaller num_cold.")
    one = billed_ms(duration_s, prices.step_ms)
    ready = round(num_requests * checks.share("provisioned_share", provisioned_share)) if provisioned else 0
    ordinary = (num_requests - ready) * one
    if prices.bills_init and num_cold:
        checks.not_negative("cold_start_s", cold_start_s)
        ordinary += num_cold * (billed_ms(duration_s + cold_start_s, prices.step_ms) - one)
    return serverless_bill(
        num_requests, ordinary, memory_mb, prices=prices, free_tier=free_tier, provisioned=provisioned,
        provisioned_hours=provisioned_hours, num_provisioned_ms=ready * one,
    )  # fmt: skip
