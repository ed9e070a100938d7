"""The map of a mesh: choose its axes and its nodes; see who talks to whom, and how much."""

from __future__ import annotations

import itertools

import ipywidgets as widgets

from labkit.training.mesh import AXES, ORDER, Mesh
from labkit.training.planner.plan import TrainingPlan
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.traffic import axis_traffic
from labkit.views.mesh import mesh_figure
from labkit.views.theme import bytes_text
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "110px"}
POWERS = (1, 2, 4, 8, 16)
MODEL = TransformerSize(48, 8192, 64)
SAMPLES_A_REPLICA = 32


class MeshMapWidget(widgets.VBox):
    """A mesh laid over nodes.

    Parameters
    ----------
    mesh : Mesh
    ranks_per_node : int

    Attributes
    ----------
    dp, pp, tp, ranks_per_node, order, rank : ipywidgets
        ``rank``: whose groups are drawn; -1 for all, where there are few.
    sentence : ipywidgets.HTML
    figure : FigureWidget
    """

    def __init__(self, mesh: Mesh = Mesh(2, 2, 2), ranks_per_node: int = 4):
        self.dp, self.pp, self.tp = (
            widgets.SelectionSlider(
                options=sorted({*POWERS, getattr(mesh, axis)}), value=getattr(mesh, axis), description=name, style=STYLE
            )
            for axis, name in zip(AXES, ("replicas (dp)", "stages (pp)", "parts (tp)"), strict=True)
        )
        self.ranks_per_node = widgets.SelectionSlider(
            options=sorted({*POWERS, ranks_per_node}), value=ranks_per_node, description="ranks a node", style=STYLE
        )
        self.order = widgets.Dropdown(
            options=[(", ".join(order), order) for order in itertools.permutations(AXES)], value=ORDER,
            description="slowest first", style=STYLE,
        )
        self.rank = widgets.IntSlider(min=-1, max=mesh.size - 1, value=-1, description="rank", style=STYLE)
        self.sentence = widgets.HTML("")
        self.figure = FigureWidget(self._figure())
        for control in (self.dp, self.pp, self.tp, self.ranks_per_node, self.order, self.rank):
            control.observe(self._on_change, "value")
        super().__init__([
            widgets.HBox(
                [widgets.VBox([self.dp, self.pp, self.tp]), widgets.VBox([self.ranks_per_node, self.order, self.rank])],
                layout={"flex_flow": "row wrap"},
            ),
            self.sentence, self.figure,
        ])

    @property
    def mesh(self) -> Mesh:
        return Mesh(self.dp.value, self.pp.value, self.tp.value, self.order.value)

    def traffic(self) -> dict[str, float]:
        """Bytes that a rank sends in a step of a model of 39 B parameters, by axis."""
        num_samples = max(SAMPLES_A_REPLICA, self.pp.value)
        return axis_traffic(MODEL, TrainingPlan(self.mesh, num_samples * self.dp.value))

    def _figure(self):
        mesh, traffic = self.mesh, self.traffic()
        words = []
        for axis in AXES:
            nodes = mesh.num_nodes_of(axis, self.ranks_per_node.value)
            if getattr(mesh, axis) > 1:
                where = "stays inside a node" if nodes == 1 else f"is spread over {nodes} nodes"
                words.append(f"<b>{axis}</b> {where} and sends {bytes_text(traffic[axis])} a rank and step")
        warning = ""
        if mesh.num_nodes_of("tp", self.ranks_per_node.value) > 1:
            warning = (
                " <b>Tensor parallelism crosses nodes:</b> it sends most, several times a layer, and everything waits "
                "for it. Put tp last in the order, and no larger than a node."
            )
        self.sentence.value = (
            f"{mesh.size} ranks. " + ("; ".join(words) + "." if words else "One rank: nobody to talk to.") + warning
            + " (A model of 39 B parameters, 32 samples a replica.)"
        )
        rank = None if self.rank.value < 0 else self.rank.value
        return mesh_figure(mesh, self.ranks_per_node.value, rank=rank, traffic=traffic)

    def _on_change(self, change) -> None:
        size = self.mesh.size
        if self.rank.max != size - 1:
            self.rank.unobserve(self._on_change, "value")
            self.rank.value, self.rank.max = min(self.rank.value, size - 1), size - 1
            self.rank.observe(self._on_change, "value")
        replace_figure(self.figure, self._figure())
