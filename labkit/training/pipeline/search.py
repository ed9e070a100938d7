"""A zero-bubble schedule searched for given times under a limit of memory.

Many policies are run (``greedy.py``), the best plan is kept, and then improved by moving one action at a time
(``improve.py``). The search stops when it reaches a bound that no plan can beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from numbers import Real

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import sizes
from labkit.training.pipeline.greedy import Policy, Run
from labkit.training.pipeline.improve import Evaluator, improve
from labkit.training.pipeline.memory import WEIGHT_SHARE, weight_share_of
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.simulate import StageTimes
from labkit.training.pipeline.zero_bubble import zb_h1, zb_h2

EFFORT = 200_000  # actions that the policies may place in all, and as many again for the improvement


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Attributes
    ----------
    plan : Plan
    cost_s : float
        The longest time from the first start to the last end of a rank.
    bound_s : float
        No plan has a cost below this, whatever its memory.
    num_tried : int
        Policies that were run.
    """

    plan: Plan
    cost_s: float
    bound_s: float
    num_tried: int


def search_zero_bubble(
    num_stages: int, num_microbatches: int, times: StageTimes, *, memory_limit: float | None = None,
    weight_share: float = WEIGHT_SHARE, effort: int = EFFORT,
) -> SearchResult:  # fmt: skip
    """A plan with little or no bubble for these times, that holds at most ``memory_limit`` activations on a rank.

    Parameters
    ----------
    num_stages : int
        One a rank.
    num_microbatches : int
    times : StageTimes
        By stage; no slices.
    memory_limit : float, optional
        Activations of one stage and micro-batch that a rank may hold, at least 1; ``num_stages`` is what 1F1B holds
        (ZB-1p), twice that the default (ZB-2p).
    weight_share : float
        The part of an activation that stays from B to W, 0 to 1.
    effort : int
        Actions that may be placed while searching; more takes longer and may find better plans.

    Returns
    -------
    SearchResult
        The same for the same arguments. Never worse than ZB-H1 and ZB-H2 where these fit into the limit.

    Raises
    ------
    UsageError
        Sizes, times or a limit out of range.

    References
    ----------
    .. [1] P. Qi, X. Wan, G. Huang, M. Lin, "Zero bubble pipeline parallelism", ICLR 2024 (arXiv 2401.10241): automatic
       pipeline scheduling. The heuristics and their order are this library's own.

    Examples
    --------
    >>> found = search_zero_bubble(4, 12, StageTimes(1.0, 1.0, 1.0))
    >>> found.cost_s == found.bound_s == 12 * 3.0        # no bubble at all
    True
    """
    p, m = sizes(num_stages, num_microbatches)
    limit = _limit(2 * p if memory_limit is None else memory_limit, p)
    share = weight_share_of(weight_share)
    forward, backward, weight = (row[:, 0].tolist() for row in times.table(p, 1))
    evaluator = Evaluator(forward, backward, weight, times.communication_s, m, limit, share)
    bound = lower_bound(forward, backward, weight, times.communication_s, m)
    enough = bound * (1 + 1e-12)
    best, best_orders = (float("inf"), 0.0), None
    for plan in (zb_h1(p, m), zb_h2(p, m)):
        orders = [[(action.kind, action.microbatch) for action in of_rank] for of_rank in plan.actions]
        if evaluator.fits(orders) and (score := evaluator.score(orders)) < best:
            best, best_orders = score, orders
    num_tried = 0
    for policy in policies(max(8, effort // (3 * p * m))):
        if best[0] <= enough:
            break
        num_tried += 1
        run = Run(forward, backward, weight, times.communication_s, m, limit, share, policy)
        score = (run.cost, max(run.free))
        if best_orders is None or score < best:
            best, best_orders = score, run.orders
    if best[0] > enough:
        best, best_orders = improve(evaluator, best_orders, best, enough, effort)
    actions = tuple(
        tuple(Action(stage, kind, j) for kind, j in order) for stage, order in enumerate(best_orders)
    )
    return SearchResult(Plan("zb-searched", p, p, m, actions), best[0], bound, num_tried)


def _limit(value, num_stages: int) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 1 <= value < float("inf"):
        raise UsageError(
            f"memory_limit counts the activations a rank may hold, and one micro-batch needs 1, but it is {value!r}: "
            f"pass 1 or more; 1F1B holds up to {num_stages} with {num_stages} stages, ZB-2p twice that."
        )
    return float(value)


def policies(number: int):
    """At most ``number`` policies, those first that are best most often."""
    pending = (None, (0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (4, 0), (4, 2), (8, 0))
    fits = (
        (0.5, True), (0.0, False), (0.25, True), (0.75, True), (0.5, False), (1.0, False), (0.75, False), (0.0, True),
    )  # fmt: skip
    grid = product(pending, (False, True), (0.0, 0.5, 0.25, 1.0), (False, True), fits)
    for _, (most_pending, in_turn, hold, extra_forward, (fit, only_behind)) in zip(range(number), grid, strict=False):
        yield Policy(fit, only_behind, hold, extra_forward, in_turn, most_pending)


def lower_bound(forward, backward, weight, communication: float, num_microbatches: int) -> float:
    """A cost in s that no plan is below, times given by stage.

    A rank does its own work; and from its first F, the last micro-batch to leave any later stage has waited for all F
    and B there, and must come back.
    """
    p, m, bound = len(forward), num_microbatches, 0.0
    for stage in range(p):
        bound = max(bound, m * (forward[stage] + backward[stage] + weight[stage]))
        there = back = 0.0
        for later in range(stage + 1, p):
            there += forward[later - 1] + communication
            back += backward[later - 1] + communication
            bound = max(bound, there + m * (forward[later] + backward[later]) + back + weight[stage])
    return bound
