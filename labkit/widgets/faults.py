"""Kill rank k at step s and watch: an elastic run with a fault of one's choice."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.training.elastic.plan import Fault, FaultPlan
from labkit.views.faults import faults_figure
from labkit.widgets.experiment import Experiment

STYLE = {"description_width": "170px"}
WIDE = {"width": "420px"}
MOST_RANKS = 4
NUM_STEPS = 60
NOTICE_S, SLOW_S, SLOW_STEPS, STALL_S = 120.0, 0.2, 10, 4.0
KINDS = {
    "killed (kill -9)": "kill", "killed while it writes a checkpoint": "kill-in-write",
    "given two minutes' notice": "notice", f"slow: {SLOW_S:g} s more for {SLOW_STEPS} steps": "slow",
    "stalled": "stall",
}  # fmt: skip


class FaultInjection(widgets.VBox):
    """Choose what happens to which rank after which step, run, and see what was lost.

    Real processes train digits; the chosen fault strikes one of them, and the run goes on from its last checkpoint.

    Parameters
    ----------
    num_ranks : int
        1 to 4.
    rank, step : int
        Whom it strikes, and after how many steps.
    every_steps : int
        Steps between two checkpoints.
    kind : str
        One of the values of ``KINDS``.

    Attributes
    ----------
    kind, num_ranks, rank, step, every_steps, join, spare : widgets
    experiment : Experiment
        The button and the picture; ``experiment.value`` is the :class:`labkit.training.elastic.report.ElasticReport`.
    """

    def __init__(self, num_ranks: int = 2, *, rank: int = 1, step: int = 25, every_steps: int = 10, kind: str = "kill"):
        FaultPlan((Fault(kind, step, rank),))
        self.kind = widgets.Dropdown(options=KINDS, value=kind, description="the rank is", style=STYLE, layout=WIDE)
        self.num_ranks = widgets.IntSlider(value=num_ranks, min=1, max=MOST_RANKS, description="ranks", style=STYLE, layout=WIDE)
        self.rank = widgets.IntSlider(value=min(rank, num_ranks - 1), min=0, max=num_ranks - 1, description="rank", style=STYLE, layout=WIDE)
        self.step = widgets.IntSlider(value=step, min=1, max=NUM_STEPS - 5, description="after step", style=STYLE, layout=WIDE)
        self.every_steps = widgets.IntSlider(
            value=every_steps, min=1, max=NUM_STEPS // 2, description="checkpoint every, steps", style=STYLE, layout=WIDE
        )
        self.spare = widgets.Checkbox(value=False, description="a spare worker takes its place", indent=False)
        self.join = widgets.Checkbox(value=False, description=f"a machine joins at step {NUM_STEPS - 10}", indent=False)
        self.num_ranks.observe(self._limit_rank, "value")
        self.kind.observe(self._fit_step, "value")
        self.every_steps.observe(self._fit_step, "value")
        controls = [self.kind, self.num_ranks, self.rank, self.step, self.every_steps, self.spare, self.join]
        self.experiment = Experiment(controls, self._measure, lambda report: [faults_figure(report)], words=_words, label="Run")
        super().__init__([self.experiment])

    @property
    def plan(self) -> FaultPlan:
        """What the controls say."""
        kind = self.kind.value
        seconds = {"notice": NOTICE_S, "slow": SLOW_S}.get(kind, 0.0)
        faults = [Fault(kind, self.step.value, self.rank.value, seconds, SLOW_STEPS if kind == "slow" else 0)]
        if self.join.value:
            faults.append(Fault("join", NUM_STEPS - 10))
        return FaultPlan(tuple(faults))

    def _limit_rank(self, change) -> None:
        self.rank.max = self.num_ranks.value - 1

    def _fit_step(self, change) -> None:
        """While a checkpoint is written: at a step at which there is one."""
        if self.kind.value == "kill-in-write":
            every = self.every_steps.value
            self.step.value = min(max(every, round(self.step.value / every) * every), (NUM_STEPS - 5) // every * every)
        self.step.step = self.every_steps.value if self.kind.value == "kill-in-write" else 1

    def _measure(self, progress):
        from labkit.training.elastic import Job, run_elastic

        self._fit_step(None)
        job = Job(arguments={"num_steps": NUM_STEPS, "hidden": [32], "batch_size": 256})
        return run_elastic(
            job, self.num_ranks.value, every_steps=self.every_steps.value, plan=self.plan, stall_s=STALL_S,
            num_spares=int(self.spare.value), progress=progress,
        )


def _words(report) -> str:
    recoveries = " ".join(
        f"{r.cause}: {r.lost_steps} steps lost, training again on {r.num_ranks} rank{'s' * (r.num_ranks != 1)} after {r.recovery_s:.2f} s."
        for r in report.recoveries
    )
    unused = " ".join(h.text + "." for h in report.happenings if h.kind == "unused")
    accuracy = "" if report.accuracy is None else f" Right on {report.accuracy:.0%} of the test part."
    return f"{recoveries or 'No rank was lost.'} {unused}{accuracy}".replace("  ", " ")
