"""Timelines as Chrome trace JSON, the format Perfetto and chrome://tracing read.

Format: "Trace Event Format", Google 2016. Times there are microseconds as numbers; a number of
microseconds with three digits cannot hold every nanosecond of a long-running clock, so times are
counted from the start of the run and the exact integers travel in ``args``.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from labkit.errors import TraceFormatError
from labkit.trace.events import Mark, Message, Span
from labkit.trace.timeline import Timeline

VERSION = 1
SPAN_ARGS = [f.name for f in fields(Span) if f.name not in ("rank", "lane", "name", "kind")]
MESSAGE_ARGS = [f.name for f in fields(Message)]


def chrome_trace(timeline: Timeline) -> dict:
    """The timeline as the dict that becomes the JSON file."""
    zero = timeline.start_ns
    lanes = sorted({(s.rank, s.lane) for s in timeline.spans} | {(m.rank, m.lane) for m in timeline.marks})
    lane_number = {lane: number for number, lane in enumerate(sorted({lane for _, lane in lanes}))}
    events: list[dict] = []
    for rank in range(timeline.num_ranks):
        events.append(_metadata("process_name", rank, 0, {"name": f"rank {rank}"}))
        events.append(_metadata("process_sort_index", rank, 0, {"sort_index": rank}))
    for rank, lane in lanes:
        events.append(_metadata("thread_name", rank, lane_number[lane], {"name": lane}))
    for span in timeline.spans:
        events.append(
            {
                "ph": "X", "name": span.name, "cat": span.kind, "pid": span.rank,
                "tid": lane_number[span.lane], "ts": (span.start_ns - zero) / 1000,
                "dur": span.duration_ns / 1000,
                "args": {name: getattr(span, name) for name in SPAN_ARGS},
            }
        )
    first_lane = {}
    for rank, lane in lanes:
        first_lane.setdefault(rank, lane_number[lane])
    for number, message in enumerate(timeline.messages):
        flow = {"name": "message", "cat": "message", "id": number}
        events.append(
            flow | {
                "ph": "s", "pid": message.source, "tid": first_lane.get(message.source, 0),
                "ts": (message.send_start_ns - zero) / 1000,
                "args": {name: getattr(message, name) for name in MESSAGE_ARGS},
            }
        )
        events.append(
            flow | {
                "ph": "f", "bp": "e", "pid": message.dest, "tid": first_lane.get(message.dest, 0),
                "ts": (message.recv_end_ns - zero) / 1000,
            }
        )
    for mark in timeline.marks:
        events.append(
            {
                "ph": "i", "s": "t", "name": mark.name, "cat": "mark", "pid": mark.rank,
                "tid": lane_number[mark.lane], "ts": (mark.time_ns - zero) / 1000,
                "args": {"time_ns": mark.time_ns},
            }
        )
    about = {
        "version": VERSION, "num_ranks": timeline.num_ranks, "start_ns": timeline.start_ns,
        "end_ns": timeline.end_ns, "clock_offsets_ns": list(timeline.clock_offsets_ns),
        "num_unmatched": timeline.num_unmatched, "num_dropped": timeline.num_dropped,
    }
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": {"labkit": about}}


def _metadata(name: str, pid: int, tid: int, args: dict) -> dict:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}


def write_chrome_trace(timeline: Timeline, path: str | Path) -> None:
    """Write the timeline as a Chrome trace."""
    Path(path).write_text(json.dumps(chrome_trace(timeline), separators=(",", ":")), encoding="utf-8")


def read_chrome_trace(path: str | Path) -> Timeline:
    """Read a Chrome trace: one of ours exactly, of another program its complete events.

    Raises
    ------
    TraceFormatError
        It is not JSON, or not a Chrome trace.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise TraceFormatError(f"{path} is not a Chrome trace: it is not JSON ({error}).") from None
    return from_chrome_trace(data, str(path))


def from_chrome_trace(data: dict | list, name: str = "this") -> Timeline:
    """The timeline in the content of a Chrome trace: the inverse of :func:`chrome_trace`.

    Parameters
    ----------
    data : dict or list
        As JSON gives it; of another program's trace its complete events are read.
    name : str
        What the message of an error calls it.

    Raises
    ------
    TraceFormatError
        It is not a Chrome trace.

    Examples
    --------
    >>> from_chrome_trace({"traceEvents": [{"ph": "X", "name": "f", "ts": 2, "dur": 3, "pid": 0, "tid": 0}]}).end_ns
    5000
    """
    if isinstance(data, list):  # the format's short form
        data = {"traceEvents": data}
    if not isinstance(data, dict) or not isinstance(data.get("traceEvents"), list):
        raise TraceFormatError(f'{name} is not a Chrome trace: it has no list "traceEvents".')
    try:
        about = (data.get("otherData") or {}).get("labkit")
        return _read_own(data["traceEvents"], about) if about else _read_foreign(data["traceEvents"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TraceFormatError(f"{name} is a damaged Chrome trace: {type(error).__name__} {error}.") from None


def _read_own(events: list[dict], about: dict) -> Timeline:
    lanes = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in events
        if e["ph"] == "M" and e["name"] == "thread_name"
    }
    spans, messages, marks = [], [], []
    for event in events:
        if event["ph"] == "X":
            lane = lanes[event["pid"], event["tid"]]
            spans.append(Span(event["pid"], lane, event["name"], event["cat"], **event["args"]))
        elif event["ph"] == "s":
            messages.append(Message(**event["args"]))
        elif event["ph"] == "i":
            lane = lanes[event["pid"], event["tid"]]
            marks.append(Mark(event["pid"], lane, event["name"], event["args"]["time_ns"]))
    return Timeline(
        num_ranks=about["num_ranks"], spans=tuple(spans), messages=tuple(messages),
        marks=tuple(marks), clock_offsets_ns=tuple(about["clock_offsets_ns"]),
        start_ns=about["start_ns"], end_ns=about["end_ns"],
        num_unmatched=about["num_unmatched"], num_dropped=about["num_dropped"],
    )


def _read_foreign(events: list[dict]) -> Timeline:
    """Complete events of any program: each process becomes a rank, each thread a lane."""
    complete = [e for e in events if e.get("ph") == "X" and "ts" in e]
    names = {
        (e.get("pid"), e.get("tid")): str(e["args"]["name"])
        for e in events
        if e.get("ph") == "M" and e.get("name") == "thread_name"
    }
    processes = {pid: rank for rank, pid in enumerate(sorted({e.get("pid") for e in complete}, key=str))}
    spans = []
    for event in complete:
        place = event.get("pid"), event.get("tid")
        start_ns = round(event["ts"] * 1000)
        spans.append(
            Span(
                processes[place[0]], names.get(place, str(place[1])), str(event.get("name", "")),
                "other", start_ns, start_ns + round(event.get("dur", 0) * 1000),
            )
        )
    return Timeline(
        num_ranks=len(processes),
        spans=tuple(sorted(spans, key=lambda s: (s.rank, s.start_ns))),
        clock_offsets_ns=(0,) * len(processes),
        start_ns=min((s.start_ns for s in spans), default=0),
        end_ns=max((s.end_ns for s in spans), default=0),
    )
