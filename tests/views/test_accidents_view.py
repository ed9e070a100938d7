"""Figures of accidents: what is drawn is what the values say, and nothing leaves the picture."""

from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point import accidents
from labkit.floating_point.accidents import Curve, ErrorCurves
from labkit.floating_point.formats import find_format
from labkit.views.accidents import (
    archimedes_figure,
    ariane_figure,
    differentiation_figure,
    muller_figure,
    muller_layout,
    patriot_figure,
    quadratic_figure,
    rump_figure,
    rump_layout,
    triangle_figure,
    vancouver_figure,
    variance_figure,
)  # fmt: skip
from labkit.views.error_curves import error_curves_layout

X = np.array([1.0, 2.0, 4.0, 8.0])
CURVES = ErrorCurves(
    find_format("binary32"), "b", X, np.ones(4),
    (Curve("one", np.array([1, 1.5, np.nan, 1e9]), np.array([0.0, 0.5, np.nan, 1e9])),),
    bounds=(("bound", np.array([1e-30, 1e-3, 1.0, 1e30])),), optima=(("one", 3.0),),
)


def test_layout_keeps_everything_within_the_picture():
    layout = error_curves_layout(CURVES)
    (series,) = layout.series
    assert series.x.tolist() == [1, 2, 8] and series.broken_x.tolist() == [4]
    assert series.y.tolist() == [2.0**-28, 0.5, 1e4] and (layout.low, layout.high) == (2.0**-28, 1e4)
    assert "relative error 0" in series.hovers[0] and "relative error 1e+09" in series.hovers[2]
    assert np.array_equal(layout.bounds[0][1], [np.nan, 1e-3, 1.0, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("figure", "call"),
    [
        (archimedes_figure, lambda: accidents.archimedes(30)), (quadratic_figure, accidents.quadratic_sweep),
        (differentiation_figure, accidents.differentiate), (variance_figure, accidents.variance_sweep),
        (triangle_figure, accidents.needle_triangles),
    ],
)  # fmt: skip
def test_error_figures(figure, call):
    curves = call()
    drawn = figure(curves)
    names = [trace.name for trace in drawn.data]
    assert [curve.name for curve in curves.curves] == names[: 2 * len(curves.curves) : 2]
    assert [name for name, _ in curves.bounds] == names[2 * len(curves.curves) :]
    low, high = drawn.layout.yaxis.range
    for number, curve in enumerate(curves.curves):
        trace, broken = drawn.data[2 * number : 2 * number + 2]
        assert len(trace.x) + len(broken.x) == len(curves.x)
        ys = np.log10(np.concatenate([np.asarray(trace.y, float), np.asarray(broken.y, float)]))
        assert (ys > low).all() and (ys < high).all()
    notes = [note.text for note in drawn.layout.annotations]
    assert [any(name in note for note in notes) for name, _ in curves.optima] == [True] * len(curves.optima)


def test_patriot_and_vancouver():
    figure = patriot_figure(accidents.patriot())
    assert figure.layout.title.text == "After 100 h: 0.3433 s lost, the gate is 687 m off"
    assert figure.data[0].y[-1] == pytest.approx(0.3433, abs=1e-4) and figure.data[1].yaxis == "y2"
    index = accidents.vancouver(5)
    assert np.array_equal(vancouver_figure(index).data[1].y, index.truncated)
    with pytest.raises(UsageError, match="no rows to draw"):
        patriot_figure([])


def test_muller_stays_in_the_picture_and_says_where_it_ends():
    exact, tiny = muller_layout({"exact": accidents.muller(20, fmt=None), "E4M3": accidents.muller(20, fmt="E4M3")})
    assert len(exact.y) == 22 and not exact.ends_early and tiny.ends_early
    assert muller_layout({"a": [Fraction(-1000), Fraction(1000)]})[0].y == (-20, 120)
    assert muller_figure({"exact": accidents.muller(20, fmt=None)}).data[0].y[-1] == pytest.approx(5, abs=0.001)


def test_rump_by_sign_and_magnitude():
    bars = rump_layout({"exact": accidents.rump(fmt=None), "binary16": None, "big": Fraction(10**21), "zero": Fraction(0)})
    assert [bar.is_negative for bar in bars] == [True, False, False, False]
    assert bars[0].words == "-0.827396" and bars[0].power == pytest.approx(-0.0823, abs=1e-4)
    assert (bars[1].words, bars[2].power, bars[3].power) == ("too large for the format", 21, 0)
    bar, label = rump_figure({"exact": accidents.rump(fmt=None)}).data
    assert list(bar.y) == ["exact"] and bar.x[0] < 0 and label.x[0] == 0 and label.text[0] == " -0.827396"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "traps at 36.7 s: 32768 is more than 32767"), ({"on_overflow": "wrap"}, "they wrap"),
        ({"on_overflow": "saturate"}, "234 values do not fit into 16 bits"), ({"num_bits": 24}, "Every value fits into 24 bits"),
    ],
)  # fmt: skip
def test_ariane(arguments, words):
    flight = accidents.ariane(**arguments)
    figure = ariane_figure(flight)
    assert words in figure.layout.title.text
    assert len(figure.data[1].x) == len(flight.converted.integers)
