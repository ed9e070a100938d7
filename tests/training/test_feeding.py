"""Prefetching: order, bounds, errors, threads, and what the timeline says. Stores wait for events, not for time."""

import random
import threading

import pytest

from labkit.errors import TrainingError, UsageError
from labkit.training.feeding import PrefetchingLoader, SlowStore
from labkit.training.recording import Recorder
from labkit.views.feeding import feeding_figure, feeding_layout

WAIT_S = 60


def workers_alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("batch worker")]


@pytest.mark.parametrize("num_workers", [0, 1, 2, 5])
@pytest.mark.parametrize("depth", [1, 3, 50])
def test_every_batch_once_and_in_order(num_workers, depth):
    """Fetches that end in another order than they began."""
    chooser = random.Random(depth)
    seconds = [chooser.choice([0, 0, 0.002]) for _ in range(40)]
    store = SlowStore(lambda index: index * index, lambda index: seconds[index])
    for num_batches in (0, 1, 2, 40):
        before = store.num_reads
        loader = PrefetchingLoader(store, num_batches, num_workers=num_workers, depth=depth)
        assert list(loader) == [k * k for k in range(num_batches)] and len(loader) == num_batches
        assert store.num_reads - before == num_batches
        assert list(loader) == [] and not workers_alive()
        assert loader.report().most_ahead <= depth and loader.report().num_batches == num_batches


def test_no_more_than_depth_ahead():
    """The loop takes nothing for as long as it takes the workers to fill the queue: they stop there."""
    for depth in (1, 2, 7):
        started, lock, reached = [], threading.Lock(), threading.Event()

        def fetch(index, started=started, lock=lock, reached=reached, depth=depth):
            with lock:
                started.append(index)
                if len(started) == depth:
                    reached.set()
            return index

        with PrefetchingLoader(fetch, 100, num_workers=4, depth=depth) as loader:
            for taken in range(20):
                assert reached.wait(WAIT_S)
                assert next(loader) == taken
                with lock:
                    assert len(started) <= taken + 1 + depth
        assert len(started) <= 20 + depth and not workers_alive()


def test_fetches_overlap_as_workers_do():
    """Three fetches wait for each other: they can only end if three workers are at it at once."""
    barrier = threading.Barrier(3)

    def fetch(index):
        barrier.wait(WAIT_S)
        return index

    assert list(PrefetchingLoader(fetch, 9, num_workers=3, depth=3)) == list(range(9))


def test_fetching_goes_on_while_the_loop_computes():
    fetched = [threading.Event() for _ in range(3)]

    def fetch(index):
        fetched[index].set()
        return index

    with PrefetchingLoader(fetch, 3, num_workers=1, depth=2) as loader:
        assert next(loader) == 0
        assert fetched[1].wait(WAIT_S) and fetched[2].wait(WAIT_S)  # though the loop has not asked for them


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_an_error_of_the_store_comes_where_the_batch_would(num_workers):
    def fetch(index):
        if index >= 4:
            raise OSError(f"disk {index} is gone")
        return index

    loader, taken = PrefetchingLoader(fetch, 10, num_workers=num_workers, depth=4), []
    with pytest.raises(TrainingError, match=r"batch 4 of 10.*OSError: disk 4 is gone.*go on from batch 4") as caught:
        for batch in loader:
            taken.append(batch)
    assert taken == [0, 1, 2, 3] and isinstance(caught.value.__cause__, OSError) and not workers_alive()
    with pytest.raises(TrainingError, match="closed"):
        next(loader)


def test_a_worker_that_exits_is_an_error_too():
    def fetch(index):
        if index == 1:
            raise SystemExit(3)
        return index

    with pytest.raises(TrainingError, match="batch 1 of 5.*SystemExit"), PrefetchingLoader(fetch, 5) as loader:
        list(loader)
    assert not workers_alive()


def test_the_threads_end_with_the_block():
    entered, release = threading.Event(), threading.Event()

    def fetch(index):
        entered.set()
        release.wait(WAIT_S)
        return index

    with PrefetchingLoader(fetch, 100, num_workers=3, depth=3) as loader:
        assert entered.wait(WAIT_S) and len(workers_alive()) == 3
        release.set()
        assert next(loader) == 0
    assert not workers_alive()
    loader.close()
    with pytest.raises(TrainingError, match="after 1 of 100 batches"):
        next(loader)


def test_a_store_with_one_channel_serves_one_at_a_time():
    inside, most, lock = [0], [0], threading.Lock()

    def seconds(index):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        return 0.001

    def read(index):
        with lock:
            inside[0] -= 1
        return index

    store = SlowStore(read, seconds, num_channels=1)
    assert list(PrefetchingLoader(store, 20, num_workers=4, depth=8)) == list(range(20)) and most[0] == 1


def test_waiting_is_on_the_timeline_and_at_the_recorder():
    class Comm:
        """One rank."""

    recorder = Recorder(Comm())
    store = SlowStore(lambda index: index, 0.005)
    loader = PrefetchingLoader(store, 6, num_workers=0, recorder=recorder)
    assert list(loader) == list(range(6))
    report, timeline = loader.report(), loader.timeline()
    assert [span[1:3] for span in recorder.spans] == [("wait for batch", "wait")] * 6
    waits = [span for span in timeline.spans if span.kind == "wait"]
    assert [span.name for span in waits] == [f"wait for batch {k}" for k in range(6)]
    assert sum(span.duration_ns for span in waits) == pytest.approx(1e9 * report.wait_s)
    assert report.wait_s >= 6 * 0.005 and report.fetch_s >= 6 * 0.005  # sleeps are never shorter
    assert report.waiting_share == report.wait_s / (report.wait_s + report.compute_s)
    ahead = PrefetchingLoader(store, 6, num_workers=2, depth=4)
    list(ahead)
    timeline = ahead.timeline()
    fetches = [span for span in timeline.spans if span.kind == "recv"]
    assert timeline.num_ranks == 3 and {span.name for span in fetches} == {f"fetch batch {k}" for k in range(6)}
    assert {span.rank for span in fetches} <= {1, 2} and all(span.start_ns >= 0 for span in timeline.spans)
    loop = [span for span in timeline.spans if span.rank == 0]
    assert [span.kind for span in loop] == ["wait", "compute"] * 5 + ["wait"]
    assert all(a.end_ns == b.start_ns for a, b in zip(loop, loop[1:], strict=False))
    for k in range(6):  # nobody gets a batch before it is there
        wait = next(span for span in timeline.spans if span.name == f"wait for batch {k}")
        fetch = next(span for span in fetches if span.name == f"fetch batch {k}")
        assert wait.end_ns >= fetch.end_ns
    layout = feeding_layout(timeline)
    assert {kind: len(rows) for kind, rows in layout.items()} == {"wait": 6, "compute": 5, "recv": 6}
    figure = feeding_figure(timeline)
    assert list(figure.layout.yaxis.ticktext) == ["loop", "worker 0", "worker 1"]
    assert "of its time" in figure.layout.title.text and len(figure.data) == 3
    empty = PrefetchingLoader(store, 0)
    assert list(empty) == [] and "has not run" in feeding_figure(empty.timeline()).layout.title.text


def test_refused():
    for options, words in (
        ({"num_batches": -1}, "num_batches"), ({"num_workers": -1}, "num_workers"), ({"depth": 0}, "depth is a whole"),
        ({"num_workers": 1.5}, "num_workers"),
    ):
        with pytest.raises(UsageError, match=words):
            PrefetchingLoader(**{"fetch": int, "num_batches": 1, **options})
    with pytest.raises(UsageError, match="num_channels"):
        SlowStore(int, 0.1, num_channels=0)
    for seconds in (-1, float("nan"), "1"):
        with pytest.raises(UsageError, match="seconds is a number from 0"):
            SlowStore(int, seconds)
