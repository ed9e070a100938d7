"""Parameter servers to play with: rules side by side, with workers that are slow or stall."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.training.parameter_server.consistency import Consistency
from labkit.views.parameter_server import clock_figure, server_losses_figure, staleness_figure, wheel_figure
from labkit.widgets.experiment import Experiment

STYLE = {"description_width": "170px"}
WIDE = {"width": "420px"}


class ParameterServerExplorer(Experiment):
    """Choose a rule and what is wrong with the workers: it is trained with it, with bsp and without any rule.

    The training is real (a small network on digits), the ranks are simulated and their time is virtual.

    Parameters
    ----------
    rule : str
        ``"ssp,3"``, for example; the other two of the comparison are bsp and async.
    num_workers : int

    Attributes
    ----------
    bound, num_workers : ipywidgets.IntSlider
    slow, stall : ipywidgets.FloatSlider
        Worker 0 is so many times slower; worker 1 stalls so many steps' time.
    correction : ipywidgets.Dropdown
    value : list of ParameterServerReport
        Of the last run: bsp, ssp, async.

    Examples
    --------
    >>> explorer = ParameterServerExplorer("ssp,2", num_workers=3)
    >>> explorer.bound.value, explorer.button.description
    (2, 'Train')
    """

    def __init__(self, rule: str = "ssp,3", num_workers: int = 4):
        bound = Consistency.parse(rule).bound
        self.bound = widgets.IntSlider(
            value=3 if bound is None else bound, min=0, max=10, description="bound of ssp", style=STYLE, layout=WIDE
        )
        self.num_workers = widgets.IntSlider(
            value=num_workers, min=2, max=12, description="workers", style=STYLE, layout=WIDE
        )
        self.slow = widgets.FloatSlider(
            value=1.0, min=1, max=5, step=0.5, readout_format=".1f", description="worker 0 slower, times", style=STYLE, layout=WIDE
        )
        self.stall = widgets.FloatSlider(
            value=8.0, min=0, max=40, step=1, readout_format=".0f", description="worker 1 stalls, steps", style=STYLE, layout=WIDE
        )
        self.correction = widgets.Dropdown(
            options=[("none", None), ("smaller rate for stale ones", "learning_rate"), ("less momentum", "momentum")],
            description="correction", style=STYLE, layout=WIDE,
        )
        super().__init__(
            [self.num_workers, self.bound, self.slow, self.stall, self.correction], self._train, self._figures,
            words=_words, label="Train",
        )

    def _train(self, progress):
        from labkit.training.parameter_server.explore import compare_rules

        step_s = 0.01
        return compare_rules(
            ("bsp", f"ssp,{self.bound.value}", "async"), num_workers=self.num_workers.value, slow=self.slow.value,
            stall_s=self.stall.value * step_s, step_s=step_s, correction=self.correction.value, progress=progress,
        )

    @staticmethod
    def _figures(reports):
        return [clock_figure(reports[1]), staleness_figure(reports), server_losses_figure(reports), wheel_figure(reports[1])]


def _words(reports) -> str:
    """Times and accuracies in a sentence."""
    import numpy as np

    parts = [
        f"{report.consistency}: {np.nanmax(report.moments_s[:, :, 3]):.2f} s of virtual time, accuracy {100 * report.accuracy:.1f} %"
        for report in reports
    ]
    return "; ".join(parts)
