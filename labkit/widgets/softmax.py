"""Softmax to play with: logits to probabilities, and where versions fail.

The merges of the online version are in :mod:`.softmax_merges`, measurements in :mod:`.softmax_measured`, ranks in
:mod:`.softmax_ranks`, calibration in :mod:`.softmax_calibration`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np

from labkit.errors import UsageError
from labkit.softmax.accuracy import failure_map
from labkit.softmax.ladder import VERSIONS
from labkit.views.softmax import failure_figure, probabilities_figure, probabilities_layout
from labkit.widgets.explorer import Explorer
from labkit.widgets.softmax_merges import MergeTreeExplorer

__all__ = ["FailureExplorer", "MergeTreeExplorer", "SoftmaxExplorer"]
STYLE = {"description_width": "initial"}
WORDS = {"cat": 4.0, "dog": 3.5, "horse": 2.0, "bird": 1.0, "fish": -1.0, "stone": -4.0}
MOST_CLASSES = 20
TEMPERATURES = tuple(round(2 ** (k / 4), 3) for k in range(-20, 21))  # 1/32 to 32
ON_CPU = tuple(name for name, version in VERSIONS.items() if not version.needs_gpu)
OFFSETS = (-1e4, -1000, -800, -700, -100, -80, -20, -10, 0, 5, 10, 12, 50, 80, 90, 100, 500, 700, 720, 1000, 1e4)


class SoftmaxExplorer(Explorer):
    """Logits to probabilities: temperature, classes left out, top-k, and the loss with a smoothed target.

    Parameters
    ----------
    logits : sequence of 1 to 20 finite numbers, optional
    names : sequence of str, optional
        Of the classes.
    temperature : float
        0.03 to 32; the slider takes the nearest it has.

    Attributes
    ----------
    controls : dict
        ``temperature``, ``top_k``, ``left_out``, ``target``, ``label_smoothing``.

    Raises
    ------
    UsageError
        Other logits, names or a temperature out of range.

    Examples
    --------
    >>> explorer = SoftmaxExplorer([0.0, 1.0], temperature=1)
    >>> explorer.figure.layout.title.text
    '<b>Softmax</b> at temperature 1: entropy 0.84 of at most 1 bits'
    >>> explorer.controls["top_k"].value = 1
    >>> explorer.figure.layout.title.text
    '<b>Softmax</b> at temperature 1: entropy 0 of at most 1 bits'
    """

    def __init__(
        self, logits: Sequence[float] | None = None, names: Sequence[str] | None = None, *, temperature: float = 1.0
    ):
        if logits is None and names is None:
            names, logits = list(WORDS), list(WORDS.values())
        elif logits is None:
            raise UsageError("SoftmaxExplorer: names belong to logits, which are missing: pass both.")
        row = _finite_row(logits)
        self._logits, self._names = row, [str(k) for k in range(len(row))] if names is None else [str(n) for n in names]
        if len(self._names) != len(row) or len(set(self._names)) != len(row):
            raise UsageError(f"SoftmaxExplorer: names are {len(row)} different ones, not {self._names}: pass such.")
        start = _nearest("temperature", temperature, TEMPERATURES)
        super().__init__(
            {
                "temperature": widgets.SelectionSlider(
                    options=[(f"{t:.3g}", t) for t in TEMPERATURES], value=start, description="temperature",
                    style=STYLE, layout={"width": "420px"},
                ),
                "top_k": widgets.IntSlider(
                    value=len(row), min=1, max=len(row), description="top-k", style=STYLE, layout={"width": "260px"}
                ),
                "left_out": widgets.SelectMultiple(
                    options=self._names, value=(), description="left out (mask)", style=STYLE,
                    rows=min(4, len(row)), layout={"width": "230px"},
                ),
                "target": widgets.Dropdown(
                    options=[("none", None), *((name, k) for k, name in enumerate(self._names))], value=None,
                    description="right class", style=STYLE, layout={"width": "200px"},
                ),
                "label_smoothing": widgets.FloatSlider(
                    value=0.0, min=0.0, max=1.0, step=0.05, description="label smoothing", style=STYLE,
                ),
            },
            self._draw,
        )  # fmt: skip

    def _draw(self, temperature, top_k, left_out, target, label_smoothing):
        options = {
            "mask": [name not in left_out for name in self._names],
            "top_k": None if top_k == len(self._names) else top_k,
            "target": target, "label_smoothing": label_smoothing,
        }
        layout = probabilities_layout(self._logits, temperature, self._names, **options)
        return probabilities_figure(self._logits, temperature, self._names, **options), _sentence(layout, temperature)


def _sentence(layout, temperature: float) -> str:
    if math.isnan(layout.tempered_bits):
        return "Every class is left out: 0 / 0. There is no distribution over nothing, and the result is NaN."
    best = int(np.argmax(layout.tempered))
    name = html.escape(layout.names[best])
    words = f"<b>{name}</b> has {layout.tempered[best]:.2%}, of all classes at temperature 1 {layout.plain[best]:.2%}."
    equal_bits = math.log2(max(sum(layout.takes_part), 1))
    if layout.loss is not None and math.isinf(layout.loss):
        words += " A class has a share of the target and the probability 0: the loss is infinite."
    elif layout.loss is not None:
        words += f" Cross-entropy with the target (diamonds): <b>{layout.loss:.4g}</b> nats."
    elif equal_bits and layout.tempered_bits > 0.97 * equal_bits and temperature > 1:
        words += " A high temperature makes all classes nearly equal."
    elif layout.tempered_bits < 0.03 and temperature < 1:
        words += " A low temperature leaves the largest alone: argmax, smoothly."
    return words


class FailureExplorer(Explorer):
    """Where a version gives digits and where NaN: a heat map over an offset of the logits and the format.

    Parameters
    ----------
    version : str
        Of the ladder; ``"gpu"`` is not here.

    Attributes
    ----------
    controls : dict
        ``version``; ``spread``, how far the logits are apart.

    Raises
    ------
    UsageError
        Another version.

    Examples
    --------
    >>> explorer = FailureExplorer()
    >>> "NaN at" in explorer.sentence.value
    True
    >>> explorer.controls["version"].value = "online"
    >>> "NaN at" in explorer.sentence.value
    False
    """

    def __init__(self, version: str = "naive"):
        if version not in ON_CPU:
            raise UsageError(
                f"FailureExplorer: version is one of {', '.join(ON_CPU)}, not {version!r}: pass one of them."
            )
        super().__init__(
            {
                "version": widgets.Dropdown(options=ON_CPU, value=version, description="version", style=STYLE),
                "spread": widgets.IntSlider(
                    value=1, min=0, max=40, description="logits are apart by", style=STYLE, continuous_update=False
                ),
            },
            self._draw,
        )

    def _draw(self, version: str, spread: int):
        found = failure_map([0.0, float(spread), 2.0 * spread], OFFSETS, version=version)
        broken = int(np.isinf(found.errors).sum())
        worst = float(found.errors[np.isfinite(found.errors)].max(initial=0.0))
        words = (
            f"<b>{version}</b>: NaN at {broken} of {found.errors.size} points, though in exact arithmetic an offset "
            f"changes nothing." if broken else f"<b>{version}</b>: a result at all {found.errors.size} points."
        )
        return failure_figure(found), f"{words} Largest relative error of the others: {worst:.2g}."


def _finite_row(logits) -> list[float]:
    try:
        row = [float(value) for value in logits]
    except (TypeError, ValueError):
        row = []
    if not 1 <= len(row) <= MOST_CLASSES or not all(map(math.isfinite, row)):
        raise UsageError(
            f"SoftmaxExplorer: logits are 1 to {MOST_CLASSES} finite numbers, not {logits!r:.80}: pass such."
        )
    return row


def _nearest(name: str, value, options: Sequence[float]) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0.99 * options[0] <= value <= 1.01 * options[-1]:
        raise UsageError(
            f"{name} is a number from {options[0]:g} to {options[-1]:g}, not {value!r}: pass such a number."
        )
    return min(options, key=lambda option: abs(math.log(option / value)))
