"""A timeline that plays, or grows while its run goes on."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable

import ipywidgets as widgets

from labkit.trace.timeline import Timeline
from labkit.views.playback import playback_figure
from labkit.views.theme import time_text
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

NUM_STEPS = 100
LEAST_INTERVAL_MS = 50


class LiveTimeline(widgets.VBox):
    """The messages of a traced run as they travel: play it, or give it more while it runs.

    Parameters
    ----------
    timeline : Timeline
        Of a run that has ended, or so far; an empty one to begin with is fine.
    seconds : float
        How long the whole run plays.

    Attributes
    ----------
    position : ipywidgets.IntSlider
        Per cent of the run.
    seconds : ipywidgets.FloatLogSlider
        How long the whole run plays: the speed.
    play : ipywidgets.Play
    sentence : ipywidgets.HTML
        How much slower than the run it plays.
    figure : FigureWidget

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.mpi.collectives.barrier import barrier_tree
    >>> live = LiveTimeline(simulate(4, barrier_tree, trace=True).timeline)
    >>> live.position.value = 50
    >>> live.figure.layout.title.text.split(":")[0]
    'At 2 µs'
    """

    def __init__(self, timeline: Timeline, *, seconds: float = 8.0):
        self.timeline = timeline.from_zero()
        self._lock, self._stop, self._thread = threading.RLock(), threading.Event(), None
        # Both begin at the end: the link below gives the slider on the page the value of the button.
        self.play = widgets.Play(value=NUM_STEPS, min=0, max=NUM_STEPS, show_repeat=False)
        self.position = widgets.IntSlider(
            value=NUM_STEPS, min=0, max=NUM_STEPS, description="% of the run", style={"description_width": "initial"},
            layout={"width": "420px"},
        )
        self.seconds = widgets.FloatLogSlider(
            value=seconds, min=0, max=2, step=0.1, readout_format=".0f", description="plays for (s)",
            style={"description_width": "initial"}, continuous_update=False,
        )
        self.sentence = widgets.HTML()
        self.figure = FigureWidget(playback_figure(self.timeline, self.now_ns))
        self._on_speed(None)
        widgets.jslink((self.play, "value"), (self.position, "value"))
        self.position.observe(self._draw, "value")
        self.seconds.observe(self._on_speed, "value")
        super().__init__([widgets.HBox([self.play, self.position, self.seconds]), self.sentence, self.figure])

    @property
    def now_ns(self) -> int:
        """The moment that is shown, in ns from the start of the run."""
        return round(self.timeline.duration_ns * self.position.value / NUM_STEPS)

    def _draw(self, change=None) -> None:
        with self._lock:
            replace_figure(self.figure, playback_figure(self.timeline, self.now_ns))

    def _on_speed(self, change) -> None:
        self.play.interval = max(LEAST_INTERVAL_MS, round(1000 * self.seconds.value / NUM_STEPS))
        played_s = self.play.interval * NUM_STEPS / 1000
        duration_ns = self.timeline.duration_ns
        words = f"The run of {time_text(duration_ns)} plays in {played_s:.3g} s"
        self.sentence.value = words + (f": {1e9 * played_s / duration_ns:,.0f} times slower." if duration_ns else ".")

    def update(self, timeline: Timeline) -> None:
        """Show a longer timeline of the same run: its end, if the end was shown, or the same moment."""
        with self._lock:
            at_end, now = self.position.value == NUM_STEPS, self.now_ns
            self.timeline = timeline.from_zero()
            if not at_end and self.timeline.duration_ns:
                self.position.value = min(NUM_STEPS, round(NUM_STEPS * now / self.timeline.duration_ns))
            self._on_speed(None)
            self._draw()
            self.figure.refresh_for_late_pages()

    def follow(self, source: Callable[[], tuple[Timeline, bool]], *, interval_s: float = 0.5) -> None:
        """Ask ``source()`` for (timeline so far, whether the run has ended) until it has, in a thread of its own.

        Parameters
        ----------
        source : callable
        interval_s : float
            Between two questions.
        """
        self.stop()
        self._stop = stop = threading.Event()

        def ask() -> None:
            ended, seen = False, None
            while not ended and not stop.is_set():
                try:
                    timeline, ended = source()
                except Exception as error:  # said on the page; the last picture stays
                    self.sentence.value = f"The run cannot be followed any more: {html.escape(str(error))}"
                    return
                if timeline is not seen and timeline != self.timeline:
                    self.update(timeline)
                seen = timeline
                stop.wait(0 if ended else interval_s)

        self._thread = threading.Thread(target=ask, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
