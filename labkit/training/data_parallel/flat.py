"""All gradients in one piece of memory, and one all-reduce."""

from __future__ import annotations

from labkit.training.data_parallel.bucketed import Bucketed


class Flat(Bucketed):
    """One bucket for everything (one for each type and device): the fewest messages, and nothing can overlap.

    Notes
    -----
    One call; 2 n (p - 1) / p bytes a rank, for n bytes of gradients, with a ring.
    """

    name = "flat"

    def __init__(self, **settings):
        super().__init__(bucket_bytes=float("inf"), **settings)
