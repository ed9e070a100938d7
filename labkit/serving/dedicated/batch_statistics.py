"""What a batcher has done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class BatcherStatistics:
    """What a batcher has done.

    Attributes
    ----------
    num_requests, num_rows, num_batches, num_refused, num_failed : int
        ``num_refused`` requests met a full queue, ``num_failed`` batches a predict that raised. A request larger than
        a batch counts once for each of its parts.
    batch_sizes : Counter
        How many batches had so many rows.
    wait_s, max_wait_s, predict_s : float
        Waiting of all requests before their batch started, the longest of these, and computing of all batches.
    """

    num_requests: int = 0
    num_rows: int = 0
    num_batches: int = 0
    num_refused: int = 0
    num_failed: int = 0
    batch_sizes: Counter = field(default_factory=Counter)
    wait_s: float = 0.0
    max_wait_s: float = 0.0
    predict_s: float = 0.0

    @property
    def mean_batch(self) -> float:
        """Rows of a batch, on average."""
        return self.num_rows / self.num_batches if self.num_batches else 0.0
