"""What a server counts: one line of numbers for each worker, in memory that all of them and the owner share.

Each worker writes its own line and nobody else's, so nothing needs a lock, and a worker that is started again goes on
where the one before it ended. Any worker can answer /metrics for all.
"""

from __future__ import annotations

import bisect
import mmap
import os
import tempfile

import numpy as np

STATUSES = (200, 400, 404, 405, 408, 413, 422, 429, 500, 503, 504)
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
HISTOGRAMS = {
    "request_seconds": "From the first byte read to the answer, of requests that got classes.",
    "wait_seconds": "Waiting of a request before its batch started.",
    "predict_seconds": "Computing of a batch.",
}
COUNTERS = {
    "rows": "Rows computed.", "batches": "Batches computed.", "failed_batches": "Batches whose predict raised.",
    "starts": "Starts of workers.",
}  # fmt: skip
GAUGES = {"queue_rows": "Rows that wait.", "ready": "Workers that answer."}


class Counters:
    """The numbers of all workers.

    Parameters
    ----------
    num_workers, max_batch : int
    descriptor : int, optional
        Of the file that another process made; None makes one.
    """

    def __init__(self, num_workers: int, max_batch: int, descriptor: int | None = None):
        self.max_batch = max_batch
        self._place = {}
        for name in (*COUNTERS, *GAUGES, *(f"status_{s}" for s in STATUSES), *(f"{h}_sum" for h in HISTOGRAMS)):
            self._place[name] = len(self._place)
        start = len(self._place)
        self._buckets = {}
        for name in HISTOGRAMS:
            self._buckets[name] = slice(start, start + len(BUCKETS_S) + 1)
            start += len(BUCKETS_S) + 1
        self._sizes = slice(start, start + max_batch + 1)  # batches of so many rows
        shape = (num_workers, start + max_batch + 1)
        num_bytes = 8 * shape[0] * shape[1]
        if descriptor is None:
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
            os.ftruncate(self.descriptor, num_bytes)
        else:
            self.descriptor = descriptor
        self._memory = mmap.mmap(self.descriptor, num_bytes)
        self.values = np.frombuffer(self._memory, np.float64).reshape(shape)

    def close(self) -> None:
        """Give the file back; the numbers stay readable here."""
        self.values = self.values.copy()
        self._memory.close()
        os.close(self.descriptor)

    def add(self, worker: int, name: str, amount: float = 1) -> None:
        """Count."""
        self.values[worker, self._place[name]] += amount

    def set(self, worker: int, name: str, value: float) -> None:
        """Set a gauge."""
        self.values[worker, self._place[name]] = value

    def status(self, worker: int, status: int) -> None:
        """Count an answer."""
        if status in STATUSES:
            self.add(worker, f"status_{status}")

    def observe(self, worker: int, name: str, seconds: float) -> None:
        """Count a time in a histogram."""
        bucket = bisect.bisect_left(BUCKETS_S, seconds)
        self.values[worker, self._buckets[name].start + bucket] += 1
        self.add(worker, f"{name}_sum", seconds)

    def batch(self, worker: int, num_rows: int, waits_s, predict_s: float, ok: bool) -> None:
        """Count a batch."""
        self.add(worker, "batches")
        self.add(worker, "rows", num_rows)
        self.add(worker, "failed_batches", not ok)
        self.values[worker, self._sizes.start + num_rows] += 1
        self.observe(worker, "predict_seconds", predict_s)
        for seconds in waits_s:
            self.observe(worker, "wait_seconds", seconds)

    def total(self, name: str) -> float:
        """Of all workers."""
        return float(self.values[:, self._place[name]].sum())

    def summary(self) -> dict:
        """All of it for a program.

        Returns
        -------
        dict
            ``rows``, ``batches``, ...; ``answers``: {status: number}; ``batch_sizes``: {rows: number of batches}.
        """
        sizes = self.values[:, self._sizes].sum(axis=0)
        return {
            **{name: int(self.total(name)) for name in (*COUNTERS, *GAUGES)},
            **{f"{name}_sum": self.total(f"{name}_sum") for name in HISTOGRAMS},
            "answers": {s: int(n) for s in STATUSES if (n := self.total(f"status_{s}"))},
            "batch_sizes": {size: int(n) for size, n in enumerate(sizes) if n},
        }

    def text(self) -> str:
        """In the text format of Prometheus."""
        lines = []

        def start(name: str, kind: str, what: str) -> None:
            lines.extend((f"# HELP labkit_{name} {what}", f"# TYPE labkit_{name} {kind}"))

        start("requests_total", "counter", "Answers by status.")
        for status in STATUSES:
            lines.append(f'labkit_requests_total{{status="{status}"}} {self.total(f"status_{status}"):.0f}')
        for name, what in COUNTERS.items():
            start(f"{name}_total", "counter", what)
            lines.append(f"labkit_{name}_total {self.total(name):.0f}")
        for name, what in GAUGES.items():
            start(name, "gauge", what)
            lines.append(f"labkit_{name} {self.total(name):.0f}")
        for name, what in HISTOGRAMS.items():
            start(name, "histogram", what)
            self._histogram(lines, name, BUCKETS_S, self.values[:, self._buckets[name]].sum(axis=0), self.total(f"{name}_sum"))
        start("batch_rows", "histogram", "Rows of a batch.")
        sizes = self.values[:, self._sizes].sum(axis=0)
        total = float(sizes @ np.arange(len(sizes)))
        bounds = tuple(2**k for k in range(self.max_batch.bit_length()))
        edges = (-1, *bounds, len(sizes) - 1)
        counts = [sizes[low + 1 : high + 1].sum() for low, high in zip(edges[:-1], edges[1:], strict=True)]
        self._histogram(lines, "batch_rows", bounds, counts, total)
        return "\n".join(lines) + "\n"

    @staticmethod
    def _histogram(lines: list[str], name: str, bounds, counts, total: float) -> None:
        below = 0
        for bound, number in zip((*bounds, "+Inf"), counts, strict=True):
            below += int(number)
            lines.append(f'labkit_{name}_bucket{{le="{bound}"}} {below}')
        lines.extend((f"labkit_{name}_sum {total:.9g}", f"labkit_{name}_count {below}"))
