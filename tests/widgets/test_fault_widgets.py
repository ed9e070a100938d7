"""The widgets of lesson 11, without a browser."""

import pytest

from labkit.training.elastic.report import ElasticReport
from labkit.widgets.faults import FaultInjection
from labkit.widgets.spot import SpotExplorer


def test_the_controls_are_the_plan():
    widget = FaultInjection(3, rank=2, step=25)
    assert str(widget.plan) == "kill rank 2 at step 25"
    widget.num_ranks.value = 2
    assert widget.rank.value == 1 and widget.rank.max == 1
    widget.kind.value = "kill-in-write"
    assert str(widget.plan) == "kill rank 1 while it writes step 20"
    widget.every_steps.value = 15
    assert widget.step.value % 15 == 0
    widget.join.value = True
    widget.kind.value = "notice"
    widget.step.value = 7
    assert str(widget.plan) == "notice to rank 1 at step 7, 120 s; join at step 50"


@pytest.mark.timeout(200)
def test_kill_a_rank_and_watch():
    widget = FaultInjection(2, rank=0, step=14, every_steps=5)
    seen = []
    widget.experiment.status.observe(lambda change: seen.append(change["new"]), "value")
    widget.experiment.button.click()
    assert widget.rank.disabled
    widget.experiment.wait(180)
    report = widget.experiment.value
    assert isinstance(report, ElasticReport), widget.experiment.status.value
    assert len(report.losses) == 60 and len(report.worlds) == 2 and report.worlds[0].last_step == 14
    assert "rank 0 killed by SIGKILL" in widget.experiment.status.value and "steps lost" in widget.experiment.status.value
    assert len(widget.experiment.figures) == 1 and not widget.rank.disabled
    assert any("of 60" in text for text in seen)


def test_sliders_change_both_figures():
    explorer = SpotExplorer()
    before = explorer.interval.layout.title.text, explorer.cost.layout.title.text, explorer.words.value
    explorer.interruptions.value = 1.0
    assert before[0] != explorer.interval.layout.title.text and before[1] != explorer.cost.layout.title.text
    explorer.simulate.value = True
    explorer.interruptions.value = 0.05
    assert "simulated" in [trace.name for trace in explorer.interval.data]
    for control in explorer.controls:  # every end of every slider gives a figure
        start = control.value
        ends = (control.min, control.max) if hasattr(control, "min") else (True, False)
        if hasattr(control, "base"):
            ends = (control.base**control.min, control.base**control.max)
        explorer.simulate.value = False
        for end in ends:
            control.value = end
            assert explorer.words.value and explorer.cost.layout.title.text
        control.value = start
