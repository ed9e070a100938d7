"""Interleaved 1F1B: several small stages a rank, so that the pipeline fills faster."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import sizes, whole_number
from labkit.training.pipeline.one_f_one_b import one_f_one_b
from labkit.training.pipeline.plan import Plan


def interleaved(num_ranks: int, num_microbatches: int, num_chunks: int = 2, *, split_backward: bool = False) -> Plan:
    """The plan of interleaved 1F1B: rank r has the stages r, r + p, r + 2 p, ... and takes p micro-batches a turn.

    A rank runs the first p micro-batches on its first chunk, then the same ones on its next chunk, and so on, then the
    next p. The bubble shrinks with the number of chunks, and communication grows with it.

    Parameters
    ----------
    num_ranks : int
        p.
    num_microbatches : int
        A multiple of p.
    num_chunks : int
        v, the stages of each rank; 1 gives 1F1B.
    split_backward : bool
        B and W as actions of their own, W right after its B, instead of BW.

    Raises
    ------
    UsageError
        Micro-batches that are no multiple of the ranks.

    Notes
    -----
    With equal chunks and m micro-batches, the idle time of each rank is (p - 1)/(v m) of its work. Rank r begins with
    ``2 (p - 1 - r) + (v - 1) p`` forwards of a chunk, all of them if there are no more.

    References
    ----------
    .. [1] D. Narayanan et al., "Efficient large-scale language model training on GPU clusters using Megatron-LM",
       SC 2021, section 2.2; the order is that of ``megatron/core/pipeline_parallel/schedules.py``.

    Examples
    --------
    >>> print(interleaved(2, 2, 2))
    interleaved: ranks 2, stages 4, micro-batches 2
    0: 0F0 0F1 2F0 2F1 2BW0 2BW1 0BW0 0BW1
    1: 1F0 1F1 3F0 3BW0 3F1 3BW1 1BW0 1BW1
    """
    v = whole_number("num_chunks", num_chunks, 1)
    p = whole_number("num_ranks", num_ranks, 1)
    m = sizes(p * v, num_microbatches)[1]
    if v == 1:
        return one_f_one_b(p, m, split_backward=split_backward)
    if m % p:
        near = [str(size) for size in (m - m % p, m - m % p + p) if size]
        raise UsageError(
            f"interleaved: a rank takes as many micro-batches a turn as there are ranks, so their number is a multiple "
            f"of {p}, but {m} = {m // p} x {p} + {m % p}: take {' or '.join(near)}, or 1f1b, which takes any number."
        )
    kinds = ("B", "W") if split_backward else ("BW",)
    actions = []
    for rank in range(p):
        forwards = [(chunk, turn + j) for turn in range(0, m, p) for chunk in range(v) for j in range(p)]
        backwards = [(v - 1 - chunk, j) for chunk, j in forwards]
        num_warm_up = min(2 * (p - 1 - rank) + (v - 1) * p, m * v)
        order = [Action(chunk * p + rank, "F", j) for chunk, j in forwards[:num_warm_up]]
        for number, (chunk, j) in enumerate(backwards):
            if num_warm_up + number < m * v:
                ahead, other = forwards[num_warm_up + number]
                order.append(Action(ahead * p + rank, "F", other))
            order += (Action(chunk * p + rank, kind, j) for kind in kinds)
        actions.append(tuple(order))
    return Plan("interleaved", p, p * v, m, tuple(actions))
