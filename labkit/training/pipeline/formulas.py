"""The bubbles that textbooks give, for equal stages without communication; ``simulate`` has them for any times."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.training.pipeline.checks import sizes, whole_number


def gpipe_idle_share(num_stages: int, num_microbatches: int) -> float:
    """(K - 1)/(M + K - 1): the share of the step in which a rank idles; the same for 1F1B.

    References
    ----------
    .. [1] Y. Huang et al., "GPipe", NeurIPS 2019, section 2.3.

    Examples
    --------
    >>> gpipe_idle_share(4, 9)
    0.25
    """
    p, m = sizes(num_stages, num_microbatches)
    return (p - 1) / (m + p - 1)


def bubble_of_ideal(num_ranks: int, num_microbatches: int, num_chunks: int = 1) -> float:
    """(1/v)(p - 1)/m: idle time divided by work, of GPipe and 1F1B (v = 1) and interleaved 1F1B with v chunks a rank.

    References
    ----------
    .. [1] D. Narayanan et al., "Efficient large-scale language model training on GPU clusters using Megatron-LM",
       SC 2021, section 2.2.

    Examples
    --------
    >>> bubble_of_ideal(8, 64), bubble_of_ideal(8, 64, 4)
    (0.109375, 0.02734375)
    """
    p, m = sizes(num_ranks, num_microbatches)
    return (p - 1) / (whole_number("num_chunks", num_chunks, 1) * m)


def zero_bubble_idle_s(name: str, num_stages: int, forward_s: float, backward_s: float, weight_s: float) -> float:
    """Idle time of a rank in s: (p - 1)(F + B + W) for ``1f1b``, (p - 1)(F + B - W) for ``zb-h1``, (p - 1)(F + B - 2 W)
    for ``zb-h2``; for W no longer than F and B, and enough micro-batches (p, and 2 p - 1 for ``zb-h2``).

    Raises
    ------
    UsageError
        Another schedule.

    References
    ----------
    .. [1] P. Qi et al., "Zero bubble pipeline parallelism", ICLR 2024 (arXiv 2401.10241), section 2.

    Examples
    --------
    >>> [zero_bubble_idle_s(name, 4, 2.0, 2.0, 1.0) for name in ("1f1b", "zb-h1", "zb-h2")]
    [15.0, 9.0, 6.0]
    """
    weights = {"1f1b": 1, "zb-h1": -1, "zb-h2": -2}
    if name not in weights:
        raise UsageError(f"there is a formula for {', '.join(weights)}, not for {name!r}: simulate its plan instead.")
    p, _ = sizes(num_stages, 1)
    return (p - 1) * (forward_s + backward_s + weights[name] * weight_s)
