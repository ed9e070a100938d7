"""What the picture of a timeline shows."""

import pytest

from labkit.trace.events import RankRecord
from labkit.trace.timeline import Timeline
from labkit.views.timeline import MAX_BARS, WAITING, summary_text, timeline_figure, timeline_layout


def made_up(num_ranks, num_calls, length=700):
    spans = tuple(
        ("Recv", "recv", 1000 * k, 1000 * k + length, 0, 0, 8, "comm", None, 2) for k in range(num_calls)
    )
    return Timeline.from_records(RankRecord(r, spans, (), (), 0, 0, 1000 * max(1, num_calls)) for r in range(num_ranks))


def ping():
    return Timeline.from_records([
        RankRecord(0, (("Send", "send", 600, 700, 1, 5, 80, "comm", None, 4),),
                   (("send", 1, 5, 80, "comm", 600, 700, 4, 0),), (), 0, 0, 1000),
        RankRecord(1, (("Recv", "recv", 100, 800, 0, 5, 80, "comm", None, 6),),
                   (("recv", 0, 5, 80, "comm", 100, 800, 6, 0),), (), 0, 0, 1000),
    ])


def test_a_call_is_split_into_waiting_and_transferring():
    layout = timeline_layout(ping())
    assert [(b.rank, b.kind, b.start_ns, b.end_ns) for b in layout.bars] == [
        (0, "send", 600, 700), (1, WAITING, 100, 600), (1, "recv", 600, 800),
    ]
    for word in ("rank 1: Recv", "from rank 0", "tag 5", "80 B", "line 6", "500 ns waiting"):
        assert word in layout.bars[1].hover
    assert [(m.source, m.dest) for m in layout.arrows] == [(0, 1)]
    assert "1 message (80 B)" in layout.title
    assert "rank 1 waits most, 50 % of the time" in layout.title


def test_figure_has_a_row_a_rank_and_totals():
    figure = timeline_figure(ping())
    assert list(figure.layout.yaxis.ticktext) == ["rank 0", "rank 1"]
    assert [a.text for a in figure.layout.annotations] == ["sent 1 (80 B), waits 0 %", "sent 0 (0 B), waits 50 %"]
    assert {trace.name for trace in figure.data} == {WAITING, "send", "recv", "message"}


@pytest.mark.parametrize("num_ranks", [1, 4, 64])
def test_many_calls_are_put_together_and_keep_their_time(num_ranks):
    timeline = made_up(num_ranks, 100_000 // num_ranks)
    layout = timeline_layout(timeline)
    assert layout.aggregated
    assert len(layout.bars) <= 20_000
    shown = sum((b.end_ns - b.start_ns) * (b.high - b.low) for b in layout.bars)
    assert shown == pytest.approx(sum(s.duration_ns for s in timeline.spans), rel=0.02)
    assert "calls in" in layout.bars[0].hover
    figure = timeline_figure(layout)
    assert "Zoom in" in figure.layout.annotations[-1].text


def test_zooming_in_gives_single_calls_back():
    timeline = made_up(4, 25_000)
    layout = timeline_layout(timeline, 5_000_000, 5_100_000)
    assert not layout.aggregated
    assert {b.start_ns for b in layout.bars if b.rank == 2} == set(range(5_000_000, 5_100_001, 1000))


@pytest.mark.parametrize("timeline", [Timeline(0), Timeline(3, end_ns=10), made_up(2, 0)])
def test_nothing_to_show_is_said(timeline):
    assert timeline_layout(timeline).title == "Nothing was communicated."
    assert timeline_figure(timeline).layout.title.text == "Nothing was communicated."


def test_summary_has_a_line_a_rank():
    lines = summary_text(ping()).splitlines()
    assert len(lines) == 3
    assert lines[2] == "rank 1: 1 call, sent 0 (0 B), received 1 (80 B), waits 50 %"


def test_limit_is_where_it_is_said():
    assert not timeline_layout(made_up(1, MAX_BARS)).aggregated
    assert timeline_layout(made_up(1, MAX_BARS + 1)).aggregated
