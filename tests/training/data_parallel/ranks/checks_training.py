"""On real ranks: every strategy equals one process, and what goes wrong on one rank ends on all of them."""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import cases  # noqa: E402

from labkit.errors import LabkitError, NonFiniteError, TrainingError, UsageError  # noqa: E402
from labkit.training.data import DataSet, make_data  # noqa: E402
from labkit.training.data_parallel import equivalence  # noqa: E402
from labkit.training.data_parallel.compressed import Compressed  # noqa: E402
from labkit.training.data_parallel.overlapped import Overlapped  # noqa: E402
from labkit.training.data_parallel.reducers import AllReduce, Delayed  # noqa: E402
from labkit.training.hooks import TrainingHook  # noqa: E402
from labkit.training.trainer import Trainer, train  # noqa: E402

STRATEGIES = (
    ("naive", {}), ("flat", {"algorithm": "rabenseifner"}), ("bucketed", {"bucket_bytes": 2000}),
    ("overlapped", {"bucket_bytes": 2000, "first_bucket_bytes": 500}),
    ("overlapped", {"bucket_bytes": 2000, "algorithm": "ring"}), ("overlapped", {"bucket_bytes": 2000, "driver": "hooks"}),
    ("overlapped", {"bucket_bytes": 2000, "sync_every_micro_batch": True}),
)
ADAM = cases.OPTIONS.replace(optimizer="adam", learning_rate=0.003, num_micro_batches=2, max_gradient_norm=0.5)


def is_cell(comm):
    return hasattr(comm, "monitor")


def check_every_strategy_equals_one_process(comm):
    for make, data, options in ((cases.mlp, cases.DIGITS, cases.OPTIONS), (cases.Odd, cases.DIGITS, ADAM)):
        expected = equivalence.run_alone(make, data, options)
        for name, settings in STRATEGIES:
            found = equivalence.check_equivalence(comm, make, data, options, name, expected=expected, **settings)
            assert found.is_right, f"{settings} {found}"
    found = equivalence.check_equivalence(comm, cases.transformer, cases.REVIEWS, ADAM, "overlapped", bucket_bytes=500)
    assert found.is_right, str(found)


def check_bitwise_where_the_order_is_fixed(comm):
    """Also while a thread adds up: buckets go in one order, and each is complete when it goes."""
    expected = equivalence.run_alone(cases.Odd, cases.DIGITS, cases.OPTIONS, num_parts=comm.size)
    for name in ("flat", "overlapped"):
        for settings in ({}, {"bucket_bytes": 1}) if name == "overlapped" else ({},):
            found = equivalence.check_equivalence(
                comm, cases.Odd, cases.DIGITS, cases.OPTIONS, name, expected=expected, algorithm="all_pairs", **settings
            )
            assert found.is_bitwise and found.is_right, str(found)


def check_torch_ddp_equals_one_process(comm):
    if comm.size == 1 or is_cell(comm):
        return
    for make, options, settings in (
        (cases.mlp, cases.OPTIONS, {}), (cases.mlp, ADAM, {"measure": True}),
        (cases.Odd, cases.OPTIONS, {"find_unused_parameters": True}),
    ):
        found = equivalence.check_equivalence(comm, make, cases.DIGITS, options, "torch_ddp", **settings)
        assert found.is_right, f"{settings} {found}"


def check_compressed_replicas_are_equal_and_near(comm):
    """The first gradient is off by the rounding of the format, twice: of the values, and of their sum."""
    expected = equivalence.run_alone(cases.mlp, cases.DIGITS, cases.OPTIONS)
    for name, settings, tolerance in (("fp16_compressed", {}, 2**-10), ("bf16_compressed", {}, 2**-7), ("top_k", {"share": 1.0}, 1e-5)):
        found = equivalence.check_equivalence(comm, cases.mlp, cases.DIGITS, cases.OPTIONS, name, expected=expected, tolerance=16 * tolerance, **settings)
        assert found.is_right and found.replicas_are_equal, str(found)
        if comm.size > 1 and name != "top_k":
            assert found.gradient_difference > 1e-6
    report = train(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS, strategy="top_k", share=0.1)
    assert report.replicas_are_equal


def check_traffic_and_times(comm):
    model = cases.mlp()
    num_bytes = 4 * sum(p.numel() for p in model.parameters())
    report = train(comm, model, cases.DIGITS, cases.OPTIONS, strategy="overlapped", algorithm="ring", bucket_bytes=3000)
    p, calls = comm.size, report.traffic[0].num_calls
    assert calls % 20 == 0 and calls >= 40 if p > 1 else calls == 0
    assert sum(report.sent_bytes) == 20 * 2 * (p - 1) * num_bytes  # rings: each byte is sent 2 (p - 1) times in all
    assert set(report.num_messages) == {calls * 2 * (p - 1)}
    times = report.times
    assert times.step_s.shape == (p, 20)
    parts = times.compute_s + times.communication_s - times.overlap_s + times.idle_s
    assert np.allclose(parts, times.step_s, rtol=1e-9, atol=1e-9)
    assert all((getattr(times, name) >= 0).all() for name in ("compute_s", "communication_s", "overlap_s", "idle_s"))
    assert len(report.memory) == p and min(report.peak_bytes) > 50e6  # a process with torch in it
    if p > 1:
        names = {span.name for span in report.timeline.spans if span.lane == "communication"}
        assert names == {f"bucket {k}" for k in range(calls // 20)}
        sequences = [s.sequence for s in report.timeline.spans if s.rank == p - 1 and s.lane == "communication"]
        assert sequences == list(range(calls))
    assert len(set(comm.allgather((report.losses, report.digests, str(report))))) == 1


def check_delays_are_hidden_behind_backward(comm):
    """The thread sleeps while backward goes on: what it hides, the report calls overlap."""
    if comm.size == 1:
        return

    class Slow(torch.nn.Module):
        """Backward of each layer takes long without computing, as on a GPU."""

        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(torch.nn.Linear(10, 10) for _ in range(4))
            for number, layer in enumerate(self.layers):
                torch.nn.init.eye_(layer.weight)
                layer.bias.data.fill_(float(number))

        def forward(self, inputs):
            for layer in self.layers:
                inputs = layer(inputs)
                inputs.register_hook(lambda g: pause(0.03))
            return inputs

    def pause(seconds):
        import time

        time.sleep(seconds)

    data = make_data(torch.linspace(0, 1, 200).view(20, 10), torch.arange(20) % 10, num_classes=10, test_share=0)
    options = cases.OPTIONS.replace(num_steps=3, batch_size=8, learning_rate=1e-3)
    overlap = {}
    for name in ("bucketed", "overlapped"):
        report = train(comm, Slow(), data, options, strategy=name, algorithm=Delayed(AllReduce(), 0.02), bucket_bytes=440)
        assert report.traffic[0].num_calls == 12
        overlap[name] = report.times.overlap_s[:, 1:].mean() / report.times.communication_s[:, 1:].mean()
    assert overlap["bucketed"] == 0 and overlap["overlapped"] > 0.3, overlap  # 3 of 4 buckets can hide; others use this machine


class Note(TrainingHook):
    def __init__(self):
        self.stopped = None

    def on_stop(self, trainer, error):
        self.stopped = trainer.num_done, type(error).__name__


class Fails(torch.nn.Module):
    """Raises on one rank, in forward or in backward, at some call."""

    def __init__(self, comm, where, rank, at):
        super().__init__()
        self.inner, self.num_calls = cases.mlp(), 0
        self.where, self.at = where if comm.rank == rank else "", at

    def forward(self, inputs):
        self.num_calls += 1
        if self.where == "forward" and self.num_calls == self.at:
            raise ValueError("bad luck")
        outputs = self.inner(inputs)
        if self.where == "backward" and self.num_calls == self.at:
            outputs.register_hook(lambda g: 1 / 0)
        return outputs


def expect(kind, words, call, **attributes):
    try:
        call()
    except kind as error:
        assert all(word in str(error) for word in words), str(error)
        for name, value in attributes.items():
            assert getattr(error, name) == value, (name, getattr(error, name))
        return error
    raise AssertionError(f"no {kind.__name__}")


def check_a_rank_that_fails_stops_all(comm):
    last = comm.size - 1
    for strategy, settings in (("naive", {}), ("overlapped", {"bucket_bytes": 500}), ("torch_ddp", {"timeout_s": 20})):
        if strategy == "torch_ddp" and is_cell(comm):
            continue
        for where, words in (("forward", ("bad luck",)), ("backward", ("ZeroDivisionError",))):
            hook, model = Note(), Fails(comm, where, last, 3)
            error = expect(
                TrainingError, ("step 2", f"rank {last} raised" if strategy != "torch_ddp" else "raised", *(words if strategy != "torch_ddp" else ())),
                lambda: train(comm, model, cases.DIGITS, cases.OPTIONS, strategy=strategy, hooks=[hook], **settings), step=2,  # noqa: B023
            )
            assert hook.stopped == (2, "TrainingError")
            assert (error.__cause__ is not None) == (comm.rank == last) or strategy == "torch_ddp"
    options = cases.OPTIONS.replace(num_micro_batches=3)
    for settings in ({}, {"sync_every_micro_batch": True}):  # in the middle of a step
        expect(TrainingError, ("step 1", "bad luck"), lambda: train(
            comm, Fails(comm, "forward", 0, 5), cases.DIGITS, options, strategy="overlapped", **settings), step=1)  # noqa: B023
    train(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS.replace(num_steps=1))  # the communicator is still good


def check_nan_names_step_and_rank(comm):
    """Sample 33 is bad: in the fourth batch, on the rank that has the fourth of ten samples."""
    inputs = cases.DIGITS.inputs.clone()
    inputs[33] = float("nan")
    data = DataSet("bad", inputs, cases.DIGITS.targets, cases.DIGITS.test_inputs, cases.DIGITS.test_targets, 10)
    culprit = next(r for r in range(comm.size) if 3 < sum(10 // comm.size + (k < 10 % comm.size) for k in range(r + 1)))
    for strategy in ("naive", "overlapped"):
        model, hook = cases.mlp(), Note()
        options = cases.OPTIONS.replace(shuffle=False)
        expect(
            NonFiniteError, ("step 3", f"nan on rank {culprit}"),
            lambda: train(comm, model, data, options, strategy=strategy, hooks=[hook]), step=3, ranks=(culprit,),  # noqa: B023
        )
        assert hook.stopped == (3, "NonFiniteError")
        same = cases.mlp()
        train(comm, same, data, options.replace(num_steps=3), strategy=strategy)
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))


def check_a_hook_that_raises_on_one_rank_stops_all(comm):
    class Full(TrainingHook):
        def after_step(self, trainer, record):
            if comm.rank == comm.size - 1 and record.step == at:
                raise OSError("No space left on device")

    for at in (1, 4):  # in the middle, and after the last step
        expect((LabkitError, OSError), ("No space left",), lambda: train(
            comm, cases.mlp(), cases.DIGITS, cases.OPTIONS.replace(num_steps=5), hooks=[Full()]))


def check_ranks_that_do_not_agree(comm):
    if comm.size == 1:
        return
    last = comm.rank == comm.size - 1

    def run(make=cases.mlp, data=cases.DIGITS, options=cases.OPTIONS, **settings):
        return lambda: train(comm, make(), data, options, **settings)

    def other_values():
        model = cases.mlp()
        if last:
            model.layers[1].bias.data[3] += 1e-6
        return model

    def frozen_somewhere():
        model = cases.mlp()
        model.layers[0].weight.requires_grad_(not last)
        return model

    def broken():
        return cases.mlp().requires_grad_(not last)

    where = f"rank {comm.size - 1}"
    expect(UsageError, ("different models", "layers.1.bias", "values", where), run(other_values))
    expect(UsageError, ("different models", "requires_grad"), run(frozen_somewhere))
    expect(UsageError, ("different models",), run(broken))
    expect(UsageError, ("different models", where), run(lambda: cases.cnn() if last else cases.mlp()))
    expect(UsageError, ("data", "differ"), run(data=cases.DIGITS.head(40) if last else cases.DIGITS))
    expect(UsageError, ("options", "differ"), run(options=cases.OPTIONS.replace(seed=int(last))))
    expect(UsageError, ("differ",), run(strategy="naive" if last else "flat"))
    expect(UsageError, ("no strategy",), run(strategy="best"))
    expect(UsageError, (), run(strategy="best" if last else "flat"))
    expect(UsageError, ("no all-reduce 'star'",), run(algorithm="star"))
    expect(UsageError, ("bucket_bytes",), run(bucket_bytes=0))
    expect(UsageError, ("batch_size", f"{comm.size} ranks"), run(options=cases.OPTIONS.replace(batch_size=comm.size - 1)))
    expect(UsageError, ("shares",), run(options=cases.OPTIONS.replace(shares=(1,) * (comm.size + 1))))


def check_saved_and_gone_on_with(comm):
    """Residuals, optimizer, sampler: bitwise as if it had not been interrupted."""
    for name in ("overlapped", "fp16_compressed"):
        options = cases.OPTIONS.replace(optimizer="adam", learning_rate=1e-3)
        whole = train(comm, cases.mlp(), cases.DIGITS, options, strategy=name)
        with Trainer(comm, cases.mlp(), cases.DIGITS, options, strategy=name) as first:
            losses = first.run(7).losses
            state = first.state_dict()
            rest = train(comm, cases.mlp(), cases.DIGITS, options, strategy=name, resume=state)
        assert losses + rest.losses == whole.losses and rest.digests == whole.digests and rest.first_step == 7


def check_batch_norm_buffers_are_those_of_rank_0(comm):
    report = train(comm, cases.cnn(), cases.DIGITS, cases.OPTIONS, strategy="overlapped")
    assert report.replicas_are_equal


def check_nothing_is_left_behind(comm):
    import threading

    model = cases.mlp()
    train(comm, model, cases.DIGITS, cases.OPTIONS.replace(num_steps=2), strategy=Overlapped(algorithm=Compressed("bf16")))
    assert not [t for t in threading.enumerate() if t.name == "labkit communication"]
    assert all(p.grad is None and not p._post_accumulate_grad_hooks for p in model.parameters())
