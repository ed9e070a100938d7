"""Cutting a model: choose model, partitioner and ranks; see modules in the colours of stages, and the balance."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.training.partition.device import Device
from labkit.training.partition.registry import PARTITIONERS, partition
from labkit.training.partition.tree_walk import MEMORY_WEIGHT
from labkit.views.model_tree import SIZES, model_tree_figure, stage_balance_figure
from labkit.views.theme import bytes_text, time_text
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "115px"}
METHODS = {
    "count": "equal number of layers", "parameters": "equal parameters", "chain": "best chain (dynamic programming)",
    "pipedream": "PipeDream, with replicas", "tree": "tree walk (SageMaker)", "all": "all partitions tried",
}
LINKS = (("0.1 GB/s", 1e8), ("1 GB/s", 1e9), ("10 GB/s", 1e10), ("100 GB/s", 1e11))
MOST_RANKS = 12


def own_models() -> dict[str, Callable[[], tuple]]:
    """Models to start with, by name: functions that make one and an input for it."""
    import torch
    from torch import nn

    from labkit.training.models.cnn import CNN
    from labkit.training.models.mlp import MLP
    from labkit.training.models.transformer import Transformer

    def tokens(*shape):
        return torch.arange(shape[0] * shape[1]).reshape(shape) % 500 + 1

    def chain():
        sizes = (256, 1024, 512, 512, 128, 64, 10)
        pairs = zip(sizes, sizes[1:], strict=False)
        parts = [part for n, m in pairs for part in (nn.Linear(n, m), nn.ReLU())]
        return nn.Sequential(*parts[:-1]), torch.rand(32, 256)

    return {
        "layers in a row": chain,
        "MLP": lambda: (MLP((784, 512, 256, 128, 10)), torch.rand(32, 1, 28, 28)),
        "CNN": lambda: (CNN(10, channels=(16, 32, 64, 64)), torch.rand(16, 1, 28, 28)),
        "transformer, classes": lambda: (Transformer(2000, 32, 2, num_blocks=4), tokens(16, 32)),
        "transformer, tied embedding": lambda: (Transformer(2000, 32, None, num_blocks=4), tokens(8, 32)),
    }


class ModelTree(widgets.VBox):
    """A model cut into stages by any partitioner, with live pictures.

    Parameters
    ----------
    models : mapping of str to callable, optional
        Functions without arguments that return a model and its inputs, or a finished ``ModelTrace``. By default a few
        small ones. A model is traced when it is first chosen.

    Attributes
    ----------
    model, method, num_ranks, memory_weight, shared, by, link, memory : ipywidgets
        The choices.
    sentence : ipywidgets.HTML
        The partition in words, or why there is none.
    tree_figure, balance_figure : FigureWidget
    partition : Partition or None
    """

    def __init__(self, models: Mapping[str, Callable] | None = None):
        self.models, self._traces = dict(own_models() if models is None else models), {}
        names = list(self.models)
        self.model = widgets.Dropdown(options=names, description="model", style=STYLE)
        self.method = widgets.Dropdown(
            options=[(METHODS.get(name, name), name) for name in PARTITIONERS], value="chain", description="cut by",
            style=STYLE,
        )
        self.num_ranks = widgets.IntSlider(2, 1, MOST_RANKS, description="ranks", style=STYLE)
        self.memory_weight = widgets.FloatSlider(
            MEMORY_WEIGHT, min=0, max=1, step=0.05, description="memory weight", style=STYLE, readout_format=".2f"
        )
        self.shared = widgets.Dropdown(
            options=[("on one rank", "together"), ("copied", "copies")], value="copies", description="shared",
            style=STYLE,
        )
        self.by = widgets.Dropdown(options=list(SIZES), value="time", description="width shows", style=STYLE)
        self.link = widgets.SelectionSlider(options=LINKS, value=1e10, description="links", style=STYLE)
        self.memory = widgets.SelectionSlider(
            options=[("no limit", 0), *((f"{n} MiB", n) for n in (256, 128, 64, 32, 16, 8, 4, 2, 1))],
            value=0, description="memory", style=STYLE,
        )
        self.sentence, self.partition = widgets.HTML(""), None
        tree, balance = self._figures()
        self.tree_figure, self.balance_figure = FigureWidget(tree), FigureWidget(balance)
        for control in self.controls:
            control.observe(self._on_change, "value")
        left = widgets.VBox([self.model, self.method, self.num_ranks, self.memory_weight])
        right = widgets.VBox([self.shared, self.by, self.link, self.memory])
        super().__init__([
            widgets.HBox([left, right], layout={"flex_flow": "row wrap"}), self.sentence, self.tree_figure,
            self.balance_figure,
        ])

    @property
    def controls(self) -> tuple:
        return (
            self.model, self.method, self.num_ranks, self.memory_weight, self.shared, self.by, self.link, self.memory
        )

    def trace(self):
        """The trace of the chosen model, made once."""
        from labkit.training.partition.trace import ModelTrace, trace_model

        name = self.model.value
        if name not in self._traces:
            made = self.models[name]()
            self._traces[name] = made if isinstance(made, ModelTrace) else trace_model(*made)
        return self._traces[name]

    def _figures(self):
        """The pictures of the choices; where they cannot be met, the tree without stages, and the reason in words."""
        trace = self.trace()
        self.memory_weight.disabled = self.method.value != "tree"
        limit = self.memory.value * 2**20 or None
        device = Device(bandwidth_bytes_s=self.link.value, **({"memory_bytes": limit} if limit else {}))
        options = {"memory_weight": self.memory_weight.value} if self.method.value == "tree" else {}
        try:
            self.partition = partition(
                trace.chain, self.num_ranks.value, self.method.value, device=device, shared=self.shared.value, **options
            )
        except UsageError as error:
            self.partition = None
            self.sentence.value = f"<b>No partition.</b> {html.escape(str(error))}"
            return model_tree_figure(trace.tree, by=self.by.value), _empty_figure()
        self.sentence.value = self._words(trace)
        return (
            model_tree_figure(trace.tree, self.partition, by=self.by.value),
            stage_balance_figure(self.partition, limit_bytes=limit),
        )

    def _words(self, trace) -> str:
        found, chain = self.partition, trace.chain
        alone = sum(layer.compute_s for layer in chain.layers)
        text = (
            f"<b>{html.escape(chain.name)}</b>: {chain.num_parameters:,} parameters, {len(chain)} layers that may be "
            f"parted. {found.num_stages} stage{'' if found.num_stages == 1 else 's'} on {found.num_ranks} "
            f"rank{'' if found.num_ranks == 1 else 's'}: a micro-batch leaves the full pipeline every "
            f"{time_text(1e9 * found.slowest_s)} (one rank alone: {time_text(1e9 * alone)}); the fullest rank holds "
            f"{bytes_text(max(found.rank_memory_bytes))}."
        )
        for name, stages in found.tied:
            text += f" Stages {' and '.join(map(str, stages))} hold copies of {html.escape(name)}: add their gradients."
        if found.num_stages > len(set(found.ranks)):
            text += " The model comes back to a rank."
        return text

    def _on_change(self, change) -> None:
        tree, balance = self._figures()
        replace_figure(self.tree_figure, tree)
        replace_figure(self.balance_figure, balance)


def _empty_figure():
    import plotly.graph_objects as go

    from labkit.views.theme import base_layout

    figure = go.Figure(layout=base_layout("", 60))
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
    return figure
