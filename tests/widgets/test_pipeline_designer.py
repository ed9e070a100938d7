"""The designer of pipeline schedules, without a browser."""

import pytest

from labkit.errors import UsageError
from labkit.training.pipeline.rules import check_plan
from labkit.training.pipeline.schedules import SCHEDULES, make_plan
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.widgets.pipeline import PipelineDesigner


def test_it_follows_its_controls():
    designer = PipelineDesigner("1f1b", 4, 8)
    expected = simulate(make_plan("1f1b", 4, 8), StageTimes(0.02, 0.02, 0.01, 0.001))
    assert designer.run == expected and f"{expected.bubble_fraction:.1%}" in designer.words.value
    assert "Rank 0 holds the most: <b>4</b>" in designer.words.value and "the limit is 8." in designer.words.value
    designer.num_microbatches.value = 16
    assert designer.run.plan == make_plan("1f1b", 4, 16) and "16 micro-batches" in designer.figure.layout.title.text
    designer.schedule.value = "gpipe"
    assert "<b>16</b>" in designer.words.value and "8 more than the limit" in designer.words.value
    designer.forward.value = 40.0
    assert designer.run.times.forward_s == pytest.approx(0.04)
    shown = [trace for trace in designer.figure.data if trace.type == "bar"]
    assert sum(len(trace.x) for trace in shown) == designer.run.plan.num_actions


def test_chunks_and_slices_take_their_part():
    designer = PipelineDesigner("interleaved", 4, 8)
    assert designer.run.times.forward_s == pytest.approx(0.01) and not designer.num_chunks.disabled
    assert designer.run.busy_s == pytest.approx([8 * 0.05] * 4)
    peak_of_two = max(trace.y.max() if hasattr(trace.y, "max") else max(trace.y) for trace in designer.figure.data[-4:])
    assert peak_of_two == 11 / 2  # 2 (p - 1) + (v - 1) p + 1 chunks, each half of a rank's activations
    designer.schedule.value = "terapipe"
    assert designer.num_chunks.disabled and designer.run.busy_s == pytest.approx([8 * 0.05] * 4)


def test_what_a_schedule_does_not_allow_is_said_and_cannot_be_run():
    designer = PipelineDesigner("interleaved", 4, 6)
    assert designer.run is None and "multiple of 4, but 6" in designer.words.value
    assert designer.on_ranks.button.disabled and designer._picture.children == ()
    designer.num_microbatches.value = 8
    assert designer.run is not None and not designer.on_ranks.button.disabled
    assert designer._picture.children == (designer.figure,)


def test_the_search_keeps_the_limit_of_the_slider():
    designer = PipelineDesigner("zb-searched", 4, 8)
    rates = []
    for limit in (4, 8):
        designer.memory_limit.value = limit
        check_plan(designer.run.plan)
        assert "more than the limit" not in designer.words.value
        rates.append(designer.run.bubble_rate)
    assert rates[1] < rates[0]


def test_every_end_of_every_control_gives_a_picture():
    designer = PipelineDesigner("1f1b", 3, 6)
    for name in SCHEDULES:
        designer.schedule.value = name
        for control in designer.controls[1:]:
            before = control.value
            for end in (control.min, control.max):
                control.value = end
                assert designer.words.value and (designer.run is None) == ("no such plan" in designer.words.value)
            control.value = before


def test_what_has_no_control_is_refused():
    for wrong in ({"schedule": "dualpipe"}, {"num_ranks": 17}, {"num_ranks": 0}, {"num_microbatches": 65}):
        with pytest.raises(UsageError, match="pass one of them"):
            PipelineDesigner(**wrong)


@pytest.mark.timeout(400)
def test_run_on_real_ranks_and_stop():
    designer = PipelineDesigner("zb-h1", 2, 3)
    designer.on_ranks.button.click()
    assert designer.schedule.disabled and designer.on_ranks.button.description == "Stop"
    designer.on_ranks.wait(180)
    run = designer.on_ranks.value
    assert run is not None, designer.on_ranks.status.value
    assert run.plan == designer.run.plan and "Measured" in designer.on_ranks.status.value
    assert run.measured.step_s >= 0.98 * designer.run.step_s - 4 * 0.001  # actions take at least their times
    measured = [trace for trace in designer.figure.data if trace.meta == "measured"]
    assert sum(len(trace.x) for trace in measured) == run.plan.num_actions and not designer.schedule.disabled
    designer.weight.value = 20.0  # what was measured belongs to another plan
    assert designer.on_ranks.value is None and not [t for t in designer.figure.data if t.meta == "measured"]
    designer.on_ranks.button.click()
    designer.on_ranks.button.click()
    designer.on_ranks.wait(120)
    assert designer.on_ranks.status.value == "Stopped." and designer.on_ranks.value is None
    assert designer.on_ranks.button.description == "Run on real ranks"
