"""Pipeline schedules to play with: bubble and memory as the controls move, and the same plan on real ranks."""

from __future__ import annotations

import html

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.training.pipeline.memory import memory_over_time
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.schedules import SCHEDULES, make_plan
from labkit.training.pipeline.simulate import SimulatedPipeline, StageTimes, simulate
from labkit.views.pipeline import pipeline_figure
from labkit.views.theme import time_text
from labkit.widgets.experiment import Experiment
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

MOST_RANKS = 16
MOST_MICROBATCHES = 64
MOST_PARTS = 8  # chunks of a rank, or slices of a micro-batch
MOST_MS = 100.0
NUM_STEPS = 4  # of a run on real ranks
STYLE = {"description_width": "initial"}


class PipelineDesigner(widgets.VBox):
    """Choose a schedule, its sizes and times: see the picture, the bubble and the memory at once.

    Times are those of all stages of a rank with one micro-batch, so that schedules can be compared: a chunk of the
    interleaved schedule takes its part of them, a slice of TeraPipe as well. *Run on real ranks* starts as many MPI
    ranks on this machine, lets every action take the chosen time, and draws what was measured into the picture.

    Parameters
    ----------
    schedule : str
        One of :data:`labkit.training.pipeline.schedules.SCHEDULES`.
    num_ranks : int
        1 to 16.
    num_microbatches : int
        1 to 64.

    Attributes
    ----------
    schedule : ipywidgets.Dropdown
    num_ranks, num_microbatches, num_chunks, num_slices : ipywidgets.IntSlider
        Chunks are of ``interleaved``, slices of ``terapipe``.
    forward, backward, weight, communication : ipywidgets.FloatSlider
        In ms.
    memory_limit, weight_share : ipywidgets.FloatSlider
        Activations of a micro-batch that a rank may hold: ``zb-searched`` keeps to it. The part of them that W needs.
    words : ipywidgets.HTML
        Bubble and memory, or why there is no such plan.
    figure : FigureWidget
    run : SimulatedPipeline or None
        What is shown; None where there is no such plan.
    on_ranks : Experiment
        The button; ``on_ranks.value`` is the :class:`labkit.training.pipeline.measured.PipelineRun`.

    Raises
    ------
    UsageError
        A value that its control does not have.

    Examples
    --------
    >>> designer = PipelineDesigner("1f1b", num_ranks=4, num_microbatches=12)
    >>> designer.communication.value = 0
    >>> round(designer.run.bubble_of_ideal, 4)          # (4 - 1)/12
    0.25
    >>> designer.schedule.value = "interleaved"         # half of it, with two chunks
    >>> round(designer.run.bubble_of_ideal, 4)
    0.125
    """

    def __init__(self, schedule: str = "1f1b", num_ranks: int = 4, num_microbatches: int = 8):
        _check("schedule", schedule, SCHEDULES)
        _check("num_ranks", num_ranks, range(1, MOST_RANKS + 1))
        _check("num_microbatches", num_microbatches, range(1, MOST_MICROBATCHES + 1))
        self.schedule = widgets.Dropdown(options=SCHEDULES, value=schedule, description="schedule", style=STYLE)
        self.num_ranks = _whole("ranks", num_ranks, MOST_RANKS)
        self.num_microbatches = _whole("micro-batches", num_microbatches, MOST_MICROBATCHES)
        self.num_chunks = _whole("chunks a rank", 2, MOST_PARTS)
        self.num_slices = _whole("slices", 4, MOST_PARTS)
        self.forward, self.backward = _milliseconds("forward (ms)", 20.0), _milliseconds("backward B (ms)", 20.0)
        self.weight, self.communication = _milliseconds("weights W (ms)", 10.0), _milliseconds("message (ms)", 1.0)
        self.memory_limit = widgets.FloatSlider(
            value=min(2.0 * num_ranks, 64), min=1, max=64, step=0.5, description="memory limit (activations)",
            continuous_update=False, style=STYLE,
        )  # fmt: skip
        self.weight_share = widgets.FloatSlider(
            value=0.5, min=0, max=1, step=0.05, description="of this, W needs", continuous_update=False, style=STYLE
        )
        self.words, self.run = widgets.HTML(), None
        self.figure = FigureWidget(pipeline_figure(simulate(make_plan("gpipe", 1, 1), StageTimes(1.0, 1.0, 1.0))))
        self._picture = widgets.VBox([self.figure])
        self.on_ranks = Experiment(
            [], self._measure, self._overlay, words=_measured_words, label="Run on real ranks", locked=self.controls
        )
        for control in self.controls:
            control.observe(self._on_change, "value")
        self._show()
        rows = (
            (self.schedule, self.num_ranks, self.num_microbatches, self.num_chunks, self.num_slices),
            (self.forward, self.backward, self.weight, self.communication),
            (self.memory_limit, self.weight_share),
        )
        boxes = [widgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]
        super().__init__([*boxes, self.words, self._picture, self.on_ranks])

    @property
    def controls(self) -> tuple[widgets.Widget, ...]:
        return (
            self.schedule, self.num_ranks, self.num_microbatches, self.num_chunks, self.num_slices, self.forward,
            self.backward, self.weight, self.communication, self.memory_limit, self.weight_share,
        )  # fmt: skip

    @property
    def parts(self) -> int:
        """Into how many a rank's work on a micro-batch is cut."""
        number = {"interleaved": self.num_chunks, "terapipe": self.num_slices}.get(self.schedule.value)
        return number.value if number is not None else 1

    @property
    def times(self) -> StageTimes:
        """Of one stage, or one slice of it, in s."""
        milliseconds = (self.forward.value, self.backward.value, self.weight.value)
        return StageTimes(*(value / 1e3 / self.parts for value in milliseconds), self.communication.value / 1e3)

    def plan(self) -> Plan:
        """What the controls say.

        Raises
        ------
        UsageError
            The schedule does not allow these sizes.
        """
        return make_plan(
            self.schedule.value, self.num_ranks.value, self.num_microbatches.value, num_chunks=self.num_chunks.value,
            num_slices=self.num_slices.value, times=self.times, memory_limit=self.memory_limit.value,
            weight_share=self.weight_share.value,
        )  # fmt: skip

    def _memory(self):
        return memory_over_time(self.run, activation=1 / self.parts, weight_share=self.weight_share.value)

    def _on_change(self, change) -> None:
        self.on_ranks.forget()
        self._show()

    def _show(self) -> None:
        self.num_chunks.disabled = self.schedule.value != "interleaved"
        self.num_slices.disabled = self.schedule.value != "terapipe"
        try:
            self.run = simulate(self.plan(), self.times)
        except UsageError as error:
            self.run, self._picture.children = None, ()
            self.on_ranks.button.disabled = True
            self.words.value = f"<b>There is no such plan:</b> {html.escape(str(error), quote=False)}"
            return
        self.on_ranks.button.disabled = False
        memory = self._memory()
        self.words.value = _words(self.run, memory, self.memory_limit.value)
        replace_figure(self.figure, pipeline_figure(self.run, memory=memory, memory_limit=self.memory_limit.value))
        self._picture.children = (self.figure,)

    def _measure(self, progress):
        from labkit.training.pipeline.on_ranks import run_on_ranks

        progress("Starting ranks ...")
        return run_on_ranks(self.run.plan, times=self.times, num_steps=NUM_STEPS, progress=progress)

    def _overlay(self, measured) -> list:
        """Into the picture that is there; no others."""
        limit = self.memory_limit.value
        figure = pipeline_figure(self.run, measured.timeline(), memory=self._memory(), memory_limit=limit)
        replace_figure(self.figure, figure)
        return []


def _whole(words: str, value: int, most: int) -> widgets.IntSlider:
    return widgets.IntSlider(value=value, min=1, max=most, description=words, continuous_update=False, style=STYLE)


def _milliseconds(words: str, value: float) -> widgets.FloatSlider:
    return widgets.FloatSlider(
        value=value, min=0, max=MOST_MS, step=0.5, description=words, continuous_update=False, style=STYLE
    )


def _check(name: str, value, choices) -> None:
    if value not in choices or isinstance(value, bool):
        words = f"{choices[0]} to {choices[-1]}" if isinstance(choices, range) else ", ".join(choices)
        raise UsageError(f"PipelineDesigner: {name} is one of {words}, not {value!r}: pass one of them.")


def _words(run: SimulatedPipeline, memory, limit: float) -> str:
    """Bubble and memory of a plan, as HTML."""
    peaks = [line.peak for line in memory]
    most, rank = max(peaks), peaks.index(max(peaks))
    words = (
        f"A step takes <b>{time_text(run.step_s * 1e9)}</b>, of which the ranks idle <b>{run.bubble_fraction:.1%}</b> "
        f"(idle time of the busiest rank divided by its work: {run.bubble_of_ideal:.3g}). From its first action to its "
        f"last a rank takes at most {time_text(run.cost_s * 1e9)}: bubble rate {run.bubble_rate:.1%}. "
        f"Rank {rank} holds the most: <b>{most:.3g}</b> activation{'s' * (most != 1)} of a micro-batch"
    )
    if most <= limit + 1e-9:
        return words + f"; the limit is {limit:g}."
    return words + f", <b>{most - limit:.3g} more than the limit</b> of {limit:g}."


def _measured_words(measured) -> str:
    """What came out on the ranks."""
    run = measured.measured
    return (
        f"Measured: a step takes {time_text(run.step_s * 1e9)}, of which the ranks idle {run.bubble_fraction:.1%}; a "
        f"message {time_text(run.times.communication_s * 1e9)}. The weights differ from those of one process by "
        f"{measured.difference:.1e} of their length."
    )
