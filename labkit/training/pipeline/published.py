"""The bubble rates that the Zero Bubble paper gives for its models, and the same from our plans.

P. Qi, X. Wan, G. Huang, M. Lin, "Zero bubble pipeline parallelism", ICLR 2024 (arXiv 2401.10241): times of one stage
as profiled (Table 9, ms), bubble rates of the schedules as computed from them (Table 5), models (Table 3), memory of
activations (Table 1). Bubble rate: (cost - m(F + B + W))/cost, with the cost of the longest stage, from its first start
to its last end.

Two things the paper does not say, found by trying: ``interleaved`` has 3 chunks a rank for the 1.5 B model and 4 for
the 6.2 B model; and its cost is what the simulation gives less p times the communication time, which we cannot
explain.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.training.pipeline.interleaved import interleaved
from labkit.training.pipeline.one_f_one_b import one_f_one_b
from labkit.training.pipeline.search import search_zero_bubble
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.pipeline.zero_bubble import zb_h1, zb_h2

NAMES = ("1f1b", "interleaved", "zb-h1", "zb-h2", "zb-2p")


@dataclass(frozen=True)
class PublishedRow:
    """A model with its times in ms and the bubble rates of the paper.

    Attributes
    ----------
    model : str
    num_stages, num_microbatches : int
    forward_ms, backward_ms, weight_ms, communication_ms : float
        Of one stage with one micro-batch.
    num_chunks : int
        Of the interleaved schedule.
    hidden_size, num_heads, num_tokens : int
        h, a and s: for the memory that W needs.
    rates : tuple of float
        In the order of ``NAMES``; 0 to 1.
    """

    model: str
    num_stages: int
    num_microbatches: int
    forward_ms: float
    backward_ms: float
    weight_ms: float
    communication_ms: float
    num_chunks: int
    hidden_size: int
    num_heads: int
    num_tokens: int
    rates: tuple[float, ...]

    @property
    def times(self) -> StageTimes:
        """In s."""
        milliseconds = (self.forward_ms, self.backward_ms, self.weight_ms, self.communication_ms)
        return StageTimes(*(value / 1e3 for value in milliseconds))

    @property
    def weight_share(self) -> float:
        """The part of the activations that W needs: 32 sbh of sb(34 h + 5 a s) bytes a layer (Table 1)."""
        return 32 * self.hidden_size / (34 * self.hidden_size + 5 * self.num_heads * self.num_tokens)


ROWS = (
    PublishedRow(
        "1.5B", 8, 24, 18.522, 18.086, 9.337, 0.601, 3, 2304, 24, 1024, (0.2431, 0.1055, 0.1585, 0.1083, 0.0433)
    ),
    PublishedRow(
        "1.5B", 8, 32, 18.513, 18.086, 9.331, 0.626, 3, 2304, 24, 1024, (0.1985, 0.0818, 0.1242, 0.0837, 0.0039)
    ),
    PublishedRow(
        "1.5B", 8, 64, 18.546, 18.097, 9.321, 0.762, 3, 2304, 24, 1024, (0.1240, 0.0443, 0.0674, 0.0444, 0.0026)
    ),
    PublishedRow(
        "6.2B", 8, 24, 29.718, 29.444, 19.927, 0.527, 4, 4096, 32, 1024, (0.2347, 0.0808, 0.1323, 0.0698, 0.0029)
    ),
)


def reproduced_rates(row: PublishedRow) -> tuple[float, ...]:
    """The bubble rates of a row from our plans, in the order of ``NAMES``; those of ``zb-2p`` from the search.

    Examples
    --------
    >>> [round(rate, 4) for rate in reproduced_rates(ROWS[0])]
    [0.2431, 0.1055, 0.1585, 0.1083, 0.0433]
    """
    p, m, times = row.num_stages, row.num_microbatches, row.times
    work_s = m * (times.forward_s + times.backward_s + times.weight_s)
    chunk = (value / row.num_chunks for value in (times.forward_s, times.backward_s, times.weight_s))
    by_chunk = simulate(interleaved(p, m, row.num_chunks), StageTimes(*chunk, times.communication_s))
    interleaved_s = by_chunk.cost_s - p * times.communication_s  # the rule that the paper leaves unexplained
    searched = search_zero_bubble(p, m, times, memory_limit=2 * p, weight_share=row.weight_share)
    hand_made = [simulate(plan, times).cost_s for plan in (one_f_one_b(p, m), zb_h1(p, m), zb_h2(p, m))]
    costs_s = (hand_made[0], interleaved_s, *hand_made[1:], searched.cost_s)
    return tuple((cost_s - work_s) / cost_s for cost_s in costs_s)
