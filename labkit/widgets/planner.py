"""The planner's dashboard: a model, a machine and a plan; its memory, its time, and all plans that fit."""

from __future__ import annotations

import html

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.training.mesh import Mesh
from labkit.training.planner.devices import DEVICES, Machine
from labkit.training.planner.memory import memory_forecast
from labkit.training.planner.plan import CHECKPOINTINGS, SCHEDULES, TrainingPlan
from labkit.training.planner.published import MEGATRON_TABLE
from labkit.training.planner.search import SearchResult, search, usable_bytes, why_not
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.step import step_forecast
from labkit.views.planner import planner_front_figure, planner_memory_figure, planner_step_figure
from labkit.views.theme import time_text
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "110px"}
MODELS = {"1.3 B": TransformerSize(24, 2048, 16), **{f"{row.billions:g} B": row.size for row in MEGATRON_TABLE}}
POWERS = tuple(1 << k for k in range(10))
ZERO_NAMES = (("no ZeRO", 0), ("ZeRO-1", 1), ("ZeRO-2", 2), ("ZeRO-3", 3))


class PlannerDashboard(widgets.VBox):
    """Choose a model, a machine and a plan; see whether it fits, where its time goes, and what else there is.

    Parameters
    ----------
    model : str
        One of :data:`MODELS`.
    device : str
        One of :data:`labkit.training.planner.devices.DEVICES`.

    Attributes
    ----------
    model, device, num_nodes, batch_size, training_tokens : ipywidgets
        What is to be trained, and on what.
    pp, tp, micro_batch_size, schedule, num_chunks, zero_stage, checkpointing, sequence_parallel : ipywidgets
        The plan; ``dp`` is what is left of the devices.
    best : ipywidgets.Button
        Takes over the fastest plan that fits.
    sentence : ipywidgets.HTML
    memory_figure, step_figure, front_figure : FigureWidget
    """

    def __init__(self, model: str = "7.5 B", device: str = "A100-80GB"):
        slider = lambda options, value, name: widgets.SelectionSlider(  # noqa: E731
            options=options, value=value, description=name, style=STYLE
        )
        choice = lambda options, value, name: widgets.Dropdown(  # noqa: E731
            options=options, value=value, description=name, style=STYLE
        )
        self.model = choice(list(MODELS), model, "model")
        self.device = choice(list(DEVICES), device, "device")
        self.num_nodes = slider(POWERS, 4, "nodes of 8")
        self.batch_size = slider((64, 128, 256, 512, 1024, 1536, 2048, 3072), 512, "batch")
        self.training_tokens = slider((1, 3, 10, 30, 100, 300, 1000), 100, "10⁹ tokens")
        self.pp, self.tp = slider(POWERS[:7], 1, "stages (pp)"), slider(POWERS[:4], 1, "parts (tp)")
        self.micro_batch_size = slider(POWERS[:6], 1, "micro-batch")
        self.schedule, self.num_chunks = choice(SCHEDULES, "1f1b", "schedule"), slider((1, 2, 3, 4), 1, "chunks a rank")
        self.zero_stage = choice(ZERO_NAMES, 0, "ZeRO")
        self.checkpointing = choice(CHECKPOINTINGS, "none", "checkpointing")
        self.sequence_parallel = widgets.Checkbox(value=False, description="sequence parallel", indent=False)
        self.best = widgets.Button(description="Take the fastest that fits", icon="bolt", layout={"width": "230px"})
        self.sentence = widgets.HTML("")
        self._found: SearchResult | None = None
        memory, step, front = self._figures(searches=True)
        self.memory_figure, self.step_figure, self.front_figure = map(FigureWidget, (memory, step, front))
        self._of_machine = (self.model, self.device, self.num_nodes, self.batch_size)
        self._of_plan = (
            self.pp, self.tp, self.micro_batch_size, self.schedule, self.num_chunks, self.zero_stage, self.checkpointing,
            self.sequence_parallel,
        )
        for control in (*self._of_machine, *self._of_plan, self.training_tokens):
            control.observe(self._on_change, "value")
        self.best.on_click(self._on_best)
        super().__init__([
            widgets.HBox(
                [
                    widgets.VBox([*self._of_machine, self.training_tokens]),
                    widgets.VBox([self.pp, self.tp, self.micro_batch_size, self.schedule, self.num_chunks]),
                    widgets.VBox([self.zero_stage, self.checkpointing, self.sequence_parallel, self.best]),
                ],
                layout={"flex_flow": "row wrap"},
            ),
            self.sentence, self.memory_figure, self.step_figure, self.front_figure,
        ])

    @property
    def machine(self) -> Machine:
        return Machine(DEVICES[self.device.value], self.num_nodes.value)

    @property
    def size(self) -> TransformerSize:
        return MODELS[self.model.value]

    @property
    def num_steps(self) -> float:
        """Steps of the training."""
        return 1e9 * self.training_tokens.value / self.batch_size.value / self.size.length

    def plan(self) -> TrainingPlan:
        """The plan that the controls say."""
        num = self.machine.num_devices
        shared = self.pp.value * self.tp.value
        if num % shared:
            raise UsageError(f"pp {self.pp.value} x tp {self.tp.value} = {shared} ranks do not divide {num} devices.")
        return TrainingPlan(
            Mesh(num // shared, self.pp.value, self.tp.value), self.batch_size.value, self.micro_batch_size.value,
            self.schedule.value, self.num_chunks.value, self.zero_stage.value, "mixed", self.checkpointing.value,
            self.sequence_parallel.value and self.tp.value > 1,
        )

    def _figures(self, *, searches: bool):
        """(Memory, step, front); a front of None stays as it is."""
        size, machine, limit = self.size, self.machine, usable_bytes(self.machine)
        if searches:
            nodes = [n for n in POWERS if n <= machine.num_nodes]
            try:
                self._found, self._problem = search(size, machine, self.batch_size.value, nums_nodes=nodes), ""
            except UsageError as error:
                self._found, self._problem = SearchResult((), 0, {}, None), str(error)
        front = planner_front_figure(
            self._found, self.num_steps,
            title=f"<b>{self.model.value}</b> parameters: plans that fit on up to {machine.num_devices} devices",
        )
        try:
            plan = self.plan()
            stages, step = memory_forecast(size, plan), step_forecast(size, plan, machine)
        except UsageError as error:
            self.sentence.value = self._words(f"<b>This cannot be:</b> {html.escape(str(error))}")
            return None, None, front
        reason = why_not(size, plan, machine)
        days = self.num_steps * step.step_s / 86400
        verdict = f"<b>Does not fit:</b> {reason}" if reason else (
            f"<b>Fits.</b> A step takes {time_text(1e9 * step.step_s)}, {step.operations_per_device / 1e12:.0f} TFLOP/s a device, "
            f"waiting for the pipeline {step.bubble_fraction:.1%}; the training {days:,.1f} days, "
            f"{self.num_steps * step.price:,.0f} USD."
        )
        self.sentence.value = self._words(f"{html.escape(str(plan))}. {verdict}")
        return (
            planner_memory_figure(stages, limit, title=f"Memory of a device: {plan}"), planner_step_figure(step), front
        )

    def _words(self, sentence: str) -> str:
        """The sentence, and the best plan there is."""
        if self._problem:
            return f"{sentence}<br>{html.escape(self._problem)}"
        best = self._found.best
        if best is None:
            least = self._found.closest
            needs = f" The least that a plan needs is {least[1] / 1e9:.0f} GB a device: {html.escape(str(least[0]))}." if least else ""
            return f"{sentence}<br>No plan fits on this machine.{needs} Take more nodes, or devices with more memory."
        return (
            f"{sentence}<br>The fastest that fits: {best.machine.num_devices} devices, {html.escape(str(best.plan))}; a step "
            f"{time_text(1e9 * best.step.step_s)}."
        )

    def _on_change(self, change) -> None:
        memory, step, front = self._figures(searches=change["owner"] in self._of_machine)
        for widget, figure in ((self.memory_figure, memory), (self.step_figure, step), (self.front_figure, front)):
            if figure is not None:
                replace_figure(widget, figure)
        self.best.disabled = self._found.best is None

    def _on_best(self, _button) -> None:
        """All controls at once, then one picture."""
        if self._found.best is None:
            return
        best = self._found.best
        values = {
            self.num_nodes: best.machine.num_nodes, self.pp: best.plan.mesh.pp, self.tp: best.plan.mesh.tp,
            self.micro_batch_size: best.plan.micro_batch_size, self.schedule: best.plan.schedule,
            self.num_chunks: best.plan.num_chunks, self.zero_stage: best.plan.zero_stage,
            self.checkpointing: best.plan.checkpointing, self.sequence_parallel: best.plan.sequence_parallel,
        }
        for control in values:
            control.unobserve(self._on_change, "value")
        for control, value in values.items():
            known = [option[1] if isinstance(option, tuple) else option for option in getattr(control, "options", ())]
            if known and value not in known:  # a mesh with another number than the slider has
                control.options = sorted({*known, value})
            control.value = value
        for control in values:
            control.observe(self._on_change, "value")
        self._on_change({"owner": self.num_nodes})
