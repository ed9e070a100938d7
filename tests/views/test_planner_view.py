"""The planner's pictures show the forecasts they are given."""

import pytest

from labkit.training.mesh import Mesh
from labkit.training.planner.devices import Machine, find_device
from labkit.training.planner.memory import memory_forecast
from labkit.training.planner.plan import TrainingPlan
from labkit.training.planner.search import SearchResult, search
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.step import step_forecast
from labkit.views.planner import (
    MOST_BARS,
    planner_front_figure,
    planner_front_layout,
    planner_memory_figure,
    planner_memory_layout,
    planner_step_figure,
    planner_step_layout,
)

SIZE = TransformerSize(32, 2048, 16, 32000, 1024)
MACHINE = Machine(find_device("A100-40GB"))


@pytest.mark.parametrize("pp", [1, 4, 32])
def test_bars_of_memory(pp):
    stages = memory_forecast(SIZE, TrainingPlan(Mesh(pp=pp), 64))
    bars = planner_memory_layout(stages, 30e9)
    assert len(bars.names) == min(pp, MOST_BARS) and bars.names[0] == "stage 0" and bars.names[-1] == f"stage {pp - 1}"
    shown = [stages[int(name.split()[1])] for name in bars.names]
    assert [sum(column) for column in zip(*bars.by_kind.values(), strict=True)] == pytest.approx(
        [stage.total_bytes / 1e9 for stage in shown]
    )
    assert bars.fits == all(stage.total_bytes <= 30e9 for stage in stages)
    figure = planner_memory_figure(stages, 30e9)
    assert [trace.name for trace in figure.data] == ["optimizer", "gradients", "parameters", "activations"]
    assert figure.layout.shapes[0].y0 == pytest.approx(30) and "30.0 GB" in figure.layout.annotations[0].text


def test_points_of_plans():
    result = search(SIZE, MACHINE, 64, nums_nodes=(1, 2))
    points = planner_front_layout(result, 1000)
    assert len(points) == len(result.candidates) and sum(point.on_front for point in points) == len(result.front())
    for point, candidate in zip(points, result.candidates, strict=True):
        assert point.days == pytest.approx(candidate.step.step_s * 1000 / 86400)
        assert point.price == pytest.approx(candidate.step.price * 1000)
        mesh = candidate.plan.mesh
        assert ("pipeline" in point.family or point.family == "with both") == (mesh.pp > 1)
        assert ("tensor" in point.family or point.family == "with both") == (mesh.tp > 1)
    figure = planner_front_figure(result, 1000)
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == len(points)
    empty = planner_front_figure(SearchResult((), 3, {}, None), 1000)
    assert not empty.data and "no plan fits" in empty.layout.annotations[0].text


def test_parts_of_a_step_are_the_step():
    step = step_forecast(SIZE, TrainingPlan(Mesh(dp=2, pp=2, tp=2), 64), MACHINE)
    parts = planner_step_layout(step)
    assert sum(seconds for _, seconds, _ in parts) == pytest.approx(step.step_s)
    assert [trace.x[0] for trace in planner_step_figure(step).data] == [seconds for _, seconds, _ in parts]
