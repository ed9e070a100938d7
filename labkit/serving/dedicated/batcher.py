"""Dynamic batching: requests that come at about the same time are computed together.

A product with one row reads all weights for one row; with 32 rows it reads them once for all. The price is waiting: a batch
starts when it is full or when its first request has waited ``max_wait_s``, and never while another one is computed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from numbers import Integral, Real

import numpy as np

from labkit.errors import LabkitError, UsageError
from labkit.serving.dedicated.batch_queue import BatchQueue, Waiting
from labkit.serving.dedicated.batch_statistics import BatcherStatistics

EARLY_S = 0.0005  # timers of uvloop count whole milliseconds: a batch may start this much early, never late


class QueueFull(LabkitError):
    """Too many rows wait already; nothing of the request was kept.

    Attributes
    ----------
    retry_after_s : float
        About how long the rows that wait will take.
    """

    def __init__(self, message: str, retry_after_s: float):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PredictError(LabkitError):
    """``predict`` raised, or returned something that does not fit its rows; what it raised is the ``__cause__``."""


class Draining(LabkitError):
    """The batcher is being closed and takes no more requests."""


class DynamicBatcher:
    """Collects requests into batches.

    Parameters
    ----------
    predict : callable
        Takes stacked rows (n, ...) with n up to ``max_batch``, returns an array (n, ...) or a tuple of such arrays. It
        is called in one thread, one call after the other, so the event loop stays free.
    max_batch : int
        Rows of a batch. A request with more is computed in parts.
    max_wait_s : float
        A batch that could start does so at the latest this long after its first request came. 0: at once.
    max_queue : int
        Rows that may wait, at least ``max_batch``; those that are being computed do not count.
    on_batch : callable, optional
        ``on_batch(num_rows, waits_s, predict_s, ok)`` after every batch, in the event loop.
    executor : concurrent.futures.Executor, optional
        Where ``predict`` runs, instead of a thread of its own.
    clock : callable
        Seconds; it must run as fast as the event loop's.

    Examples
    --------
    >>> async def main():
    ...     batcher = DynamicBatcher(lambda rows: rows.sum(axis=1), max_batch=4, max_wait_s=0.01)
    ...     sums = await asyncio.gather(*(batcher.submit(np.full((1, 3), k)) for k in range(4)))
    ...     await batcher.close()
    ...     return [int(s[0]) for s in sums], dict(batcher.statistics.batch_sizes)
    >>> asyncio.run(main())
    ([0, 3, 6, 9], {4: 1})
    """

    def __init__(
        self, predict: Callable, max_batch: int = 32, max_wait_s: float = 0.002, max_queue: int = 256, *,
        on_batch: Callable | None = None, executor: Executor | None = None, clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        check_limits(max_batch, max_wait_s, max_queue)
        self.predict, self.max_batch, self.max_wait_s, self.max_queue = predict, max_batch, float(max_wait_s), max_queue
        self.statistics = BatcherStatistics()
        self._on_batch, self._executor, self._now = on_batch, executor, clock
        self._own_executor: ThreadPoolExecutor | None = None
        self._queue = BatchQueue(max_batch, self.max_wait_s)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self._started_s: float | None = None  # of the batch that is being computed
        self._row_s = 0.0  # of a row, lately
        self._is_draining = False

    @property
    def num_waiting(self) -> int:
        """Rows that wait."""
        return self._queue.num_rows

    @property
    def running_s(self) -> float:
        """For how long the present batch has been computed; 0.0 if there is none."""
        return 0.0 if self._started_s is None else self._now() - self._started_s

    async def submit(self, rows):
        """What ``predict`` gives for these rows.

        Parameters
        ----------
        rows : array (n, ...), n from 1 to ``max_queue``

        Raises
        ------
        QueueFull, Draining, PredictError
        UsageError
            No rows, or more than may ever wait.
        """
        num_rows = len(rows)
        if not 1 <= num_rows <= self.max_queue:
            raise UsageError(
                f"a request has 1 to {self.max_queue} rows, as many as may wait, but this one has {num_rows}: divide it."
            )
        if self._is_draining:
            raise Draining("the server is being stopped and takes no more requests: send it to another one.")
        if self._queue.num_rows + num_rows > self.max_queue:
            self.statistics.num_refused += 1
            raise QueueFull(
                f"{self._queue.num_rows} rows wait and {num_rows} more would exceed {self.max_queue}: try again later.",
                self._queue.num_rows * self._row_s,
            )
        self._loop = asyncio.get_running_loop()
        now = self._now()
        parts = []
        for start in range(0, num_rows, self.max_batch):
            block = rows[start : start + self.max_batch]
            parts.append(Waiting(block, len(block), now, self._loop.create_future()))
            self._queue.add(parts[-1])
        self._pump()
        try:
            if len(parts) == 1:
                return await parts[0].reply
            return _joined([await part.reply for part in parts])
        finally:  # it failed, or nobody waits for it any more
            for part in parts:
                self._queue.remove(part)
                if not part.reply.done():
                    part.reply.cancel()
                elif not part.reply.cancelled():
                    part.reply.exception()  # seen: no warning about it
            self._check_idle()

    async def drain(self) -> None:
        """Take no more requests, and wait until all that were taken have their answers."""
        self._loop = asyncio.get_running_loop()
        self._is_draining = True
        self._idle = asyncio.Event()
        self._pump()
        self._check_idle()
        await self._idle.wait()

    async def close(self) -> None:
        """:meth:`drain`, and end the thread."""
        await self.drain()
        if self._own_executor is not None:
            self._own_executor.shutdown(wait=False)

    def _pump(self, on_time: bool = False) -> None:
        """Start a batch if it may start; else see to it that it will."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._started_s is not None:
            return
        ready_s = self._queue.ready_s()
        if ready_s is None:
            return
        delay_s = ready_s - self._now()
        if delay_s <= 0 or self._is_draining or (on_time and delay_s <= EARLY_S):
            self._start()
        else:
            self._timer = self._loop.call_later(delay_s, self._pump, True)

    def _start(self) -> None:
        batch = self._queue.take()
        if self._executor is None and self._own_executor is None:
            self._own_executor = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._started_s = self._now()
        future = self._loop.run_in_executor(self._executor or self._own_executor, self._call, [r.rows for r in batch])
        future.add_done_callback(partial(self._finished, batch))

    def _call(self, blocks: list) -> tuple:
        """In the thread: results, what was raised, seconds. Nothing is raised: a StopIteration would be lost."""
        start = time.perf_counter()
        try:
            rows = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
            results = self.predict(rows)
            for array in results if isinstance(results, tuple) else (results,):
                if len(array) != len(rows):
                    raise ValueError(f"predict returned {len(array)} results for {len(rows)} rows")
            return results, None, time.perf_counter() - start
        except BaseException as error:  # even SystemExit: it ends no server
            return None, error, time.perf_counter() - start

    def _finished(self, batch: list[Waiting], future: asyncio.Future) -> None:
        started_s, self._started_s = self._started_s, None
        if future.cancelled():
            results, error, predict_s = None, RuntimeError("the thread of predict was ended"), 0.0
        elif future.exception() is not None:
            results, error, predict_s = None, future.exception(), 0.0
        else:
            results, error, predict_s = future.result()
        self._count(batch, started_s, predict_s, error is None)
        start = 0
        for request in batch:
            stop = start + request.num_rows
            if not request.reply.done():
                if error is None:
                    request.reply.set_result(_sliced(results, start, stop))
                else:
                    request.reply.set_exception(_failed(error, len(batch)))
            start = stop
        self._pump()
        self._check_idle()

    def _count(self, batch: list[Waiting], started_s: float, predict_s: float, ok: bool) -> None:
        waits = [max(0.0, started_s - request.arrived_s) for request in batch]
        num_rows, s = sum(request.num_rows for request in batch), self.statistics
        s.num_requests += len(batch)
        s.num_rows += num_rows
        s.num_batches += 1
        s.num_failed += not ok
        s.batch_sizes[num_rows] += 1
        s.wait_s += sum(waits)
        s.max_wait_s = max(s.max_wait_s, *waits)
        s.predict_s += predict_s
        self._row_s += (predict_s / num_rows - self._row_s) * (0.1 if s.num_batches > 1 else 1.0)
        if self._on_batch is not None:
            self._on_batch(num_rows, waits, predict_s, ok)

    def _check_idle(self) -> None:
        if self._idle is not None and self._started_s is None and not len(self._queue):
            self._idle.set()


def check_limits(max_batch, max_wait_s, max_queue) -> None:
    """UsageError unless these are limits of a batcher."""
    if not (_is_whole(max_batch) and max_batch >= 1):
        raise UsageError(f"max_batch is a whole number of rows from 1, not {max_batch!r}: pass 32, for example.")
    if isinstance(max_wait_s, bool) or not isinstance(max_wait_s, Real) or not 0 <= max_wait_s <= 60:
        raise UsageError(f"max_wait_s is a time from 0 to 60 seconds, not {max_wait_s!r}: pass 0.002, for example.")
    if not (_is_whole(max_queue) and max_queue >= max_batch):
        raise UsageError(
            f"max_queue is a whole number of rows, at least max_batch = {max_batch}, not {max_queue!r}: pass "
            f"{8 * max_batch}, for example."
        )


def _is_whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _failed(error: BaseException, num_requests: int) -> PredictError:
    others = f"{num_requests} requests were in the batch" if num_requests > 1 else "no other request was in the batch"
    failure = PredictError(f"the model failed ({type(error).__name__}: {error}); {others}: see the server's log.")
    failure.__cause__ = error
    return failure


def _sliced(results, start: int, stop: int):
    if isinstance(results, tuple):
        return tuple(array[start:stop] for array in results)
    return results[start:stop]


def _joined(parts: list):
    if isinstance(parts[0], tuple):
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return np.concatenate(parts)
