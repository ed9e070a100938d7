"""Real digits classified: the reliability diagram with a temperature slider, and pictures one by one."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np

from labkit.errors import UsageError
from labkit.softmax.calibration.reliability import BINS
from labkit.softmax.calibration.study import Study, digits_study
from labkit.softmax.shifted import softmax_shifted
from labkit.views.calibration import digit_figure, reliability_figure
from labkit.widgets.explorer import Explorer

STYLE = {"description_width": "initial"}
TEMPERATURES = tuple(round(2 ** (k / 8), 3) for k in range(-16, 25))  # 1/4 to 8
SMOOTHINGS = (0.0, 0.05, 0.1, 0.2)
PARTS = {"test": "test", "held out (the fit)": "held_out", "trained on": "trained"}
ORDERS = ("sure and wrong", "least sure", "as they come")


class CalibrationExplorer(Explorer):
    """Confidence against accuracy of a network that has learnt digits; a slider divides its logits.

    Parameters
    ----------
    study : Study, optional
        By default :func:`labkit.softmax.calibration.study.digits_study`, which trains in a second; then label smoothing
        can be chosen too.
    temperature : float
        0.25 to 8; the slider takes the nearest it has.

    Attributes
    ----------
    controls : dict
        ``temperature``, ``num_bins``, ``bins``, ``part``, ``label_smoothing``.
    fit : ipywidgets.Button
        Sets the slider to the fitted temperature.
    study : Study

    Examples
    --------
    >>> explorer = CalibrationExplorer()
    >>> before = explorer.figure.layout.title.text
    >>> explorer.fit.click()
    >>> explorer.controls["temperature"].value, before == explorer.figure.layout.title.text
    (2.181, False)
    """

    def __init__(self, study: Study | None = None, *, temperature: float = 1.0):
        _check_study("CalibrationExplorer", study)
        self._given, self.study = study, study or digits_study()
        start = _nearest(temperature)
        smoothings = SMOOTHINGS if study is None else (study.label_smoothing,)
        super().__init__(
            {
                "temperature": widgets.SelectionSlider(
                    options=[(f"{t:.3g}", t) for t in TEMPERATURES], value=start, description="temperature",
                    style=STYLE, layout={"width": "420px"},
                ),
                "num_bins": widgets.IntSlider(value=15, min=2, max=30, description="bins", style=STYLE),
                "bins": widgets.Dropdown(
                    options=[("equal width", BINS[0]), ("equal count", BINS[1])], description="of", style=STYLE,
                    layout={"width": "150px"},
                ),
                "part": widgets.Dropdown(
                    options=list(PARTS.items()), description="pictures", style=STYLE, layout={"width": "230px"}
                ),
                "label_smoothing": widgets.Dropdown(
                    options=smoothings, description="trained with label smoothing", style=STYLE,
                    disabled=study is not None, layout={"width": "270px"},
                ),
            },
            self._draw,
        )  # fmt: skip
        self.fit = widgets.Button(description="Fitted temperature", icon="crosshairs", layout={"width": "180px"})
        self.fit.on_click(self._on_fit)
        self.children = (self.children[0], self.fit, *self.children[1:])

    def _draw(self, temperature, num_bins, bins, part, label_smoothing):
        if self._given is None:
            self.study = digits_study(label_smoothing=label_smoothing)
        found = getattr(self.study, part).calibration(temperature, num_bins=num_bins, bins=bins)
        fit = self.study.temperature
        return reliability_figure(found), (
            f"Negative log-likelihood <b>{found.loss:.4g}</b> nats, accuracy {found.accuracy:.2%} at every "
            f"temperature: the largest logit stays the largest. Fitted on pictures held out: temperature "
            f"<b>{fit.temperature:.3g}</b>, there {fit.loss_before:.3g} nats became {fit.loss_after:.3g}."
        )

    def _on_fit(self, button) -> None:
        least, most = TEMPERATURES[0], TEMPERATURES[-1]
        self.controls["temperature"].value = _nearest(min(max(self.study.temperature.temperature, least), most))


class DigitExplorer(Explorer):
    """One picture after another: its logits and its probabilities at a temperature.

    Parameters
    ----------
    study : Study, optional
        By default :func:`labkit.softmax.calibration.study.digits_study`.

    Attributes
    ----------
    controls : dict
        ``order``: which pictures come first; ``number``, ``temperature``.
    study : Study

    Examples
    --------
    >>> explorer = DigitExplorer()
    >>> "which is wrong: it is a" in explorer.figure.layout.title.text
    True
    """

    def __init__(self, study: Study | None = None):
        _check_study("DigitExplorer", study)
        self.study = digits_study() if study is None else study
        self._orders = _orders(self.study)
        super().__init__(
            {
                "order": widgets.Dropdown(options=ORDERS, description="first", style=STYLE, layout={"width": "200px"}),
                "number": widgets.IntSlider(
                    value=0, min=0, max=len(self.study.test.targets) - 1, description="picture", style=STYLE,
                    layout={"width": "420px"},
                ),
                "temperature": widgets.SelectionSlider(
                    options=[(f"{t:.3g}", t) for t in TEMPERATURES], value=1.0, description="temperature", style=STYLE,
                    layout={"width": "360px"},
                ),
            },
            self._draw,
        )  # fmt: skip

    def _draw(self, order, number, temperature):
        test, at = self.study.test, int(self._orders[order][number])
        wrong = int((test.logits.argmax(axis=1) != test.targets).sum())
        return digit_figure(test.pictures[at], test.logits[at], int(test.targets[at]), temperature), (
            f"Test picture {at} of {len(test.targets)}; {wrong} are classified wrongly. The logits alone say which "
            f"class, not how sure: only softmax makes probabilities of them, and the temperature makes those true."
        )


def _orders(study: Study) -> dict[str, np.ndarray]:
    """Numbers of the test pictures, in each of the orders."""
    confidence = softmax_shifted(study.test.logits).max(axis=1)
    wrong = study.test.logits.argmax(axis=1) != study.test.targets
    sure_and_wrong = np.lexsort((-confidence, ~wrong))
    orders = sure_and_wrong, np.argsort(confidence, kind="stable"), np.arange(len(confidence))
    return dict(zip(ORDERS, orders, strict=True))


def _check_study(name: str, study) -> None:
    if study is not None and not isinstance(study, Study):
        raise UsageError(
            f"{name}: study is what digits_study() returns, or None, not {study!r:.60}: pass one of these."
        )


def _nearest(temperature) -> float:
    is_number = isinstance(temperature, (int, float)) and not isinstance(temperature, bool)
    least, most = TEMPERATURES[0], TEMPERATURES[-1]
    if not is_number or not least <= temperature <= most:
        raise UsageError(
            f"temperature is a number from {least:g} to {most:g}, not {temperature!r}: pass such a number."
        )
    return min(TEMPERATURES, key=lambda t: abs(np.log(t / temperature)))
