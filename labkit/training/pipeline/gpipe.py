"""GPipe: all forwards, then all backwards."""

from __future__ import annotations

from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import sizes
from labkit.training.pipeline.plan import Plan


def gpipe(num_stages: int, num_microbatches: int, *, split_backward: bool = False) -> Plan:
    """The plan of GPipe: each rank runs the forwards of all micro-batches, then the backwards in the opposite order.

    It is the simplest, and every rank holds the activations of all micro-batches at once.

    Parameters
    ----------
    num_stages : int
        One a rank.
    num_microbatches : int
    split_backward : bool
        B and W as actions of their own, W right after its B, instead of BW.

    Notes
    -----
    With equal stages and M micro-batches on K ranks, each rank idles (K - 1)/(M + K - 1) of the step.

    References
    ----------
    .. [1] Y. Huang et al., "GPipe: efficient training of giant neural networks using pipeline parallelism",
       NeurIPS 2019, section 2.3.

    Examples
    --------
    >>> print(gpipe(2, 3))
    gpipe: ranks 2, stages 2, micro-batches 3
    0: 0F0 0F1 0F2 0BW2 0BW1 0BW0
    1: 1F0 1F1 1F2 1BW2 1BW1 1BW0
    """
    p, m = sizes(num_stages, num_microbatches)
    kinds = ("B", "W") if split_backward else ("BW",)
    actions = tuple(
        (
            *(Action(stage, "F", j) for j in range(m)),
            *(Action(stage, kind, j) for j in reversed(range(m)) for kind in kinds),
        )
        for stage in range(p)
    )
    return Plan("gpipe", p, p, m, actions)
