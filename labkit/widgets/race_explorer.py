"""A race to watch: wrong results as a histogram, and what it costs to do it right."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.openmp.experiments.races import RaceReport, watch_race
from labkit.openmp.experiments.rounds import usable_cores
from labkit.openmp.experiments.sum_costs import SumCosts, sum_costs
from labkit.views.openmp_races import cost_figure, race_figure
from labkit.widgets.experiment import Experiment

MOST_THREADS = 32
UPDATES = (1_000, 5_000, 20_000, 100_000, 500_000)
RUNS = (50, 200, 1_000)
COST_UPDATES = 100_000
STYLE = {"description_width": "initial"}


class RaceExplorer(Experiment):
    """Choose threads, updates and runs: see what comes out of a sum with a race, and of four without.

    Parameters
    ----------
    num_threads : int, optional
        1 to 32; by default one a usable core, at least 2.
    num_updates : int
        One of 1000, 5000, 20 000, 100 000, 500 000.

    Attributes
    ----------
    num_threads : ipywidgets.IntSlider
    num_updates, num_runs : ipywidgets.Dropdown
    value : tuple of (RaceReport, SumCosts) or None
        What was measured last.

    Raises
    ------
    UsageError
        A value that its control does not have.
    """

    def __init__(self, num_threads: int | None = None, *, num_updates: int = 20_000):
        if num_threads is None:
            num_threads = min(max(usable_cores(), 2), MOST_THREADS)
        if num_threads not in range(1, MOST_THREADS + 1):
            raise UsageError(f"RaceExplorer: num_threads: 1 to {MOST_THREADS}, not {num_threads!r}: pass one of them.")
        if num_updates not in UPDATES:
            numbers = ", ".join(map(str, UPDATES))
            raise UsageError(f"RaceExplorer: num_updates is one of {numbers}, not {num_updates!r}: pass one of them.")
        self.num_threads = widgets.IntSlider(
            value=num_threads, min=1, max=MOST_THREADS, description="threads", continuous_update=False, style=STYLE
        )
        self.num_updates = widgets.Dropdown(
            options=[(f"{n:,}", n) for n in UPDATES], value=num_updates, description="updates", style=STYLE,
            layout={"width": "180px"},
        )
        self.num_runs = widgets.Dropdown(
            options=[(f"{n:,}", n) for n in RUNS], value=200, description="runs", style=STYLE, layout={"width": "150px"}
        )
        super().__init__(
            [self.num_threads, self.num_updates, self.num_runs], self._measure_both, _figures, words=_words,
            label="Run the race",
        )

    def _measure_both(self, progress) -> tuple[RaceReport, SumCosts]:
        p = self.num_threads.value
        report = watch_race(p, self.num_updates.value, num_runs=self.num_runs.value, progress=progress)
        return report, sum_costs(p, COST_UPDATES, limit_s=1.0, progress=progress)


def _figures(value):
    report, costs = value
    return race_figure(report), cost_figure(costs)


def _words(value) -> str:
    report, costs = value
    wrong = f"{report.share_wrong:.0%} of the runs with a race were wrong"
    if costs.all_right:
        return f"{wrong}; critical section, atomic addition and reductions were right every time."
    return f"{wrong}; and so were some without, which must not be."
