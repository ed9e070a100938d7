"""On real ranks: synchronised batch norm and mixed precision under every strategy, and failures in mid-pass."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import cases  # noqa: E402
from torch import nn  # noqa: E402

from labkit.errors import TrainingError  # noqa: E402
from labkit.floating_point.mixed_precision.loss_scaling import LossScaling  # noqa: E402
from labkit.training.batch_norm import convert  # noqa: E402
from labkit.training.data_parallel import equivalence  # noqa: E402
from labkit.training.trainer import Trainer, train  # noqa: E402

LADDER = (
    ("naive", {}),
    ("flat", {"algorithm": "ring"}),
    ("bucketed", {"bucket_bytes": 300}),
    ("overlapped", {"bucket_bytes": 300, "first_bucket_bytes": 100}),
    ("overlapped", {"bucket_bytes": 300, "driver": "hooks"}),
    ("torch_ddp", {}),
)


def rungs(comm):
    """torch's DDP has no place in a cell, and waits for backward passes that never come if a rank fails."""
    return [(name, s) for name, s in LADDER if name != "torch_ddp" or (comm.size > 1 and not hasattr(comm, "monitor"))]


def check_batch_norm_over_all_ranks_equals_one_process(comm):
    shares = (3, 0, 1, 2)[: comm.size]
    options = cases.OPTIONS
    expected = equivalence.run_alone(cases.cnn, cases.DIGITS, options)
    for name, settings in rungs(comm):
        for dealt in (None, shares):
            if name == "torch_ddp" and dealt is not None:
                continue
            found = equivalence.check_equivalence(
                comm, lambda: convert(cases.cnn(), comm), cases.DIGITS, options.replace(shares=dealt), name,
                expected=expected, tolerance=2**13 * 2.0**-24, **settings,
            )
            assert found.is_right and found.replicas_are_equal, f"{settings} {dealt} {found}"
    if comm.size > 1:
        found = equivalence.check_equivalence(comm, cases.cnn, cases.DIGITS, options, "overlapped", expected=expected)
        assert not found.is_right and found.gradient_difference > 1e-2  # unsynchronised: another function


def check_batch_norm_in_double_precision(comm):
    def double():
        return cases.cnn().double()

    found = equivalence.check_equivalence(
        comm, lambda: convert(double(), comm), cases.DIGITS, cases.OPTIONS, "overlapped",
        expected=equivalence.run_alone(double, cases.DIGITS, cases.OPTIONS), tolerance=2**15 * 2.0**-53,
    )
    assert found.is_right, str(found)


class Fails(nn.Module):
    """Raises on one rank between two batch norms, in forward or in backward, at a call."""

    def __init__(self, comm, where, rank, at):
        super().__init__()
        self.inner, self.num_calls, self.at = convert(cases.cnn(), comm), 0, at
        self.where = where if comm.rank == rank else ""

    def forward(self, inputs):
        self.num_calls += self.training
        first, second = self.inner.convolutions
        values = torch.relu(self.inner.norms[0](first(inputs)))
        if self.num_calls == self.at and self.where == "forward":
            raise ValueError("bad luck")
        if self.num_calls == self.at and self.where == "backward":
            values.register_hook(lambda g: 1 / 0)
        values = torch.relu(self.inner.norms[1](second(values)))
        return self.inner.classify(values.mean((2, 3)))


def check_a_rank_that_fails_between_batch_norms_stops_all(comm):
    last = comm.size - 1
    for name, settings in rungs(comm):
        for where, words in (("forward", "bad luck"), ("backward", "ZeroDivisionError")):
            model = Fails(comm, where, last, 4)
            trainer = Trainer(
                comm, model, cases.DIGITS, cases.OPTIONS.replace(num_micro_batches=2), strategy=name, **settings
            )
            with trainer:
                try:
                    trainer.run()
                except TrainingError as error:
                    assert "step 1" in str(error) and words in str(error) and error.ranks == (last,), str(error)
                else:
                    raise AssertionError("no error")
                if name != "torch_ddp":
                    assert len(trainer.run(3).losses) == 3  # the ranks are where they meet again


class Overflows(nn.Module):
    """The gradient of one rank becomes infinite in some steps."""

    def __init__(self, comm, rank, calls):
        super().__init__()
        self.inner, self.num_calls, self.calls = cases.mlp(), 0, calls if comm.rank == rank else ()

    def forward(self, inputs):
        outputs = self.inner(inputs)
        self.num_calls += self.training
        if self.num_calls in self.calls and self.training:
            outputs.register_hook(lambda g: g * torch.inf)
        return outputs


def check_an_overflow_on_one_rank_skips_the_step_on_all(comm):
    scaling = LossScaling(1024.0, is_dynamic=True, growth_interval=4)
    options = cases.OPTIONS.replace(precision="bf16", loss_scaling=scaling, num_steps=9, shares=(1,) * comm.size)
    for name, settings in rungs(comm):
        model = Overflows(comm, comm.size - 1, (3, 4))
        with Trainer(comm, model, cases.DIGITS, options, strategy=name, **settings) as trainer:
            report = trainer.run()
            skipped = [record.step for record in trainer.records if record.skipped]
            state = trainer.precision.state_dict()
        assert skipped == [2, 3], (name, skipped)
        assert state == {"loss_scale": 512.0, "num_good_steps": 1, "num_skipped": 2}, (name, state)
        assert report.replicas_are_equal


def check_mixed_precision_and_batch_norm_together(comm):
    losses = {}
    for precision in ("fp32", "bf16", "fp16"):
        options = cases.OPTIONS.replace(precision=precision, num_steps=30)
        report = train(comm, convert(cases.cnn(), comm), cases.DIGITS, options, strategy="overlapped", bucket_bytes=300)
        assert report.replicas_are_equal
        losses[precision] = sum(report.losses[-5:]) / 5
        assert report.losses[-1] < report.losses[0]
    assert abs(losses["bf16"] - losses["fp32"]) < 0.05 * losses["fp32"], losses
    assert abs(losses["fp16"] - losses["fp32"]) < 0.05 * losses["fp32"], losses
