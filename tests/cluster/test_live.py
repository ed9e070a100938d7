"""What real ranks tell of their trace while a cell runs, however it ends."""

import os
import signal
import threading
import time

import pytest

from labkit.cluster.cell import run_cell
from labkit.cluster.outcome import Listener
from labkit.comm.interruptible.live import LiveRecord
from labkit.comm.interruptible.monitor import Monitor
from labkit.comm.interruptible.recorder import Recorder
from labkit.errors import CellInterruptedError, CellTimeoutError, DeadlockError, RankDiedError, RankFailedError
from labkit.trace.growing import GrowingTimeline
from labkit.trace.timeline import Timeline

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(120)]

RING = "comm.sendrecv(comm.rank, (comm.rank + 1) % comm.size, 0, None, (comm.rank - 1) % comm.size)\n"


class Follower:
    """Collects parts; ``press`` is called once, when ``until(timeline)`` is true for the first time."""

    def __init__(self, until=lambda timeline: False, press=lambda: None):
        self.growing = GrowingTimeline(3)
        self.until, self.press = until, press
        self.num_parts = self.num_bytes = 0
        self.running, self.met = True, False

    def part(self, part):
        assert self.running, "a part came after the cell had ended"
        self.num_parts += 1
        self.growing.add(part)
        if not self.met and self.until(self.timeline):
            self.met = True
            self.press()

    @property
    def timeline(self):
        return self.growing.timeline()


def follow(cells, source, follower, num_ranks=3, **options):
    cells.run("pass", num_ranks)
    try:
        return run_cell(cells.engines, source, trace=True, listener=Listener(part=follower.part), **options)
    finally:
        follower.running = False


def names(timeline):
    return sorted((span.rank, span.name) for span in timeline.spans)


def test_calls_are_told_while_the_cell_runs_and_the_end_is_the_same(cells, tmp_path):
    # The cell goes on only when the notebook has seen its first calls: no clock decides.
    go = tmp_path / "go"
    follower = Follower(lambda timeline: len(timeline.messages) >= 3, go.touch)
    outcome = follow(
        cells,
        f"import os, time\n{RING}while not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n{RING}comm.Barrier()",
        follower, timeout_s=60,
    )
    assert follower.met
    assert len(outcome.timeline.messages) == 6
    assert [span.name for span in outcome.timeline.spans if span.rank == 1].count("Barrier") == 1
    # What was told is the beginning of what was recorded.
    assert set(follower.timeline.messages) <= set(outcome.timeline.messages)
    plain = cells.run(f"{RING}{RING}comm.Barrier()", trace=True).timeline
    assert names(plain) == names(outcome.timeline)


def test_nothing_is_told_that_was_not_asked_for(cells):
    seen = []
    for options in ({"trace": False}, {"trace": True}):
        outcome = cells.run(
            f"import threading, time\n{RING}time.sleep(0.7)\n[thread.name for thread in threading.enumerate()]", **options
        )
        seen += [bundle["data"]["text/plain"] for bundle in outcome.results.values()]
    assert len(seen) == 6 and not any("labkit-live" in text for text in seen)
    follower = Follower()
    outcome = follow(cells, "import threading\n[thread.name for thread in threading.enumerate()]", follower)
    assert all("labkit-live" in bundle["data"]["text/plain"] for bundle in outcome.results.values())
    # ... and the thread is gone with its cell.
    outcome = cells.run("import threading\n[thread.name for thread in threading.enumerate()]", trace=True)
    assert not any("labkit-live" in bundle["data"]["text/plain"] for bundle in outcome.results.values())


def test_a_cell_without_communication(cells):
    follower = Follower()
    outcome = follow(cells, "import time\ntime.sleep(1.2)", follower)
    assert outcome.timeline.spans == () and follower.timeline.spans == ()
    assert follower.num_parts >= 3 and follower.timeline.duration_ns > 0


def test_a_short_cell_tells_nothing_and_ends_well(cells):
    follower = Follower()
    assert len(follow(cells, RING, follower).timeline.messages) == 3


def test_a_long_wait_is_seen_before_it_ends(cells, tmp_path):
    go = tmp_path / "go"

    def waits(timeline):
        return any(s.name == "recv" and s.rank == 1 and s.waiting_ns == s.duration_ns > 0 for s in timeline.spans)

    follower = Follower(waits, go.touch)
    outcome = follow(
        cells,
        f"import os, time\nif comm.rank == 0:\n    while not os.path.exists({str(go)!r}):\n        time.sleep(0.01)\n"
        "    comm.send('at last', 1, tag=4)\nelif comm.rank == 1:\n    comm.recv(source=0, tag=4)",
        follower, timeout_s=60,
    )
    assert follower.met
    assert names(outcome.timeline) == [(0, "send"), (1, "recv")]


def test_a_deadlock_is_found_as_always(cells):
    follower = Follower()
    with pytest.raises(DeadlockError) as caught:
        follow(cells, "comm.Barrier()\ncomm.recv(source=(comm.rank + 1) % 3)", follower)
    assert caught.value.graph.cycle == (0, 1, 2)
    assert names(caught.value.outcome.timeline) == [(rank, "Barrier") for rank in range(3)]
    assert set(names(follower.timeline)) >= {(rank, "Barrier") for rank in range(3)}


def test_reports_of_waiting_are_counted_apart_from_parts(cells):
    """A verdict needs three reports of every stuck rank: parts that come between are none."""
    from labkit.cluster.cell import _RunningCell

    cells.run("pass")
    cell = _RunningCell(cells.engines, None, Listener(part=lambda part: None))

    class Future:
        class output:
            metadata = {"data": {"wait": "a report", "live 0": "part"}}

    cell.futures = {0: Future}
    cell._handle(0, {"header": {"msg_type": "data_message"}, "content": {"keys": ["live 0"]}})
    assert cell.num_reports[0] == 0 and "live 0" not in Future.output.metadata["data"]
    cell._handle(0, {"header": {"msg_type": "data_message"}, "content": {"keys": ["wait"]}})
    assert cell.num_reports[0] == 1


def test_the_time_limit(cells):
    follower = Follower()
    with pytest.raises(CellTimeoutError) as caught:
        follow(cells, f"import time\n{RING}time.sleep(60)", follower, timeout_s=1.5)
    assert len(caught.value.outcome.timeline.messages) == 3 == len(follower.timeline.messages)


def test_stop(cells):
    main = threading.main_thread().ident
    follower = Follower(lambda timeline: timeline.messages, lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(CellInterruptedError):
        follow(cells, f"import time\n{RING}time.sleep(60)", follower, timeout_s=60)
    assert follower.met


def test_an_exception_on_one_rank(cells):
    follower = Follower()
    with pytest.raises(RankFailedError) as caught:
        follow(cells, f"import time\n{RING}time.sleep(0.8)\n1 / comm.rank", follower)
    assert len(caught.value.outcome.timeline.messages) == 3 == len(follower.timeline.messages)


def test_a_rank_that_dies_leaves_what_was_told(cells):
    killed = []

    def kill():
        killed.append(cells.engines.ranks[1].pid)
        os.kill(killed[0], signal.SIGKILL)

    follower = Follower(lambda timeline: len(timeline.messages) == 3, kill)
    with pytest.raises(RankDiedError):
        follow(cells, f"import time\n{RING}time.sleep(60)", follower, timeout_s=60)
    assert killed and len(follower.timeline.messages) == 3


def test_ranks_that_take_no_part_tell_nothing(cells):
    follower = Follower()
    follow(cells, "import time\nif comm.rank == 0:\n    comm.send(1, 2)\nelse:\n    comm.recv()\ntime.sleep(0.8)", follower, ranks=[0, 2])
    assert {span.rank for span in follower.timeline.spans} == {0, 2}


def recorder_with(num_calls):
    recorder = Recorder(0)
    for k in range(num_calls):
        span, end_ns = recorder.span("Send", "send", recorder.now(), None, peer=1, tag=0, num_bytes=8)
        recorder.endpoint("send", 1, 0, 8, "comm", end_ns, end_ns, None, span)
    return recorder


def test_parts_are_bounded_and_say_what_they_leave_out():
    recorder = recorder_with(250)
    live = LiveRecord(recorder, Monitor(0), lambda data: None, max_calls=200)
    part = live.next_part()
    assert (len(part.record.spans), len(part.record.endpoints), part.record.num_dropped) == (200, 200, 50)
    again = live.next_part()
    assert (again.record.spans, again.record.endpoints, again.record.num_dropped) == ((), (), 50)
    growing = GrowingTimeline(1)
    growing.add(part)
    growing.add(again)
    assert growing.timeline().num_dropped == 50 and len(growing.timeline().spans) == 200


def test_parts_name_every_call_once():
    recorder = recorder_with(3)
    live = LiveRecord(recorder, Monitor(0), lambda data: None, max_calls=200)
    growing = GrowingTimeline(1)
    growing.add(live.next_part())
    recorder.spans += recorder_with(2).spans
    growing.add(live.next_part())
    growing.add(live.next_part())
    assert growing.timeline().spans == Timeline.from_records([recorder.record()]).spans


def test_a_broken_channel_ends_the_telling_and_nothing_else():
    def broken(data):
        raise OSError("no connection")

    live = LiveRecord(recorder_with(1), Monitor(0), broken, max_calls=10)
    with live:
        live._thread.join(20)
        assert not live._thread.is_alive()
    told = []
    with LiveRecord(recorder_with(1), Monitor(0), told.append, max_calls=10):
        deadline = time.monotonic() + 20
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [list(data) for data in told[:2]] == [["live 0"], ["live 1"]]
