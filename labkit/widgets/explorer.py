"""Controls, a sentence, and a figure that follows the controls."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as widgets
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure


class Explorer(widgets.VBox):
    """Controls in a row, a sentence below, and a figure; each change of a control shows both anew.

    Parameters
    ----------
    controls : dict of str to ipywidgets.Widget
    show : callable
        ``show(**values) -> (figure, words)`` with the values of the controls by their names; words are HTML. A
        UsageError is told instead.

    Attributes
    ----------
    controls : dict of str to ipywidgets.Widget
    sentence : ipywidgets.HTML
        What is to be seen; or why a setting cannot be shown, while the figure stays as it was.
    figure : FigureWidget
    """

    def __init__(self, controls: dict[str, widgets.Widget], show: Callable[..., tuple[go.Figure, str]]):
        self.controls, self._show = controls, show
        figure, words = show(**self.values)
        self.sentence, self.figure = widgets.HTML(words), FigureWidget(figure)
        for control in controls.values():
            control.observe(self._on_change, "value")
        row = widgets.HBox(list(controls.values()), layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([row, self.sentence, self.figure])

    @property
    def values(self) -> dict:
        """What the controls say, by their names."""
        return {key: control.value for key, control in self.controls.items()}

    def _on_change(self, change) -> None:
        try:
            figure, self.sentence.value = self._show(**self.values)
        except UsageError as error:
            self.sentence.value = f"<b>Not shown:</b> {html.escape(str(error))}"
            return
        replace_figure(self.figure, figure)
