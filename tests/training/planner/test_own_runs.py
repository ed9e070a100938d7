"""Forecast and run on real ranks: what comes back, not how long it took."""

import pytest
import torch

from labkit.errors import UsageError
from labkit.training import TrainingOptions, load_characters, load_digits, make_model
from labkit.training.mesh import Mesh
from labkit.training.planner.own_plan import OwnPlan
from labkit.training.planner.own_runs import check_run, predict_and_measure


def case(name):
    if name == "transformer":
        data = load_characters(length=12).head(64, 8)
        return make_model("transformer", data, width=16, num_heads=2, num_blocks=4), data
    data = load_digits().head(64, 8)
    return make_model(name, data, **({"hidden": (16, 16, 16)} if name == "mlp" else {"channels": (4, 8)})), data


@pytest.mark.mpi
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("name", "plan", "expected"), [
    ("cnn", OwnPlan(Mesh(dp=2)), {"world"}),
    ("transformer", OwnPlan(Mesh(pp=2, tp=2), "zb-h1"), {"tp", "pp"}),
])
def test_forecast_beside_the_run(name, plan, expected):
    model, data = case(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    options = TrainingOptions(batch_size=16, num_micro_batches=4, learning_rate=0.01)
    run = predict_and_measure(model, data, options, plan, num_steps=4, num_turns=1, num_cores=2)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert len(run.steps_s) == 1 and min(run.steps_s) > 0
    for step in (run.predicted, run.measured):
        assert sum(step.parts().values()) == pytest.approx(step.step_s) and step.compute_s > 0 and step.optimizer_s > 0
    compute = run.compute
    assert sum(compute.gradient_bytes) >= 4 * sum(p.numel() for p in model.parameters()) / plan.mesh.tp
    inside = {axis for rows in (compute.forward_calls, compute.backward_calls) for row in rows for axis, _, _ in row}
    assert expected <= inside | {axis for axis, _, _ in compute.step_calls}
    assert (inside == {"tp"}) == (plan.mesh.tp > 1)
    if plan.mesh.pp > 1:
        assert compute.boundary_bytes[0] >= 4 * 12 * 16 * 4 and compute.tied_bytes > 0  # 4 samples of 12 x 16
        assert all(t > 0 for t in compute.weight_s) and len(compute.forward_s) == 2
    assert str(plan) in str(run) and f"{run.ratio:.2f} times" in str(run)


@pytest.mark.parametrize(
    ("name", "plan", "batch", "micro", "words"),
    [
        ("mlp", OwnPlan(Mesh(dp=32)), 64, 1, "at most 16 are started"),
        ("mlp", OwnPlan(Mesh(dp=2)), 6, 4, "6 samples for dp 2 x 4 micro-batches"),
        ("transformer", OwnPlan(Mesh(tp=4)), 8, 1, "heads"),
        ("mlp", OwnPlan(Mesh(pp=2), "interleaved", 2), 8, 3, "interleaved"),
        ("mlp", OwnPlan(Mesh(pp=8)), 16, 8, "cannot be cut into 8 stages"),
        ("cnn", OwnPlan(Mesh(tp=2)), 16, 1, "CNN"),
    ],
)
def test_what_ranks_would_refuse_is_refused_here(name, plan, batch, micro, words):
    model, data = case(name)
    with pytest.raises(UsageError, match=words):
        check_run(model, data, TrainingOptions(batch_size=batch, num_micro_batches=micro), plan)
    assert all(parameter.numel() for parameter in model.parameters())
