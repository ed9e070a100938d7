"""A measurement with a button: it runs in a thread of its own, says how far it is, can be stopped, and draws."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import plotly.graph_objects as go

from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STOP = "Stop"
SETTLE_S = 0.2  # a page holds the last value of a control back until the kernel has taken the one before


class Stopped(Exception):
    """The button was pressed while it ran."""


class Experiment(widgets.VBox):
    """Controls, a button that measures, and the figures of what was measured.

    Parameters
    ----------
    controls : sequence of widgets
        What :attr:`measure` reads; they cannot be changed while it runs.
    measure : callable
        ``measure(progress) -> value``; it tells ``progress`` now and then how far it is, which is where it is stopped.
    draw : callable
        ``draw(value) -> figures``.
    words : callable
        ``words(value) -> str``, text (not HTML) for the status line when it has ended.
    label : str
        Of the button.
    locked : sequence of widgets
        Others that cannot be changed while it runs.

    Attributes
    ----------
    button : ipywidgets.Button
        While it runs, *Stop*.
    status : ipywidgets.HTML
        How far it is, or what came out, or what went wrong.
    figures : tuple of FigureWidget
        Empty until something was measured.
    value
        What was measured last, or None.
    """

    def __init__(
        self, controls: Sequence[widgets.Widget], measure: Callable, draw: Callable[[object], Sequence[go.Figure]], *,
        words: Callable[[object], str], label: str, locked: Sequence[widgets.Widget] = (),
    ):
        self._measure, self._draw, self._words, self._label = measure, draw, words, label
        self.controls, self._locked = tuple(controls), (*controls, *locked)
        self._were_disabled: list[bool] = []
        self._pictures = widgets.VBox([])
        self.value = None
        self.figures: tuple[FigureWidget, ...] = ()
        self._stop, self._thread = threading.Event(), None
        self.button = widgets.Button(description=label, icon="play", layout={"width": "180px"})
        self.status = widgets.HTML("")
        self.button.on_click(self._on_button)
        row = widgets.HBox(self.controls, layout={"flex_flow": "row wrap"})
        super().__init__([*([row] if controls else []), widgets.HBox([self.button, self.status]), self._pictures])

    def _on_button(self, button) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._stop.set()
            self.status.value = "Stopping ..."
            return
        self._stop.clear()
        self.button.description, self.button.icon = STOP, "stop"
        self._were_disabled = [control.disabled for control in self._locked]
        for control in self._locked:
            control.disabled = True
        self._thread = threading.Thread(target=self._run, name="labkit experiment", daemon=True)
        self._thread.start()

    def _progress(self, text: str) -> None:
        if self._stop.is_set():
            raise Stopped
        self.status.value = html.escape(text, quote=False)

    def _run(self) -> None:
        words = ""
        try:
            if self._locked:
                self._stop.wait(SETTLE_S)
            self.value = self._measure(self._progress)
            self._show(self._draw(self.value))
            words = html.escape(self._words(self.value), quote=False)
        except Stopped:
            words = "Stopped; what is shown is the measurement before." if self.figures else "Stopped."
        except Exception as error:  # whatever it is, it belongs on the page, and the button works again
            reason = html.escape(str(error) or type(error).__name__, quote=False)
            words = f"<b>It could not be measured:</b> {reason}"
        finally:
            for control, was_disabled in zip(self._locked, self._were_disabled, strict=True):
                control.disabled = was_disabled
            self.button.description, self.button.icon = self._label, "play"
            self.status.value = words

    def _show(self, figures: Sequence[go.Figure]) -> None:
        if self.figures:
            for widget, figure in zip(self.figures, figures, strict=True):
                replace_figure(widget, figure)
            return
        self.figures = tuple(FigureWidget(figure) for figure in figures)
        self._pictures.children = self.figures

    def forget(self) -> None:
        """Show nothing: what was measured belongs to a choice that is no more."""
        self.value, self.status.value, self._pictures.children = None, "", ()
        for figure in self.figures:
            figure.close()
        self.figures = ()

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the measurement has ended, or after ``timeout_s``."""
        if self._thread is not None:
            self._thread.join(timeout_s)
