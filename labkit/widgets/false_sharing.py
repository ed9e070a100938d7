"""False sharing to measure: threads, their increments, and the curve over the padding."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.openmp.experiments.false_sharing import FalseSharingCurve, false_sharing_curve
from labkit.openmp.experiments.rounds import usable_cores
from labkit.views.openmp_false_sharing import false_sharing_figure
from labkit.widgets.experiment import Experiment

MOST_THREADS = 32
INCREMENTS = (5_000, 20_000, 100_000)
STYLE = {"description_width": "initial"}


class FalseSharingExplorer(Experiment):
    """Choose the number of threads: see what an increment costs over the distance of their counters.

    Parameters
    ----------
    num_threads : int, optional
        1 to 32; by default one a usable core, at least 2.

    Attributes
    ----------
    num_threads : ipywidgets.IntSlider
    num_increments : ipywidgets.Dropdown
    value : FalseSharingCurve or None
        What was measured last.

    Raises
    ------
    UsageError
        Another number of threads.
    """

    def __init__(self, num_threads: int | None = None):
        if num_threads is None:
            num_threads = min(max(usable_cores(), 2), MOST_THREADS)
        if num_threads not in range(1, MOST_THREADS + 1):
            raise UsageError(
                f"FalseSharingExplorer: num_threads is 1 to {MOST_THREADS}, not {num_threads!r}: pass one of them."
            )
        self.num_threads = widgets.IntSlider(
            value=num_threads, min=1, max=MOST_THREADS, description="threads", continuous_update=False, style=STYLE
        )
        self.num_increments = widgets.Dropdown(
            options=[(f"{n:,}", n) for n in INCREMENTS], value=20_000, description="increments of each", style=STYLE,
            layout={"width": "230px"},
        )
        super().__init__(
            [self.num_threads, self.num_increments], self._measure_curve, lambda curve: (false_sharing_figure(curve),),
            words=_words, label="Measure",
        )

    def _measure_curve(self, progress) -> FalseSharingCurve:
        return false_sharing_curve(
            self.num_threads.value, num_increments=self.num_increments.value, progress=progress
        )


def _words(curve: FalseSharingCurve) -> str:
    rounds = f"{len(curve.plain_ns)} rounds of each"
    if curve.num_wrong:
        return f"{rounds}; {curve.num_wrong} of them counted wrong."
    return f"{rounds}; every counter was right: false sharing costs time, not correctness."
