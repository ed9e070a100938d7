"""The planner's dashboard follows its controls."""

import pytest

from labkit.training.mesh import Mesh
from labkit.training.planner.memory import peak_bytes
from labkit.training.planner.plan import TrainingPlan
from labkit.training.planner.search import search
from labkit.training.planner.step import step_forecast
from labkit.widgets.planner import MODELS, PlannerDashboard


def test_it_follows_its_controls():
    board = PlannerDashboard("1.3 B")
    board.num_nodes.value = 1
    board.pp.value, board.tp.value, board.micro_batch_size.value = 2, 2, 4
    board.schedule.value, board.checkpointing.value, board.zero_stage.value = "zb-h1", "full", 1
    plan = TrainingPlan(Mesh(2, 2, 2), 512, 4, "zb-h1", zero_stage=1, checkpointing="full")
    assert board.plan() == plan and str(plan) in board.sentence.value and "Fits" in board.sentence.value
    tops = [sum(trace.y[k] for trace in board.memory_figure.data) for k in range(2)]
    assert max(tops) == pytest.approx(peak_bytes(board.size, plan) / 1e9)
    step = step_forecast(board.size, plan, board.machine)
    assert sum(trace.x[0] for trace in board.step_figure.data) == pytest.approx(step.step_s)
    days = board.num_steps * step.step_s / 86400
    assert f"{days:,.1f} days" in board.sentence.value
    board.training_tokens.value = 1000
    assert f"{10 * days:,.1f} days" in board.sentence.value


def test_plans_that_cannot_be_and_the_best_one():
    board = PlannerDashboard("1.7 B")
    before = board.memory_figure.layout.title.text
    board.tp.value, board.pp.value = 8, 16
    assert "do not divide 32 devices" in board.sentence.value and board.memory_figure.layout.title.text != ""
    board.best.click()
    found = search(MODELS["1.7 B"], board.machine, 512, nums_nodes=[1, 2, 4])
    assert board.plan() == found.best.plan and "Fits" in board.sentence.value
    assert board.memory_figure.layout.title.text == f"Memory of a device: {found.best.plan}" != before


def test_nothing_fits():
    board = PlannerDashboard("1008 B", "RTX-4090")
    assert "No plan fits" in board.sentence.value and board.best.disabled is False or "too small" in board.sentence.value
    text = board.sentence.value
    board.best.click()
    assert board.sentence.value == text and not board.front_figure.data
    board.model.value, board.device.value = "1.3 B", "A100-80GB"
    assert "The fastest that fits" in board.sentence.value and board.front_figure.data and not board.best.disabled
