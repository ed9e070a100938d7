"""A zero-bubble schedule made by running: each stage that is free takes the best action that it can.

The stages run in simulated time. A stage that is free knows what has been sent to it. What it takes then:

1. B if its gradient is there, else F if its input is there and memory allows.
2. If neither: it waits for the next one, and runs a W in the gap if one fits, or nearly fits.
3. F that memory forbids makes W run: it gives memory back.

A ``Policy`` says how the open questions are answered. No answer is best for all times, so ``search.py`` tries many.
The heuristics of the Zero Bubble paper (arXiv 2401.10241, section 3.1 of the ICLR version; section 4 of the first)
have the same questions: another F before the first B or not, W in a gap that is too small for it, F or not before a B
that is on its way.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

NEVER = float("inf")
EPSILON = 1e-9


@dataclass(frozen=True)
class Policy:
    """Answers to the open questions.

    Attributes
    ----------
    fit : float
        W runs in a gap of at least this part of its time: 1 never delays what is known to come, 0 leaves no gap.
    only_behind : bool
        W that does not fit runs only if waiting would make this stage the one with the longest idle time.
    hold : float
        F is not begun if B is known to come within this part of the time of F.
    extra_forward : bool
        The same before the first B: another F is begun although it delays that B.
    in_turn : bool
        F and B in turn where both could run, instead of B first.
    most_pending : tuple of float, or None
        W runs at once when more than ``a + b stage`` of them wait.
    """

    fit: float = 0.5
    only_behind: bool = True
    hold: float = 0.0
    extra_forward: bool = False
    in_turn: bool = False
    most_pending: tuple[float, float] | None = None


class Run:
    """One run of a policy; ``orders`` has the actions of each stage as (kind, micro-batch).

    ``forward, backward, weight`` are times by stage; ``limit`` the activations a stage may hold, ``share`` the part of
    one that stays from B to W.
    """

    def __init__(self, forward, backward, weight, communication, num_microbatches, limit, share, policy: Policy):
        p, m = len(forward), num_microbatches
        self.forward, self.backward, self.weight, self.communication = forward, backward, weight, communication
        self.m, self.limit, self.share, self.policy, self.last = m, limit + EPSILON, share, policy, p - 1
        # when the input of F, and the gradient for B, of each micro-batch is there
        self.inputs = [[0.0 if stage == 0 else NEVER] * (m + 1) for stage in range(p)]
        self.gradients = [[NEVER] * (m + 1) for _ in range(p)]
        for stage in range(p):
            self.inputs[stage][m] = NEVER
        self.num_f, self.num_b, self.num_w = [0] * p, [0] * p, [0] * p
        self.held, self.free, self.idle = [0.0] * p, [0.0] * p, [0.0] * p
        self.first: list[float | None] = [None] * p
        self.orders: list[list[tuple[str, int]]] = [[] for _ in range(p)]
        self.queue = [(0.0, stage) for stage in range(p)]
        while self.queue:
            now, stage = heapq.heappop(self.queue)
            if self.num_w[stage] < m and now >= self.free[stage] - EPSILON:
                self._decide(stage, max(now, self.free[stage]))
        self.cost = max(end - begin for end, begin in zip(self.free, self.first, strict=True))

    def _decide(self, stage: int, now: float) -> None:
        policy, late = self.policy, now + EPSILON
        pending = self.num_b[stage] - self.num_w[stage]
        has_memory = self.held[stage] + 1 <= self.limit
        there_f = self.inputs[stage][self.num_f[stage]]
        there_b = self.gradients[stage][self.num_b[stage]]
        if pending and policy.most_pending and pending > policy.most_pending[0] + policy.most_pending[1] * stage:
            return self._weight(stage, now)
        can_f, can_b = there_f <= late and has_memory, there_b <= late
        turn_f = policy.in_turn and bool(self.orders[stage]) and self._last_was_backward(stage)
        if can_b and not (can_f and turn_f):
            return self._backward(stage, now)
        if can_f and (can_b or not self._holds(stage, now, there_b)):
            return self._forward(stage, now)
        coming = there_b if can_f or not has_memory else min(there_f, there_b)
        gap = coming - now
        if pending:
            blocked = there_f <= late and not has_memory and self.share > 0
            fits = gap >= self.weight[stage] - EPSILON
            behind = not policy.only_behind or self.idle[stage] + gap > max(self.idle) + EPSILON
            if blocked or fits or (gap >= policy.fit * self.weight[stage] and behind):
                return self._weight(stage, now)
        if coming < NEVER:
            heapq.heappush(self.queue, (coming, stage))
        return None

    def _last_was_backward(self, stage: int) -> bool:
        return next((kind == "B" for kind, _ in reversed(self.orders[stage]) if kind != "W"), False)

    def _holds(self, stage: int, now: float, there_b: float) -> bool:
        """Whether F waits, because B is on its way."""
        if self.num_b[stage] == 0:
            return not self.policy.extra_forward and there_b < now + self.forward[stage] - EPSILON
        return there_b < now + self.policy.hold * self.forward[stage] - EPSILON

    def _forward(self, stage: int, now: float) -> None:
        end, j = self._take(stage, now, "F", self.num_f[stage], self.forward[stage]), self.num_f[stage]
        self.num_f[stage] += 1
        self.held[stage] += 1
        if stage < self.last:
            self._send(self.inputs, stage + 1, j, end)
        else:
            self.gradients[stage][j] = end

    def _backward(self, stage: int, now: float) -> None:
        end, j = self._take(stage, now, "B", self.num_b[stage], self.backward[stage]), self.num_b[stage]
        self.num_b[stage] += 1
        self.held[stage] -= 1 - self.share
        if stage:
            self._send(self.gradients, stage - 1, j, end)

    def _weight(self, stage: int, now: float) -> None:
        self._take(stage, now, "W", self.num_w[stage], self.weight[stage])
        self.num_w[stage] += 1
        self.held[stage] -= self.share

    def _send(self, table, stage: int, j: int, end: float) -> None:
        table[stage][j] = end + self.communication
        heapq.heappush(self.queue, (max(end + self.communication, self.free[stage]), stage))

    def _take(self, stage: int, now: float, kind: str, j: int, duration: float) -> float:
        if self.first[stage] is None:
            self.first[stage] = now
        else:
            self.idle[stage] += now - self.free[stage]
        self.orders[stage].append((kind, j))
        self.free[stage] = end = now + duration
        heapq.heappush(self.queue, (end, stage))
        return end
