"""Zero-bubble schedules by hand: the gradient of the weights waits, and fills what would be a bubble."""

from __future__ import annotations

from collections.abc import Callable

from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import sizes
from labkit.training.pipeline.plan import Plan


def zb_h1(num_stages: int, num_microbatches: int) -> Plan:
    """The plan of ZB-H1: the order of 1F1B with B and W apart; stage i runs its first W after i more B.

    The next stage gets its gradient a W earlier, and W fills the end of the step: the bubble is about a third of that
    of 1F1B, with at most ``num_stages`` activations on every rank, as many as on rank 0 of 1F1B.

    Parameters
    ----------
    num_stages : int
        One a rank.
    num_microbatches : int

    Notes
    -----
    With equal stages, W no longer than F and B, no communication and at least p micro-batches, a step is longer than
    the work of a rank by ``(p - 1)(F + B - W)``; that of 1F1B by ``(p - 1)(F + B + W)``.

    References
    ----------
    .. [1] P. Qi, X. Wan, G. Huang, M. Lin, "Zero bubble pipeline parallelism", ICLR 2024 (arXiv 2401.10241), section 2.

    Examples
    --------
    >>> print(zb_h1(2, 3))
    zb-h1: ranks 2, stages 2, micro-batches 3
    0: 0F0 0F1 0B0 0W0 0F2 0B1 0W1 0B2 0W2
    1: 1F0 1B0 1F1 1B1 1W0 1F2 1B2 1W1 1W2
    """
    p, m = sizes(num_stages, num_microbatches)
    return _delayed("zb-h1", p, m, lambda stage: p - 1 - stage, lambda stage: stage)


def zb_h2(num_stages: int, num_microbatches: int) -> Plan:
    """The plan of ZB-H2: twice the forwards before the first backward, and W later still: no bubble but at the ends.

    Stage i begins with ``2 (num_stages - 1 - i)`` forwards (all, if there are no more) and runs its first W after
    ``2 i`` more B. Where F, B and W take equally long, every rank is busy from its first F to its last W, if there are
    at least ``2 num_stages - 1`` micro-batches. A rank holds up to ``2 num_stages - 1`` activations.

    Parameters
    ----------
    num_stages : int
        One a rank.
    num_microbatches : int

    Notes
    -----
    With equal stages, W no longer than F and B, no communication and at least 2 p - 1 micro-batches, a step is longer
    than the work of a rank by ``(p - 1)(F + B - 2 W)``.

    References
    ----------
    .. [1] P. Qi, X. Wan, G. Huang, M. Lin, "Zero bubble pipeline parallelism", ICLR 2024 (arXiv 2401.10241), section 2.

    Examples
    --------
    >>> print(zb_h2(2, 3))
    zb-h2: ranks 2, stages 2, micro-batches 3
    0: 0F0 0F1 0F2 0B0 0W0 0B1 0W1 0B2 0W2
    1: 1F0 1B0 1F1 1B1 1F2 1B2 1W0 1W1 1W2
    """
    p, m = sizes(num_stages, num_microbatches)
    return _delayed("zb-h2", p, m, lambda stage: 2 * (p - 1 - stage), lambda stage: 2 * stage)


def _delayed(name: str, p: int, m: int, warm_up: Callable[[int], int], delay: Callable[[int], int]) -> Plan:
    """1F1B with ``warm_up(stage)`` forwards first, and W ``delay(stage)`` micro-batches behind B."""
    actions = []
    for stage in range(p):
        num_warm_up, lag = min(m, warm_up(stage)), delay(stage)
        order = [Action(stage, "F", j) for j in range(num_warm_up)]
        for j in range(m):
            if num_warm_up + j < m:
                order.append(Action(stage, "F", num_warm_up + j))
            order.append(Action(stage, "B", j))
            if j >= lag:
                order.append(Action(stage, "W", j - lag))
        order += (Action(stage, "W", j) for j in range(max(m - lag, 0), m))
        actions.append(tuple(order))
    return Plan(name, p, p, m, tuple(actions))
