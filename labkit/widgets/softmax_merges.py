"""The merges of online softmax, to step through and to play."""

from __future__ import annotations

import math
from collections.abc import Sequence

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.views.merge_tree import MOST_LEAVES, ORDERS, merge_tree_figure, merge_tree_layout, merge_words, num_merges
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "initial"}
TREES = {
    "rising": [float(k) for k in range(MOST_LEAVES)],
    "falling": [float(-k) for k in range(MOST_LEAVES)],
    "mixed": [1.0, 3.0, 2.0, 5.0, 0.0, 4.0, 2.0, 6.0, 1.0, 0.0, 7.0, 3.0, 2.0, 5.0, 1.0, 4.0],
    "equal": [2.0] * MOST_LEAVES,
    "1000 apart": [0.0, 1000.0] * (MOST_LEAVES // 2),
    "some -inf": [-math.inf, 1.0, -math.inf, -math.inf, 3.0, 2.0, -math.inf, 1.0] * 2,
}


class MergeTreeExplorer(widgets.VBox):
    """The merges of online softmax, one after another: step with the slider, or play.

    Parameters
    ----------
    logits : sequence of 1 to 16 numbers or -inf, optional
    order : str
        ``"pairs"`` as threads and ranks merge, ``"one by one"`` as a loop does.

    Attributes
    ----------
    row, order : ipywidgets.Dropdown
        Which logits, and how they are merged.
    num_logits, step : ipywidgets.IntSlider
    play : ipywidgets.Play
    controls : dict
        These by name.
    sentence : ipywidgets.HTML
        What the last merge computed.
    figure : FigureWidget

    Raises
    ------
    UsageError
        Too many logits, NaN or +inf, or another order.

    Examples
    --------
    >>> explorer = MergeTreeExplorer([1.0, 2.0, 3.0, 4.0])
    >>> explorer.step.value = 2
    >>> explorer.figure.layout.title.text
    '<b>Online softmax</b>, states (m, d) merged in pairs: 2 of 3 merges done'
    """

    def __init__(self, logits: Sequence[float] | None = None, *, order: str = "pairs"):
        self._rows = dict(TREES)
        start, number = "mixed", 8
        if logits is not None:
            try:
                row = [float(value) for value in logits]
            except (TypeError, ValueError):
                row = []
            if not 1 <= len(row) <= MOST_LEAVES or any(math.isnan(v) or v == math.inf for v in row):
                raise UsageError(
                    f"MergeTreeExplorer: logits are 1 to {MOST_LEAVES} numbers or -inf, not {logits!r:.80}: pass such."
                )
            self._rows, start, number = {"yours": row} | self._rows, "yours", len(row)
        if order not in ORDERS:
            raise UsageError(
                f"MergeTreeExplorer: order is one of {', '.join(ORDERS)}, not {order!r}: pass one of these."
            )
        self.row = widgets.Dropdown(options=list(self._rows), value=start, description="logits", style=STYLE)
        self.num_logits = widgets.IntSlider(
            value=number, min=1, max=len(self._rows[start]), description="how many", style=STYLE,
            continuous_update=False,
        )
        self.order = widgets.Dropdown(options=ORDERS, value=order, description="merged", style=STYLE)
        self.step = widgets.IntSlider(value=0, min=0, max=max(number - 1, 0), description="merges", style=STYLE)
        self.play = widgets.Play(value=0, min=0, max=max(number - 1, 0), interval=900)
        widgets.jslink((self.play, "value"), (self.step, "value"))
        self.controls = {
            "row": self.row, "num_logits": self.num_logits, "order": self.order, "step": self.step, "play": self.play,
        }
        self.sentence, self.figure = widgets.HTML(""), FigureWidget(merge_tree_figure(self.logits, 0, order=order))
        self._show()
        for control in (self.row, self.num_logits, self.order):
            control.observe(self._on_other, "value")
        self.step.observe(self._on_step, "value")
        super().__init__([
            widgets.HBox([self.row, self.num_logits, self.order]), widgets.HBox([self.play, self.step]), self.sentence,
            self.figure,
        ])  # fmt: skip

    @property
    def logits(self) -> list[float]:
        """Those that are merged."""
        return self._rows[self.row.value][: self.num_logits.value]

    def _on_other(self, change) -> None:
        self.play.playing = False
        self.num_logits.max = len(self._rows[self.row.value])
        last = max(len(self.logits) - 1, 0)
        self.step.value = self.play.value = 0
        self.step.max = self.play.max = last
        self._show()

    def _on_step(self, change) -> None:
        self._show()

    def _show(self) -> None:
        nodes = merge_tree_layout(self.logits, order=self.order.value)
        self.sentence.value = merge_words(nodes, min(self.step.value, num_merges(nodes)))
        replace_figure(self.figure, merge_tree_figure(self.logits, self.step.value, order=self.order.value))
