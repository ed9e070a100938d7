"""The picture of a timeline: ranks by time, a bar a call, an arrow a message."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.trace.events import Message, Span
from labkit.trace.measures import RankTotals, rank_totals
from labkit.trace.timeline import Timeline
from labkit.views.theme import (
    INK,
    KIND_COLOURS,
    WAITING_COLOUR,
    base_layout,
    bytes_text,
    time_text,
    time_unit,
)

MAX_BARS = 3000
MAX_ARROWS = 600
MAX_COLUMNS = 240  # of an aggregated picture
MAX_CELLS = 4000  # ranks x columns
MAX_TOTALS = 64  # rows that have room for their totals
BAR_HEIGHT = 0.52  # of a row
COLUMN_HEIGHT = 0.84  # of a row, for calls put together
WAITING = "waiting"  # for another rank, before data could move


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a row, in ns from the start of the run.

    It reaches from ``low`` to ``high`` of the row's height: 0 to 1, but for calls put together.
    """

    rank: int
    kind: str
    start_ns: int
    end_ns: int
    hover: str
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class TimelineLayout:
    """All that is drawn: bars, messages as arrows, totals by rank, in ns from the run's start."""

    num_ranks: int
    start_ns: int
    end_ns: int
    bars: tuple[Bar, ...]
    arrows: tuple[Message, ...]
    num_hidden_messages: int
    aggregated: bool
    totals: tuple[RankTotals, ...]
    title: str
    num_hidden_under_way: int = 0  # messages of a moment in a run that is played


def timeline_layout(
    timeline: Timeline, start_ns: int | None = None, end_ns: int | None = None, *, max_bars: int = MAX_BARS
) -> TimelineLayout:
    """What to draw of the window from ``start_ns`` to ``end_ns`` (ns from the start of the run).

    Without a window: from the first call to the last.

    With more than ``max_bars`` calls in the window, the calls of each rank are put together in
    columns of equal width.
    """
    timeline = timeline.from_zero()
    first, last = _extent(timeline)
    start = first if start_ns is None else max(0, int(start_ns))
    end = last if end_ns is None else min(timeline.end_ns, int(end_ns))
    end = max(end, start + 1)
    spans = [s for s in timeline.spans if s.end_ns >= start and s.start_ns <= end]
    messages = [m for m in timeline.messages if m.recv_end_ns >= start and m.send_start_ns <= end]
    aggregated = len(spans) > max_bars
    if aggregated:
        bars = _columns(spans, timeline.num_ranks, start, end)
    else:
        bars = [bar for span in spans for bar in _bars_of(span)]
    shown = messages if len(messages) <= MAX_ARROWS else []
    totals = rank_totals(timeline)
    return TimelineLayout(
        num_ranks=timeline.num_ranks,
        start_ns=start,
        end_ns=end,
        bars=tuple(bars),
        arrows=tuple(shown),
        num_hidden_messages=len(messages) - len(shown),
        aggregated=aggregated,
        totals=totals,
        title=_title(timeline, totals),
    )


def _extent(timeline: Timeline) -> tuple[int, int]:
    """From the first call to the end of the last, with a little air."""
    if not timeline.spans:
        return 0, timeline.end_ns
    first = min(span.start_ns for span in timeline.spans)
    last = max(span.end_ns for span in timeline.spans)
    air = (last - first) // 40
    return max(0, first - air), last + air


def _bars_of(span: Span) -> list[Bar]:
    """The waiting part of a call and the rest of it."""
    words = [f"<b>rank {span.rank}: {span.name}</b>", f"{time_text(span.duration_ns)}"]
    if span.waiting_ns:
        words[1] += f", of this {time_text(span.waiting_ns)} waiting"
    if span.kind == "collective" and span.peer is not None:
        words.append(f"root {span.peer}")
    elif span.peer is not None:
        words.append(f"{'from' if span.kind in ('recv', 'probe') else 'to'} rank {span.peer}")
    if span.tag is not None:
        words.append(f"tag {span.tag}")
    if span.num_bytes:
        words.append(bytes_text(span.num_bytes))
    if span.line:
        words.append(f"line {span.line}")
    hover = "<br>".join(words)
    middle = span.start_ns + span.waiting_ns
    bars = []
    if span.waiting_ns:
        bars.append(Bar(span.rank, WAITING, span.start_ns, middle, hover))
    if middle < span.end_ns or not span.waiting_ns:
        bars.append(Bar(span.rank, span.kind, middle, span.end_ns, hover))
    return bars


def _columns(spans: list[Span], num_ranks: int, start: int, end: int) -> list[Bar]:
    """Calls put together: in each column of each rank the kinds, one above the other, by their share."""
    num_columns = max(20, min(MAX_COLUMNS, MAX_CELLS // max(1, num_ranks)))
    width = (end - start) / num_columns
    shares: dict[tuple[int, int], Counter] = defaultdict(Counter)
    counts: Counter = Counter()
    for span in spans:
        middle = span.start_ns + span.waiting_ns
        for kind, low, high in ((WAITING, span.start_ns, middle), (span.kind, middle, span.end_ns)):
            low, high = max(low, start), min(high, end)
            if high <= low:
                continue
            first = min(int((low - start) / width), num_columns - 1)
            last = min(int((high - start) / width), num_columns - 1)
            for column in range(first, last + 1):
                left = start + column * width
                inside = min(high, left + width) - max(low, left)
                if inside > 0:
                    shares[span.rank, column][kind] += inside
        counts[span.rank, min(max(int((span.start_ns - start) / width), 0), num_columns - 1)] += 1
    bars = []
    for (rank, column), by_kind in sorted(shares.items()):
        left = start + column * width
        hover = f"<b>rank {rank}: {counts[rank, column]} calls in {time_text(width)}</b><br>" + "<br>".join(
            f"{kind}: {100 * ns / width:.0f} %" for kind, ns in by_kind.most_common()
        )
        low = 0.0
        for kind in (WAITING, *KIND_COLOURS):  # always in this order, so that columns are comparable
            if kind in by_kind:
                high = min(1.0, low + by_kind[kind] / width)
                bars.append(Bar(rank, kind, round(left), round(left + width), hover, low, high))
                low = high
    return bars


def _title(timeline: Timeline, totals: tuple[RankTotals, ...]) -> str:
    if not timeline.spans:
        return "Nothing was communicated."
    size = sum(m.num_bytes for m in timeline.messages)
    words = f"{_count(timeline.num_ranks, 'rank')}, {_count(len(timeline.spans), 'call')}"
    if timeline.messages:
        words += f", {_count(len(timeline.messages), 'message')} ({bytes_text(size)})"
    words += f" in {time_text(timeline.duration_ns)}"
    most = max(totals, key=lambda t: t.waiting_ns)
    if most.wait_share >= 0.005:
        words += f"; rank {most.rank} waits most, {100 * most.wait_share:.0f} % of the time"
    if timeline.num_dropped:
        words += f"; {timeline.num_dropped} later calls were not recorded"
    return words


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def timeline_figure(
    timeline: Timeline | TimelineLayout, *, unit: tuple[float, str] | None = None
) -> go.Figure:
    """The figure of a timeline, or of a layout of it.

    ``unit``, of the time axis, is that which suits the window, or any other of ``theme.time_unit``.
    """
    layout = timeline if isinstance(timeline, TimelineLayout) else timeline_layout(timeline)
    unit, name = unit or time_unit(layout.end_ns - layout.start_ns)
    row_height = max(12, min(44, 700 // max(1, layout.num_ranks)))
    height = 180 + row_height * max(1, layout.num_ranks)
    figure = go.Figure(layout=base_layout(layout.title, height))
    for kind in (WAITING, *KIND_COLOURS):
        bars = [bar for bar in layout.bars if bar.kind == kind]
        if bars:
            figure.add_trace(_bar_trace(kind, bars, unit, layout.aggregated))
    if layout.arrows:
        figure.add_trace(_arrow_trace(layout.arrows, unit))
    notes = _totals_notes(layout)
    if left_out := _what_is_left_out(layout):
        notes.append(_below(left_out))
    step = 1 if layout.num_ranks <= 32 else 4
    figure.update_layout(
        annotations=notes,
        barmode="overlay",
        margin={"l": 70, "r": 190, "t": 96, "b": 74},
        legend={  # as wide as the figure, so that it has two lines at most
            "xref": "container", "x": 0.01, "yref": "container", "y": 1 - 42 / height, "yanchor": "top",
            "font": {"size": 11},
        },
        xaxis={
            "title": {"text": f"time ({name})", "standoff": 6}, "range": [layout.start_ns / unit, layout.end_ns / unit],
        },
        yaxis={
            "tickmode": "array", "tickvals": list(range(0, layout.num_ranks, step)), "showgrid": False,
            "ticktext": [f"rank {r}" for r in range(0, layout.num_ranks, step)],
            "range": [max(1, layout.num_ranks) - 0.4, -0.6],
            "ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0,0,0,0)",  # keeps text off the bars
        },
    )
    return figure


def _bar_trace(kind: str, bars: list[Bar], unit: float, aggregated: bool) -> go.Bar:
    height = COLUMN_HEIGHT if aggregated else BAR_HEIGHT
    outline = 0.0 if aggregated else 0.6  # so that the shortest call is seen
    pattern = {"shape": "/", "size": 5, "solidity": 0.35, "fgcolor": "#d55e00"} if kind == WAITING else None
    return go.Bar(
        name=kind, orientation="h", y=[b.rank + height * (0.5 - (b.low + b.high) / 2) for b in bars],
        width=[height * (b.high - b.low) for b in bars],
        base=[b.start_ns / unit for b in bars], x=[(b.end_ns - b.start_ns) / unit for b in bars],
        hovertext=[b.hover for b in bars], hoverinfo="text",
        marker={
            "color": WAITING_COLOUR if kind == WAITING else KIND_COLOURS[kind], "pattern": pattern,
            "line": {"width": outline, "color": WAITING_COLOUR if kind == WAITING else KIND_COLOURS[kind]},
        },
    )


def _arrow_trace(messages: tuple[Message, ...], unit: float) -> go.Scatter:
    xs, ys, sizes, texts = [], [], [], []
    for m in messages:
        xs += [m.send_start_ns / unit, m.recv_end_ns / unit, None]
        ys += [m.source, m.dest, None]
        sizes += [0, 9, 0]
        text = f"message {m.source} → {m.dest}<br>tag {m.tag}, {bytes_text(m.num_bytes)}"
        text += f"<br>{time_text(m.recv_end_ns - m.send_start_ns)} from send to received"
        text += f"<br>line {m.line}" if m.line else ""
        texts += [text, text, ""]
    return go.Scatter(
        name="message", x=xs, y=ys, mode="lines+markers", hovertext=texts, hoverinfo="text",
        line={"color": INK, "width": 1.2},
        marker={"symbol": "arrow", "angleref": "previous", "size": sizes, "color": INK, "opacity": 1},
    )


def _totals_notes(layout: TimelineLayout) -> list[dict]:
    """Totals at the right end of each row."""
    if layout.num_ranks > MAX_TOTALS or not any(t.num_calls for t in layout.totals):
        return []
    size = 11 if layout.num_ranks <= 32 else 8
    return [
        {
            "xref": "paper", "x": 1.01, "xanchor": "left", "yref": "y", "y": t.rank, "showarrow": False,
            "align": "left", "font": {"size": size, "color": INK},
            "text": f"sent {t.num_sent:,} ({bytes_text(t.bytes_sent)}), waits {100 * t.wait_share:.0f} %",
        }
        for t in layout.totals
    ]


def _what_is_left_out(layout: TimelineLayout) -> str:
    words = []
    if layout.aggregated:
        words.append("Many calls: each column shows the shares of its time. Zoom in for single calls.")
    if layout.num_hidden_messages:
        words.append(f"{_count(layout.num_hidden_messages, 'message')} not drawn as arrows here.")
    if layout.num_hidden_under_way:
        words.append(f"{_count(layout.num_hidden_under_way, 'message')} under way not drawn.")
    return " ".join(words)


def _below(text: str) -> dict:
    return {
        "xref": "paper", "yref": "paper", "x": 0, "y": 0, "yshift": -70, "xanchor": "left",
        "showarrow": False, "text": text, "font": {"size": 11, "color": INK},
    }


def summary_text(timeline: Timeline) -> str:
    """The totals as lines of text, for terminals."""
    totals = rank_totals(timeline)
    lines = [_title(timeline.from_zero(), totals)]
    for t in totals:
        lines.append(
            f"rank {t.rank}: {_count(t.num_calls, 'call')}, sent {t.num_sent} ({bytes_text(t.bytes_sent)}), "
            f"received {t.num_received} ({bytes_text(t.bytes_received)}), waits {100 * t.wait_share:.0f} %"
        )
    if any(timeline.clock_offsets_ns):
        offsets = ", ".join(time_text(abs(ns)) for ns in timeline.clock_offsets_ns)
        lines.append(f"clock offsets against rank 0: {offsets}")
    return "\n".join(lines)
