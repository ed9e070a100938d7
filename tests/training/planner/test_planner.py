"""Memory, time, search and advice: against formulas written out again, published runs, and exhaustive looks."""

import math

import pytest

from labkit.errors import UsageError
from labkit.training.mesh import Mesh
from labkit.training.planner.advice import what_to_try
from labkit.training.planner.devices import GIBIBYTE, Device, Machine, find_device
from labkit.training.planner.latent_space import latent_space
from labkit.training.planner.memory import block_activation_bytes, in_flight, memory_forecast, peak_bytes
from labkit.training.planner.plan import TrainingPlan
from labkit.training.planner.published import MEGATRON_TABLE
from labkit.training.planner.search import check_one_block, search, usable_bytes, why_not
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.step import step_forecast

SMALL = TransformerSize(8, 512, 8, 1000, 128)
A100 = find_device("A100-80GB")


def machine(num_nodes: int, **changes) -> Machine:
    return Machine(A100, num_nodes, **changes)


@pytest.mark.parametrize("tp", [1, 2, 8])
@pytest.mark.parametrize("samples", [1, 4])
def test_activations_are_those_of_the_paper(tp, samples):
    """Korthikanti and others, table 2: the columns are written out here."""
    size = TransformerSize(48, 6144, 64)
    s, b, h, a = size.length, samples, size.width, size.num_heads
    plan = TrainingPlan(Mesh(tp=tp), samples, samples)
    assert block_activation_bytes(size, plan) == pytest.approx(s * b * h * (10 + 24 / tp + 5 * a * s / (h * tp)))
    both = plan.with_(sequence_parallel=True)
    assert block_activation_bytes(size, both) == pytest.approx(s * b * h / tp * (34 + 5 * a * s / h))
    assert block_activation_bytes(size, both.with_(checkpointing="selective")) == pytest.approx(34 * s * b * h / tp)
    assert block_activation_bytes(size, plan.with_(checkpointing="full")) == pytest.approx(2 * s * b * h)


@pytest.mark.parametrize(("zero_stage", "expected"), [(0, 120.0), (1, 31.4), (2, 16.6), (3, 1.88)])
def test_states_are_those_of_zero(zero_stage, expected):
    """7.5 B parameters on 64 devices (arXiv 1910.02054, figure 1)."""
    size = TransformerSize(36, 4096, 32, 51200, 1024)
    plan = TrainingPlan(Mesh(dp=64), 64, zero_stage=zero_stage)
    stage = memory_forecast(size, plan)[0]
    states = stage.parameters_bytes + stage.gradients_bytes + stage.optimizer_bytes
    assert states / size.num_parameters * 7.5 == pytest.approx(expected, rel=0.005)


def simulated_in_flight(schedule: str, pp: int, num: int, stage: int) -> int:
    """Forward passes begun minus backward passes ended, by walking through the schedule's own definition."""
    warm_up = {"gpipe": num, "1f1b": pp - 1 - stage, "zb-h2": 2 * (pp - 1 - stage)}[schedule]
    kept = most = min(warm_up, num)
    for _ in range(num - kept):
        kept += 1
        most = max(most, kept)
        kept -= 1
    return most


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zb-h2"])
@pytest.mark.parametrize(("pp", "num"), [(1, 1), (2, 2), (4, 4), (4, 5), (4, 30), (7, 9)])
def test_micro_batches_in_flight(schedule, pp, num):
    plan = TrainingPlan(Mesh(pp=pp), num, schedule=schedule)
    for stage in range(pp):
        assert in_flight(plan, stage) == simulated_in_flight(schedule, pp, num, stage)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2"])
@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
def test_the_three_stages_looked_at_have_the_largest(schedule, checkpointing):
    for blocks, pp in ((8, 2), (8, 4), (8, 3), (9, 4)):
        size = TransformerSize(blocks, 512, 8, 50_000, 128)
        plan = TrainingPlan(
            Mesh(pp=pp, tp=2), 12, 1, schedule, 2 if schedule == "interleaved" else 1, checkpointing=checkpointing
        )
        if plan.reason_against(size):
            continue
        assert peak_bytes(size, plan) == max(stage.total_bytes for stage in memory_forecast(size, plan))


@pytest.mark.parametrize("row", MEGATRON_TABLE[:4], ids=lambda row: f"{row.billions}B")
def test_the_forecast_is_near_what_megatron_measured(row):
    """Its runs, with one constant for all: a device reaches half of its peak in products."""
    plan = TrainingPlan(
        Mesh(row.num_gpus // row.tp // row.pp, row.pp, row.tp), row.batch_size, 1, checkpointing="full"
    )
    forecast = step_forecast(row.size, plan, machine(row.num_gpus // 8))
    assert forecast.operations_per_device == pytest.approx(row.tera_per_gpu * 1e12, rel=0.16)
    assert peak_bytes(row.size, plan) < 80 * GIBIBYTE


def test_a_step_on_one_device_is_its_operations_over_its_rate():
    plan = TrainingPlan(Mesh(), 6, 2)
    forecast = step_forecast(SMALL, plan, machine(1, devices_per_node=1))
    assert forecast.step_s == pytest.approx(SMALL.step_operations(6, checkpointing=False) / (312e12 * 0.5))
    assert forecast.step_s == forecast.compute_s and forecast.bubble_s == 0
    assert forecast.price == pytest.approx(forecast.step_s / 3600 * A100.price_per_hour)
    full = step_forecast(SMALL, plan.with_(checkpointing="full"), machine(1, devices_per_node=1))
    assert full.step_s == pytest.approx(SMALL.step_operations(6) / (312e12 * 0.5))


def test_bubbles_without_communication_and_logits():
    """A model whose stages are equal: GPipe's and 1F1B's (p-1)/m, divided by the chunks; zero bubble less."""
    size = TransformerSize(16, 8192, 64, 1, 1)
    free = machine(1, devices_per_node=4, inside=A_FREE_LINK)
    plan = TrainingPlan(Mesh(pp=4), 16, 1, "1f1b")
    for schedule, chunks, expected in (("gpipe", 1, 3 / 16), ("1f1b", 1, 3 / 16), ("interleaved", 2, 3 / 32), ("interleaved", 4, 3 / 64)):
        forecast = step_forecast(size, plan.with_(schedule=schedule, num_chunks=chunks), free)
        assert forecast.bubble_s / forecast.compute_s == pytest.approx(expected, rel=1e-3)
    for schedule, idle in (("zb-h1", 1), ("zb-h2", 0)):  # forward, backward and weights take a third each
        forecast = step_forecast(size, plan.with_(schedule=schedule), free)
        assert forecast.bubble_s / forecast.compute_s == pytest.approx(idle * 3 / 16 / 3, rel=1e-2, abs=1e-3)


A_FREE_LINK = Machine(A100).inside.__class__(0, 0)


def test_tensor_parallel_waits_more_between_nodes():
    size = TransformerSize(8, 4096, 64)
    plan = TrainingPlan(Mesh(tp=16), 4)
    inside = step_forecast(size, plan, machine(1, devices_per_node=16))
    between = step_forecast(size, plan, machine(2))
    assert between.tensor_s > 5 * inside.tensor_s > 0


def test_a_slow_network_makes_data_parallel_wait_and_a_long_backward_hides_it():
    slow = machine(2, between=A_FREE_LINK.__class__(1e-5, 1e-9))
    plan = TrainingPlan(Mesh(dp=16), 16)
    assert step_forecast(SMALL, plan, slow).data_s > 0
    assert step_forecast(SMALL, plan, machine(2, between=A_FREE_LINK, inside=A_FREE_LINK)).data_s == 0


def test_search_finds_the_best_of_all_plans():
    size, here = TransformerSize(12, 2048, 16, 32000, 1024), machine(1)
    found = search(size, here, 32)
    assert [c.step.step_s for c in found.candidates] == sorted(c.step.step_s for c in found.candidates)
    seen = set()
    for candidate in found.candidates:
        assert candidate.memory_bytes == peak_bytes(size, candidate.plan) <= usable_bytes(here)
        assert candidate.step == step_forecast(size, candidate.plan, candidate.machine)
        seen.add(str(candidate.plan))
    assert len(seen) == len(found.candidates)
    assert {(c.plan.mesh.dp, c.plan.mesh.pp, c.plan.mesh.tp) for c in found.candidates} == {
        (8 // pp // tp, pp, tp) for tp in (1, 2, 4, 8) for pp in (1, 2, 4, 8) if pp * tp <= 8
    }
    assert "data parallel" and found.best.plan.mesh.pp == 1  # it fits: no pipeline is needed


def test_the_front_of_time_and_price():
    found = search(TransformerSize(12, 2048, 16, 32000, 1024), machine(1), 64, nums_nodes=(1, 2, 4, 8))
    front = found.front()
    assert len({c.machine.num_nodes for c in front}) > 1
    for one in front:
        assert not any(
            c.step.step_s < one.step.step_s and c.step.price <= one.step.price for c in found.candidates
        )
    for c in found.candidates:
        assert any(f.step.step_s <= c.step.step_s and f.step.price <= c.step.price for f in front)


def test_what_does_not_fit_is_explained():
    huge = TransformerSize(128, 25600, 160)
    found = search(huge, machine(2), 64)
    assert found.candidates == () and found.num_too_large > 0 and found.closest[1] > usable_bytes(machine(2))
    words = why_not(huge, found.closest[0], machine(2))
    assert "optimizer" in words and "GB" in words
    assert any("heads" in reason for reason in search(TransformerSize(8, 768, 12), machine(1), 16).reasons)
    assert why_not(SMALL, TrainingPlan(Mesh(), 1), machine(1)) == ""


def test_a_device_too_small_for_one_layer():
    tiny = Machine(Device("toy", 10**8, {"mixed": 1e12, "fp32": 1e12}), devices_per_node=2)
    with pytest.raises(UsageError, match=r"one block of width 4096 needs .* GB even in 2 parts"):
        search(TransformerSize(4, 4096, 32), tiny, 8)
    with pytest.raises(UsageError, match="too small for one layer"):
        what_to_try(TransformerSize(4, 4096, 32), tiny, 8)
    check_one_block(SMALL, tiny)


def test_advice_tries_what_costs_least_first():
    attempts = what_to_try(TransformerSize(96, 12288, 96), machine(128), 1536, all_of_them=False)
    words = [attempt.what for attempt in attempts]
    places = [next(k for k, what in enumerate(words) if part in what) for part in (
        "32 bits", "mixed precision", "full checkpointing", "ZeRO stage 1", "ZeRO stage 3",
    )]
    assert places == sorted(places)
    assert all(not attempt.fits and attempt.reason for attempt in attempts[:-1])
    if attempts[-1].fits:
        assert attempts[-1].memory_bytes <= usable_bytes(machine(128)) and attempts[-1].step.step_s > 0
    everything = what_to_try(TransformerSize(96, 12288, 96), machine(128), 1536, all_of_them=True)
    first_pipeline = next(k for k, attempt in enumerate(everything) if attempt.plan.mesh.pp > 1)
    assert all(attempt.plan.mesh.pp == 1 for attempt in everything[:first_pipeline])
    assert any(attempt.plan.mesh.tp == 8 for attempt in everything[:first_pipeline])
    depths = [attempt.plan.mesh.pp for attempt in everything[first_pipeline:]]
    assert depths == sorted(depths) and everything[-1].plan.mesh.tp == 8
    easy = what_to_try(SMALL, machine(1), 8)
    assert len(easy) == 1 and easy[0].fits and easy[0].plan.mesh.dp == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mesh": Mesh(pp=4), "batch_size": 2}, "2 micro-batches for 4 stages"),
        ({"mesh": Mesh(tp=3)}, "8 heads are no multiple of tp 3"),
        ({"mesh": Mesh(pp=9), "batch_size": 18}, "need 9 blocks and there are 8"),
        ({"mesh": Mesh(dp=4), "batch_size": 6}, "a batch of 6 samples does not divide"),
        ({"schedule": "interleaved"}, "interleaved schedule needs"),
        ({"num_chunks": 2, "mesh": Mesh(pp=2)}, "belong to the interleaved schedule"),
        ({"zero_stage": 2, "mesh": Mesh(pp=2, dp=2)}, "ZeRO stage 2 with pp 2"),
    ],
    ids=str,
)
def test_plans_that_cannot_be(changes, words):
    plan = TrainingPlan(**{"mesh": Mesh(), "batch_size": 8} | changes)
    assert words in plan.reason_against(SMALL)
    with pytest.raises(UsageError, match="micro-batch"):
        memory_forecast(SMALL, plan)
    with pytest.raises(UsageError):
        step_forecast(SMALL, plan, machine(1, devices_per_node=plan.mesh.size))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: TrainingPlan(Mesh(), 0), "batch_size=0"),
        (lambda: TrainingPlan(Mesh(), 8, schedule="2f2b"), "known ones are gpipe"),
        (lambda: TrainingPlan(Mesh(), 8, zero_stage=4), "ZeRO has the stages"),
        (lambda: find_device("A1000"), "known ones are V100"),
        (lambda: Machine(A100, 0), "num_nodes=0"),
        (lambda: step_forecast(SMALL, TrainingPlan(Mesh(dp=4), 8), machine(1)), "world_size is 8"),
        (lambda: search(SMALL, machine(1), 0), "batch_size=0"),
        (lambda: latent_space(1), "num_nodes=1"),
        (lambda: latent_space(network_share=2), "from 0 to 1"),
    ],
)
def test_errors(wrong, words):
    with pytest.raises(UsageError, match=words):
        wrong()


def test_latent_space():
    found = latent_space()
    assert found.total == 0.625 and found.improvement == pytest.approx(0.375)
    assert found.network_part == pytest.approx(1 / 3) and found.steps_flat == 7 and found.steps_inside == 3
    assert found.counted_total == pytest.approx(0.5 + 0.5 * 3 / 7)
    for nodes, devices, share in ((4, 8, 0.5), (32, 4, 0.25), (2, 2, 1.0)):
        other = latent_space(nodes, devices, share)
        assert other.total == pytest.approx(1 - share + share / math.log2(nodes))
        assert f"{other.total:.3f}" in " ".join(other.sentences())
