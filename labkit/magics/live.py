"""``%%mpi --trace --live``: the timeline under a cell that grows while the cell runs."""

from __future__ import annotations

from IPython.display import publish_display_data

from labkit.trace.growing import GrowingTimeline
from labkit.trace.timeline import Timeline

VIEW = "application/vnd.jupyter.widget-view+json"


class LiveView:
    """While a cell runs, shows the timeline of the parts that its ranks send.

    A context: its end is the end of the run, however that came. The widget stays, to play the run again.

    Parameters
    ----------
    num_ranks : int
    """

    def __init__(self, num_ranks: int):
        from labkit.widgets.live_timeline import LiveTimeline

        self.growing = GrowingTimeline(num_ranks)
        self.widget = LiveTimeline(Timeline(num_ranks))

    def __enter__(self) -> LiveView:
        # Its view alone: where no widget can be shown, no text stands in for it.
        publish_display_data({VIEW: self.widget._repr_mimebundle_()[VIEW]})
        self.widget.follow(lambda: (self.growing.timeline(), False))
        return self

    def __exit__(self, *exception) -> None:
        self.widget.stop()

    def end(self, timeline: Timeline | None) -> None:
        """Show the timeline of the whole run, or without one (a rank died) all that the ranks had sent."""
        self.widget.stop()
        self.widget.update(self.growing.timeline() if timeline is None else timeline)


def live_view(shell, num_ranks: int) -> LiveView | None:
    """The view of a cell to come; None in a shell without a page, such as IPython in a terminal."""
    return LiveView(num_ranks) if getattr(shell, "kernel", None) is not None else None
