"""The picture of a forecast beside its run shows both, part by part."""

import pytest

from labkit.training.mesh import Mesh
from labkit.training.planner.own_costs import ComputeCosts, NetworkCosts
from labkit.training.planner.own_plan import OwnPlan
from labkit.training.planner.own_runs import OwnRun
from labkit.training.planner.own_step import OwnStep
from labkit.views.own_runs import own_runs_figure, own_runs_layout


def make_run(plan, predicted, measured):
    costs = ComputeCosts((0.1,), (0.1,), (0.0,), (0.0,), (0.0,), (0.0,), (4,))
    steps = (OwnStep(*parts, sum(parts)) for parts in (predicted, measured))
    return OwnRun(plan, 2, *steps, (sum(measured),), costs, NetworkCosts({}))


RUNS = [
    make_run(OwnPlan(Mesh(dp=2)), (0.04, 0.0, 0.005, 0.005), (0.05, 0.0, 0.006, 0.004)),
    make_run(OwnPlan(Mesh(pp=4)), (0.2, 0.08, 0.001, 0.004), (0.21, 0.09, 0.002, 0.003)),
]


@pytest.mark.parametrize("runs", [RUNS[0], RUNS[:1], RUNS])
def test_bars_are_the_steps(runs):
    listed = runs if isinstance(runs, list) else [runs]
    bars = own_runs_layout(runs)
    steps = [step for run in listed for step in (run.predicted, run.measured)]
    assert bars.totals_s == tuple(step.step_s for step in steps) and len(bars.names) == len(steps)
    assert [sum(column) for column in zip(*bars.by_part.values(), strict=True)] == pytest.approx(bars.totals_s)
    assert bars.ratios == tuple(run.ratio for run in listed)
    figure = own_runs_figure(runs)
    for trace, values in zip(figure.data, bars.by_part.values(), strict=True):
        assert list(trace.x) == pytest.approx([1e3 * seconds for seconds in values])
    words = [annotation.text for annotation in figure.layout.annotations]
    assert words[0] == "50 ms, 0.83 of measured" and words[1] == "60 ms"
    assert figure.layout.xaxis.range[1] > 1e3 * max(bars.totals_s)
