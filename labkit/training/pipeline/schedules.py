"""The schedules by name."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.training.pipeline.gpipe import gpipe
from labkit.training.pipeline.interleaved import interleaved
from labkit.training.pipeline.memory import WEIGHT_SHARE
from labkit.training.pipeline.one_f_one_b import one_f_one_b
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.search import search_zero_bubble
from labkit.training.pipeline.simulate import StageTimes
from labkit.training.pipeline.token_slices import token_slices
from labkit.training.pipeline.zero_bubble import zb_h1, zb_h2

SCHEDULES = ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-searched", "terapipe")
EVEN = StageTimes(1.0, 1.0, 1.0)


def make_plan(
    name: str, num_ranks: int, num_microbatches: int, *, num_chunks: int = 2, num_slices: int = 4,
    times: StageTimes = EVEN, memory_limit: float | None = None, weight_share: float = WEIGHT_SHARE,
) -> Plan:  # fmt: skip
    """The plan of a schedule by its name.

    Parameters
    ----------
    name : str
        One of ``SCHEDULES``.
    num_ranks : int
        Also the number of stages, but for ``interleaved``, which has ``num_chunks`` a rank.
    num_microbatches : int
    num_chunks : int
        Of ``interleaved``.
    num_slices : int
        Of ``terapipe``.
    times, memory_limit, weight_share
        Of ``zb-searched``: see :func:`~labkit.training.pipeline.search.search_zero_bubble`.

    Raises
    ------
    UsageError
        No such schedule, or sizes it does not allow.

    Examples
    --------
    >>> make_plan("interleaved", 2, 4).num_stages
    4
    """
    if name == "interleaved":
        return interleaved(num_ranks, num_microbatches, num_chunks)
    if name == "zb-searched":
        found = search_zero_bubble(
            num_ranks, num_microbatches, times, memory_limit=memory_limit, weight_share=weight_share
        )
        return found.plan
    if name == "terapipe":
        return token_slices(num_ranks, num_microbatches, num_slices)
    plain = {"gpipe": gpipe, "1f1b": one_f_one_b, "zb-h1": zb_h1, "zb-h2": zb_h2}
    if name not in plain:
        raise UsageError(f"a schedule is one of {', '.join(SCHEDULES)}, not {name!r}: pass one of them.")
    return plain[name](num_ranks, num_microbatches)
