"""Training at scale: choose model, network, algorithm and buckets; see the curve up to 4096 GPUs and one step on it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import ipywidgets as widgets

from labkit.comm.network.model import Network
from labkit.comm.network.presets import PRESETS
from labkit.training.scale.architectures import ARCHITECTURES, find_architecture
from labkit.training.scale.curves import NUMS_RANKS, scaling_curve
from labkit.training.scale.horovod import roce_network
from labkit.training.scale.profile import FORWARD_SHARE, published_profile
from labkit.training.scale.step import ALGORITHMS, MEGABYTE, step_time
from labkit.views.theme import time_text
from labkit.views.training_scale import training_scaling_figure, training_step_figure
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "90px"}
BUCKETS = (
    ("one a gradient", 0.0), *((f"{n} MB", float(n * MEGABYTE)) for n in (1, 4, 10, 25, 64, 128, 256)),
    ("all in one", math.inf),
)
BATCHES = (8, 16, 32, 64, 128, 256)
NOISES = (("none", 0.0), ("0.2 %", 0.002), ("0.5 %", 0.005), ("1 %", 0.01), ("2 %", 0.02), ("5 %", 0.05))


class TrainingScale(widgets.VBox):
    """Efficiency of data-parallel training over the number of GPUs, and one step with its buckets.

    Parameters
    ----------
    model : str
        One of :data:`labkit.training.scale.architectures.ARCHITECTURES`.
    networks : mapping of str to Network, optional
        By default the presets, and Horovod's 25 Gbit/s RoCE.

    Attributes
    ----------
    model, network, algorithms, bucket, batch, overlaps, noise, num_gpus : ipywidgets
        The choices.
    sentence : ipywidgets.HTML
        The step in words.
    curve_figure, step_figure : FigureWidget
    """

    def __init__(self, model: str = "resnet50", *, networks: Mapping[str, Network] | None = None):
        self.networks = dict(networks or {"roce-25g": roce_network(), **PRESETS})
        self.model = widgets.Dropdown(
            options=[(find_architecture(name).name, name) for name in ARCHITECTURES], value=model, description="model",
            style=STYLE,
        )
        self.network = widgets.Dropdown(options=list(self.networks), description="network", style=STYLE)
        self.algorithms = widgets.SelectMultiple(
            options=ALGORITHMS, value=("ring", "hierarchical"), description="all-reduce", rows=len(ALGORITHMS), style=STYLE
        )
        self.bucket = widgets.SelectionSlider(options=BUCKETS, value=25.0 * MEGABYTE, description="buckets", style=STYLE)
        self.batch = widgets.SelectionSlider(options=BATCHES, value=64, description="batch a GPU", style=STYLE)
        self.noise = widgets.SelectionSlider(options=NOISES, value=0.0, description="noise", style=STYLE)
        self.overlaps = widgets.Checkbox(value=True, description="overlap with the backward pass", indent=False)
        self.num_gpus = widgets.SelectionSlider(options=NUMS_RANKS, value=512, description="GPUs", style=STYLE)
        self.sentence = widgets.HTML("")
        curves, step = self._figures()
        self.curve_figure, self.step_figure = FigureWidget(curves), FigureWidget(step)
        for control in (
            self.model, self.network, self.algorithms, self.bucket, self.batch, self.noise, self.overlaps, self.num_gpus,
        ):
            control.observe(self._on_change, "value")
        left = widgets.VBox([self.model, self.network, self.batch, self.num_gpus])
        right = widgets.VBox([self.bucket, self.noise, self.overlaps])
        super().__init__([
            widgets.HBox([left, self.algorithms, right], layout={"flex_flow": "row wrap"}), self.curve_figure, self.sentence,
            self.step_figure,
        ])

    def _figures(self):
        profile, network = published_profile(self.model.value, batch_size=self.batch.value), self.networks[self.network.value]
        options = {"bucket_bytes": self.bucket.value, "overlaps": self.overlaps.value, "noise": self.noise.value}
        names = self.algorithms.value
        curves = [scaling_curve(name, profile, network, algorithm=name, **options) for name in names]
        name = names[0] if names else ALGORITHMS[0]
        step = step_time(profile, self.num_gpus.value, network, algorithm=name, **options)
        self.sentence.value = (
            f"<b>{profile.name}</b>: {profile.num_bytes / 1e6:.0f} MB of gradients in "
            f"{len(step.buckets)} bucket{'' if len(step.buckets) == 1 else 's'}, a step of {time_text(1e9 * profile.compute_s)} on "
            f"one GPU ({profile.source}). On {step.num_ranks} with {name}: {time_text(1e9 * step.step_s)}, of which "
            f"{time_text(1e9 * step.exposed_s)} waiting for the network; efficiency {step.efficiency:.0%}."
        )
        title = f"<b>{profile.name}</b>, batch {profile.batch_size} a GPU, {self.network.value}"
        words = f"One step on {step.num_ranks} GPUs with {name}"
        return (
            training_scaling_figure(curves, title=title),
            training_step_figure(step, forward_share=FORWARD_SHARE, title=words),
        )

    def _on_change(self, change) -> None:
        curves, step = self._figures()
        replace_figure(self.curve_figure, curves)
        replace_figure(self.step_figure, step)


