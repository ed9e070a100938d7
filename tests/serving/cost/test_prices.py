"""Bills: published examples to the cent, limits, and what is said about wrong numbers."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.cost.dedicated_cost import Capacity, dedicated_cost
from labkit.serving.cost.prices import INSTANCES, LAMBDA, InstancePrice, ServerlessPrices, find_instance, money
from labkit.serving.cost.serverless_cost import billed_ms, serverless_bill, serverless_cost, total_billed_ms


@pytest.mark.parametrize(
    "num_requests, duration_s, memory_mb, compute, requests",
    [
        (3_000_000, 1.0, 512, "18.34", "0.40"),  # AWS's first example
        (30_000_000, 0.2, 128, "5.83", "5.80"),  # its second
        (1_000_000, 0.1, 128, "0.00", "0.00"),  # all of it free
        (1_000_001, 0.001, 128, "0.00", "0.00"),
        (400_000, 1.0, 1024, "0.00", "0.00"),  # exactly the free tier
        (100_000_000, 0.0001, 10240, "10.00", "19.80"),  # a tenth of a ms is billed as 1: 1 000 000 GB-s
        (0, 1.0, 512, "0.00", "0.00"),
    ],
)
def test_published_examples(num_requests, duration_s, memory_mb, compute, requests):
    bill = serverless_cost(num_requests, duration_s, memory_mb)
    assert (bill.compute, bill.requests) == (Decimal(compute), Decimal(requests))
    assert bill.total == Decimal(compute) + Decimal(requests)


def test_a_bill_of_three_functions():
    """AWS's third example: 128 MB 25 M x 200 ms, 448 MB 5 M x 500 ms, 1024 MB 2.5 M x 1 s; the free tier once."""
    parts = [(25_000_000, 0.2, 128), (5_000_000, 0.5, 448), (2_500_000, 1.0, 1024)]
    bills = [serverless_cost(*part, free_tier=False) for part in parts]
    gb_s = sum(bill.gb_s for bill in bills)
    assert gb_s == Decimal("4218750")
    assert round((gb_s - LAMBDA.free_gb_s) * LAMBDA.usd_per_gb_s, 2) == Decimal("63.66")
    assert sum(bill.exact_requests for bill in bills) - Decimal("0.20") == Decimal("6.30")


def test_provisioned_concurrency():
    bill = serverless_cost(1_200_000, 1.0, 1024, provisioned=1000, provisioned_hours=2)  # AWS's example
    assert (bill.provisioned, bill.requests, bill.compute) == (Decimal("30.00"), Decimal("0.24"), Decimal("11.67"))
    assert bill.total == Decimal("41.91") and (bill.free_gb_s, bill.free_requests) == (0, 0)
    spilled = serverless_cost(1_200_000, 1.0, 1024, provisioned=1000, provisioned_hours=2, provisioned_share=0.5)
    assert spilled.exact_compute == 600_000 * (Decimal("0.000009722") + Decimal("0.00001667"))
    short = serverless_cost(0, 1.0, 1024, provisioned=1, provisioned_hours=0.01)  # 36 s are billed as 300
    assert short.exact_provisioned == 300 * Decimal("0.000004167")


def test_cold_starts_are_billed_unless_the_prices_say_no():
    plain = serverless_cost(2_000_000, 0.1, 1024, free_tier=False)
    cold = serverless_cost(2_000_000, 0.1, 1024, free_tier=False, num_cold=1000, cold_start_s=1.5)
    assert cold.gb_s - plain.gb_s == 1500
    old = ServerlessPrices("0.00001667", "0.20", 400_000, 1_000_000, 0, 0, bills_init=False)
    assert serverless_cost(2_000_000, 0.1, 1024, prices=old, free_tier=False, num_cold=1000, cold_start_s=1.5) == plain


def test_rounding_up_to_the_millisecond():
    durations = np.array([0.0, 0.001, 0.1, 0.2, 0.3, 0.7, 1.1, 0.0010001, 899.9999])
    want = [0, 1, 100, 200, 300, 700, 1100, 2, 900_000]
    assert [billed_ms(duration) for duration in durations] == want
    assert total_billed_ms(durations) == sum(want)
    assert total_billed_ms(durations, 100) == sum(billed_ms(d, 100) for d in durations)


def test_exact_against_fractions():
    generator = np.random.default_rng(3)
    for _ in range(50):
        num, ms, memory = int(generator.integers(0, 10**9)), int(generator.integers(1, 10**6)), int(generator.integers(128, 10241))
        bill = serverless_bill(num, num * ms, memory)
        gb_s = Fraction(num * ms * memory, 1000 * 1024)
        want = max(gb_s - 400_000, 0) * Fraction("0.00001667") + Fraction(max(num - 1_000_000, 0), 5_000_000)
        assert abs(Fraction(bill.exact_total) - want) < Fraction(1, 10**9)


def test_instances():
    assert dedicated_cost("c5.large").total == Decimal("62.05")
    assert dedicated_cost(InstancePrice("own", 0.1), 3, 10).total == Decimal("3.00")
    assert all(instance.source and instance.date and instance.usd_per_hour > 0 for instance in INSTANCES.values())
    capacity = Capacity(10, 0.5, 2)
    assert capacity.requests_a_month == 2.5 * 730 * 3600
    for k in (1, 2, 7):
        assert capacity.num_instances(k * capacity.requests_a_month) == k
        assert capacity.num_instances(k * capacity.requests_a_month + 1) == k + 1
    assert capacity.num_instances(0) == 1


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: serverless_cost(1, 1, 127), ("128 to 10240", "127", "pass")),
        (lambda: serverless_cost(1, 1, 10241), ("128 to 10240", "10241")),
        (lambda: serverless_cost(1, 1, 512.5), ("whole number", "512.5")),
        (lambda: serverless_cost(1, 1, "512"), ("'512'", "pass")),
        (lambda: serverless_cost(-1, 1, 512), ("num_requests", "-1")),
        (lambda: serverless_cost(1, float("nan"), 512), ("duration_s", "nan", "pass")),
        (lambda: serverless_cost(1, -0.1, 512), ("duration_s", "-0.1")),
        (lambda: serverless_cost(float("inf"), 1, 512), ("num_requests", "inf")),
        (lambda: serverless_cost(True, 1, 512), ("num_requests", "True")),
        (lambda: serverless_cost(5, 1, 512, num_cold=6), ("at most", "6")),
        (lambda: serverless_bill(1, 1, 512, num_provisioned_ms=1), ("provisioned is 0",)),
        (lambda: find_instance("c5.huge"), ("c5.large", "c5.huge", "InstancePrice")),
        (lambda: find_instance(None), ("None",)),
        (lambda: InstancePrice("own", "a lot"), ("a lot",)),
        (lambda: money("price", float("nan")), ("price", "nan")),
        (lambda: money("price", -1), ("-1",)),
        (lambda: InstancePrice("own", 1, date="June"), ("June", "2026-06")),
        (lambda: dedicated_cost("c5.large", 0), ("num_instances", "0")),
        (lambda: Capacity(0), ("requests_per_s", "0")),
        (lambda: Capacity(1, 1.2), ("target_utilisation", "1.2")),
        (lambda: Capacity(1, 0.5, 0.5), ("peak_over_mean", "0.5")),
    ],
)
def test_wrong_numbers(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
