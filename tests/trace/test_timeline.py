"""Timelines: messages matched as MPI orders them, waiting computed by hand, files that load back equal."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import TraceFormatError
from labkit.trace.chrome import chrome_trace
from labkit.trace.events import Mark, Message, RankRecord, Span
from labkit.trace.matching import Endpoint, match_endpoints
from labkit.trace.measures import communication_matrix, rank_totals
from labkit.trace.timeline import Timeline


def record(rank, spans=(), endpoints=(), offset=0, start=0, end=10_000, marks=()):
    return RankRecord(rank, tuple(spans), tuple(endpoints), tuple(marks), offset, start, end)


def call(name, kind, start, end, peer=None, sequence=None, num_bytes=8, line=3):
    return (name, kind, start, end, peer, 0, num_bytes, "comm", sequence, line)


def end_of(direction, peer, posted, completed, span, tag=0, num_bytes=8):
    return (direction, peer, tag, num_bytes, "comm", posted, completed, 3, span)


def test_a_late_sender_makes_the_receiver_wait():
    timeline = Timeline.from_records([
        record(0, [call("Send", "send", 500, 700, 1)], [end_of("send", 1, 500, 700, 0)]),
        record(1, [call("Recv", "recv", 100, 800, 0)], [end_of("recv", 0, 100, 800, 0)]),
    ])
    assert [span.waiting_ns for span in timeline.spans] == [0, 400]
    assert timeline.messages == (Message(0, 1, 0, 8, "comm", 500, 700, 100, 800, 3),)


@pytest.mark.parametrize(
    ("name", "num_bytes", "send_end", "waits"),
    [
        ("Send", 1_000_000, 900, 500),  # rendezvous: until the receive was posted
        ("Send", 1_000_000, 300, 0),  # ended before: it was put aside
        ("Send", 8, 900, 0),  # so small that it is always put aside
        ("Ssend", 8, 900, 500),
    ],
)
def test_when_a_send_waits(name, num_bytes, send_end, waits):
    timeline = Timeline.from_records([
        record(0, [call(name, "send", 100, send_end, 1, num_bytes=num_bytes)],
               [end_of("send", 1, 100, send_end, 0, num_bytes=num_bytes)]),
        record(1, [call("Recv", "recv", 600, 950, 0)], [end_of("recv", 0, 600, 950, 0, num_bytes=num_bytes)]),
    ])
    assert timeline.spans[0].waiting_ns == waits


@pytest.mark.parametrize(
    ("name", "root", "expected"),
    [
        ("Barrier", None, [300, 100, 0]),
        ("allreduce", None, [300, 100, 0]),
        ("Bcast", 1, [200, 0, 0]),  # rank 2 came after the root
        ("gather", 0, [300, 0, 0]),  # only the root waits
        ("Ibarrier", None, [0, 0, 0]),
    ],
)
def test_collectives_wait_for_whom_they_need(name, root, expected):
    starts = [100, 300, 400]
    timeline = Timeline.from_records(
        record(rank, [call(name, "collective", start, 450, root, sequence=0)]) for rank, start in enumerate(starts)
    )
    assert [span.waiting_ns for span in timeline.spans] == expected


def test_waiting_in_a_wait_call_and_clock_offsets():
    timeline = Timeline.from_records([
        record(0, [call("Send", "send", 1500, 1600, 1)], [end_of("send", 1, 1500, 1600, 0)], offset=-1000),
        record(1, [call("Irecv", "recv", 100, 110, 0), call("Wait", "wait", 200, 900, None)],
               [end_of("recv", 0, 100, 900, 1)]),
    ])
    assert timeline.spans[2].waiting_ns == 300  # from 200 until 1500 - 1000
    assert timeline.clock_offsets_ns == (-1000, 0)
    assert timeline.messages[0].send_start_ns == 500


def brute_force_pairs(ends):
    """Each receive, in posting order, takes the oldest unmatched send of its stream."""
    sends = sorted((e for e in ends if e.direction == "send"), key=lambda e: e.posted_ns)
    pairs = set()
    for receive in sorted((e for e in ends if e.direction == "recv"), key=lambda e: e.posted_ns):
        for send in sends:
            if (send.rank, send.peer, send.tag, send.context) == (receive.peer, receive.rank, receive.tag, receive.context):
                pairs.add((send, receive))
                sends.remove(send)
                break
    return pairs


@pytest.mark.parametrize("seed", range(20))
def test_matching_equals_brute_force(seed):
    rng = random.Random(seed)
    ends = []
    for number in range(120):
        rank, peer = rng.randrange(4), rng.randrange(4)
        ends.append(Endpoint(rank, rng.choice(["send", "recv"]), peer, rng.randrange(2), 8,
                             rng.choice(["comm", "sub"]), rng.randrange(10**6) * 1000 + number, 10**10, None, number))
    assert set(match_endpoints(ends)) == brute_force_pairs(ends)
    assert match_endpoints(ends)


integers = st.integers(0, 2**63 - 1)
names = st.text(min_size=1, max_size=8)
spans = st.builds(
    Span, rank=st.integers(0, 4), lane=st.sampled_from(["mpi", "thread 1"]), name=names,
    kind=st.sampled_from(["send", "wait", "other"]), start_ns=integers, end_ns=integers,
    peer=st.none() | st.integers(0, 4), tag=st.none() | st.integers(0, 9), num_bytes=integers,
    sequence=st.none() | st.integers(0, 9), line=st.none() | st.integers(1, 99), waiting_ns=integers,
)
messages = st.builds(
    Message, st.integers(0, 4), st.integers(0, 4), st.integers(0, 9), integers, names,
    integers, integers, integers, integers, st.none() | st.integers(1, 9),
)
marks = st.builds(Mark, st.integers(0, 4), st.just("mpi"), names, integers)


@settings(max_examples=100, deadline=None)
@given(st.lists(spans, max_size=6), st.lists(messages, max_size=4), st.lists(marks, max_size=3), integers)
def test_files_load_back_equal(tmp_path_factory, some_spans, some_messages, some_marks, start):
    timeline = Timeline(5, tuple(some_spans), tuple(some_messages), tuple(some_marks), (0, 1, -2, 3, 0), start, start + 9, 1, 2)
    path = tmp_path_factory.mktemp("trace") / "run.json"
    timeline.save(path)
    assert Timeline.load(path) == timeline


def test_the_file_is_a_chrome_trace():
    timeline = Timeline.from_records([
        record(0, [call("Send", "send", 500, 700, 1)], [end_of("send", 1, 500, 700, 0)], marks=[("here", 550)]),
        record(1, [call("Recv", "recv", 100, 800, 0)], [end_of("recv", 0, 100, 800, 0)]),
    ])
    events = json.loads(json.dumps(chrome_trace(timeline)))["traceEvents"]
    required = {"X": {"ts", "dur", "pid", "tid", "name"}, "s": {"id", "ts", "pid", "tid"}, "f": {"id", "ts", "bp"},
                "M": {"name", "args"}, "i": {"ts", "s"}}
    assert {event["ph"] for event in events} == set(required)
    for event in events:
        assert required[event["ph"]] <= set(event)
    send = next(e for e in events if e["name"] == "Send")
    assert (send["ts"], send["dur"], send["pid"]) == (0.5, 0.2, 0)  # microseconds from the start
    assert [e["id"] for e in events if e["ph"] == "s"] == [e["id"] for e in events if e["ph"] == "f"]


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{}", '{"traceEvents": 3}', '{"traceEvents": [{"ph": "X", "ts": "late"}]}', "[3]",
             '{"traceEvents": [{"ph": "X"}], "otherData": {"labkit": {"num_ranks": 1}}}'],
)
def test_damaged_files_are_refused(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(TraceFormatError, match="Chrome trace"):
        Timeline.load(path)


def test_a_trace_of_another_program_is_read(tmp_path):
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps([
        {"ph": "M", "name": "thread_name", "pid": 7, "tid": 1, "args": {"name": "main"}},
        {"ph": "X", "name": "matmul", "ts": 10.5, "dur": 2, "pid": 7, "tid": 1},
        {"ph": "B", "name": "begun", "ts": 1, "pid": 7, "tid": 1},
    ]))
    timeline = Timeline.load(path)
    assert timeline.spans == (Span(0, "main", "matmul", "other", 10_500, 12_500),)


def test_totals_and_matrix():
    timeline = Timeline.from_records([
        record(0, [call("Send", "send", 0, 100, 1)] * 3, [end_of("send", 1, k, 100, k) for k in range(3)], end=1000),
        record(1, [call("Recv", "recv", 0, 500, 0)] * 2, [end_of("recv", 0, k, 500, k) for k in range(2)], end=1000),
    ])
    counts, sizes = communication_matrix(timeline)
    assert counts.tolist() == [[0, 2], [0, 0]]
    assert sizes.tolist() == [[0, 16], [0, 0]]
    totals = rank_totals(timeline)
    assert [(t.num_calls, t.num_sent, t.num_received, t.bytes_sent) for t in totals] == [(3, 2, 0, 16), (2, 0, 2, 0)]
    assert totals[1].communication_share == 1.0
    assert timeline.num_unmatched == 1
    assert rank_totals(Timeline(0)) == ()
