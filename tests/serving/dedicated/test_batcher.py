"""Batches: their composition, their size and their waiting, for many arrival patterns on a virtual clock."""

import asyncio
import threading
from concurrent.futures import Executor, Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.serving.dedicated.batch_queue import BatchQueue, Waiting
from labkit.serving.dedicated.batcher import Draining, DynamicBatcher, PredictError, QueueFull


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time is what is waited for: nothing sleeps."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        select = self._selector.select

        def skip(timeout=None):
            if timeout is None:
                raise RuntimeError("everything waits and no timer will wake it")
            self.now += max(0.0, timeout)
            return select(0)

        self._selector.select = skip

    def time(self):
        return self.now


class VirtualThread(Executor):
    """A predict that takes ``duration_s(rows)`` of virtual time, and the record of its calls."""

    def __init__(self, loop, duration_s):
        self.loop, self.duration_s, self.calls, self.is_busy = loop, duration_s, [], False

    def submit(self, function, blocks):
        assert not self.is_busy, "two batches at a time"
        self.is_busy = True
        num_rows = sum(len(block) for block in blocks)
        self.calls.append((self.loop.time(), np.concatenate(blocks)[:, 0].tolist()))
        future = Future()

        def end():
            self.is_busy = False
            future.set_result(function(blocks))

        self.loop.call_later(self.duration_s(num_rows), end)
        return future


def run(arrivals, *, max_batch=4, max_wait_s=0.5, max_queue=64, duration_s=lambda n: 0.1, predict=lambda rows: 2 * rows, drain=True):
    """Requests [(time, number of rows)]; rows carry numbers from 0. Returns (outcomes, calls, batcher).

    An outcome is (when its answer came, the answer or the exception).
    """
    loop = VirtualLoop()
    thread = VirtualThread(loop, duration_s)
    batcher = DynamicBatcher(predict, max_batch, max_wait_s, max_queue, executor=thread, clock=loop.time)

    async def client(rows):
        try:
            answer = await batcher.submit(rows)
        except Exception as error:
            answer = error
        return loop.time(), answer

    async def main():
        first, tasks = 0, []
        for time_s, num_rows in arrivals:
            if time_s > loop.time():
                await asyncio.sleep(time_s - loop.time())
            tasks.append(asyncio.create_task(client(np.arange(first, first + num_rows, dtype=float).reshape(-1, 1))))
            first += num_rows
        outcomes = await asyncio.gather(*tasks)
        if drain:
            await batcher.close()
        return outcomes

    try:
        return loop.run_until_complete(main()), thread.calls, batcher
    finally:
        loop.close()


ARRIVALS = st.lists(st.tuples(st.integers(0, 60).map(lambda k: k / 16), st.integers(1, 11)), min_size=1, max_size=40).map(sorted)


@settings(max_examples=150, deadline=None)
@given(ARRIVALS, st.integers(1, 8), st.sampled_from([0.0, 0.1, 0.5, 2.0]), st.sampled_from([0.0, 0.07, 0.4]))
def test_laws_of_batching(arrivals, max_batch, max_wait_s, duration_s):
    outcomes, calls, batcher = run(
        arrivals, max_batch=max_batch, max_wait_s=max_wait_s, max_queue=1000, duration_s=lambda n: duration_s
    )
    # every row is computed once, in the order of arrival, and its answer goes to whoever sent it
    assert [number for _, batch in calls for number in batch] == list(range(sum(n for _, n in arrivals)))
    first = 0
    for (_, num_rows), (_, answer) in zip(arrivals, outcomes, strict=True):
        assert answer[:, 0].tolist() == [2.0 * number for number in range(first, first + num_rows)]
        first += num_rows
    # no batch is larger than max_batch, and none starts while one is computed
    sizes = [len(batch) for _, batch in calls]
    assert 1 <= min(sizes) and max(sizes) <= max_batch
    starts = [start for start, _ in calls]
    assert all(later - start >= duration_s - 1e-9 for start, later in zip(starts[:-1], starts[1:], strict=True))
    # the batch that could start did so max_wait_s after its first request came, or when it was full
    came = np.repeat([time_s for time_s, _ in arrivals], [n for _, n in arrivals])
    free = 0.0
    for start, batch in calls:
        assert start <= max(free, came[int(batch[0])] + max_wait_s) + 1e-9
        free = start + duration_s
    s = batcher.statistics
    assert s.num_rows == sum(sizes) and s.num_batches == len(sizes) and s.num_refused == s.num_failed == 0
    assert dict(s.batch_sizes) == {size: sizes.count(size) for size in set(sizes)}
    assert batcher.num_waiting == 0 and batcher.running_s == 0.0


def test_a_full_batch_starts_at_once_and_a_lonely_request_after_the_wait():
    outcomes, calls, _ = run([(0.0, 1), (1.0, 1), (1.1, 1), (1.2, 2)], max_wait_s=0.5)
    assert calls == [(0.5, [0.0]), (1.2, [1.0, 2.0, 3.0, 4.0])]
    assert [time_s for time_s, _ in outcomes] == pytest.approx([0.6, 1.3, 1.3, 1.3])


def test_a_request_that_does_not_fit_goes_into_the_next_batch_whole():
    _, calls, _ = run([(0.0, 3), (0.1, 3), (0.15, 1)], max_batch=4, max_wait_s=0.5, duration_s=lambda n: 0.2)
    assert calls == [(0.1, [0.0, 1.0, 2.0]), (pytest.approx(0.3), [3.0, 4.0, 5.0, 6.0])]


def test_no_wait_means_whatever_came_while_one_was_computed():
    _, calls, _ = run([(0.0, 1), (0.1, 1), (0.2, 1), (0.9, 1)], max_wait_s=0.0, duration_s=lambda n: 0.5)
    assert [batch for _, batch in calls] == [[0.0], [1.0, 2.0], [3.0]]


def test_a_large_request_is_computed_in_parts():
    outcomes, calls, _ = run([(0.0, 11), (0.0, 1)], max_batch=4)
    assert [len(batch) for _, batch in calls] == [4, 4, 4] and outcomes[0][1][:, 0].tolist() == [2.0 * k for k in range(11)]


def test_a_full_queue_refuses_and_says_for_how_long():
    arrivals = [(0.0, 4), (1.0, 4), *[(1.1 + k / 100, 3) for k in range(4)], (20.0, 1)]
    outcomes, calls, batcher = run(arrivals, max_batch=4, max_queue=9, duration_s=lambda n: 4.0, max_wait_s=0.1)
    refused = [outcome for _, outcome in outcomes if isinstance(outcome, QueueFull)]
    # 4 rows are computed from 0 to 4; of 4 + 3 + 3 + 3 + 3 that come meanwhile, 9 may wait
    assert [isinstance(outcome, QueueFull) for _, outcome in outcomes] == [False, False, False, True, True, True, False]
    assert "7 rows wait and 3 more would exceed 9" in str(refused[0]) and batcher.statistics.num_refused == 3
    assert sum(len(batch) for _, batch in calls) == 4 + 4 + 3 + 1


def test_a_predict_that_raises_fails_its_batch_only():
    def predict(rows):
        if 2.0 in rows:
            raise ValueError("two is too much")
        return rows, -rows

    outcomes, _, batcher = run([(0.0, 1), (0.1, 1), (5.0, 1), (5.1, 1), (9.0, 1)], max_wait_s=0.3, predict=predict)
    for _, outcome in outcomes[2:4]:
        assert isinstance(outcome, PredictError) and isinstance(outcome.__cause__, ValueError)
        assert "ValueError: two is too much" in str(outcome) and "2 requests were in the batch" in str(outcome)
    assert [[a.tolist() for a in outcomes[k][1]] for k in (0, 4)] == [[[[0.0]], [[-0.0]]], [[[4.0]], [[-4.0]]]]
    assert batcher.statistics.num_failed == 1


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, MemoryError, asyncio.CancelledError])
def test_whatever_predict_raises_every_request_ends(error):
    def predict(rows):
        raise error("no")

    outcomes, _, _ = run([(0.0, 1), (0.0, 6)], predict=predict)
    assert all(isinstance(outcome, PredictError) and error.__name__ in str(outcome) for _, outcome in outcomes)


@pytest.mark.parametrize("predict", [lambda rows: rows[:-1], lambda rows: (rows, rows[1:]), lambda rows: None])
def test_a_predict_that_returns_something_else(predict):
    outcomes, _, _ = run([(0.0, 2)], predict=predict)
    assert isinstance(outcomes[0][1], PredictError)


def test_rows_that_do_not_stack_fail_together_and_nothing_else_does():
    async def main():
        batcher = DynamicBatcher(lambda rows: rows, max_batch=2, max_wait_s=10)
        bad = await asyncio.gather(batcher.submit(np.zeros((1, 3))), batcher.submit(np.zeros((1, 4))), return_exceptions=True)
        good = await asyncio.gather(batcher.submit(np.zeros((1, 3))), batcher.submit(np.zeros((1, 3))))
        await batcher.close()
        return bad, good

    bad, good = asyncio.run(main())
    assert all(isinstance(error, PredictError) for error in bad) and len(good) == 2


@settings(max_examples=80, deadline=None)
@given(ARRIVALS, st.sets(st.integers(0, 39)), st.floats(0.01, 2.0))
def test_whoever_goes_away_takes_no_other_with_him(arrivals, leave, patience_s):
    loop = VirtualLoop()
    thread = VirtualThread(loop, lambda n: 0.3)
    batcher = DynamicBatcher(lambda rows: 2 * rows, 4, 0.2, 1000, executor=thread, clock=loop.time)

    left_s = {}

    async def client(number, time_s, num_rows):
        await asyncio.sleep(time_s)
        rows = np.full((num_rows, 1), float(number))
        if number not in leave:
            return await batcher.submit(rows)
        try:
            async with asyncio.timeout(patience_s):
                return await batcher.submit(rows)
        except TimeoutError:
            left_s[number] = loop.time()
            return None

    async def main():
        answers = await asyncio.gather(*(client(k, *arrival) for k, arrival in enumerate(arrivals)))
        await batcher.close()
        return answers

    answers = loop.run_until_complete(main())
    loop.close()
    for number, ((_, num_rows), answer) in enumerate(zip(arrivals, answers, strict=True)):
        assert (answer is None and number in leave) or answer[:, 0].tolist() == [2.0 * number] * num_rows
    for start, batch in thread.calls:  # nobody who had left before it started
        assert all(start <= left_s.get(int(number), start) + 1e-9 for number in batch)
    computed = [number for _, batch in thread.calls for number in batch]
    for number, (_, num_rows) in enumerate(arrivals):
        count = computed.count(number)
        assert count == num_rows or (number in leave and count < num_rows)
    assert batcher.num_waiting == 0


def test_draining_answers_what_was_taken_and_takes_no_more():
    async def main():
        release, started, sizes = threading.Event(), threading.Event(), []

        def predict(rows):
            started.set()
            assert release.wait(60)
            sizes.append(len(rows))
            return rows

        batcher = DynamicBatcher(predict, max_batch=2, max_wait_s=30.0, max_queue=8)
        taken = [asyncio.create_task(batcher.submit(np.full((1, 1), k))) for k in range(5)]
        await asyncio.to_thread(started.wait, 60)
        end = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await batcher.submit(np.zeros((1, 1)))
        assert not end.done() and batcher.running_s > 0
        release.set()
        await end  # the last request does not wait 30 s for company
        assert all(task.done() for task in taken)
        return sizes, [int(task.result()[0, 0]) for task in taken]

    assert asyncio.run(main()) == ([2, 2, 1], [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    "limits", [(0, 0.1, 4), (2.0, 0.1, 4), (True, 0.1, 4), (4, -1, 8), (4, float("nan"), 8), (4, "x", 8), (4, 0.1, 3)]
)
def test_limits_are_checked(limits):
    with pytest.raises(UsageError, match="pass"):
        DynamicBatcher(lambda rows: rows, *limits)


def test_sizes_of_requests_are_checked():
    outcomes, calls, _ = run([(0.0, 0), (0.0, 65), (0.0, 64)], max_queue=64)
    assert [isinstance(outcome, UsageError) for _, outcome in outcomes] == [True, True, False] and len(calls) == 16


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=30))
def test_the_queue_counts_its_rows(steps):
    queue, waiting = BatchQueue(5, 1.0), []
    for now, (num_rows, remove) in enumerate(steps):
        queue.add(Waiting(None, num_rows, float(now)))
        waiting.append(queue._waiting[-1])
        if remove:
            queue.remove(gone := waiting.pop(now % len(waiting)))
            queue.remove(gone)
        elif queue.num_rows >= 5:
            taken = queue.take()
            assert taken == waiting[: len(taken)] and taken
            del waiting[: len(taken)]
        assert queue.num_rows == sum(request.num_rows for request in waiting) and len(queue) == len(waiting)
        assert (queue.ready_s() is None) == (not waiting)
