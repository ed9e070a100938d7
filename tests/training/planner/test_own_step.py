"""The forecast of our own runs on given numbers, and the simulation on fewer cores than ranks."""

import random

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.training.mesh import Mesh
from labkit.training.pipeline.rules import check_plan
from labkit.training.pipeline.schedules import make_plan
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.planner.on_cores import simulate_on_cores
from labkit.training.planner.own_costs import ComputeCosts, NetworkCosts
from labkit.training.planner.own_plan import OwnPlan
from labkit.training.planner.own_runs import measured_step
from labkit.training.planner.own_step import predict_step

SCHEDULES = (("gpipe", 1), ("1f1b", 1), ("interleaved", 2), ("zb-h1", 1), ("zb-h2", 1))
FREE = NetworkCosts({f"{axis} {kind}": [(1, 0.0)] for axis in ("dp", "pp", "tp", "world")
                     for kind in ("allreduce", "allgather", "message")})


def random_times(num_stages, seed, communication_s=0.0):
    numbers = random.Random(seed)
    return StageTimes(*([numbers.uniform(0.5, 2) for _ in range(num_stages)] for _ in range(3)), communication_s)


@pytest.mark.parametrize(("schedule", "chunks"), SCHEDULES)
@pytest.mark.parametrize("num_ranks", [2, 4])
def test_with_a_core_for_each_rank_it_is_the_simulation(schedule, chunks, num_ranks):
    plan = make_plan(schedule, num_ranks, 8, num_chunks=chunks)
    for seed, message in ((1, 0.0), (2, 0.3)):
        times = random_times(plan.num_stages, seed, message)
        expected = simulate(plan, times)
        for cores in (num_ranks, num_ranks + 3):
            found = simulate_on_cores(plan, times, cores, waiting_share=1.0, ended_share=1.0)
            for name in ("start_s", "end_s"):
                mine, theirs = (np.concatenate(getattr(run, name)) for run in (found, expected))
                assert mine == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("schedule", "chunks"), SCHEDULES)
def test_one_core_takes_the_sum_of_all_work(schedule, chunks):
    plan = make_plan(schedule, 4, 8, num_chunks=chunks)
    times = random_times(plan.num_stages, 3)
    run = simulate_on_cores(plan, times, 1)
    assert run.step_s == pytest.approx(sum(run.busy_s))  # somebody always has something to do
    assert simulate_on_cores(plan, times, 0.5).step_s == pytest.approx(2 * run.step_s)


def test_more_cores_and_quieter_waiting_are_never_slower():
    plan = make_plan("1f1b", 4, 8)
    for seed in range(5):
        times = random_times(4, seed, 0.1)
        steps = [simulate_on_cores(plan, times, cores).step_s for cores in (1, 1.5, 2, 3, 4, 5)]
        assert steps == sorted(steps, reverse=True)
        shares = [simulate_on_cores(plan, times, 2, waiting_share=s, ended_share=s).step_s for s in (0, 0.3, 0.6, 1)]
        assert shares == sorted(shares) and shares[0] < shares[-1]


def test_shares_by_hand():
    """Two stages of 1 s each way on one core, and a waiting rank that takes half of one: all work goes at 2/3."""
    plan, times = make_plan("gpipe", 2, 1), StageTimes(1.0, 0.5, 0.5)
    run = simulate_on_cores(plan, times, 1, waiting_share=0.5)
    assert run.end_s[0][0] == pytest.approx(1.5) and run.end_s[1] == pytest.approx((3.0, 4.5))
    assert run.step_s == pytest.approx(5.5)  # nobody waits any more
    ended = simulate_on_cores(plan, times, 1, ended_share=1.0)  # rank 1 ends, then polls beside rank 0's backward pass
    assert ended.step_s == pytest.approx(3.0 + 2.0)


def costs(num_stages=1, **changes):
    values = dict(
        forward_s=[0.01] * num_stages, backward_s=[0.02] * num_stages, weight_s=[0.0] * num_stages,
        zero_s=[0.001] * num_stages, norm_s=[0.0005] * num_stages, optimizer_s=[0.002] * num_stages,
        gradient_bytes=[4000] * num_stages,
    )
    return ComputeCosts(**(values | changes))


def test_a_pipeline_is_its_simulation_and_the_end_of_the_step():
    for schedule, chunks in SCHEDULES:
        own = OwnPlan(Mesh(pp=2), schedule, chunks)
        plan = own.plan(6)
        num = plan.num_stages
        times = [[0.01 * (k + 1) for k in range(num)], [0.012] * num, [0.008] * num if "zb" in schedule else [0.0] * num]
        compute = costs(num, forward_s=times[0], backward_s=times[1], weight_s=times[2], boundary_bytes=[100] * (num - 1))
        network = NetworkCosts({**FREE.times, "pp message": [(100, 0.003)]})
        step = predict_step(plan, own.mesh, compute, network, 2)
        pipeline = simulate(plan, StageTimes(*times, 0.003)).step_s
        assert step.step_s == pytest.approx(pipeline + 0.0035 * num / 2)
        assert sum(step.parts().values()) == pytest.approx(step.step_s)
        assert step.compute_s == pytest.approx(max(step.pipeline.busy_s))


def test_collectives_cost_what_was_measured_and_cores_are_shared():
    calls = [("dp", "allreduce", 4000), ("world", "allgather", 16), ("world", "allgather", 16)]
    network = NetworkCosts(
        {"dp allreduce": [(1000, 0.001), (4000, 0.004)], "world allgather": [(64, 1e-4)]}, late_s=0.007
    )
    plan = OwnPlan(Mesh(dp=4)).plan(3)
    wide, narrow = (predict_step(plan, Mesh(dp=4), costs(step_calls=calls), network, cores) for cores in (4, 2))
    assert wide.step_s == pytest.approx(3 * 0.03 + 0.0035 + 0.0042)
    assert narrow.compute_s == pytest.approx(2 * wide.compute_s) and narrow.optimizer_s == pytest.approx(2 * wide.optimizer_s)
    assert narrow.communication_s == pytest.approx(wide.communication_s + 0.007)
    inside = costs(forward_calls=[[("tp", "allreduce", 100)] * 4], backward_calls=[[("tp", "allreduce", 100)] * 2])
    plan, tensor = OwnPlan(Mesh(tp=2)).plan(1), NetworkCosts({"tp allreduce": [(100, 0.002)]})
    step = predict_step(plan, Mesh(tp=2), inside, tensor, 2)
    assert (step.compute_s, step.communication_s) == pytest.approx((0.03, 6 * 0.002))
    step = predict_step(plan, Mesh(tp=2), inside, tensor, 1)  # messages were measured on that one core
    assert (step.compute_s, step.communication_s) == pytest.approx((0.06, 6 * 0.002))


def test_gradients_of_a_stage_are_its_share():
    compute = costs(2, gradient_bytes=[3000, 1000], step_calls=[("dp", "allreduce", 4000)])
    network = NetworkCosts({**FREE.times, "dp allreduce": [(3000, 0.3), (4000, 0.4)]})
    plan = OwnPlan(Mesh(dp=2, pp=2)).plan(2)
    assert predict_step(plan, Mesh(dp=2, pp=2), compute, network, 4).communication_s == pytest.approx(0.3)
    tied = costs(2, tied_bytes=500)
    slow = NetworkCosts({**FREE.times, "pp message": [(500, 0.05)]})
    assert predict_step(plan, Mesh(dp=2, pp=2), tied, slow, 4).communication_s == pytest.approx(0.05)


def test_one_rank_runs_the_actions_of_all():
    for schedule, chunks in SCHEDULES:
        own = OwnPlan(Mesh(pp=2), schedule, chunks)
        alone, plan = own.one_rank_plan(4), own.plan(4)
        assert check_plan(alone).num_ranks == 1
        assert sorted(map(str, alone.actions[0])) == sorted(str(a) for row in plan.actions for a in row)


def test_the_median_step_and_its_parts():
    rows = [
        [(1.0, 0.5, 0.3, 0.1, 0.1), (3.0, 1.5, 0.9, 0.3, 0.3), (2.0, 1.0, 0.6, 0.2, 0.2)],
        [(1.2, 0.4, 0.6, 0.1, 0.1), (2.8, 1.0, 1.4, 0.2, 0.2), (2.0, 0.8, 0.8, 0.2, 0.2)],
    ]
    slow = [[tuple(2 * value for value in row) for row in rank] for rank in rows]
    step, steps = measured_step([slow, rows])
    assert steps == (2.4, 6.0, 4.0, 1.2, 3.0, 2.0) and step.step_s == 2.0
    assert list(step.parts().values()) == pytest.approx([1.0, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: simulate_on_cores(make_plan("gpipe", 2, 2), StageTimes(1, 1, 1), 0), "num_cores=0"),
        (lambda: simulate_on_cores(make_plan("gpipe", 2, 2), StageTimes(1, 1, 1), 1, waiting_share=2), "waiting_share=2"),
        (lambda: predict_step(make_plan("gpipe", 2, 2), Mesh(pp=2), costs(3), FREE, 2), "costs are known of 3 stages"),
        (lambda: costs(2, zero_s=[0.1]), "zero_s has 1 values and forward_s 2"),
        (lambda: NetworkCosts({}).seconds("dp", "allreduce", 8), "nobody has measured allreduce along dp"),
        (lambda: OwnPlan((2, 1, 1)), "must be a labkit.training.mesh.Mesh"),
        (lambda: OwnPlan(Mesh(pp=2), "terapipe"), "the times of these are forecast"),
        (lambda: OwnPlan(Mesh(pp=2), "1f1b", 2), "interleaved has 2 chunks"),
        (lambda: OwnPlan(Mesh(dp=2), "interleaved", 2), "pp is 1: take pp 2 or more"),
        (lambda: OwnPlan(Mesh(dp=2), data_parallel="overlapped"), "communicate after the backward pass"),
    ],
)
def test_errors(wrong, words):
    with pytest.raises(UsageError, match=words):
        wrong()
