"""Widgets that measure: the button runs, stops and works again, and what is shown belongs to the choice."""

import threading

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest

from labkit.errors import UsageError
from labkit.openmp.experiments.real_schedule import MeasuredSchedule
from labkit.openmp.simulate import simulate_schedule
from labkit.widgets.experiment import Experiment
from labkit.widgets.false_sharing import FalseSharingExplorer
from labkit.widgets.race_explorer import RaceExplorer
from labkit.widgets.schedule_explorer import ScheduleExplorer
from labkit.widgets.schedule_on_threads import Outcome, Plan, measured_figures, outcome_words


def figure_of(value):
    return (go.Figure(go.Scatter(y=[value])),)


def run(widget):
    widget.button.click()
    widget.wait(60)
    assert widget.button.description != "Stop"


def test_what_was_measured_is_drawn_and_then_replaced():
    values = iter([1, 2])
    widget = Experiment([], lambda progress: next(values), figure_of, words=lambda v: f"it is <{v}>", label="Go")
    assert widget.button.description == "Go" and widget.figures == ()
    run(widget)
    shown = widget.figures
    assert widget.value == 1 and shown[0].data[0].y == (1,) and widget.status.value == "it is &lt;1&gt;"
    run(widget)
    assert widget.figures is shown and shown[0].data[0].y == (2,)


def test_a_value_that_comes_just_after_the_click_counts():
    """A slider's last value, which the page holds back while the kernel takes the one before; the click overtakes it."""
    slider = ipywidgets.IntSlider()
    widget = Experiment([slider], lambda progress: slider.value, figure_of, words=str, label="Go")
    widget.button.click()
    slider.value = 7
    widget.wait(60)
    assert widget.value == 7


def test_it_is_stopped_where_it_tells_its_progress():
    reached, go_on = threading.Event(), threading.Event()
    slider = ipywidgets.IntSlider()
    off = ipywidgets.IntSlider(disabled=True)
    seen = []

    def measure(progress):
        progress("step <1>")
        seen.append((widget.status.value, slider.disabled, off.disabled, widget.button.description))
        reached.set()
        go_on.wait(30)
        progress("step 2")
        seen.append("not stopped")

    widget = Experiment([slider], measure, figure_of, words=str, label="Go", locked=[off])
    widget.button.click()
    assert reached.wait(30)
    widget.button.click()
    assert widget.status.value == "Stopping ..."
    go_on.set()
    widget.wait(30)
    assert seen == [("step &lt;1&gt;", True, True, "Stop")]
    assert widget.status.value == "Stopped." and widget.button.description == "Go" and widget.value is None
    assert not slider.disabled and off.disabled


def test_an_error_is_shown_and_the_button_works_again():
    def measure(progress):
        raise ValueError("a < b")

    widget = Experiment([], measure, figure_of, words=str, label="Go")
    run(widget)
    assert widget.status.value == "<b>It could not be measured:</b> a &lt; b" and widget.figures == ()


def test_forgetting_shows_nothing():
    widget = Experiment([], lambda progress: 1, figure_of, words=str, label="Go")
    run(widget)
    widget.forget()
    assert widget.figures == () and widget.value is None and widget.status.value == ""
    run(widget)
    assert widget.figures[0].data[0].y == (1,)


def test_race_explorer_measures_what_is_chosen():
    explorer = RaceExplorer(2, num_updates=1_000)
    explorer.num_threads.value, explorer.num_updates.value, explorer.num_runs.value = 3, 5_000, 50
    run(explorer)
    report, costs = explorer.value
    assert (report.num_threads, report.expected, costs.num_threads) == (3, 5_000, 3)
    assert report.num_runs >= 50 and costs.all_right
    assert "reductions were right every time" in explorer.status.value
    assert explorer.figures[0].layout.title.text.replace("<br>", " ") == report.words()
    assert len(explorer.figures) == 2


def test_false_sharing_explorer_measures_what_is_chosen():
    explorer = FalseSharingExplorer(2)
    explorer.num_increments.value = 5_000
    run(explorer)
    assert explorer.value.num_increments == 5_000 and explorer.value.num_wrong == 0
    assert "every counter was right" in explorer.status.value
    assert explorer.figures[0].data[0].x.tolist() == explorer.value.paddings_bytes.tolist()


def test_the_schedule_explorer_runs_its_plan_on_real_threads():
    explorer = ScheduleExplorer("static,4", 2, num_iterations=64, profile="even")
    run(explorer.on_threads)
    measured = explorer.on_threads.value.measured
    assert measured.is_right and "real threads" in explorer.on_threads.status.value
    assert measured.run.thread_nums.tolist() == explorer.run.thread_nums.tolist()
    shares, chart = explorer.on_threads.figures
    assert shares.layout.title.text == "<b>static,4</b>: 64 iterations in 16 chunks on 2 threads, measured"
    assert chart.layout.title.text.startswith("Measured: ")
    explorer.kind.value = "auto"  # another choice: the measurement belongs to it no more
    assert explorer.on_threads.figures == () and explorer.on_threads.value is None
    run(explorer.on_threads)
    assert str(explorer.on_threads.value.measured.run.schedule) == "auto"
    assert explorer.chunk_size.disabled and not explorer.kind.disabled


def outcome(p=2, cores=2, schedule="dynamic"):
    simulated = simulate_schedule(schedule, [1e-3] * 4, p)
    real = simulate_schedule(schedule, [2e-3] * 4, p, chunk_s=1e-6)
    plan = Plan(simulated.schedule, np.full(4, 1e-3), simulated)
    return Outcome(plan, MeasuredSchedule(real, (1.0,), 3.6e-3, cores, True))


def test_words_of_a_measured_schedule():
    assert outcome_words(outcome()) == (
        "4 ms on 2 real threads, 2 ms simulated, 3.6 ms on one thread. To take a chunk took 1 µs."
    )
    assert "share 1 core:" in outcome_words(outcome(cores=1))
    assert "take a chunk" not in outcome_words(outcome(schedule="static"))


def test_the_end_of_the_simulation_is_marked_in_the_measured_chart():
    _, chart = measured_figures(outcome())
    assert chart.layout.shapes[0].x0 == pytest.approx(2)  # ms
    assert chart.layout.xaxis.range[1] > 4 and "speed-up 0.9;" in chart.layout.title.text


@pytest.mark.parametrize("make", [RaceExplorer, FalseSharingExplorer])
@pytest.mark.parametrize("num_threads", [0, 33, 2.5, "2"])
def test_threads_that_the_control_does_not_have(make, num_threads):
    with pytest.raises(UsageError, match="num_threads"):
        make(num_threads)
    with pytest.raises(UsageError, match="num_updates is one of 1000, 5000"):
        RaceExplorer(2, num_updates=3)
