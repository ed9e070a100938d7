"""A loop schedule on the real threads of this machine, beside its simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.openmp.experiments.real_schedule import MeasuredSchedule, measure_schedule
from labkit.openmp.schedule import Schedule
from labkit.openmp.simulate import ScheduleRun
from labkit.views.openmp_schedule import schedule_gantt_figure, schedule_map_figure
from labkit.views.theme import INK, time_text, time_unit
from labkit.widgets.experiment import Experiment

LABEL = "Run on real threads"
WORK_S = 0.3  # of all rounds together, on one thread
MOST_ROUNDS = 25


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be run, and what the simulation says of it."""

    schedule: Schedule
    costs_s: np.ndarray
    simulated: ScheduleRun


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was expected, and what came."""

    plan: Plan
    measured: MeasuredSchedule


class ScheduleOnThreads(Experiment):
    """A button that runs a plan on real threads and draws what happened: map and Gantt chart, as of the simulation.

    Parameters
    ----------
    plan : callable
        ``plan() -> Plan``, asked when the button is pressed.
    locked : sequence of widgets
        What the plan is chosen with; it cannot be changed meanwhile.

    Attributes
    ----------
    value : Outcome or None
    figures : tuple of FigureWidget
        Map and Gantt chart, when something was measured.
    """

    def __init__(self, plan: Callable[[], Plan], *, locked=()):
        self._plan = plan
        super().__init__([], self._measure_plan, measured_figures, words=outcome_words, label=LABEL, locked=locked)

    def _measure_plan(self, progress) -> Outcome:
        plan = self._plan()
        num_rounds = min(max(int(WORK_S / max(plan.costs_s.sum(), 1e-6)), 1), MOST_ROUNDS)
        measured = measure_schedule(
            plan.schedule, plan.costs_s, plan.simulated.num_threads, num_rounds=num_rounds, progress=progress
        )
        return Outcome(plan, measured)


def measured_figures(outcome: Outcome) -> tuple[go.Figure, go.Figure]:
    """Map and Gantt chart of the measured run; the chart shows where the simulation ends."""
    run, simulated = outcome.measured.run, outcome.plan.simulated
    chart = schedule_gantt_figure(run)
    unit, _ = time_unit(run.duration_s * 1e9)
    scale = 1e9 / unit
    expected = simulated.duration_s * scale
    last = 1.01 * max(expected, run.duration_s * scale, 1e-9)
    is_late = expected > 0.7 * last
    chart.add_shape(
        type="line", x0=expected, x1=expected, y0=0, y1=1, yref="y domain",
        line={"color": INK, "dash": "dash", "width": 1.6},
    )
    chart.add_annotation(
        x=expected, y=1, yref="y domain", yanchor="bottom", xanchor="right" if is_late else "left", showarrow=False,
        text="end of the simulation", font={"color": INK, "size": 11},
    )
    chart.update_layout(
        title_text=f"Measured: {_numbers(outcome.measured)}", xaxis_range=[0, last], height=chart.layout.height + 16,
        margin_t=66,
    )
    shares = schedule_map_figure(run)
    shares.update_layout(title_text=f"{shares.layout.title.text}, measured")
    return shares, chart


def _numbers(measured: MeasuredSchedule) -> str:
    run = measured.run
    total = run.num_threads * run.duration_s
    idle = run.idle_s.sum() / total if total else 0.0
    return (
        f"{time_text(run.duration_s * 1e9)}, speed-up {measured.speedup:.3g}; load imbalance "
        f"{100 * run.load_imbalance:.0f} %, idle {100 * idle:.0f} %"
    )


def outcome_words(outcome: Outcome) -> str:
    """Measured and simulated in a sentence or two."""
    measured, simulated = outcome.measured, outcome.plan.simulated
    run = measured.run
    text = (
        f"{time_text(run.duration_s * 1e9)} on {run.num_threads} real thread{'' if run.num_threads == 1 else 's'}, "
        f"{time_text(simulated.duration_s * 1e9)} simulated, {time_text(measured.serial_s * 1e9)} on one thread."
    )
    if run.num_chunks and not run.schedule.is_static:
        text += f" To take a chunk took {time_text(float(np.median(run.begin_s - run.taken_s)) * 1e9)}."
    if not measured.is_right:
        text += " The result was wrong, which must not be."
    if run.num_threads > measured.num_cores:
        cores = f"{measured.num_cores} core{'' if measured.num_cores == 1 else 's'}"
        text += f" The threads share {cores}: a chunk that waits for a core looks as long as that takes."
    return text
