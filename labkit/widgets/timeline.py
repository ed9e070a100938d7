"""A timeline that shows more detail as one zooms in."""

from __future__ import annotations

from IPython.display import display, publish_display_data

from labkit.trace.timeline import Timeline
from labkit.views.display import figure_bundle
from labkit.views.theme import time_unit
from labkit.views.timeline import MAX_BARS, timeline_figure, timeline_layout
from labkit.widgets.figure_widget import FigureWidget


def timeline_widget(timeline: Timeline) -> FigureWidget:
    """A figure of the timeline that is made again for the window one zooms to."""
    figure = timeline_figure(timeline)
    unit, _ = time_unit(timeline.duration_ns or 1)
    widget = FigureWidget(figure)
    shown: list = [tuple(figure.layout.xaxis.range)]

    def on_zoom(layout, window) -> None:
        if window is None or tuple(window) == shown[0]:
            return
        shown[0] = tuple(window)
        layout_now = timeline_layout(timeline, round(window[0] * unit), round(window[1] * unit))
        # All windows keep the unit of the whole run, so that the axis does not change its meaning.
        detail = timeline_figure(layout_now)
        scale = time_unit(layout_now.end_ns - layout_now.start_ns)[0] / unit
        traces = [_scaled(trace, scale) for trace in detail.data]
        with widget.batch_update():
            widget.data = ()
            widget.add_traces(traces)
            widget.layout.annotations = detail.layout.annotations

    widget.layout.on_change(on_zoom, "xaxis.range")
    return widget


def _scaled(trace, scale: float):
    trace.x = [None if x is None else x * scale for x in trace.x]
    if trace.type == "bar":
        trace.base = [base * scale for base in trace.base]
    return trace


def show_timeline(timeline: Timeline) -> None:
    """Display a timeline: a picture, or the widget if there is more than a picture can show."""
    if len(timeline.spans) > MAX_BARS:
        display(timeline_widget(timeline))
    else:
        publish_display_data(figure_bundle(timeline_figure(timeline)))
