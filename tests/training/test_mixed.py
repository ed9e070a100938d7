"""Mixed precision: the scale follows the rules, an overflow leaves out a step everywhere, small gradients survive."""

import pytest
import torch
from torch import nn

from labkit.comm.simulated.run import simulate
from labkit.errors import NonFiniteError, UsageError
from labkit.floating_point.mixed_precision.loss_scaling import LossScaling
from labkit.training.batch_norm import convert
from labkit.training.data import load_digits, make_data
from labkit.training.hooks import TrainingHook
from labkit.training.mixed import FP16_SCALING, MixedPrecision, make_precision
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.training.serial import Alone, train_serial
from labkit.training.trainer import Trainer, train

torch.set_num_threads(1)
DIGITS = load_digits().head(300, 100)
OPTIONS = TrainingOptions(num_steps=40, batch_size=50, learning_rate=0.1, seed=1)
DYNAMIC = LossScaling(1024.0, is_dynamic=True, growth_interval=3)


def mlp(seed=1):
    return make_model("mlp", DIGITS, hidden=(32,), seed=seed)


def cnn():
    return make_model("cnn", DIGITS, channels=(4, 8), seed=1)


class Overflows(nn.Module):
    """The gradient of one rank becomes infinite or NaN in some calls."""

    def __init__(self, calls=(), by=torch.inf):
        super().__init__()
        self.inner, self.num_calls, self.calls, self.by = mlp(), 0, calls, by

    def forward(self, inputs):
        outputs = self.inner(inputs)
        self.num_calls += self.training
        if self.num_calls in self.calls and self.training:
            outputs.register_hook(lambda g: g * self.by)
        return outputs


def test_the_scale_grows_and_halves():
    precision = MixedPrecision(torch.float16, DYNAMIC)
    course = [True, True, True, False, True, True, False, False, True, True, True]
    scales, taken = [], []
    for is_finite in course:
        taken.append(precision.after_gradients(is_finite))
        scales.append(precision.loss_scale)
    assert taken == course and precision.num_skipped == 3
    assert scales == [1024, 1024, 2048, 1024, 1024, 1024, 512, 256, 256, 256, 512]
    fixed = MixedPrecision(torch.float16, LossScaling(8.0))
    assert [fixed.after_gradients(ok) for ok in (True, False)] == [True, False] and fixed.loss_scale == 8
    again = MixedPrecision(torch.float16, DYNAMIC)
    again.load_state_dict(precision.state_dict())
    assert again.state_dict() == precision.state_dict() == {"loss_scale": 512.0, "num_good_steps": 0, "num_skipped": 3}
    with pytest.raises(NonFiniteError, match="at a loss scale of 5.96046e-08 either, after 36 steps"):
        for _ in range(99):
            again.after_gradients(False)


def test_what_options_choose():
    assert make_precision(OPTIONS.replace(precision="fp16"), "cpu").scaling is FP16_SCALING
    bf16 = make_precision(OPTIONS.replace(precision="bf16"), "cpu")
    assert (bf16.loss_scale, bf16.skips_overflow, bf16.after_gradients(False)) == (1.0, False, True)
    assert make_precision(OPTIONS, "cpu").loss_scale == 1
    assert make_precision(OPTIONS.replace(precision="bf16", loss_scaling=DYNAMIC), "cpu").skips_overflow
    for changes, words in (
        ({"loss_scaling": DYNAMIC}, "fp32 needs none"),
        ({"precision": "fp16", "loss_scaling": 1024.0}, "LossScaling\\(1024.0\\)"),
    ):
        with pytest.raises(UsageError, match=words):
            OPTIONS.replace(**changes)
    with pytest.raises(UsageError, match="NVIDIA"):
        make_precision(OPTIONS.replace(precision="fp16"), "meta")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_learns_like_fp32_with_master_weights_of_fp32(precision):
    """And computes in 16 bits, or the losses would be equal."""
    for make in (mlp, cnn):
        expected, model = train_serial(make(), DIGITS, OPTIONS), make()
        seen = set()
        (model.last if hasattr(model, "last") else list(model.modules())[-1]).register_forward_hook(
            lambda m, i, outputs, seen=seen: seen.add(outputs.dtype)
        )
        report = train_serial(model, DIGITS, OPTIONS.replace(precision=precision))
        assert seen == {{"bf16": torch.bfloat16, "fp16": torch.float16}[precision]}
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        tail, wanted = sum(report.losses[-5:]), sum(expected.losses[-5:])
        assert tail == pytest.approx(wanted, rel=0.1) and report.losses != expected.losses
        assert abs(report.accuracy - expected.accuracy) <= 0.1


def test_unscaled_fp16_loses_small_gradients():
    """Gradients of 1e-9 x some 10: fp16 has none below 6e-8. With a scale they are those of fp32."""
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(64, 8, generator=generator), torch.randn(64, 4, generator=generator)
    data = make_data(inputs, targets, num_classes=0, test_share=0)
    options = TrainingOptions(num_steps=1, batch_size=len(data), learning_rate=0.0)
    gradients = {}
    for name, changes in (
        ("fp32", {}),
        ("scaled", {"precision": "fp16", "loss_scaling": LossScaling(2.0**20)}),
        ("unscaled", {"precision": "fp16", "loss_scaling": LossScaling(1.0)}),
        ("bf16", {"precision": "bf16"}),
    ):
        torch.manual_seed(2)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        with Trainer(
            Alone(), model, data, options.replace(**changes), strategy="serial", progress=False,
            loss=lambda outputs, wanted: 1e-8 * ((outputs - wanted) ** 2).mean(1),
        ) as trainer:
            trainer.run()
            gradients[name] = model[0].weight.grad.clone()
    norm = gradients["fp32"].norm()
    assert 0 < norm < 1e-7
    assert (gradients["scaled"] - gradients["fp32"]).norm() < 0.01 * norm
    assert (gradients["bf16"] - gradients["fp32"]).norm() < 0.05 * norm  # the range of fp32: no scale is needed
    assert not gradients["unscaled"].any()


@pytest.mark.parametrize("by", [torch.inf, torch.nan])
@pytest.mark.parametrize("strategy", ["naive", "overlapped", "fp16_compressed"])
def test_an_overflow_on_one_rank_leaves_the_step_out_on_all(strategy, by):
    options = OPTIONS.replace(precision="bf16", loss_scaling=DYNAMIC, num_steps=8, batch_size=30)

    def program(comm):
        model, weights = Overflows((2, 3) if comm.rank == 1 else (), by), []

        class Keep(TrainingHook):
            def after_step(self, trainer, record):
                weights.append(next(model.parameters()).detach().clone())

        with Trainer(comm, model, DIGITS, options, strategy=strategy, hooks=[Keep()]) as trainer:
            report = trainer.run()
            changed = [not torch.equal(a, b) for a, b in zip(weights, weights[1:], strict=False)]
            return report, [r.step for r in trainer.records if r.skipped], trainer.precision.state_dict(), changed

    for report, skipped, state, changed in simulate(3, program).results:
        assert skipped == [1, 2] and changed == [False, False, True, True, True, True, True]
        assert state == {"loss_scale": 512.0, "num_good_steps": 2, "num_skipped": 2}
        assert report.replicas_are_equal


def test_without_a_scale_an_infinite_gradient_stops_training():
    with pytest.raises(NonFiniteError, match="step 1"):
        train_serial(Overflows((2,)), DIGITS, OPTIONS.replace(precision="bf16"))


def test_through_a_scale_of_one():
    """A scale that has come down to exactly 1 still leaves out, and is not checked less."""
    options = OPTIONS.replace(
        precision="bf16", num_steps=4, check_gradients=False, loss_scaling=LossScaling(2.0, is_dynamic=True)
    )
    with Trainer(Alone(), Overflows((1, 2, 3)), DIGITS, options, strategy="serial", progress=False) as trainer:
        trainer.run()
        assert trainer.precision.loss_scale == 0.25 and trainer.precision.num_skipped == 3


def test_resumed_run_has_the_same_bits():
    options = OPTIONS.replace(precision="fp16", num_steps=8, loss_scaling=DYNAMIC)
    whole, model = train_serial(mlp(), DIGITS, options), mlp()
    with Trainer(Alone(), model, DIGITS, options, strategy="serial", progress=False) as trainer:
        first = trainer.run(4)
        state = trainer.state_dict()
        assert state["precision"]["loss_scale"] == 2048.0
        second = train(Alone(), mlp(seed=2), DIGITS, options, strategy="serial", resume=state, progress=False)
    assert first.losses + second.losses == whole.losses and second.digests == whole.digests


def test_with_batch_norm_on_simulated_ranks():
    """Autocast is a switch of the thread, which simulated ranks share and leave in the middle of forward."""
    options = OPTIONS.replace(precision="bf16", num_steps=10)
    expected = train_serial(cnn(), DIGITS, options)

    def program(comm):
        report = train(comm, convert(cnn(), comm), DIGITS, options.replace(shares=(2, 1, 0)), strategy="overlapped")
        return report, torch.is_autocast_enabled("cpu")

    report, is_on = simulate(3, program).results[2]
    assert report.replicas_are_equal and not is_on
    assert report.losses == pytest.approx(expected.losses, rel=0.02)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_on_a_gpu(precision):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    expected = train_serial(cnn().cuda(), DIGITS, OPTIONS)
    model = convert(cnn().cuda(), Alone())
    report = train_serial(model, DIGITS, OPTIONS.replace(precision=precision))
    assert sum(report.losses[-5:]) == pytest.approx(sum(expected.losses[-5:]), rel=0.1)
