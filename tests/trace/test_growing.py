"""A timeline put together from parts is the timeline of the whole records."""

import random
import threading
from dataclasses import replace

import pytest

from labkit.trace.events import RankRecord
from labkit.trace.growing import GrowingTimeline, RecordPart
from labkit.trace.timeline import Timeline


def ring_records(num_ranks=3, rounds=20):
    """Each rank sends to the next and receives from the one before, on clocks that differ."""
    records = []
    for rank in range(num_ranks):
        spans, ends = [], []
        for k in range(rounds):
            start = 1000 * k + 7 * rank
            spans.append(("Send", "send", start, start + 100, (rank + 1) % num_ranks, 0, 8, "comm", None, 2))
            ends.append(("send", (rank + 1) % num_ranks, 0, 8, "comm", start, start + 100, 2, len(spans) - 1))
            spans.append(("Recv", "recv", start + 100, start + 300, (rank - 1) % num_ranks, 0, 8, "comm", None, 3))
            ends.append(("recv", (rank - 1) % num_ranks, 0, 8, "comm", start + 100, start + 300, 3, len(spans) - 1))
        records.append(RankRecord(rank, tuple(spans), tuple(ends), ((f"mark of {rank}", 5),), 11 * rank, 0, 1000 * rounds))
    return records


def parts_of(record, num_parts, random_source):
    """The record cut at random places; an end of a message may come later than its call, never earlier."""
    cuts = sorted(random_source.randint(0, len(record.spans)) for _ in range(num_parts - 1)) + [len(record.spans)]
    parts, spans, ends = [], 0, 0
    for cut in cuts:
        known = max(sum(end[-1] < cut for end in record.endpoints) - (0 if cut == cuts[-1] else random_source.randint(0, 2)), ends)
        last = cut == cuts[-1] and len(parts) == num_parts - 1
        parts.append(
            RecordPart(
                replace(
                    record, spans=record.spans[spans:cut], endpoints=record.endpoints[ends:known],
                    marks=record.marks if last else (), end_ns=record.end_ns if last else record.spans[cut - 1][3] if cut else 0,
                )
            )
        )
        spans, ends = cut, known
    return parts


@pytest.mark.parametrize("seed", range(8))
def test_parts_in_any_mixture_give_the_whole(seed):
    source = random.Random(seed)
    records = ring_records()
    whole = Timeline.from_records(records)
    queues = [parts_of(record, source.randint(1, 6), source) for record in records]
    growing, num_calls, num_messages = GrowingTimeline(3), 0, 0
    while any(queues):
        growing.add(source.choice([q for q in queues if q]).pop(0))
        so_far = growing.timeline()
        assert len(so_far.spans) >= num_calls and len(so_far.messages) >= num_messages
        assert set(so_far.messages) <= set(whole.messages)
        num_calls, num_messages = len(so_far.spans), len(so_far.messages)
    assert growing.timeline() == whole
    assert len(whole.messages) == 60


def test_a_long_wait_is_a_call_that_only_waits_until_it_is_recorded():
    growing = GrowingTimeline(4)
    assert growing.timeline() == Timeline(4)
    record = RankRecord(2, (), (), (), clock_offset_ns=100, start_ns=0, end_ns=500)
    growing.add(RecordPart(record, ("Recv", "recv", 200, 500, 1, None, 0, "comm", None, 3)))
    (span,) = growing.timeline().spans
    assert (span.rank, span.name, span.start_ns, span.end_ns, span.waiting_ns, span.peer) == (2, "Recv", 300, 600, 300, 1)
    growing.add(RecordPart(replace(record, spans=(("Recv", "recv", 200, 700, 1, 0, 8, "comm", None, 3),), end_ns=800)))
    (span,) = growing.timeline().spans
    assert (span.end_ns, span.waiting_ns) == (800, 0)
    assert growing.timeline().num_ranks == 4


def test_the_same_parts_are_put_together_once():
    growing = GrowingTimeline(1)
    growing.add(RecordPart(RankRecord(0, (), (), (), 0, 0, 10)))
    assert growing.timeline() is growing.timeline()


def test_parts_may_come_while_another_thread_asks():
    records = ring_records(rounds=200)
    growing, ended, seen = GrowingTimeline(3), threading.Event(), []

    def ask():
        while not ended.is_set():
            seen.append(len(growing.timeline().spans))

    asking = threading.Thread(target=ask)
    asking.start()
    source = random.Random(1)
    try:
        for record in records:
            for part in parts_of(record, 20, source):
                growing.add(part)
    finally:
        ended.set()
        asking.join(20)
    assert not asking.is_alive() and seen == sorted(seen)
    assert growing.timeline() == Timeline.from_records(records)
