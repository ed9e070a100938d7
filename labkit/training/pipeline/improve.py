"""A schedule improved by moving one action at a time."""

from __future__ import annotations

from itertools import product

EPSILON = 1e-9
Order = list[tuple[str, int]]


class Evaluator:
    """The cost of orders of stages, and whether they keep the limit of memory; arguments as for ``greedy.Run``."""

    def __init__(self, forward, backward, weight, communication, num_microbatches, limit, share):
        self.durations = [dict(zip("FBW", three, strict=True)) for three in zip(forward, backward, weight, strict=True)]
        self.communication, self.m, self.limit, self.share = communication, num_microbatches, limit + EPSILON, share

    def fits(self, orders: list[Order]) -> bool:
        return all(map(self.order_fits, orders))

    def order_fits(self, order: Order) -> bool:
        """Whether a stage's order has F before B before W and keeps the limit."""
        seen, held = set(), 0.0
        for kind, j in order:
            if kind != "F" and ({"B": "F", "W": "B"}[kind], j) not in seen:
                return False
            seen.add((kind, j))
            held += {"F": 1.0, "B": self.share - 1, "W": -self.share}[kind]
            if held > self.limit:
                return False
        return True

    def score(self, orders: list[Order]) -> tuple[float, float]:
        """(cost, end of the step) in s; infinite if the stages wait for each other."""
        p, infinite = len(orders), float("inf")
        inputs = [{j: 0.0 for j in range(self.m)}] + [{} for _ in range(p - 1)]
        gradients: list[dict[int, float]] = [{} for _ in range(p)]
        heads, free, first = [0] * p, [0.0] * p, [None] * p
        ready = list(range(p))
        while ready:
            stage = ready.pop()
            order, durations, now = orders[stage], self.durations[stage], free[stage]
            for kind, j in order[heads[stage] :]:
                if kind != "W":
                    there = (inputs if kind == "F" else gradients)[stage].get(j)
                    if there is None:
                        break
                    now = max(now, there)
                if first[stage] is None:
                    first[stage] = now
                now += durations[kind]
                heads[stage] += 1
                if kind == "F" and stage + 1 < p:
                    inputs[stage + 1][j] = now + self.communication
                    ready.append(stage + 1)
                elif kind == "F":
                    gradients[stage][j] = now
                elif kind == "B" and stage:
                    gradients[stage - 1][j] = now + self.communication
                    ready.append(stage - 1)
            free[stage] = now
        if any(head < len(order) for head, order in zip(heads, orders, strict=True)):
            return infinite, infinite
        return max(end - begin for end, begin in zip(free, first, strict=True)), max(free)


def improve(evaluator: Evaluator, orders: list[Order], best: tuple[float, float], enough: float, effort: int):
    """Move single actions to other places of their stage as long as that lowers the cost; deterministic.

    Tries moves by one place first, then by more, until none helps or ``effort`` actions have been simulated.

    Returns
    -------
    tuple
        The score and the orders.
    """
    orders, size = [list(order) for order in orders], sum(map(len, orders))
    left = effort // size
    distance = 1
    while distance < max(map(len, orders)) and left > 0 and best[0] > enough:
        found = False
        for stage, place in product(range(len(orders)), range(len(orders[0]))):
            for other in (place - distance, place + distance):
                if not 0 <= other < len(orders[stage]) or left <= 0:
                    continue
                before = orders[stage]
                moved = before[:place] + before[place + 1 :]
                moved.insert(other, before[place])
                if not evaluator.order_fits(moved):
                    continue
                orders[stage] = moved
                left -= 1
                score = evaluator.score(orders)
                if score < (best[0] - EPSILON * best[0], best[1]) or (score[0] <= best[0] and score[1] < best[1]):
                    best, found = score, True
                else:
                    orders[stage] = before
        distance = 1 if found else distance + 1
    return best, orders
