"""Searched schedules: the best there is on small cases by trying all; the published rows; the limit of memory."""

import random
from itertools import product

import pytest

from labkit.errors import UsageError
from labkit.training.pipeline.memory import memory_over_time
from labkit.training.pipeline.published import NAMES, ROWS, reproduced_rates
from labkit.training.pipeline.rules import check_plan
from labkit.training.pipeline.search import search_zero_bubble
from labkit.training.pipeline.simulate import StageTimes, simulate


def _orders(m, limit, share):
    """All orders of one stage with micro-batches in turn, within the limit."""
    found = []

    def extend(order, f, b, w, held):
        if held > limit + 1e-9:
            return
        if w == m:
            found.append(order)
            return
        if f < m:
            extend((*order, ("F", f)), f + 1, b, w, held + 1)
        if b < f:
            extend((*order, ("B", b)), f, b + 1, w, held - 1 + share)
        if w < b:
            extend((*order, ("W", w)), f, b, w + 1, held - share)

    extend((), 0, 0, 0, 0.0)
    return found


def _cost(orders, lengths, wait):
    """By rounds: the first action of any stage that has what it needs, until none is left."""
    p, done = len(orders), {}
    heads, free, begin = [0] * p, [0.0] * p, [None] * p
    moved = True
    while moved:
        moved = False
        for i, order in enumerate(orders):
            if heads[i] == len(order):
                continue
            kind, j = order[heads[i]]
            time = free[i]
            if kind == "F" and i:
                time = max(time, done.get((i - 1, "F", j), float("inf")) + wait)
            if kind == "B" and i + 1 < p:
                time = max(time, done.get((i + 1, "B", j), float("inf")) + wait)
            if time == float("inf"):
                continue
            begin[i] = time if begin[i] is None else begin[i]
            done[i, kind, j] = free[i] = time + lengths["FBW".index(kind)][i]
            heads[i] += 1
            moved = True
    if any(head < len(order) for head, order in zip(heads, orders, strict=True)):
        return float("inf")
    return max(end - start for end, start in zip(free, begin, strict=True))


def test_the_best_of_all_on_small_cases():
    rng = random.Random(11)
    num_best = 0
    cases = [(2, 2), (2, 3), (2, 2), (2, 3), (3, 2), (3, 2), (2, 3), (3, 2), (2, 3), (2, 3), (3, 2), (2, 2)]
    for p, m in cases:
        lengths = [[float(rng.randint(1, 4)) for _ in range(p)] for _ in range(3)]
        wait, limit, share = rng.choice([0.0, 0.3, 1.0]), rng.choice([1, 2, 3, 6]), rng.choice([0.0, 0.5, 1.0])
        best = min(_cost(orders, lengths, wait) for orders in product(_orders(m, limit, share), repeat=p))
        found = search_zero_bubble(p, m, StageTimes(*lengths, wait), memory_limit=limit, weight_share=share)
        orders = [[(a.kind, a.microbatch) for a in of_rank] for of_rank in found.plan.actions]
        assert found.cost_s == pytest.approx(_cost(orders, lengths, wait))
        assert found.bound_s <= best + 1e-9 <= found.cost_s + 2e-9
        assert found.cost_s <= 1.1 * best
        num_best += found.cost_s <= best + 1e-9
    assert num_best >= len(cases) - 1


def test_published_rows():
    for row in ROWS:
        ours = [round(rate, 4) for rate in reproduced_rates(row)]
        assert ours[:4] == list(row.rates[:4]), row
        assert ours[4] <= row.rates[4], row
    assert [row.rates for row in ROWS] == [
        (0.2431, 0.1055, 0.1585, 0.1083, 0.0433), (0.1985, 0.0818, 0.1242, 0.0837, 0.0039),
        (0.1240, 0.0443, 0.0674, 0.0444, 0.0026), (0.2347, 0.0808, 0.1323, 0.0698, 0.0029),
    ] and len(NAMES) == 5  # fmt: skip


def test_searched_plans_keep_their_limit_and_use_it():
    row = ROWS[0]
    costs = []
    for limit in (1, 2, 4, 8, 10.5, 16):
        for share in (0.3, 1.0):
            found = search_zero_bubble(8, 24, row.times, memory_limit=limit, weight_share=share, effort=20_000)
            run = simulate(check_plan(found.plan), row.times)
            assert run.cost_s == pytest.approx(found.cost_s)
            peaks = [memory.peak for memory in memory_over_time(run, weight_share=share)]
            assert max(peaks) <= limit + 1e-6
            assert found.cost_s >= found.bound_s - 1e-12
            costs.append(found.cost_s)
    assert costs[0] > costs[4] > costs[-2]  # more memory, a shorter step


def test_stages_of_unequal_times():
    rng = random.Random(3)
    for p, m in ((1, 5), (4, 2), (5, 11)):
        rows = [tuple(rng.random() + 0.2 for _ in range(p)) for _ in range(3)]
        times = StageTimes(*rows, 0.05)
        found = search_zero_bubble(p, m, times)
        assert simulate(found.plan, times).cost_s == pytest.approx(found.cost_s)
        assert found.cost_s <= 1.25 * found.bound_s


def test_the_same_arguments_give_the_same_plan():
    times = StageTimes((1.0, 1.2, 0.9), 1.1, 0.5, 0.1)
    assert search_zero_bubble(3, 7, times, memory_limit=4) == search_zero_bubble(3, 7, times, memory_limit=4)


@pytest.mark.parametrize("limit", [0, 0.5, -3, float("nan"), float("inf"), "16", True])
def test_limits_that_are_refused(limit):
    with pytest.raises(UsageError, match="memory_limit"):
        search_zero_bubble(4, 8, StageTimes(1.0, 1.0, 1.0), memory_limit=limit)
