"""The cheapest deployment under a limit of tail latency: every reason is reached, and true."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.cost.choice import TailLimit, choose
from labkit.serving.cost.dedicated import Autoscaling, Fleet
from labkit.serving.cost.serverless import Function
from labkit.serving.cost.times import Times

TIMES = Times(0.5).arrivals(20_000, seed=1)  # two a second
LIMIT = TailLimit(99, 0.25)


def only(deployment, times=TIMES, limit=LIMIT):
    choice = choose({"it": deployment}, times, limit)
    return choice, choice.offers[0]


@pytest.mark.parametrize(
    "deployment, words",
    [
        (Function(0.1, 1.0, keep_alive_s=0.5), ("cold environment", "provisioned", "1 s")),
        (Function(0.3, 1.0), ("even a warm request", "memory")),
        (Function(Times(0.1), 0.0, concurrency=1), ("refused", "1 of 1 environments", "concurrency")),
        (Fleet("c5.large", 0.3), ("alone takes 300 ms", "faster")),
        (Fleet("c5.large", 0.2, num_instances=1, batch_setup_s=0.04), ("wait at the busiest", "more instances than 1")),
        (Fleet("c5.large", Times(0.2), num_instances=1, max_queue=1), ("refused", "queue of 1", "more than 1")),
        (Fleet("c5.large", 0.01, 0.2, num_instances=3, max_wait_s=1.0, max_batch=2), ("larger batches than 2",)),
    ],
)
def test_why_not(deployment, words):
    choice, offer = only(deployment)
    assert not offer.meets and choice.best is None and "None of them meets" in str(choice)
    assert all(word in offer.reason for word in words), offer.reason


def test_too_few_instances_are_counted():
    _, offer = only(Fleet("c5.large", 0.2, num_instances=2, max_queue=None), Times(0.05).arrivals(20_000, seed=2))
    assert "2 instances can answer 10" in offer.reason and "at least 5" in offer.reason  # 20 a second, 5 each


def test_a_fleet_that_starts_too_slowly():
    times = np.concatenate([np.arange(0, 600, 0.5), np.arange(600, 1800, 0.02)])
    fleet = Fleet("c5.large", 0.05, max_queue=None, scaling=Autoscaling(1, 20, start_up_s=90))
    _, offer = only(fleet, times)
    assert not offer.meets and "start for 90 s" in offer.reason and "60%" in offer.reason
    refusing = Fleet("c5.large", 0.05, max_queue=8, scaling=Autoscaling(1, 20, start_up_s=90))
    _, offer = only(refusing, times)
    assert math.isinf(offer.percentile_s) and "are refused" in offer.reason and "never" in str(choose({"it": refusing}, times, LIMIT))


def test_the_cheapest_that_meets_the_limit():
    offers = {
        "cold": Function(0.1, 1.0, 512, keep_alive_s=0.5),
        "ready": Function(0.1, 1.0, 512, keep_alive_s=0.5, provisioned=4),
        "small": Fleet("t3.micro", 0.2, batch_setup_s=0.04),
        "server": Fleet("c5.large", 0.05),
        "two": Fleet("c5.large", 0.05, num_instances=2),
    }
    choice = choose(offers, TIMES, LIMIT)
    assert [offer.usd for offer in choice.offers] == sorted(offer.usd for offer in choice.offers)
    meeting = {offer.name for offer in choice.offers if offer.meets}
    assert meeting == {"ready", "server", "two"}
    assert choice.best.usd == min(offer.usd for offer in choice.offers if offer.meets)
    # the same numbers by hand: 730 h of 3600 s at 2 a second
    by_name = {offer.name: offer for offer in choice.offers}
    assert by_name["server"].usd == pytest.approx(62.05, rel=1e-6) and by_name["two"].usd == pytest.approx(124.1, rel=1e-6)
    ready = by_name["ready"]
    num = ready.run.requests_a_month
    kept = 4 * 0.5 * 730 * 3600 * 0.000004167
    running = num * 0.1 * 0.5 * 0.000009722
    assert ready.usd == pytest.approx(kept + running + num * 0.2e-6, rel=0.01)
    assert choose(offers, TIMES, TailLimit(50, 0.25)).best.usd < choice.best.usd
    for offer in choice.offers:
        assert offer.name in str(choice)
        assert offer.meets == (offer.run.share_within(0.25) >= 0.99)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: TailLimit(100, 1), ("percentile", "100")),
        (lambda: TailLimit(0, 1), ("percentile", "0")),
        (lambda: TailLimit(99, 0), ("limit_s", "0")),
        (lambda: TailLimit(99, float("nan")), ("nan",)),
        (lambda: choose({}, TIMES, LIMIT), ("dictionary",)),
        (lambda: choose([Function(1)], TIMES, LIMIT), ("dictionary",)),
        (lambda: choose({"a": "b"}, TIMES, LIMIT), ("'a'", "Function or a Fleet")),
    ],
)
def test_wrong_values(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
