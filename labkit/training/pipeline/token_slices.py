"""TeraPipe: a sequence cut into slices of tokens, which follow each other through the pipeline.

In a causal transformer a token needs the tokens before it and none after, so a stage can begin with the first tokens
of a sequence while the stage before works on the next ones. A slice's time grows with the tokens before it, as its
attention reads them all: slices of equal time have unequal lengths, long ones first. Backward runs the other way: the
gradient of a slice's keys and values comes from the slices after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import sizes, whole_number
from labkit.training.pipeline.plan import Plan

TimeOf = Callable[[int, int], float]


def token_slices(num_stages: int, num_microbatches: int, num_slices: int) -> Plan:
    """The plan of TeraPipe: the forwards of all slices of all micro-batches, then the backwards in reverse.

    Parameters
    ----------
    num_stages : int
        One a rank.
    num_microbatches : int
    num_slices : int
        Of each micro-batch.

    References
    ----------
    .. [1] Z. Li et al., "TeraPipe: token-level pipeline parallelism for training large-scale language models",
       ICML 2021 (arXiv 2102.07988).

    Examples
    --------
    >>> print(token_slices(2, 1, 2))
    terapipe: ranks 2, stages 2, micro-batches 1, slices 2
    0: 0F0.0 0F0.1 0BW0.1 0BW0.0
    1: 1F0.0 1F0.1 1BW0.1 1BW0.0
    """
    n = whole_number("num_slices", num_slices, 1)
    p, m = sizes(num_stages, num_microbatches)
    sizes(p, m * n)
    order = [(j, part if n > 1 else None) for j in range(m) for part in range(n)]
    actions = tuple(
        (
            *(Action(stage, "F", j, part) for j, part in order),
            *(Action(stage, "BW", j, part) for j, part in reversed(order)),
        )
        for stage in range(p)
    )
    return Plan("terapipe", p, p, m, actions, n)


@dataclass(frozen=True)
class TokenSlices:
    """A sequence cut into slices.

    Attributes
    ----------
    lengths : tuple of int
        Tokens of each slice, in order.
    slice_s : tuple of float
        The time of each on one stage.
    total_s : float
        ``m sum(slice_s) + (K - 1) max(slice_s)``: of all micro-batches on all stages.
    """

    lengths: tuple[int, ...]
    slice_s: tuple[float, ...]
    total_s: float


def slices_time(slice_s: Sequence[float], num_stages: int, num_microbatches: int = 1) -> float:
    """``m sum(t) + (K - 1) max(t)``: the time of slices that follow each other through K equal stages, in s.

    Examples
    --------
    >>> slices_time([1.0, 1.0, 2.0], 4)
    10.0
    """
    return num_microbatches * float(sum(slice_s)) + (num_stages - 1) * float(max(slice_s))


def best_slices(
    num_tokens: int, time_of: TimeOf, num_stages: int, *, granularity: int = 1, num_microbatches: int = 1
) -> TokenSlices:
    """The slices with the least time, by dynamic programming.

    For a given longest slice, the least sum of times follows position by position: the best cut of the first i tokens
    ends in some slice, and what is before that slice is cut best as well. The longest slice is then made shorter and
    shorter. Where a limit's best cut has a longest slice below the limit, the limits in between need no look: they
    would give a sum at least as large and a longer slice.

    Parameters
    ----------
    num_tokens : int
        Of a sequence.
    time_of : function (length, context) -> s
        How long one stage takes with a slice of ``length`` tokens after ``context`` others: positive.
    num_stages : int
        K.
    granularity : int
        Slices begin at multiples of it, which must divide ``num_tokens``; the paper takes 8.
    num_microbatches : int
        m, sliced equally: the sum counts m times.

    Raises
    ------
    UsageError
        A granularity that does not divide the tokens, more than 2048 places to cut, or a time that is not positive.

    Notes
    -----
    With n places to cut: O(n^2) times, and O(n^2) a limit; the number of limits is n^2/2 at most and small in practice.

    References
    ----------
    .. [1] Z. Li et al., "TeraPipe: token-level pipeline parallelism for training large-scale language models",
       ICML 2021 (arXiv 2102.07988), section 3.3. There the limits are tried at a distance epsilon; here all are.

    Examples
    --------
    >>> best_slices(8, lambda length, context: 1.0 + length, 4)     # a slice costs 1 however short it is
    TokenSlices(lengths=(2, 2, 2, 2), slice_s=(3.0, 3.0, 3.0, 3.0), total_s=21.0)
    """
    num_tokens = whole_number("num_tokens", num_tokens, 1)
    p, m = sizes(num_stages, num_microbatches)
    granularity = whole_number("granularity", granularity, 1)
    n, rest = divmod(num_tokens, granularity)
    if rest:
        raise UsageError(
            f"granularity divides the number of tokens, but {num_tokens} = {n} x {granularity} + {rest}: take another, "
            "such as 1."
        )
    if n > 2048:
        raise UsageError(
            f"{num_tokens} tokens with granularity {granularity} have {n} places to cut, and 2048 are the most: take a "
            f"granularity of at least {-(-num_tokens // 2048)} that divides them."
        )
    times = _time_table(n, time_of, granularity)
    bottleneck = _least_longest(times)
    best: TokenSlices | None = None
    limit = np.inf
    while (cuts := _least_sum(times, limit)) is not None:
        found = [float(times[a, b]) for a, b in zip(cuts, cuts[1:], strict=False)]
        total = slices_time(found, p, m)
        if best is None or total < best.total_s:
            lengths = tuple((b - a) * granularity for a, b in zip(cuts, cuts[1:], strict=False))
            best = TokenSlices(lengths, tuple(found), total)
        if m * sum(found) + (p - 1) * bottleneck >= best.total_s:
            break  # lower limits have a larger sum, and no cut a shorter longest slice than this
        limit = max(found)
    return best


def _time_table(n: int, time_of: TimeOf, granularity: int) -> np.ndarray:
    """``table[a, b]`` is the time of the slice from place a to place b > a; infinite elsewhere."""
    table = np.full((n + 1, n + 1), np.inf)
    for a in range(n):
        for b in range(a + 1, n + 1):
            length, context = (b - a) * granularity, a * granularity
            value = float(time_of(length, context))
            if not 0 < value < np.inf:
                raise UsageError(
                    f"time_of gives a time in s, positive and finite, but time_of({length}, {context}) is {value!r}: "
                    "correct it."
                )
            table[a, b] = value
    return table


def _least_longest(times: np.ndarray) -> float:
    """The longest slice of the cut whose longest slice is shortest."""
    longest = np.zeros(len(times))
    for b in range(1, len(times)):
        longest[b] = np.maximum(longest[:b], times[:b, b]).min()
    return float(longest[-1])


def _least_sum(times: np.ndarray, limit: float) -> list[int] | None:
    """The places of the cut with the least sum whose slices all take less than ``limit``; None if there is none."""
    n = len(times) - 1
    allowed = np.where(times < limit, times, np.inf)
    least, before = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.int64)
    least[0] = 0.0
    for b in range(1, n + 1):
        sums = least[:b] + allowed[:b, b]
        before[b] = sums.argmin()
        least[b] = sums[before[b]]
    if not np.isfinite(least[n]):
        return None
    cuts = [n]
    while cuts[-1]:
        cuts.append(int(before[cuts[-1]]))
    return cuts[::-1]
