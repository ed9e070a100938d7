"""The explorer of accidents: every experiment follows its controls, and shows what its function gives."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.accidents import archimedes, quadratic_sweep, vancouver
from labkit.widgets.accidents import EXPERIMENTS, AccidentExplorer, Choice


def flat(figure):
    return repr([(trace.x, trace.y) for trace in figure.data]) + str(figure.layout.title.text)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_control_changes_the_picture(name):
    explorer = AccidentExplorer(name)
    for key, control in EXPERIMENTS[name].controls.items():
        before, words = flat(explorer.figure), explorer.sentence.value
        start = explorer.controls[key].value
        ends = control.options if isinstance(control, Choice) else (control.least, control.most)
        for value in ends:
            explorer.controls[key].value = value
            assert "Not shown" not in explorer.sentence.value, (key, value)
            assert value == start or (flat(explorer.figure), explorer.sentence.value) != (before, words), (key, value)
        explorer.controls[key].value = start
        assert (flat(explorer.figure), explorer.sentence.value) == (before, words)


def test_the_figures_show_the_values():
    explorer = AccidentExplorer("vancouver", num_days=20)
    assert np.array_equal(explorer.figure.data[1].y, vancouver(20).truncated)
    explorer = AccidentExplorer("archimedes", fmt="binary32", num_doublings=8)
    expected = archimedes(8, fmt="binary32")["with the sum"].errors
    assert np.allclose(explorer.figure.data[2].y, np.maximum(expected, 2.0**-28))
    explorer = AccidentExplorer("quadratic", fmt="binary16")
    assert np.array_equal(explorer.figure.data[0].x, quadratic_sweep(fmt="binary16").x[~np.isnan(quadratic_sweep(fmt="binary16")["textbook"].errors)])


def test_a_setting_that_cannot_be_shown_says_why_and_keeps_the_picture():
    explorer = AccidentExplorer("differentiation", function="exp/sqrt(sin^3+cos^3)")
    before = flat(explorer.figure)
    explorer.controls["x"].max = 4.0
    explorer.controls["x"].value = 3.0
    assert "not real at x=3" in explorer.sentence.value and flat(explorer.figure) == before
    explorer.controls["x"].value = 1.0
    assert explorer.sentence.value.startswith("Smallest relative errors")


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("patriots", {}, "did you mean 'patriot'"), ("patriot", {"days": 3}, "the controls are hours, fraction_bits"),
        ("patriot", {"hours": 0}, "hours is a whole number from 1 to 200, not 0"),
        ("patriot", {"hours": 2.5}, "not 2.5"), ("ariane", {"growth": "fast"}, "growth is a number from 0.1 to 4"),
        ("muller", {"fmt": "binary128"}, "fmt is one of binary64"),
    ],
)  # fmt: skip
def test_bad_input(name, start, words):
    with pytest.raises(UsageError) as caught:
        AccidentExplorer(name, **start)
    assert words in str(caught.value)
