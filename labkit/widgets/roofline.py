"""The roofline of this machine with a slider: how fast can a kernel be at most?"""

from __future__ import annotations

import ipywidgets as widgets

from labkit.hardware.roofline import KERNELS, Roofline
from labkit.views.roofline import explanation, point_trace, roofline_figure
from labkit.widgets.figure_widget import FigureWidget

INTENSITIES = [2.0 ** (k / 2) for k in range(-12, 21)]  # flop per byte, 1/64 to 1024
OWN = "my own kernel"


class RooflineWidget(widgets.VBox):
    """Choose a kernel or an arithmetic intensity; see what bounds it on this machine.

    Parameters
    ----------
    roofline : Roofline

    Attributes
    ----------
    figure : FigureWidget
    kernel : ipywidgets.Dropdown
    intensity : ipywidgets.SelectionSlider
        Flops per byte.
    sentence : ipywidgets.HTML
    """

    def __init__(self, roofline: Roofline):
        self.roofline = roofline
        figure = roofline_figure(roofline)
        figure.add_trace(point_trace(roofline, 1.0))  # before the widget: a page reads it as it was made
        self.figure = FigureWidget(figure)
        self.kernel = widgets.Dropdown(
            options=[OWN, *(kernel.name for kernel in KERNELS)], description="kernel",
            style={"description_width": "initial"},
        )
        self.intensity = widgets.SelectionSlider(
            options=[(f"{x:.3g}", x) for x in INTENSITIES], value=1.0, description="flops per byte",
            continuous_update=True, style={"description_width": "initial"},
            layout=widgets.Layout(width="420px"),
        )
        self.sentence = widgets.HTML(explanation(roofline, 1.0))
        self.kernel.observe(self._on_kernel, "value")
        self.intensity.observe(self._on_intensity, "value")
        super().__init__([widgets.HBox([self.kernel, self.intensity]), self.sentence, self.figure])

    def _on_kernel(self, change) -> None:
        chosen = next((k for k in KERNELS if k.name == change["new"]), None)
        if chosen is not None:
            self._show(chosen.intensity)

    def _on_intensity(self, change) -> None:
        self.kernel.value = OWN
        self._show(change["new"])

    def _show(self, intensity: float) -> None:
        point = point_trace(self.roofline, intensity)
        with self.figure.batch_update():
            self.figure.data[-1].x, self.figure.data[-1].y = point.x, point.y
            self.figure.data[-1].hovertext = point.hovertext
        self.sentence.value = explanation(self.roofline, intensity)
