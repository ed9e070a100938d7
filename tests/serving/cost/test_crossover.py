"""Crossings: against a search over all requests a month, and what is said about wrong numbers."""

from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.cost.crossover import FleetCost, FunctionCost, cheaper, crossings, crossover
from labkit.serving.cost.dedicated_cost import Capacity
from labkit.serving.cost.prices import LAMBDA, MONTH_S, InstancePrice, ServerlessPrices
from labkit.serving.cost.serverless_cost import serverless_cost


def fleet_of(requests_an_instance, usd_a_month, least=1):
    return FleetCost(InstancePrice("own", Fraction(usd_a_month) / 730), capacity_of(requests_an_instance), least)


def capacity_of(requests_an_instance):
    return Capacity(requests_an_instance / MONTH_S, 1.0)


def by_search(function, fleet, most):
    """Changes of the cheaper one over all whole numbers of requests, equal ones left out."""
    changes, before = [], None
    for num in range(most + 1):
        now = cheaper(function, fleet, num)
        if now == "equal":
            continue
        if before is not None and now != before:
            changes.append((num, now))
        before = now
    return changes


# a million times smaller prices and free tiers: a month of a few thousand requests can be searched through
SMALL = ServerlessPrices("0.01667", "2000", 400, 1000, "0.004167", "0.009722")


@pytest.mark.parametrize("seed", range(30))
def test_all_crossings_are_found(seed):
    draw = np.random.default_rng(seed)
    function = FunctionCost(
        float(draw.choice([0.2, 1.0, 3.0])), int(draw.choice([128, 512, 1024])), float(draw.choice([0, 0.3])), 1.0,
        int(draw.choice([0, 0, 0, 1])) if seed % 5 == 0 else 0, bool(draw.integers(2)), SMALL,
    )
    # near the price where staircase and line have the same slope, and far from it
    per_instance = int(draw.choice([1, 7, 150, 900]))
    hourly = max(0.000001, round(float(function.usd_a_request) * per_instance * float(draw.choice([0.3, 0.9, 1.0, 1.1, 4])) / 730, 8))
    fleet = FleetCost(InstancePrice("own", hourly), capacity_of(per_instance), int(draw.choice([1, 1, 3])))
    assert fleet.requests_an_instance == per_instance
    want = by_search(function, fleet, 1500)
    got = [one for one in crossings(function, fleet, most=100_000 if len(want) > 450 else len(want) + 2) if one.num_requests < 1499]
    # a change between two whole numbers and back again before the next is seen by nobody who counts requests
    whole = [(int(np.floor(one.num_requests)) + 1, one.cheaper) for one in got]
    last_of = {}
    for num, now in whole:
        last_of[num] = now
    kept, before = [], None
    for num, now in sorted(last_of.items()):
        if now != (before or ("dedicated" if now == "serverless" else "serverless")):
            kept.append((num, now))
        before = now
    assert kept == [w for w in want if w[0] <= 1499]
    for one in got:
        assert one.is_step == (one.cheaper == "serverless")
        assert float(function.usd(Fraction(one.num_requests))) == pytest.approx(one.usd, rel=1e-9)


def test_the_line_is_the_bill():
    for num in (0, 999_999, 1_000_000, 1_000_001, 3_000_000, 40_000_000):
        for memory_mb in (128, 512, 10240):
            assert float(FunctionCost(0.25, memory_mb).usd(num)) == pytest.approx(float(serverless_cost(num, 0.25, memory_mb).exact_total))
    ready = FunctionCost(0.25, 512, provisioned=3)
    assert float(ready.usd(10**6)) == pytest.approx(float(serverless_cost(10**6, 0.25, 512, provisioned=3).exact_total))
    cold = FunctionCost(0.25, 512, 0.01, 2.0, free_tier=False)
    bill = serverless_cost(10**6, 0.25, 512, num_cold=10**4, cold_start_s=2.0, free_tier=False)
    assert float(cold.usd(10**6)) == pytest.approx(float(bill.exact_total))


@pytest.mark.parametrize("duration_s, memory_mb, usd_per_hour", [(1.0, 512, 0.085), (0.001, 128, 0.0001), (10, 10240, 1.0)])
def test_the_closed_form(duration_s, memory_mb, usd_per_hour):
    at = crossover(duration_s, memory_mb, InstancePrice("own", usd_per_hour))
    assert float(FunctionCost(duration_s, memory_mb).usd(at)) == pytest.approx(730 * usd_per_hour)
    assert crossover(duration_s, memory_mb, InstancePrice("own", usd_per_hour), free_tier=False) < at


def test_never_and_always():
    # an instance that answers next to nothing never pays: its requests cost more than the function's
    assert crossings(FunctionCost(0.1, 128), FleetCost("c5.large", Capacity(0.01))) == []
    # a big one crosses once, and stays cheaper
    found = crossings(FunctionCost(0.1, 1024), FleetCost("t3.micro", Capacity(1000)))
    assert [one.cheaper for one in found] == ["dedicated"] and found[0].num_requests > 4_000_000
    # environments kept ready cost more than the instance from the first request on
    assert crossings(FunctionCost(0.1, 1024, provisioned=10), FleetCost("t3.micro", Capacity(1000))) == []
    assert cheaper(FunctionCost(0.1, 1024, provisioned=10), FleetCost("t3.micro", Capacity(1000)), 0) == "dedicated"
    assert cheaper(FunctionCost(0.1, 1024), FleetCost("t3.micro", Capacity(1000)), 0) == "serverless"


def test_a_staircase_of_many_small_steps_is_quick():
    """Steps of one request; the free tier alone is a million of them."""
    found = crossings(FunctionCost(0.1, 128), FleetCost(InstancePrice("own", "0.0000000001"), capacity_of(1)), most=3)
    assert [one.cheaper for one in found] == ["dedicated"] and found[0].num_requests > 1_000_000
    function = FunctionCost(1.0, 1024)
    same = InstancePrice("own", float(function.usd_a_request) * 1000 / 730)
    assert len(crossings(function, FleetCost(same, capacity_of(1000)), most=50)) <= 50  # the slopes are equal: it ends


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: FunctionCost(0, 512), ("duration_s", "0")),
        (lambda: FunctionCost(1, 12), ("128", "12")),
        (lambda: FunctionCost(1, cold_fraction=1.5), ("cold_fraction", "1.5")),
        (lambda: FunctionCost(1, provisioned=-1), ("provisioned", "-1")),
        (lambda: FleetCost("c5.large", Capacity(1e-9)), ("less than one request", "capacity")),
        (lambda: FleetCost("no such", Capacity(1)), ("no such",)),
        (lambda: cheaper(FunctionCost(1), FleetCost("c5.large", Capacity(1)), float("nan")), ("num_requests", "nan")),
        (lambda: cheaper(FunctionCost(1), FleetCost("c5.large", Capacity(1)), -5), ("num_requests", "-5")),
    ],
)
def test_wrong_numbers(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_prices_have_their_source():
    assert "aws.amazon.com" in LAMBDA.source and LAMBDA.date
