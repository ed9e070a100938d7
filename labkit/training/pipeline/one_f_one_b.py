"""1F1B: backwards begin as early as they can, so that few activations are held."""

from __future__ import annotations

from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import sizes
from labkit.training.pipeline.plan import Plan


def one_f_one_b(num_stages: int, num_microbatches: int, *, split_backward: bool = False) -> Plan:
    """The plan of 1F1B: a few forwards to fill the pipeline, then one forward and one backward in turn.

    Stage i begins with ``min(num_microbatches, num_stages - 1 - i)`` forwards: as many as it takes until the first
    gradient can be back. It takes the time of GPipe with the activations of at most ``num_stages`` micro-batches.

    Parameters
    ----------
    num_stages : int
        One a rank.
    num_microbatches : int
    split_backward : bool
        B and W as actions of their own, W right after its B, instead of BW.

    Notes
    -----
    With equal stages and m micro-batches on p ranks, the idle time of each rank is (p - 1)/m of its work.
    Stage i holds at most ``min(m, p - i)`` activations.

    References
    ----------
    .. [1] D. Narayanan et al., "PipeDream: generalized pipeline parallelism for DNN training", SOSP 2019, section 3.2.
    .. [2] D. Narayanan et al., "Efficient large-scale language model training on GPU clusters using Megatron-LM",
       SC 2021, section 2.2: with a flush, PipeDream-Flush.

    Examples
    --------
    >>> print(one_f_one_b(2, 3))
    1f1b: ranks 2, stages 2, micro-batches 3
    0: 0F0 0F1 0BW0 0F2 0BW1 0BW2
    1: 1F0 1BW0 1F1 1BW1 1F2 1BW2
    """
    p, m = sizes(num_stages, num_microbatches)
    kinds = ("B", "W") if split_backward else ("BW",)
    actions = []
    for stage in range(p):
        num_warm_up = min(m, p - 1 - stage)
        order = [Action(stage, "F", j) for j in range(num_warm_up)]
        for j in range(m):
            if num_warm_up + j < m:
                order.append(Action(stage, "F", num_warm_up + j))
            order += (Action(stage, kind, j) for kind in kinds)
        actions.append(tuple(order))
    return Plan("1f1b", p, p, m, tuple(actions))
