"""A timeline that shows more detail as one zooms in."""

from __future__ import annotations

import traitlets
from IPython.display import display, publish_display_data

from labkit.trace.timeline import Timeline
from labkit.views.display import figure_bundle
from labkit.views.theme import time_unit
from labkit.views.timeline import MAX_BARS, timeline_figure, timeline_layout
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure


class TimelineWidget(FigureWidget):
    """A figure of a timeline that is made again for the window one zooms to.

    Parameters
    ----------
    timeline : Timeline

    Attributes
    ----------
    timeline : Timeline
        The same, with times counted from the start of the run.
    """

    timeline = traitlets.Instance(Timeline, allow_none=True)  # plotly asks for it before it is set

    def __init__(self, timeline: Timeline):
        timeline = timeline.from_zero()
        layout = timeline_layout(timeline)
        # All windows keep the unit of the first, so that the axis does not change its meaning.
        unit = time_unit(layout.end_ns - layout.start_ns)
        super().__init__(timeline_figure(layout, unit=unit))
        self._config = {"displaylogo": False, "responsive": True, "doubleClick": "reset"}
        self.timeline = timeline
        self._time_unit = unit
        self._window = tuple(self.layout.xaxis.range)
        self.layout.on_change(self._on_zoom, "xaxis.range")

    def _on_zoom(self, layout, window) -> None:
        """Draw the window ``window``, in units of the axis."""
        if window is None or tuple(window) == self._window:
            return
        self._window = tuple(window)
        size, _ = self._time_unit
        shown = timeline_layout(self.timeline, *(round(float(end) * size) for end in window))
        detail = timeline_figure(shown, unit=self._time_unit)
        detail.layout.xaxis.range = self._window
        replace_figure(self, detail)
        self.layout.on_change(self._on_zoom, "xaxis.range")  # again: it may be another layout, which nobody listens to


def show_timeline(timeline: Timeline) -> None:
    """Display a timeline: a picture, or the widget if there is more than a picture can show."""
    if len(timeline.spans) > MAX_BARS:
        display(TimelineWidget(timeline))
    else:
        publish_display_data(figure_bundle(timeline_figure(timeline)))
