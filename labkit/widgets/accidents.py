"""Accidents of rounding to play with: one widget, and a table of the experiments."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.floating_point import accidents
from labkit.floating_point.accidents.conversion import ON_OVERFLOW
from labkit.floating_point.accidents.differentiation import FUNCTIONS
from labkit.views import accidents as views
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "initial"}
WIDE = ("binary64", "binary32", "TF32", "binary16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Slider:
    """A control for a number: whole where all of these are whole."""

    label: str
    least: float
    most: float
    start: float
    step: float = 1

    def widget(self) -> widgets.Widget:
        whole = all(isinstance(value, int) for value in (self.least, self.most, self.start, self.step))
        make = widgets.IntSlider if whole else widgets.FloatSlider
        return make(
            value=self.start, min=self.least, max=self.most, step=self.step, description=self.label, style=STYLE,
            continuous_update=False,
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """A control for one of a few words."""

    label: str
    options: tuple[str, ...]
    start: str

    def widget(self) -> widgets.Widget:
        return widgets.Dropdown(options=self.options, value=self.start, description=self.label, style=STYLE)


@dataclass(frozen=True, slots=True)
class Experiment:
    """An accident: its controls by name, and what they give: a figure and a sentence."""

    controls: dict[str, Slider | Choice]
    show: Callable[..., tuple[go.Figure, str]]


def _format(start: str = "binary64", options: tuple[str, ...] = WIDE) -> Choice:
    return Choice("format", options, start)


def _patriot(hours: int, fraction_bits: int, speed_m_per_s: int):
    times_h = np.linspace(0, hours, 21).tolist()
    rows = accidents.patriot(times_h, fraction_bits=fraction_bits, speed_m_per_s=speed_m_per_s)
    return views.patriot_figure(rows), (
        f"0.1 cut off after {fraction_bits} binary places: the clock has counted "
        f"<b>{float(rows[-1].counted_s):.4f} s</b> of {hours * 3600} s. It is a rate: "
        f"what is lost grows with the time since the start."
    )


def _vancouver(num_days: int, updates_per_day: int, seed: int):
    index = accidents.vancouver(num_days, updates_per_day=updates_per_day, seed=seed)
    lost, off = index.exact[-1] - index.truncated[-1], index.rounded[-1] - index.exact[-1]
    return views.vancouver_figure(index), (
        f"Expected of cutting off: {num_days} x {updates_per_day} x 0.0005 = "
        f"{num_days * updates_per_day * 0.0005:.1f}; lost: <b>{lost:.1f}</b>. "
        f"Rounding to the nearest is off by {off:+.3f}."
    )


def _ariane(on_overflow: str, num_bits: int, growth: float):
    flight = accidents.ariane(60.0, growth=growth, num_bits=num_bits, on_overflow=on_overflow)
    words = "The program stops." if flight.converted.trapped_at is not None else "The program goes on."
    return views.ariane_figure(flight), f"{words} Ariane 5 has a growth of 1; a slower rocket has less."


def _muller(num_steps: int, fmt: str):
    values = {"exact": accidents.muller(num_steps, fmt=None), fmt: accidents.muller(num_steps, fmt=fmt)}
    return views.muller_figure(values), (
        f"After {len(values[fmt]) - 2} steps {fmt} says <b>{float(values[fmt][-1]):.10g}</b>, exactly it is "
        f"{float(values['exact'][len(values[fmt]) - 1]):.10g}."
    )


def _rump(a: int, b: int):
    values = {"exact": accidents.rump(a, b, fmt=None)} | {name: accidents.rump(a, b, fmt=name) for name in WIDE}
    return views.rump_figure(values), f"Exactly it is <b>{float(values['exact']):.12g}</b>."


def _worst(curves: accidents.ErrorCurves) -> str:
    words = []
    for curve in curves.curves:
        broken = int(np.isnan(curve.errors).sum())
        known = curve.errors[~np.isnan(curve.errors)]
        most = f"{known.max():.2g}" if known.size else "none"
        words.append(f"{curve.name} <b>{most}</b>" + (f" (and {broken} times no number)" if broken else ""))
    return f"Largest relative errors: {', '.join(words)}; u is {float(curves.fmt.epsilon / 2):.2g}."


def _archimedes(num_doublings: int, fmt: str):
    curves = accidents.archimedes(num_doublings, fmt=fmt)
    best = {one.name: np.nanmin(one.errors) for one in curves.curves}
    return views.archimedes_figure(curves), "Smallest relative errors: " + ", ".join(
        f"{name} <b>{error:.2g}</b>" for name, error in best.items()
    ) + "."


def _quadratic(fmt: str, a: float, c: float):
    curves = accidents.quadratic_sweep(fmt=fmt, a=float(a), c=float(c))
    return views.quadratic_figure(curves), _worst(curves)


def _differentiation(function: str, x: float, fmt: str, num_halvings: int):
    curves = accidents.differentiate(function, x, fmt=fmt, num_halvings=num_halvings)
    best = []
    for one in curves.curves:
        at = int(np.nanargmin(one.errors))
        best.append(f"{one.name} <b>{one.errors[at]:.2g}</b> at h = {curves.x[at]:.2g}")
    return views.differentiation_figure(curves), f"Smallest relative errors: {', '.join(best)}."


def _variance(num_values: int, fmt: str, seed: int):
    curves = accidents.variance_sweep(num_values, fmt=fmt, seed=seed)
    negative = int((curves["textbook"].values < 0).sum())
    return views.variance_figure(curves), f"{_worst(curves)} The textbook's variance is negative {negative} times."


def _triangle(fmt: str):
    curves = accidents.needle_triangles(fmt=fmt)
    return views.triangle_figure(curves), _worst(curves)


_SEED = Slider("seed", 0, 100, 1)
_HOURS, _PLACES = Slider("hours", 1, 200, 100), Slider("binary places of 0.1", 8, 60, 23)
_SPEED = Slider("speed, m/s", 500, 3000, 2000, 4)
_DAYS, _UPDATES = Slider("days", 10, 1000, 460), Slider("updates a day", 100, 5000, 2800, 100)
_OVERFLOW, _BITS = Choice("on overflow", ON_OVERFLOW, "trap"), Slider("bits of the integer", 12, 24, 16)
_GROWTH = Slider("growth of the bias", 0.1, 4.0, 1.0, 0.1)
_A, _C = (Slider(name, 0.25, 1.0, 1.0, 0.25) for name in "ac")
_FUNCTION, _X = Choice("function", tuple(FUNCTIONS), "exp"), Slider("x", 0.1, 2.0, 1.0, 0.1)
_HALVINGS = Slider("smallest step 2^-", 4, 200, 60)
EXPERIMENTS = {
    "patriot": Experiment({"hours": _HOURS, "fraction_bits": _PLACES, "speed_m_per_s": _SPEED}, _patriot),
    "vancouver": Experiment({"num_days": _DAYS, "updates_per_day": _UPDATES, "seed": _SEED}, _vancouver),
    "ariane": Experiment({"on_overflow": _OVERFLOW, "num_bits": _BITS, "growth": _GROWTH}, _ariane),
    "muller": Experiment({"num_steps": Slider("steps", 2, 60, 30), "fmt": _format()}, _muller),
    "rump": Experiment({"a": Slider("a", 1, 100_000, 77617), "b": Slider("b", 1, 100_000, 33096)}, _rump),
    "archimedes": Experiment({"num_doublings": Slider("doublings", 2, 60, 30), "fmt": _format()}, _archimedes),
    "quadratic": Experiment({"fmt": _format("binary32"), "a": _A, "c": _C}, _quadratic),
    "differentiation": Experiment(
        {"function": _FUNCTION, "x": _X, "fmt": _format(), "num_halvings": _HALVINGS}, _differentiation
    ),
    "variance": Experiment({"num_values": Slider("values", 2, 200, 50), "fmt": _format(), "seed": _SEED}, _variance),
    "triangle": Experiment({"fmt": _format()}, _triangle),
}


class AccidentExplorer(widgets.VBox):
    """An accident of rounding with its controls, a sentence and a figure.

    Parameters
    ----------
    name : str
        One of ``EXPERIMENTS``.
    **start
        Where controls stand at first, by the names in ``controls``.

    Attributes
    ----------
    name : str
    controls : dict of str to ipywidgets.Widget
    sentence : ipywidgets.HTML
        What is to be seen; or why a setting cannot be shown, while the figure stays as it was.
    figure : FigureWidget

    Raises
    ------
    UsageError
        No such experiment, control or value.

    Examples
    --------
    >>> explorer = AccidentExplorer("patriot", hours=20)
    >>> explorer.figure.layout.title.text
    'After 20 h: 0.0687 s lost, the gate is 137 m off'
    >>> explorer.controls["hours"].value = 100
    >>> explorer.figure.layout.title.text
    'After 100 h: 0.3433 s lost, the gate is 687 m off'
    """

    def __init__(self, name: str, **start):
        if name not in EXPERIMENTS:
            near = difflib.get_close_matches(str(name), EXPERIMENTS, 1)
            nearest = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"there is no accident {name!r}: {nearest}There are {', '.join(EXPERIMENTS)}.")
        self.name, self._experiment = name, EXPERIMENTS[name]
        self.controls = {key: control.widget() for key, control in self._experiment.controls.items()}
        for key, value in start.items():
            _set(name, self.controls, key, value)
        figure, words = self._experiment.show(**self.values)
        self.sentence, self.figure = widgets.HTML(words), FigureWidget(figure)
        for control in self.controls.values():
            control.observe(self._on_change, "value")
        box = widgets.HBox(list(self.controls.values()), layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([box, self.sentence, self.figure])

    @property
    def values(self) -> dict:
        """What the controls say, by their names."""
        return {key: control.value for key, control in self.controls.items()}

    def _on_change(self, change) -> None:
        try:
            figure, self.sentence.value = self._experiment.show(**self.values)
        except UsageError as error:
            self.sentence.value = f"<b>Not shown:</b> {error}"
            return
        replace_figure(self.figure, figure)


def _set(name: str, controls: dict[str, widgets.Widget], key: str, value) -> None:
    if key not in controls:
        raise UsageError(f"{name}: there is no control {key!r}: the controls are {', '.join(controls)}.")
    control = controls[key]
    allowed = getattr(control, "options", None)
    if allowed is None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        whole = isinstance(control, widgets.IntSlider)
        if not is_number or not control.min <= value <= control.max or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise UsageError(f"{name}: {key} is {kind} from {control.min:g} to {control.max:g}, not {value!r}.")
        control.value = int(value) if whole else float(value)
    elif value not in allowed:
        raise UsageError(f"{name}: {key} is one of {', '.join(map(str, allowed))}, not {value!r}.")
    else:
        control.value = value
