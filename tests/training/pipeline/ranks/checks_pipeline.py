"""On real ranks: pipelines equal one process, large messages do not block, and a failure ends on all ranks."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import cases  # noqa: E402

from labkit.errors import NonFiniteError, TrainingError  # noqa: E402
from labkit.training.data import DataSet  # noqa: E402
from labkit.training.data_parallel.equivalence import check_equivalence, run_strategy  # noqa: E402
from labkit.training.models.initial import initialise  # noqa: E402
from labkit.training.options import TrainingOptions  # noqa: E402
from labkit.training.pipeline.bugs import BUGS  # noqa: E402
from labkit.training.pipeline.random_streams import SerialWithStreams  # noqa: E402
from labkit.training.pipeline.strategy import train_pipeline  # noqa: E402
from labkit.training.pipeline.token_slices import token_slices  # noqa: E402
from labkit.training.serial import Alone, train_serial  # noqa: E402


def check_every_schedule_equals_one_process(comm):
    p = comm.size
    for model in ("mlp", "language", "dropout"):
        make, data = cases.MODELS[model]
        expected = run_strategy(Alone(), make, data, cases.OPTIONS, SerialWithStreams())
        for schedule in ("1f1b", "zb-h1", "gpipe", "interleaved")[: 4 if model == "language" and p == 2 else 3]:
            settings = {"checkpointing": schedule == "zb-h1"}
            found = check_equivalence(comm, make, data, cases.OPTIONS, "pipeline", expected=expected, schedule=schedule, **settings)
            assert found.is_right, f"{model}, {schedule}: {found}"
            if schedule != "gpipe" and model != "language":
                assert found.is_bitwise, f"{model}, {schedule}: {found}"
        if model == "language":
            plan = token_slices(p, 4, 3)
            found = check_equivalence(comm, make, data, cases.OPTIONS, "pipeline", expected=expected, plan=plan)
            assert found.is_right, f"slices: {found}"


def check_bugs_are_found(comm):
    for name in ("tied_not_added", "last_w_forgotten", "activations_of_another"):
        make, data = cases.MODELS["language" if "tied" in name else "mlp"]
        expected = run_strategy(Alone(), make, data, cases.OPTIONS, SerialWithStreams())
        found = check_equivalence(comm, make, data, cases.OPTIONS, BUGS[name].make(), expected=expected)
        assert not found.is_right, f"{name}: {found}"


def check_large_messages_do_not_block(comm):
    """Activations of 4 MB each, all sent before the first is asked for."""
    width = 2048
    inputs = torch.randn(8 * 512, 4, generator=torch.Generator().manual_seed(0))
    data = DataSet("wide", inputs, inputs.clone(), inputs[:0], inputs[:0], 4)
    make = lambda: initialise(nn.Sequential(  # noqa: E731
        nn.Linear(4, width), *(nn.GELU() for _ in range(2)), *(nn.Linear(width, 4) if k == comm.size - 2 else nn.LayerNorm(width)
                                                                 for k in range(comm.size - 1))), 0)
    options = TrainingOptions(num_steps=2, batch_size=len(data), num_micro_batches=8, learning_rate=0.01)
    for schedule in ("gpipe", "1f1b"):
        report = train_pipeline(comm, make(), data, options, plan=schedule, progress=False)
        assert report.replicas_are_equal
    assert abs(report.losses[-1] - train_serial(make(), data, options, progress=False).losses[-1]) < 1e-5


class Fails(nn.Module):
    def __init__(self, when, how):
        super().__init__()
        self.layer, self.calls, self.when, self.how = nn.Linear(8, 8), 0, when, how

    def forward(self, values):
        self.calls += 1
        if self.calls == self.when and self.how == "raise":
            raise ValueError("a broken layer")
        return self.layer(values * float("nan") if self.calls == self.when else values)


def check_a_failure_ends_all_ranks(comm):
    for how, kind in (("raise", TrainingError), ("nan", NonFiniteError)):
        for schedule in ("1f1b", "gpipe"):
            layers = [nn.Sequential(nn.Flatten(), nn.Linear(64, 8)), Fails(6, how), nn.Linear(8, 8), nn.Linear(8, 10)]
            model = initialise(nn.Sequential(*layers), 0)
            try:
                train_pipeline(comm, model, cases.DIGITS, cases.OPTIONS, plan=schedule)
            except kind as error:
                words = str(error)
                assert "step 1: rank " in words and "stage " in words and "micro-batch 1" in words, words
            else:
                raise AssertionError("no error")
            assert comm.allreduce(1) == comm.size  # nothing of it is left on the communicator
            assert sum(p.numel() for p in model.parameters()) == 520 + 72 + 72 + 90


def check_the_measured_run(comm):
    report = train_pipeline(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS, plan="zb-h1", pause_s=lambda action: 0.002)
    run = report.details
    assert run.measured.step_s >= run.simulated.step_s * 0.999 - run.simulated.times.communication_s * 50
    assert len(run.timeline().spans) == comm.size * 12
    for mine in zip(run.measured.start_s, run.measured.end_s, strict=True):
        assert all(b - a >= 0.002 for a, b in zip(*mine, strict=True))
        assert all(b <= a for a, b in zip(mine[0][1:], mine[1][:-1], strict=True))  # one action at a time
