"""A run as it looked at one moment: calls and messages up to then, and what was on its way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import plotly.graph_objects as go

from labkit.trace.timeline import Timeline
from labkit.views.theme import ACCENT, INK, KIND_COLOURS, WAITING_COLOUR, bytes_text, time_text, time_unit
from labkit.views.timeline import WAITING, TimelineLayout, timeline_figure, timeline_layout

MAX_IN_FLIGHT = 400


@dataclass(frozen=True, slots=True)
class InFlight:
    """A message that had been sent but not received: ``rank`` is how far it was from source to dest."""

    source: int
    dest: int
    num_bytes: int
    rank: float
    sent_ns: int


@dataclass(frozen=True, slots=True)
class PlaybackLayout:
    """The timeline up to ``now_ns``, in ns from the start of the run, on the axis of the whole run."""

    now_ns: int
    timeline: TimelineLayout
    in_flight: tuple[InFlight, ...]


def timeline_until(timeline: Timeline, now_ns: int) -> Timeline:
    """What had happened by ``now_ns`` (from the start of the run): calls cut off there, messages received by then.

    A call that is cut off may turn out to have been waiting; it counts as waiting as far as it is known to be.
    """
    timeline = timeline.from_zero()
    spans = []
    for span in timeline.spans:
        if span.start_ns <= now_ns:
            end = min(span.end_ns, now_ns)
            spans.append(replace(span, end_ns=end, waiting_ns=min(span.waiting_ns, end - span.start_ns)))
    return replace(
        timeline, spans=tuple(spans), messages=tuple(m for m in timeline.messages if m.recv_end_ns <= now_ns),
        marks=tuple(m for m in timeline.marks if m.time_ns <= now_ns), end_ns=min(timeline.end_ns, max(now_ns, 0)),
    )


def playback_layout(timeline: Timeline, now_ns: int) -> PlaybackLayout:
    """What to draw at ``now_ns``, in ns from the start of the run."""
    timeline = timeline.from_zero()
    # For the ends of the axis; it reaches from the start of the run to its end even if the first call is late or
    # the last one early, or the line at now_ns is not in view.
    whole = timeline_layout(timeline, max_bars=0)
    under_way = [m for m in timeline.messages if m.send_start_ns <= now_ns < m.recv_end_ns]
    flying = tuple(
        InFlight(
            m.source, m.dest, m.num_bytes, sent_ns=m.send_start_ns,
            rank=m.source + (m.dest - m.source) * (now_ns - m.send_start_ns) / (m.recv_end_ns - m.send_start_ns),
        )
        for m in under_way[:MAX_IN_FLIGHT]
    )
    so_far = timeline_layout(timeline_until(timeline, now_ns))
    end_ns = max(whole.end_ns, timeline.duration_ns)
    so_far = replace(
        so_far, start_ns=min(0, whole.start_ns), end_ns=end_ns, num_hidden_under_way=len(under_way) - len(flying),
    )
    return PlaybackLayout(now_ns, so_far, flying)


def playback_figure(timeline: Timeline, now_ns: int) -> go.Figure:
    """The timeline up to ``now_ns``, a line at that time, and the messages under way as dots between the ranks.

    The time axis is that of the whole run, so that pictures of different moments fit on each other.
    """
    layout = playback_layout(timeline, now_ns)
    whole = layout.timeline
    unit = time_unit(whole.end_ns - whole.start_ns)
    figure = timeline_figure(whole, unit=unit)
    _keep_traces(figure, timeline)
    now = layout.now_ns / unit[0]
    xs, ys = [], []
    for message in layout.in_flight:
        xs += [message.sent_ns / unit[0], now, None]
        ys += [message.source, message.rank, None]
    texts = [
        f"message {m.source} → {m.dest} under way<br>{bytes_text(m.num_bytes)}, sent {time_text(layout.now_ns - m.sent_ns)} ago"
        for m in layout.in_flight
    ]
    figure.add_trace(go.Scatter(
        name="under way", x=xs, y=ys, mode="lines+markers", line={"color": ACCENT, "width": 1.2, "dash": "dot"},
        marker={"color": ACCENT, "size": [0, 8, 0] * len(texts), "opacity": 1},
        hovertext=[text for words in texts for text in (words, words, "")], hoverinfo="text", showlegend=True,
    ))
    figure.add_shape(type="line", x0=now, x1=now, y0=0, y1=1, yref="paper", line={"color": INK, "width": 1.5})
    figure.layout.title.text = f"At {time_text(layout.now_ns)}: " + (
        whole.title if whole.bars else "nothing has been communicated yet"
    )
    return figure


def _keep_traces(figure: go.Figure, timeline: Timeline) -> None:
    """The traces of the whole run, empty where nothing has happened yet: the legend stays, and a page can go on.

    All bars lie: where bars of a shown figure turn from lying to standing, plotly gives up the ranges of both axes.
    """
    kinds = {span.kind for span in timeline.spans}
    waiting = any(span.waiting_ns for span in timeline.spans)
    names = [name for name in (WAITING, *KIND_COLOURS) if name in kinds or (name == WAITING and waiting)]
    there = {trace.name: trace for trace in figure.data}
    traces = [there.get(name) or _empty_bars(name) for name in names]
    if timeline.messages:
        traces.append(there.get("message") or go.Scatter(name="message", mode="lines", line={"color": INK}, showlegend=True))
    figure.data = ()
    figure.add_traces(traces)


def _empty_bars(name: str) -> go.Bar:
    return go.Bar(name=name, orientation="h", marker={"color": _colour(name)}, showlegend=True)


def _colour(name: str) -> str:
    return WAITING_COLOUR if name == WAITING else KIND_COLOURS[name]
