"""The bubble by simulation and by formula: equal where theory says so, and where not, the simulation's own definition."""

import itertools

import pytest

from labkit.training.mesh import Mesh
from labkit.training.pipeline.schedules import make_plan
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.planner import bubble
from labkit.training.planner.bubble import formula_bubble_s, formula_message_s, num_actions, pipeline_time
from labkit.training.planner.devices import Machine, find_device
from labkit.training.planner.plan import TrainingPlan
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.step import step_forecast

WAYS = (("gpipe", 1), ("1f1b", 1), ("interleaved", 2), ("interleaved", 3), ("zb-h1", 1), ("zb-h2", 1))


@pytest.mark.parametrize(("schedule", "chunks"), WAYS)
@pytest.mark.parametrize("pp", [2, 3, 5])
@pytest.mark.parametrize("times", [(1.0, 1.0, 1.0), (2.0, 2.5, 1.5)])
def test_equal_stages_and_free_messages_give_the_formulas(schedule, chunks, pp, times):
    for turns in (2, 4):  # 2 p micro-batches are enough for ZB-H2
        plan = TrainingPlan(Mesh(pp=pp), turns * pp, 1, schedule, chunks)
        found = pipeline_time(plan, [times] * pp, 0.0)
        assert found.is_simulated and found.message_s == 0
        assert found.bubble_s == pytest.approx(formula_bubble_s(plan, times), abs=1e-9)


def test_messages_only_delay_filling_and_emptying_of_gpipe():
    for pp, message in itertools.product((2, 4), (0.01, 0.3)):
        plan = TrainingPlan(Mesh(pp=pp), 8, 1, "gpipe")
        found = pipeline_time(plan, [(1.0, 1.0, 1.0)] * pp, message)
        assert found.message_s == pytest.approx(2 * (pp - 1) * message) == pytest.approx(formula_message_s(plan, message))


@pytest.mark.parametrize(("schedule", "chunks"), WAYS)
def test_unequal_stages_take_what_the_simulation_says(schedule, chunks):
    stages = [(1.0, 1.1, 0.9), (2.0, 1.7, 1.8), (0.5, 0.4, 0.6)]
    plan = TrainingPlan(Mesh(pp=3), 9, 1, schedule, chunks)
    found = pipeline_time(plan, stages, 0.2)
    parts = [[t / chunks for t in stages[stage % 3]] for stage in range(3 * chunks)]
    run = simulate(make_plan(schedule, 3, 9, num_chunks=chunks), StageTimes(*zip(*parts, strict=True), 0.2))
    assert 9 * sum(stages[1]) + found.bubble_s + found.message_s == pytest.approx(run.cost_s)
    assert found.bubble_s < formula_bubble_s(plan, stages[1]) or schedule.startswith("zb")


def test_plans_with_very_many_actions_take_the_formulas(monkeypatch):
    plan = TrainingPlan(Mesh(pp=4), 12, 1, "1f1b")
    monkeypatch.setattr(bubble, "MOST_ACTIONS", num_actions(plan) - 1)
    stages = [(1.0, 1.0, 1.0)] * 3 + [(2.0, 2.0, 2.0)]
    found = pipeline_time(plan, stages, 0.5)
    assert not found.is_simulated and (found.bubble_s, found.message_s) == (3 * 6.0, (2 * 3 + 12) * 0.5)
    monkeypatch.setattr(bubble, "MOST_ACTIONS", num_actions(plan))
    assert pipeline_time(plan, stages, 0.5).is_simulated
    for schedule, chunks in WAYS:
        sizes = TrainingPlan(Mesh(pp=4), 12, 1, schedule, chunks)
        made = make_plan(schedule, 4, 12, num_chunks=chunks)
        assert num_actions(sizes) == made.num_actions


def test_parts_of_a_forecast_add_up_and_say_where_they_are_from():
    size, machine = TransformerSize(16, 1024, 16, 32000, 512), Machine(find_device("A100-80GB"), devices_per_node=4)
    for batch, is_simulated in ((16, True), (4096, False)):
        step = step_forecast(size, TrainingPlan(Mesh(pp=4), batch), machine)
        assert step.is_simulated == is_simulated
        assert step.step_s == pytest.approx(step.compute_s + step.tensor_s + step.bubble_s + step.pipeline_s + step.data_s)
    assert not step_forecast(size, TrainingPlan(Mesh(dp=4), 16), machine).is_simulated
