"""ZeRO on simulated ranks: every stage equals one process, bit by bit in the order of the ranks; traffic; memory."""

import functools
import importlib.util
from pathlib import Path

import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.errors import RankFailedError, TrainingError, UsageError
from labkit.training import TrainingOptions, train, train_serial
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone
from labkit.training.scale.zero_table import zero_memory, zero_traffic
from labkit.training.trainer import Trainer
from labkit.training.zero.stages import ZeRO

spec = importlib.util.spec_from_file_location("zero_cases", Path(__file__).parents[1] / "data_parallel" / "cases.py")
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)

ADAM = {"optimizer": "adam", "learning_rate": 0.003, "weight_decay": 0.1, "max_gradient_norm": 0.5}
MODELS = {
    "mlp": (cases.mlp, cases.DIGITS, {}),
    "odd": (cases.Odd, cases.DIGITS, {"weight_decay": 0.01}),
    "odd adam": (cases.Odd, cases.DIGITS, {**ADAM, "num_micro_batches": 2}),
    "transformer": (cases.transformer, cases.REVIEWS, ADAM),
}


@functools.cache
def expected(model, num_parts=1):
    make, data, changes = MODELS[model]
    return run_alone(make, data, cases.OPTIONS.replace(**changes), num_parts=num_parts)


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_equals_one_process(stage, model):
    make, data, changes = MODELS[model]
    options = cases.OPTIONS.replace(**changes)
    for p in (1, 2, 3) if model == "transformer" else (1, 2, 3, 4):
        found = simulate(
            p, lambda comm: check_equivalence(comm, make, data, options, f"zero_{stage}", expected=expected(model))
        ).results[0]
        assert found.is_right, str(found)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_gradients_are_added_in_the_order_of_the_ranks(stage):
    """So the bits are those of one process that takes the shards as micro-batches."""
    make, data, changes = MODELS["mlp"]
    for p in (2, 3):
        found = simulate(
            p, lambda comm: check_equivalence(comm, make, data, cases.OPTIONS, f"zero_{stage}", expected=expected("mlp", p))
        ).results[0]
        assert found.is_bitwise, str(found)


def wide(dtype=torch.float32):
    torch.manual_seed(5)
    layers = [torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 96), torch.nn.ReLU(), torch.nn.Linear(96, 10)]
    return torch.nn.Sequential(torch.nn.Flatten(), *layers).to(dtype)


def run(p, strategy, num_steps=3, optimizer="adam", **settings):
    options = TrainingOptions(num_steps=num_steps, batch_size=24, optimizer=optimizer, learning_rate=0.003)

    def program(comm):
        model = wide()
        with Trainer(comm, model, cases.DIGITS, options, strategy=strategy, progress=False, **settings) as trainer:
            report = trainer.run()
            memory = trainer.strategy.memory()
        return report, memory, {name: value.clone() for name, value in model.state_dict().items()}

    return simulate(p, program).results


@pytest.mark.parametrize("parameter_dtype, sizes", [(None, (4, 4, 8)), ("bf16", (2, 2, 12))])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_memory_is_that_of_the_formula(stage, parameter_dtype, sizes):
    num_parameters = sum(p.numel() for p in wide().parameters())
    for p in (1, 2, 4, 6):
        names = dict(zip(("parameter_bytes", "gradient_bytes", "optimizer_bytes"), sizes, strict=True))
        formula = zero_memory(num_parameters, p, stage, **names)
        for report, memory, _ in run(p, f"zero_{stage}", parameter_dtype=parameter_dtype):
            for kind in ("parameters", "gradients", "optimizer"):
                # Vectors are rounded up to multiples of the ranks; Adam's counter of steps is a number a unit.
                assert memory[kind] == pytest.approx(getattr(formula, f"{kind}_bytes"), rel=0.02), (kind, p)
            assert report.memory[0].tensors_bytes == pytest.approx(formula.total_bytes, rel=0.02)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_traffic_is_that_of_the_formula(stage):
    num_parameters, num_steps = sum(p.numel() for p in wide().parameters()), 3
    for p, exact in ((1, True), (2, True), (4, False), (5, False)):
        padded = sum(-(-n // p) * p for n in (64 * 96 + 96, 96 * 96 + 96, 960 + 10))
        assert (padded == num_parameters) == exact
        for report, _, _ in run(p, f"zero_{stage}", num_steps):
            sent = [traffic.sent_bytes for traffic in report.traffic]
            assert set(sent) == {4 * num_steps * zero_traffic(padded, stage) * (p - 1) / p}
            assert {t.num_messages for t in report.traffic} == {num_steps * (3 if stage == 3 else 2) * 3 * (p - 1)}


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_what_is_saved_fits_every_strategy_and_number_of_ranks(stage):
    options = TrainingOptions(num_steps=6, batch_size=24, optimizer="adam", learning_rate=0.003)
    alone = wide()
    whole = train_serial(alone, cases.DIGITS, options)

    def first_half(comm):
        with Trainer(comm, wide(), cases.DIGITS, options, strategy=f"zero_{stage}", progress=False) as trainer:
            trainer.run(3)
            state = trainer.state_dict()
            return {**state, "model": {n: v.clone() for n, v in state["model"].items()}}

    for state, (p, strategy) in zip(simulate(3, first_half).results, [(2, "zero_3"), (1, "serial"), (4, "zero_1")], strict=True):
        def second_half(comm, state=state, strategy=strategy):
            model = wide()
            report = train(comm, model, cases.DIGITS, options, strategy=strategy, resume=state, progress=False)
            return report, [value.clone() for value in model.parameters()]

        report, weights = simulate(p, second_half).results[-1]
        assert report.losses == pytest.approx(whole.losses[3:], rel=1e-5)
        for found, wanted in zip(weights, alone.parameters(), strict=True):
            assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_short_parameters_learn_and_come_back_long(stage):
    report, _, state = run(2, f"zero_{stage}", 30, parameter_dtype="bf16")[0]
    assert report.losses[-1] < 0.6 * report.losses[0] and report.replicas_are_equal
    assert {value.dtype for value in state.values()} == {torch.float32}
    plain = run(2, f"zero_{stage}", 30)[0][0]
    assert report.losses[-1] == pytest.approx(plain.losses[-1], rel=0.2) and report.losses != plain.losses


class Fails(torch.nn.Module):
    """Raises in the third forward pass of one rank."""

    def __init__(self, is_bad):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second, self.is_bad, self.num_calls = torch.nn.Linear(64, 20), torch.nn.Linear(20, 10), is_bad, 0

    def forward(self, x):
        self.num_calls += 1
        x = self.first(x.flatten(1)).relu()
        if self.is_bad and self.num_calls == 3:
            raise RuntimeError("a cable was pulled")
        return self.second(x)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_rank_that_fails_in_forward_stops_all_and_the_weights_are_those_of_before(stage):
    options = TrainingOptions(num_steps=5, batch_size=12)

    def program(comm):
        model = Fails(comm.rank == 1)
        try:
            train(comm, model, cases.DIGITS, options, strategy=f"zero_{stage}", progress=False)
        except TrainingError as error:
            return str(error), [p.detach().clone() for p in model.parameters()]

    model = Fails(False)
    train_serial(model, cases.DIGITS, options.replace(num_steps=2))
    for words, weights in simulate(3, program).results:
        assert words.startswith("step 2: rank 1 raised RuntimeError: a cable was pulled. All ranks have stopped")
        for found, wanted in zip(weights, model.parameters(), strict=True):
            assert torch.allclose(found, wanted, atol=1e-6)


def test_wrong_settings():
    for call, words in (
        (lambda: run(1, "zero_1", parameter_dtype="fp8"), "None, 'bf16' or 'fp16', not 'fp8'"),
        (lambda: run(1, "zero_4"), "zero_4"),
        (lambda: ZeRO(0), "1, 2 and 3, not 0"),
    ):
        with pytest.raises((UsageError, RankFailedError)) as raised:
            call()
        assert words in str(raised.value)
