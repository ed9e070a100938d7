"""Checkpoint intervals and spot machines, with sliders."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.training.spot import HOUR_S, Prices, best_interval, cost_of_run, simulate_runs
from labkit.views.spot import cost_figure, interval_figure, span_text
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "200px"}
WIDE = {"width": "440px"}
SIMULATED_AT = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the best interval
NUM_RUNS = 60


def _slider(label: str, value: float, least: float, most: float) -> widgets.FloatLogSlider:
    import math

    return widgets.FloatLogSlider(
        value=value, base=10, min=math.log10(least), max=math.log10(most), step=0.05, description=label, style=STYLE, layout=WIDE,
        continuous_update=False, readout_format=".3g",
    )  # fmt: skip


class SpotExplorer(widgets.VBox):
    """How often to take a checkpoint, and what the job costs on spot machines and on demand.

    Prices and rates are inputs of a model (:mod:`labkit.training.spot`), not anybody's price list.

    Attributes
    ----------
    work, machines, mtbf, write, restart, on_demand, spot, interruptions, notice : widgets
        Hours of work; machines; hours between two failures of one machine; s to write and to restart; prices of a machine
        and hour; interruptions of a spot machine an hour; share of them that is announced in time.
    simulate : ipywidgets.Checkbox
        Draw simulated jobs beside the formula.
    words : ipywidgets.HTML
    interval, cost : FigureWidget
    """

    def __init__(self):
        self.work = _slider("work, h", 24, 1, 1000)
        self.machines = widgets.IntSlider(
            value=16, min=1, max=256, description="machines", style=STYLE, layout=WIDE, continuous_update=False
        )
        self.mtbf = _slider("one machine fails every, h", 10000, 10, 100000)
        self.write = _slider("a checkpoint takes, s", 30, 0.1, 1000)
        self.restart = _slider("a restart takes, s", 300, 1, 10000)
        self.on_demand = widgets.FloatSlider(
            value=3.0, min=0.1, max=20, step=0.1, description="price on demand", style=STYLE, layout=WIDE,
            continuous_update=False
        )
        self.spot = widgets.FloatSlider(
            value=1.0, min=0.1, max=20, step=0.1, description="price on spot", style=STYLE, layout=WIDE,
            continuous_update=False
        )
        self.interruptions = _slider("interruptions a machine and hour", 0.05, 0.0001, 10)
        self.notice = widgets.FloatSlider(
            value=0.0, min=0, max=1, step=0.05, description="share with notice", style=STYLE, layout=WIDE,
            continuous_update=False
        )
        self.simulate = widgets.Checkbox(value=False, description="simulate jobs too", indent=False)
        self.words = widgets.HTML("")
        interval, cost = self._draw()
        self.interval, self.cost = FigureWidget(interval), FigureWidget(cost)
        for control in self.controls:
            control.observe(self._on_change, "value")
        row = {"flex_flow": "row wrap"}
        super().__init__([
            widgets.HBox([self.work, self.machines, self.mtbf], layout=row),
            widgets.HBox([self.write, self.restart, self.interruptions, self.notice], layout=row),
            widgets.HBox([self.on_demand, self.spot, self.simulate], layout=row), self.words, self.interval, self.cost,
        ])  # fmt: skip

    @property
    def controls(self) -> tuple[widgets.Widget, ...]:
        return (
            self.work, self.machines, self.mtbf, self.write, self.restart, self.on_demand, self.spot, self.interruptions,
            self.notice, self.simulate,
        )  # fmt: skip

    @property
    def prices(self) -> Prices:
        """What the controls say."""
        return Prices(
            self.on_demand.value, self.spot.value, self.interruptions.value, 1 / self.mtbf.value, self.notice.value
        )

    def _draw(self):
        """Both figures; the words are set too. The interval is that of the spot machines."""
        work_s, write_s, restart_s = self.work.value * HOUR_S, self.write.value, self.restart.value
        job = {"work_s": work_s, "num_machines": self.machines.value, "write_s": write_s, "restart_s": restart_s}
        spot, plain = (cost_of_run(self.prices, spot=is_spot, **job) for is_spot in (True, False))
        points = []
        if self.simulate.value and best_interval(write_s, spot.mtbf_s) * 200 < 1e9 and spot.time_s < 20 * work_s:
            for factor in SIMULATED_AT:
                at = min(factor * best_interval(write_s, spot.mtbf_s), work_s)
                runs = simulate_runs(work_s, at, write_s, restart_s, spot.mtbf_s, num_runs=NUM_RUNS)
                points.append((at, runs.mean_s, runs.standard_error_s))
        self.words.value = (
            f"Of {self.machines.value} spot machines one is lost every <b>{span_text(spot.mtbf_s)}</b>. With a checkpoint every "
            f"<b>{span_text(spot.interval_s)}</b> the job takes {span_text(spot.time_s)} and costs <b>{spot.cost:,.4g}</b>; on demand "
            f"{span_text(plain.time_s)} and <b>{plain.cost:,.4g}</b>. The upper figure is for spot machines without notice."
        )
        return interval_figure(write_s, restart_s, spot.mtbf_s, work_s, points), cost_figure(self.prices, **job)

    def _on_change(self, change) -> None:
        interval, cost = self._draw()
        replace_figure(self.interval, interval)
        replace_figure(self.cost, cost)
