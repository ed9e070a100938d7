"""One process: the loop against a loop written out, options, models, learning rates."""

import math
import subprocess
import sys

import pytest
import torch

from labkit.errors import NonFiniteError, TrainingError, UsageError
from labkit.training.agreement import weights_digest
from labkit.training.data import load_characters, load_digits, load_mnist, load_reviews, make_data
from labkit.training.hooks import TrainingHook
from labkit.training.learning_rate import learning_rate_at
from labkit.training.models.initial import initialise
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.training.sampling import ShardedSampler
from labkit.training.serial import Alone, train_serial
from labkit.training.trainer import Trainer

torch.set_num_threads(1)


def written_out(model, data, options):
    """The same training in plain torch."""
    if options.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=1, momentum=options.momentum, weight_decay=options.weight_decay)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1, weight_decay=options.weight_decay)
    sampler = ShardedSampler(len(data), options.batch_size, seed=options.seed)
    losses = []
    for step in range(options.num_steps):
        batch = torch.from_numpy(sampler.next_batch())
        optimizer.zero_grad()
        outputs = model(data.inputs[batch])
        loss = torch.nn.functional.cross_entropy(outputs.flatten(0, -2), data.targets[batch].flatten())
        loss.backward()
        if options.max_gradient_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), options.max_gradient_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, options)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


CASES = {
    "mlp": ("mlp", load_digits, {"hidden": (16,)}, {}),
    "adam": ("mlp", load_digits, {"hidden": (16,)}, {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.1}),
    "cnn": ("cnn", lambda: load_mnist().head(100, 50), {"channels": (4, 8)}, {"weight_decay": 1e-3, "warmup_steps": 5}),
    "transformer": ("transformer", lambda: load_reviews(num_words=200, length=8).head(200, 50), {"width": 16}, {"max_gradient_norm": 0.1}),
    "characters": ("transformer", lambda: load_characters(length=12).head(100, 20), {"width": 16}, {"num_micro_batches": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_plain_torch(case):
    """Tolerance: the loss is a sum over samples divided by their number, torch's own a mean: other roundings."""
    name, load, sizes, changes = CASES[case]
    data = load()
    options = TrainingOptions(num_steps=20, batch_size=24, seed=5, **changes)  # 24 divides no data set: a short last batch
    model, plain = make_model(name, data, seed=2, **sizes), make_model(name, data, seed=2, **sizes)
    report = train_serial(model, data, options)
    expected = written_out(plain, data, options)
    assert report.losses == pytest.approx(expected, rel=2e-4)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=2e-3, atol=2e-5)
    assert report.losses[-1] < report.losses[0] and 0 < report.accuracy < 1


def test_bitwise_repeatable_and_report():
    data = load_digits()
    reports = [train_serial(make_model("mlp", data, seed=1), data, TrainingOptions(num_steps=5)) for _ in range(2)]
    assert reports[0].losses == reports[1].losses and reports[0].digests == reports[1].digests
    report, times = reports[0], reports[0].times
    assert report.num_ranks == 1 and report.sent_bytes == (0,) and report.memory[0].parameters_bytes == (64 * 128 + 128 + 1290) * 4
    assert report.memory[0].gradients_bytes == report.memory[0].optimizer_bytes == report.memory[0].parameters_bytes
    parts = times.compute_s + times.idle_s + times.communication_s - times.overlap_s
    assert times.step_s.shape == (1, 5) and parts == pytest.approx(times.step_s, rel=1e-9)
    assert {span.name for span in report.timeline.spans} == {"forward", "backward", "optimizer", "agree"}
    assert "accuracy" in str(report)


def test_run_goes_on_where_another_stopped():
    data, options = load_digits(), TrainingOptions(num_steps=9, batch_size=500, optimizer="adam", learning_rate=1e-3)
    whole = train_serial(make_model("mlp", data), data, options)
    with Trainer(Alone(), make_model("mlp", data), data, options, strategy="serial") as first:
        losses = first.run(4).losses
        model = make_model("mlp", data, seed=99)
        with Trainer(Alone(), model, data, options, strategy="serial") as second:
            second.load_state_dict(first.state_dict())
            rest = second.run()
    assert losses + rest.losses == whole.losses and rest.digests == whole.digests and rest.first_step == 4


def test_initial_values_depend_on_name_and_seed():
    class Late(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.rand(100)
            self.extra = torch.nn.Linear(7, 7)
            self.layers = torch.nn.ModuleList([torch.nn.Linear(64, 128)])

    data = load_digits()
    model = make_model("mlp", data, seed=4)
    assert torch.equal(initialise(Late(), 4).layers[0].weight, model.layers[0].weight)
    assert not torch.equal(initialise(Late(), 5).layers[0].weight, model.layers[0].weight)
    weights = model.layers[0].weight.detach()
    assert abs(weights.mean()) < 0.01 and weights.abs().max() <= 1 / 8 and weights.std() == pytest.approx(1 / 8 / 3**0.5, rel=0.05)


class Note(TrainingHook):
    def __init__(self):
        self.seen = []

    def at_start(self, trainer):
        self.seen.append("start")

    def after_step(self, trainer, record):
        self.seen.append((record.step, trainer.num_done))

    def on_stop(self, trainer, error):
        self.seen.append(("stop", trainer.num_done, weights_digest(trainer.model), trainer.sampler.position))

    def at_end(self, trainer):
        self.seen.append("end")


def test_nan_stops_before_the_optimizer():
    data = make_data(torch.rand(40, 3), torch.arange(40) % 2, num_classes=2, test_share=0)
    data.inputs[35] = math.inf
    hook, options = Note(), TrainingOptions(num_steps=9, batch_size=10, shuffle=False)
    model = make_model("mlp", data, hidden=(4,))
    with pytest.raises(NonFiniteError, match=r"step 3: the loss is not finite: nan on rank 0") as caught:
        train_serial(model, data, options, hooks=[hook])
    assert caught.value.step == 3 and caught.value.ranks == (0,)
    same = make_model("mlp", data, hidden=(4,))
    train_serial(same, data, options.replace(num_steps=3))
    assert hook.seen == ["start", (0, 1), (1, 2), (2, 3), ("stop", 3, weights_digest(same), 30)]


def test_infinite_gradient_of_a_finite_loss():
    class Root(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(3))

        def forward(self, inputs):
            return (inputs @ self.weight).abs().sqrt()[:, None] * torch.tensor([1.0, 1.0])

    data = make_data(torch.ones(4, 3), torch.zeros(4, dtype=torch.long), num_classes=2, test_share=0)
    with pytest.raises(NonFiniteError, match="the gradient is not finite"):
        train_serial(Root(), data, TrainingOptions(batch_size=2))


def test_hooks_and_errors():
    data, hook = load_digits(), Note()
    train_serial(make_model("mlp", data), data, TrainingOptions(num_steps=2), hooks=[hook])
    assert hook.seen == ["start", (0, 1), (1, 2), "end"]

    class Full(TrainingHook):
        def after_step(self, trainer, record):
            raise OSError("No space left on device")

    for num_steps in (1, 3):  # also after the last step
        with pytest.raises((TrainingError, OSError), match="No space left"):
            train_serial(make_model("mlp", data), data, TrainingOptions(num_steps=num_steps), hooks=[Full()])
    frozen = make_model("mlp", data).requires_grad_(False)
    with pytest.raises(UsageError, match="no parameter to train"):
        train_serial(frozen, data)
    with pytest.raises(UsageError, match="no strategy 'fast'"):
        Trainer(Alone(), make_model("mlp", data), data, strategy="fast")
    with pytest.raises(UsageError, match="bucket_size"):
        Trainer(Alone(), make_model("mlp", data), data, strategy="flat", bucket_size=3)
    for wrong in ({"batch_size": 0}, {"learning_rate": -1}, {"optimizer": "lion"}, {"num_steps": 1.5}, {"precision": "fp8"},
                  {"learning_rate": math.nan}, {"max_gradient_norm": 0}, {"num_micro_batches": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            TrainingOptions(**wrong)
    with pytest.raises(UsageError, match="does not fit"):
        make_model("transformer", data)


def test_learning_rate():
    options = TrainingOptions(learning_rate=0.1, batch_size=1024, base_batch_size=256, warmup_steps=10)
    rates = [learning_rate_at(step, options) for step in range(12)]
    assert rates[0] == pytest.approx(0.1) and rates[10:] == [pytest.approx(0.4)] * 2
    assert all(b - a == pytest.approx(0.03) for a, b in zip(rates[:10], rates[1:11], strict=True))
    alone = TrainingOptions(learning_rate=0.1, warmup_steps=4)
    assert [learning_rate_at(s, alone) for s in range(5)] == pytest.approx([0.02, 0.036, 0.052, 0.068, 0.1], rel=0.2)
    assert learning_rate_at(0, TrainingOptions(learning_rate=0.1)) == 0.1


def test_progress_is_silent_in_a_pipe_and_shows_on_demand():
    data, texts = load_digits(), []
    train_serial(make_model("mlp", data), data, TrainingOptions(num_steps=3), progress=texts.append)
    assert "step 3 of 3" in texts[-1]


def test_import_is_light():
    program = "import sys, labkit.training; assert 'torch' not in sys.modules; labkit.training.train; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
