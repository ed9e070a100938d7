"""Feeding a training loop: batches are fetched ahead by threads, and what the loop waits for them is on the timeline.

A fast file system keeps the devices busy; a slow one makes them wait at the start of every step. How much is seen as
spans of kind ``"wait"``. Fetching several batches at once hides the time of a fetch, as long as

    num_workers >= seconds of a fetch / seconds of a step,

because w workers bring w batches in the time of one fetch. A queue alone only helps against fetches of unequal
length: it cannot bring more than the store gives.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

from labkit.errors import TrainingError, UsageError
from labkit.trace.events import Span
from labkit.trace.timeline import Timeline


class SlowStore:
    """A store that takes its time: what a network file system, or many small files, do to a loop.

    Parameters
    ----------
    read : callable
        ``read(index)`` gives batch ``index``.
    seconds : float or callable
        Of each fetch; ``seconds(index)`` where they differ.
    num_channels : int, optional
        How many fetches it serves at once; the others queue. By default as many as come.

    Examples
    --------
    >>> store = SlowStore(lambda index: 10 * index, 0.0)
    >>> store(3), store.num_reads
    (30, 1)
    """

    def __init__(
        self, read: Callable[[int], Any], seconds: float | Callable[[int], float], *, num_channels: int | None = None
    ):
        if num_channels is not None and num_channels < 1:
            raise UsageError(f"SlowStore: num_channels is 1 or more, or None, not {num_channels}: pass 1, for example.")
        if not callable(seconds) and not (isinstance(seconds, Real) and 0 <= seconds < math.inf):
            raise UsageError(f"SlowStore: seconds is a number from 0, or a function, not {seconds!r}: pass 0.03, say.")
        self.read = read
        self.seconds = seconds if callable(seconds) else lambda index: seconds
        self._channels = threading.Semaphore(num_channels) if num_channels else None
        self._lock = threading.Lock()
        self.num_reads = 0

    def __call__(self, index: int) -> Any:
        if self._channels is None:
            return self._fetch(index)
        with self._channels:
            return self._fetch(index)

    def _fetch(self, index: int) -> Any:
        with self._lock:
            self.num_reads += 1
        time.sleep(self.seconds(index))
        return self.read(index)


@dataclass(frozen=True, slots=True)
class Feeding:
    """How a loop was fed.

    Attributes
    ----------
    num_batches : int
    wait_s, compute_s : float
        What the loop spent waiting for batches, and between them.
    fetch_s : float
        Of all fetches, added up over the workers.
    most_ahead : int
        Batches that were fetched and not yet taken, at most.
    """

    num_batches: int
    wait_s: float
    compute_s: float
    fetch_s: float
    most_ahead: int

    @property
    def waiting_share(self) -> float:
        """Of the loop's time."""
        whole = self.wait_s + self.compute_s
        return self.wait_s / whole if whole else 0.0


class PrefetchingLoader:
    """Batches 0 to ``num_batches - 1`` in their order, fetched ahead by threads.

    An iterator and a context manager: the threads end with the last batch, an error, ``close()`` or the ``with`` block;
    so a loop that may stop early belongs into such a block.

    Parameters
    ----------
    fetch : callable
        ``fetch(index)``, called on the workers' threads.
    num_batches : int
    num_workers : int
        0: each batch is fetched by the loop itself when it wants it.
    depth : int
        The most batches that are fetched or being fetched and not yet taken, so memory is bounded.
    recorder : labkit.training.recording.Recorder, optional
        Gets a span ``"wait for batch"`` of kind ``"wait"`` for each batch, on the main lane.

    Raises
    ------
    TrainingError
        In the loop, where the batch would have come: ``fetch`` raised. The message names the batch; the error of the
        store is its ``__cause__``.

    Examples
    --------
    >>> with PrefetchingLoader(lambda index: index * index, 5, num_workers=2, depth=3) as loader:
    ...     print(list(loader))
    [0, 1, 4, 9, 16]
    """

    def __init__(
        self, fetch: Callable[[int], Any], num_batches: int, *, num_workers: int = 1, depth: int = 2, recorder=None
    ):
        choices = (("num_batches", num_batches, 0), ("num_workers", num_workers, 0), ("depth", depth, 1))
        for what, value, least in choices:
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(
                    f"PrefetchingLoader: {what} is a whole number from {least}, not {value!r}: pass {max(2, least)}, "
                    f"for example."
                )
        self.fetch, self.num_batches, self.depth, self.recorder = fetch, num_batches, depth, recorder
        self._changed = threading.Condition()
        self._ready: dict[int, tuple[Any, BaseException | None]] = {}
        self._next_fetch = self._next_taken = 0
        self._closed = False
        self._most_ahead = 0
        self._fetches: list[tuple[int, int, int, int]] = []  # worker, batch, start and end in ns
        self._waits: list[tuple[int, int, int]] = []  # batch, start and end in ns
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"batch worker {number}", daemon=True)
            for number in range(min(num_workers, num_batches))
        ]
        self._started_ns = time.perf_counter_ns()
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return self.num_batches

    def __next__(self) -> Any:
        index = self._next_taken
        if self._closed and index < self.num_batches:
            raise TrainingError(
                f"the loader was closed after {index} of {self.num_batches} batches: make a new one to go on."
            )
        if index >= self.num_batches:
            self.close()
            raise StopIteration
        start = time.perf_counter_ns()
        if self.recorder is None:
            batch, error = self._take(index)
        else:
            with self.recorder.span("wait for batch", "wait"):
                batch, error = self._take(index)
        self._waits.append((index, start, time.perf_counter_ns()))
        if error is not None:
            self.close()
            raise TrainingError(
                f"batch {index} of {self.num_batches} could not be fetched: {type(error).__name__}: {error}. The loop "
                f"stopped before it; mend the store and go on from batch {index}."
            ) from error
        if self._next_taken == self.num_batches:
            self.close()
        return batch

    def _take(self, index: int) -> tuple[Any, BaseException | None]:
        if not self._threads:
            start = time.perf_counter_ns()
            result = self._fetch(index, Exception)  # a stop by the user goes through
            self._fetches.append((0, index, start, time.perf_counter_ns()))
            self._next_taken += 1
            return result
        with self._changed:
            while index not in self._ready:
                if self._closed:
                    return None, RuntimeError("the loader was closed meanwhile")
                self._changed.wait()
            self._next_taken += 1
            self._changed.notify_all()  # there is room for one more
            return self._ready.pop(index)

    def _fetch(self, index: int, caught=BaseException) -> tuple[Any, BaseException | None]:
        try:
            return self.fetch(index), None
        except caught as error:
            return None, error

    def _work(self, number: int) -> None:
        while True:
            with self._changed:
                while not self._closed and self._next_fetch < self.num_batches and (
                    self._next_fetch - self._next_taken >= self.depth
                ):
                    self._changed.wait()
                if self._closed or self._next_fetch >= self.num_batches:
                    return
                index = self._next_fetch
                self._next_fetch += 1
            start = time.perf_counter_ns()
            result = self._fetch(index)
            end = time.perf_counter_ns()
            with self._changed:
                self._fetches.append((number, index, start, end))
                if not self._closed:
                    self._ready[index] = result
                    self._most_ahead = max(self._most_ahead, len(self._ready))
                self._changed.notify_all()
                if result[1] is not None:  # what comes after it will not be taken
                    self._next_fetch = self.num_batches

    def close(self) -> None:
        """End the workers, after the fetch that each is at; what was fetched ahead is dropped. May be called again."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> PrefetchingLoader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def report(self) -> Feeding:
        """How the loop was fed up to the last batch that it took; what it did with that one is not in it."""
        waits = self._waits
        wait = sum(end - start for _, start, end in waits)
        whole = waits[-1][2] - waits[0][1] if waits else 0
        with self._changed:
            fetch = sum(end - start for _, _, start, end in self._fetches)
        return Feeding(len(waits), wait / 1e9, (whole - wait) / 1e9, fetch / 1e9, self._most_ahead)

    def timeline(self) -> Timeline:
        """Row 0: the loop, waiting and computing. Rows 1, 2, ...: the workers, fetching."""
        first = self._waits[0][1] if self._waits else self._started_ns
        origin = min(first, self._started_ns)
        spans = []
        for number, (index, start, end) in enumerate(self._waits):
            spans.append(Span(0, "user", f"wait for batch {index}", "wait", start - origin, end - origin))
            if number + 1 < len(self._waits):
                after = self._waits[number + 1][1]
                spans.append(Span(0, "user", f"step {index}", "compute", end - origin, after - origin))
        with self._changed:
            fetches = sorted(self._fetches)
        for worker, index, start, end in fetches if self._threads else ():
            spans.append(Span(worker + 1, "user", f"fetch batch {index}", "recv", start - origin, end - origin))
        end = max((span.end_ns for span in spans), default=0)
        return Timeline(1 + len(self._threads), tuple(spans), start_ns=0, end_ns=end)
