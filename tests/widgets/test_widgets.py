"""Widgets without a browser: what they hold and how they react."""

import threading

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.basewidget import BaseFigureWidget

from labkit.comm.simulated.run import simulate
from labkit.hardware.roofline import Roofline
from labkit.trace.events import RankRecord
from labkit.trace.timeline import Timeline
from labkit.widgets.figure_widget import FigureWidget, shared_bundle
from labkit.widgets.replace import replace_figure
from labkit.widgets.roofline import OWN, RooflineWidget
from labkit.widgets.timeline import TimelineWidget

ROOF = Roofline(100e9, 200e9, (("L1", 400e9), ("DRAM", 20e9)))


def test_figures_share_one_copy_of_the_javascript():
    figures = [FigureWidget(go.Figure(go.Scatter(y=[1, 2]))) for _ in range(3)]
    assert len({id(figure._bundle) for figure in figures}) == 1
    assert shared_bundle().source == str(BaseFigureWidget._esm)
    assert len(shared_bundle().source) > 1_000_000
    for figure in figures:
        state = figure.get_state()
        assert state["_bundle"] == f"IPY_MODEL_{shared_bundle().model_id}"
        assert sum(len(v) for v in state.values() if isinstance(v, str)) < 10_000
    assert all(figure.comm is None for figure in figures)  # sent when shown


class Page:
    """Stands for the page that shows a figure: what it was told."""

    def __init__(self, figure):
        self.told = []
        assert figure.model_id
        figure.comm.send = lambda data=None, metadata=None, buffers=None: self.told.append(data["state"])


def test_a_page_that_has_missed_the_whole_figure_gets_it_again():
    figure = FigureWidget(go.Figure(go.Scatter(y=[1, 2])))
    page = Page(figure)
    replace_figure(figure, go.Figure(go.Bar(y=[3]), layout_title_text="bars"))
    edits = page.told[0]["_num_edits_sent"]
    assert len(page.told) == 1 and edits > 0
    for number, expected in ((0, edits), (-1, edits + 1)):  # it missed all; it failed
        figure._handle_custom_msg({"type": "edits seen", "number": number}, [])
        again = page.told.pop()
        assert again["_num_edits_sent"] == expected and again["_widget_layout"]["title"]["text"] == "bars"
        assert again["_widget_data"][0]["type"] == "bar"
    figure._handle_custom_msg({"type": "edits seen", "number": edits + 1}, [])
    assert len(page.told) == 1


def test_a_change_is_sent_while_another_thread_listens_to_the_page():
    figure = FigureWidget(go.Figure(go.Scatter(y=[1, 2])))
    page = Page(figure)
    speaking, changes = threading.Event(), threading.Event()

    class Slow(dict):
        def items(self):
            if figure._cross_validation_lock:  # what was said is being taken
                speaking.set()
                changes.wait(0.5)  # or until the change has come between
            return super().items()

    def change():
        figure.layout.title.text = "new"
        changes.set()

    threads = threading.Thread(target=figure.set_state, args=({"_js2py_restyle": Slow()},)), threading.Thread(target=change)
    threads[0].start()
    assert speaking.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert [state["_py2js_relayout"]["relayout_data"] for state in page.told if state.get("_py2js_relayout")] == [
        {"title.text": "new"}
    ]


def test_roofline_widget_follows_its_controls():
    widget = RooflineWidget(ROOF)
    point = widget.figure.data[-1]
    assert point.y[0] == 20e9 and "Bound by memory" in widget.sentence.value
    widget.intensity.value = 64.0
    assert tuple(point.x) == (64.0, 64.0) and point.y[0] == 100e9
    assert "Bound by the processor" in widget.sentence.value
    widget.kernel.value = "triad"
    assert point.x[0] == pytest.approx(1 / 12) and point.y[0] == pytest.approx(20e9 / 12)
    widget.intensity.value = 2.0
    assert widget.kernel.value == OWN and point.x[0] == 2.0


def test_a_long_timeline_gives_detail_when_zoomed():
    spans = tuple(("Recv", "recv", 10**6 * k, 10**6 * k + 600_000, 0, 0, 8, "comm", None, 2) for k in range(20_000))
    timeline = Timeline.from_records([RankRecord(0, spans, (), (), 0, 0, 20_000 * 10**6)])
    widget = TimelineWidget(timeline)
    assert any("Zoom in" in note.text for note in widget.layout.annotations)
    widget.layout.xaxis.range = [10.0, 10.1]  # the unit is seconds: 100 calls
    bars = next(trace for trace in widget.data if trace.name == "recv")
    assert 100 <= len(bars.x) <= 102
    assert bars.base[1] == pytest.approx(10.0, abs=0.003) and bars.x[1] == pytest.approx(0.0006)
    assert not any("Zoom in" in note.text for note in widget.layout.annotations)


def test_a_shown_timeline_follows_every_zoom_and_the_way_back():
    def passing_on(comm):
        for _ in range(60):
            comm.Sendrecv(np.zeros(4), (comm.rank + 1) % comm.size, 0, np.empty(4), (comm.rank - 1) % comm.size, 0)

    timeline = simulate(64, passing_on, trace=True).timeline.from_zero()
    widget = TimelineWidget(timeline)
    assert widget.model_id  # as if it were shown
    first, last = widget.layout.xaxis.range
    nanoseconds, _ = widget._time_unit

    def bars_reach():
        bars = [trace for trace in widget.data if trace.type == "bar"]
        starts = [start for trace in bars for start in trace.base]
        return min(starts), max(s + x for trace in bars for s, x in zip(trace.base, trace.x, strict=True)), len(starts)

    def calls_within(low, high):
        return [s for s in timeline.spans if s.start_ns <= high * nanoseconds and s.end_ns >= low * nanoseconds]

    length = last - first
    for start, end in ((0, 0.05), (0.5, 0.55), (0.9, 1)):
        low, high = first + start * length, first + end * length
        widget.plotly_relayout({"xaxis.range": [low, high]})  # as the page does it
        inside = calls_within(low, high)
        reached = bars_reach()
        assert widget.layout.xaxis.range == pytest.approx((low, high))
        assert reached[0] == pytest.approx(min(s.start_ns for s in inside) / nanoseconds)
        assert reached[1] == pytest.approx(max(s.end_ns for s in inside) / nanoseconds)
        assert not any("Zoom in" in note.text for note in widget.layout.annotations)
    widget.plotly_relayout({"xaxis.range": [first, last]})
    assert any("Zoom in" in note.text for note in widget.layout.annotations)
    assert bars_reach()[0] < first + length / 20 and bars_reach()[1] > last - length / 20
