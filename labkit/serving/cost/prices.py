"""Published prices, each with its source and date, and prices of one's own.

Money is :class:`decimal.Decimal`: a bill is exact to the cent. Prices change: look at the date, and pass your own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from labkit.errors import UsageError

HOURS_A_MONTH = 730  # 365 x 24 / 12, as cloud providers count
MONTH_S = HOURS_A_MONTH * 3600
CENT = Decimal("0.01")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


def money(name: str, value) -> Decimal:
    """An amount of USD, 0 or more, exact.

    Examples
    --------
    >>> money("usd_per_hour", 0.085), money("usd_per_hour", "0.10")
    (Decimal('0.085'), Decimal('0.10'))
    """
    advice = "pass an amount in USD of 0 or more, as a number or a text such as '0.085'"
    try:
        amount = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        raise UsageError(f"{name} is an amount of money, not {value!r}: {advice}.") from None
    if not amount.is_finite() or amount < 0:
        raise UsageError(f"{name} is a finite amount of 0 or more, not {value!r}: {advice}.")
    return amount


def to_cents(amount: Decimal) -> Decimal:
    """Rounded to the cent, halves up, as on a bill.

    Examples
    --------
    >>> to_cents(Decimal("18.337"))
    Decimal('18.34')
    """
    return amount.quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class ServerlessPrices:
    """What a provider asks for a function.

    Attributes
    ----------
    usd_per_gb_s, usd_per_million_requests : Decimal
        For the memory that the function is given, not what it uses, by the time it runs.
    free_gb_s, free_requests : int
        A month.
    provisioned_usd_per_gb_s : Decimal
        For keeping environments ready, whether they are used or not.
    provisioned_duration_usd_per_gb_s : Decimal
        For the time that requests run in such environments; instead of ``usd_per_gb_s``.
    step_ms : int
        Durations are rounded up to multiples of it.
    bills_init : bool
        Whether the start of an environment is billed like running.
    source, date : str
    """

    usd_per_gb_s: Decimal
    usd_per_million_requests: Decimal
    free_gb_s: int
    free_requests: int
    provisioned_usd_per_gb_s: Decimal
    provisioned_duration_usd_per_gb_s: Decimal
    step_ms: int = 1
    bills_init: bool = True
    source: str = "given by the user"
    date: str = ""

    def __post_init__(self):
        for name in (
            "usd_per_gb_s", "usd_per_million_requests", "provisioned_usd_per_gb_s", "provisioned_duration_usd_per_gb_s",
        ):
            object.__setattr__(self, name, money(name, getattr(self, name)))
        for name, least in (("free_gb_s", 0), ("free_requests", 0), ("step_ms", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name} is a whole number of at least {least}, not {value!r}: pass such a number.")


LAMBDA = ServerlessPrices(
    Decimal("0.00001667"), Decimal("0.20"), 400_000, 1_000_000, Decimal("0.000004167"), Decimal("0.000009722"),
    source="AWS Lambda pricing, https://aws.amazon.com/lambda/pricing/, x86, US East (N. Virginia), with the rounded "
    "numbers of its worked examples; starts are billed since 2025-08-01 (AWS Compute Blog, 'AWS Lambda standardizes "
    "billing for INIT phase')",
    date="2025-08",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InstancePrice:
    """What an hour of a rented machine costs.

    Attributes
    ----------
    name : str
    usd_per_hour : Decimal
    num_vcpus : int
        Threads of the processor.
    memory_gib : float
    source, date : str

    Examples
    --------
    >>> own = InstancePrice("the machine under my desk", "0.04")
    >>> own.usd_per_month
    Decimal('29.20')
    """

    name: str
    usd_per_hour: Decimal
    num_vcpus: int = 2
    memory_gib: float = 0.0
    source: str = "given by the user"
    date: str = ""

    def __post_init__(self):
        object.__setattr__(self, "usd_per_hour", money("usd_per_hour", self.usd_per_hour))
        if self.date and not _DATE.fullmatch(self.date):
            raise UsageError(f"a date is a text such as '2026-06', not {self.date!r}: write year and month.")

    @property
    def usd_per_month(self) -> Decimal:
        """Of a machine that is always on."""
        return self.usd_per_hour * HOURS_A_MONTH


_EC2 = "Amazon EC2 on-demand pricing, https://aws.amazon.com/ec2/pricing/on-demand/, Linux, US East (N. Virginia)"
INSTANCES: dict[str, InstancePrice] = {
    instance.name: instance
    for instance in (
        InstancePrice("t3.micro", "0.0104", 2, 1, f"{_EC2}; a burstable one: less than its vCPUs in the long run", "2026-03"),
        InstancePrice("t3.large", "0.0832", 2, 8, f"{_EC2}; a burstable one: less than its vCPUs in the long run", "2026-03"),
        InstancePrice("m7g.large", "0.0816", 2, 8, _EC2, "2026-06"),
        InstancePrice("c5.large", "0.085", 2, 4, _EC2, "2025-01"),
        InstancePrice("c5.2xlarge", "0.34", 8, 16, _EC2, "2025-01"),
        InstancePrice("g5.xlarge", "1.006", 4, 16, f"{_EC2}; with a GPU", "2026-06"),
    )
}


def find_instance(instance: str | InstancePrice) -> InstancePrice:
    """A published instance by its name; a price of one's own as it is.

    Raises
    ------
    UsageError
        No such name.

    Examples
    --------
    >>> find_instance("c5.large").usd_per_month
    Decimal('62.050')
    """
    if isinstance(instance, InstancePrice):
        return instance
    try:
        return INSTANCES[instance]
    except (KeyError, TypeError):
        raise UsageError(
            f"an instance is one of {', '.join(INSTANCES)}, not {instance!r}: take one of them, or give your own price "
            "with InstancePrice(name, usd_per_hour)."
        ) from None
