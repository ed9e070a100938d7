"""The parts of the run on ranks: B and W apart, cuts, virtual times, memory, failures, checkpoints, bad input."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import simulate as simulate_ranks
from labkit.errors import RankFailedError, UsageError
from labkit.training.hooks import TrainingHook
from labkit.training.models.initial import initialise
from labkit.training.models.transformer import Block
from labkit.training.pipeline.execute import Executor
from labkit.training.pipeline.schedules import make_plan
from labkit.training.pipeline.simulate import StageTimes, duration, simulate
from labkit.training.pipeline.split_backward import backward, backward_input
from labkit.training.pipeline.stages import cut
from labkit.training.pipeline.strategy import train_pipeline
from labkit.training.serial import train_serial
from labkit.training.trainer import Trainer

spec = importlib.util.spec_from_file_location("pipeline_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)


class OneBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block(16, 2, causal=True)

    def forward(self, values):
        return self.block(values, None)


class Branches(nn.Module):
    """Two outputs of a chunk, a weight that no input reaches, a frozen one, a layer used twice."""

    def __init__(self):
        super().__init__()
        self.wide, self.twice = nn.Linear(8, 16), nn.Linear(8, 8)
        self.apart, self.frozen = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(8), requires_grad=False)

    def forward(self, values):
        a, b = self.wide(values).chunk(2, -1)
        c = self.twice(torch.tanh(self.twice(a * b)))
        return torch.cat([c, (2 * self.apart).sum() * torch.ones(len(values), 1), b * self.frozen], 1)


PARTS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), (5, 8)),
    "block": (OneBlock, (3, 7, 16)), "branches": (Branches, (5, 8)),
    "convolution": (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)), (2, 1, 9, 9)),
}


@pytest.mark.parametrize("wants_input", [True, False])
@pytest.mark.parametrize("name", PARTS)
def test_b_and_w_are_backward(name, wants_input):
    torch.manual_seed(0)
    make, shape = PARTS[name]
    model, values = make(), torch.randn(shape, requires_grad=wants_input)
    outputs = model(values)
    gradient = torch.randn_like(outputs)
    both = backward([outputs], [gradient], [values])
    expected = [p.grad for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    found, later = backward_input([model(values)], [gradient], [values])
    assert all(p.grad is None for p in model.parameters())  # B computes no gradient of a weight
    assert (found[0] is None) if not wants_input else torch.equal(found[0], both[0])
    reached = later.add()
    for parameter, right in zip(model.parameters(), expected, strict=True):
        assert (parameter.grad is None and right is None) or torch.equal(parameter.grad, right)
        assert (id(parameter) in reached) == (right is not None)
    old = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    backward_input([model(values)], [gradient], [values])[1].add()  # is added
    new = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.allclose(b, 2 * a) for a, b in zip(old, new, strict=True))


def test_b_leaves_the_products_of_weights_out():
    """Counted by torch's profiler: B and W together make as many products of matrices as backward."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    values = torch.randn(8, 64, requires_grad=True)

    def num_products(work):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            result = work()
        return sum(row.count for row in seen.key_averages() if row.key in ("aten::mm", "aten::addmm")), result

    outputs = model(values)
    count, _ = num_products(lambda: backward([outputs], [torch.ones_like(outputs)], [values]))
    outputs = model(values)
    in_b, (_, later) = num_products(lambda: backward_input([outputs], [torch.ones_like(outputs)], [values]))
    in_w, _ = num_products(later.add)
    assert (count, in_b, in_w) == (6, 3, 3)


@pytest.mark.parametrize("name", cases.MODELS)
def test_stages_are_the_model(name):
    make, data = cases.MODELS[name]
    model = make().eval()
    values = data.inputs[:5]
    for num_stages in (1, 2, 3, 4):
        parts = cut(model, num_stages)
        passed = (values,)
        for stage in parts.stages:
            passed, _ = stage.eval(*passed)
        assert torch.equal(passed[0], model(values))
        held = [name for stage in parts.stages for name in stage.parameters]
        assert set(held) == {name for name, _ in model.named_parameters()}
        assert len(held) - len(set(held)) == sum(len(stages) - 1 for stages in parts.tied.values())
    assert (parts.tied != {}) == (name == "language")


def test_cut_inside_of_a_block():
    model = cases.language()
    names = ["embed", *(f"blocks.0.{part}" for part in ("norm_1", "attention.query", "attention.key"))]
    rest = [f"blocks.0.{part}" for part in ("attention.value", "attention.out", "norm_2", "widen", "narrow")]
    parts = cut(model, [names, [*rest, "blocks.1"], ["blocks.2", "norm"]])
    values = cases.CHARACTERS.inputs[:3]
    passed = (values,)
    for stage in parts.stages:
        passed, _ = stage.train(*passed)
    assert torch.allclose(passed[0], model(values), atol=1e-6)


def test_virtual_time_is_that_of_the_simulation():
    for name, p, lengths in (("1f1b", 4, 4), ("zb-h1", 4, 4), ("zb-h2", 3, 3), ("interleaved", 2, 4), ("terapipe", 2, 2)):
        plan = make_plan(name, p, 4)
        times = StageTimes(*([base + 0.1 * k for k in range(lengths)] for base in (1.0, 1.5, 0.7)))
        table = times.table(plan.num_stages, plan.num_slices)

        def program(comm, plan=plan, table=table):
            return train_pipeline(
                comm, cases.language(), cases.CHARACTERS, cases.OPTIONS, plan=plan, pause_s=lambda a: duration(table, a)
            )

        run = simulate_ranks(p, program, network=alpha_beta(0, 0, 0)).results[0].details
        planned = simulate(plan, times)
        assert run.measured.step_s == pytest.approx(planned.step_s) == pytest.approx(run.simulated.step_s), name
        for mine, theirs in zip(run.measured.start_s, planned.start_s, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-6)
        assert run.measured.bubble_fraction == pytest.approx(planned.bubble_fraction)


def peaks(plan, p=3, **settings):
    model = lambda: nn.Sequential(nn.Flatten(), *(nn.Sequential(nn.Linear(64, 64), nn.GELU()) for _ in range(6)))  # noqa: E731
    run = simulate_ranks(
        p, lambda comm: train_pipeline(comm, initialise(model(), 0), cases.DIGITS, cases.OPTIONS.replace(
            batch_size=48, num_micro_batches=6), plan=plan, **settings)
    ).results[0].details
    return [memory.peak for memory in run.memory]


def test_memory_of_activations():
    """GPipe holds all 6 micro-batches everywhere, 1F1B 3, 2 and 1; what is computed again is not held."""
    all_at_once, few = peaks("gpipe"), peaks("1f1b")
    for number, held in enumerate((3, 2, 1)):
        assert few[number] == pytest.approx(all_at_once[number] * held / 6, rel=0.1)
    assert peaks("gpipe", checkpointing=True)[0] < 0.5 * all_at_once[0]


class Fails(nn.Module):
    """A layer that fails in its ``when``-th forward."""

    def __init__(self, when, how):
        super().__init__()
        self.layer, self.calls, self.when, self.how = nn.Linear(8, 8), 0, when, how

    def forward(self, values):
        self.calls += self.training
        if self.calls == self.when and self.how == "forward":
            raise ValueError("a broken layer")
        if self.calls == self.when and self.how == "backward":
            values = values.clone()
            values.register_hook(lambda gradient: 1 / 0)
        return self.layer(values * float("nan") if self.calls == self.when and self.how == "nan" else values)


def failing(place, when, how):
    layers = [nn.Sequential(nn.Flatten(), nn.Linear(64, 8)), *(nn.Linear(8, 8) for _ in range(3)), nn.Linear(8, 10)]
    layers[place] = Fails(when, how)
    return initialise(nn.Sequential(*layers), 0)


@pytest.mark.parametrize("how, schedule, place, when, words", [
    ("forward", "1f1b", 1, 6, r"step 1: rank 1 raised TrainingError: stage 1, micro-batch 1 \(1F1\): ValueError: a broken"),
    ("forward", "gpipe", 3, 9, r"step 2: rank 3 raised TrainingError: stage 3, micro-batch 0 \(3F0\)"),
    ("backward", "zb-h1", 2, 6, r"step 1: rank 2 raised TrainingError: stage 2, micro-batch 1 \(2B1\): ZeroDivision"),
    ("backward", "gpipe", 3, 1, r"step 0: rank 3 raised TrainingError: stage 3, micro-batch 0 \(3BW0\)"),
    ("nan", "zb-h2", 1, 11, r"step 2: rank 3 raised NonFiniteError: the loss of micro-batch 2 is nan \(stage 3, 3F2\)"),
])
def test_a_failure_ends_all_ranks(how, schedule, place, when, words):
    def program(comm):
        model = failing(place, when, how)
        with pytest.raises(Exception, match=words) as found:
            train_pipeline(comm, model, cases.DIGITS, cases.OPTIONS, plan=schedule)
        return type(found.value).__name__, sum(p.numel() for p in model.parameters())

    run = simulate_ranks(4, program)
    assert set(run.results) == {("NonFiniteError" if how == "nan" else "TrainingError", 826)}
    assert run.num_unreceived == 0 and run.left_over == {}


def test_training_goes_on_after_a_failure():
    class Hook(TrainingHook):
        def after_step(self, trainer, record):
            if trainer.num_done == 1 and trainer.comm.rank == 2 and not hasattr(self, "done"):
                self.done = True
                raise RuntimeError("a broken hook")

    def program(comm):
        with Trainer(
            comm, failing(2, 4 + 2, "forward"), cases.DIGITS, cases.OPTIONS, strategy="pipeline", hooks=[Hook()]
        ) as trainer:
            losses = []
            for _ in range(3):
                try:
                    losses += trainer.run().losses
                except Exception as error:
                    losses.append(str(error)[:40])
            return losses

    found = simulate_ranks(3, program).results
    right = train_serial(failing(2, -1, ""), cases.DIGITS, cases.OPTIONS).losses
    assert found[0] == ["step 1: rank 2 raised RuntimeError: a br", "step 1: rank 2 raised TrainingError: sta", *right[1:]]
    assert found[0] == found[1] == found[2]


def test_a_run_without_a_step_has_nothing_to_show():
    def program(comm):
        with Trainer(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS, strategy="pipeline", progress=False) as trainer:
            return trainer.run(), trainer.run()  # the second time all steps are done already

    first, second = simulate_ranks(2, program).results[0]
    assert first.details is not None and second.details is None and len(first.losses) == cases.OPTIONS.num_steps


def test_checkpoints_have_no_ranks_in_them(tmp_path):
    whole = train_serial(cases.language(), cases.CHARACTERS, cases.OPTIONS)
    run = lambda comm, steps: train_pipeline(  # noqa: E731
        comm, cases.language(), cases.CHARACTERS, cases.OPTIONS.replace(num_steps=steps), checkpoints=tmp_path, plan="zb-h1"
    ).losses
    first = simulate_ranks(4, lambda comm: run(comm, 1)).results[0]
    second = train_serial(
        cases.language(), cases.CHARACTERS, cases.OPTIONS.replace(num_steps=2), checkpoints=tmp_path
    )
    third = simulate_ranks(2, lambda comm: run(comm, 3)).results[0]
    assert second.first_step == 1
    assert first + second.losses + third == pytest.approx(whole.losses, rel=1e-6)


def test_the_report_and_the_model():
    def program(comm):
        model = cases.cnn()
        report = train_pipeline(comm, model, cases.DIGITS, cases.OPTIONS, plan="1f1b")
        return report, [tensor.clone() for tensor in model.state_dict().values()]

    results = simulate_ranks(3, program).results
    alone = cases.cnn()
    right = train_serial(alone, cases.DIGITS, cases.OPTIONS)
    report = results[0][0]
    assert report.losses == right.losses and report.digests == right.digests * 3 and report.unused == ()
    assert report.accuracy == right.accuracy and report.test_loss == pytest.approx(right.test_loss)
    assert report.gradient_norms == right.gradient_norms
    sizes = [use.parameters_bytes for use in report.memory]
    assert sum(sizes) == right.memory[0].parameters_bytes and min(sizes) > 0  # each rank holds its stage
    for _, tensors in results:
        assert all(torch.equal(a, b) for a, b in zip(tensors, alone.state_dict().values(), strict=True))
    assert len(report.details.timeline().spans) == len(report.details.planned_timeline().spans) == 24


def test_b_and_w_split_the_memory_too():
    """After B, only what W needs is held."""
    seen = []

    class Watching(Executor):
        def act(self, action):
            super().act(action)
            held = self.held.get(self._place(action))
            if action.kind == "B" and held.saved is not None and held.saved.needed is not None:
                seen.append((len(held.saved.tensors), sum(t is not None for t in held.saved.tensors)))

    simulate_ranks(2, lambda comm: train_pipeline(
        comm, cases.language(), cases.CHARACTERS, cases.OPTIONS, plan="zb-h1", executor=Watching))
    assert seen and all(after < before for before, after in seen)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 8), nn.Linear(8, 10)

    def forward(self, inputs):
        values = self.first(inputs.flatten(1))
        if values.sum() > 0:
            values = -values
        return self.second(values)


BAD_CUTS = [
    (cases.mlp, 6, "5 layers with parameters .* cannot be cut into 6 stages"),
    (cases.mlp, 0, "cannot be cut into 0 stages"),
    (cases.mlp, [["layers.0"], []], "stage 1 of 2 is empty"),
    (cases.mlp, [["layers.0"], ["layers.9"]], "stage 1 has the module 'layers.9'"),
    (cases.mlp, [["layers.0", "layers.1"], ["layers.1", "layers.2"]], "lies on the stages 0 and 1"),
    (cases.mlp, [["layers.1"], ["layers.0", "layers.2", "layers.3", "layers.4"]], "'layers.1' lies on stage 0, but runs after"),
    (cases.language, [["embed", "blocks"], ["blocks.1", "norm"]], "'blocks', which it is a part of"),
    (Branching, 2, "cannot be traced .*test_executor.py:.*if values.sum"),
]


@pytest.mark.parametrize("make, stages, words", BAD_CUTS)
def test_bad_cuts(make, stages, words):
    with pytest.raises(UsageError, match=words):
        cut(make(), stages)


@pytest.mark.parametrize("settings, words", [
    ({"plan": "1f1b", "options": cases.OPTIONS.replace(num_micro_batches=15)}, "14 samples cannot be cut into 15 micro-batches"),
    ({"plan": make_plan("1f1b", 3, 4)}, "is for 3 ranks, and there are 2"),
    ({"plan": make_plan("1f1b", 2, 5)}, "has 5 micro-batches, and the options say 4"),
    ({"plan": "interleaved", "options": cases.OPTIONS.replace(num_micro_batches=3)}, "multiple"),
    ({"plan": "fastest"}, "a schedule is one of"),
    ({"plan": "1f1b", "partition": 3}, "the partition has 3 stages and the plan '1f1b' 2"),
    ({"plan": "1f1b", "checkpointing": [5]}, r"the stages \[5\], but there are the stages 0 to 1"),
    ({"plan": "mine: ranks 2, stages 2, micro-batches 1\n0: 0F0 0BW0\n1: 1BW0 1F0",
      "options": cases.OPTIONS.replace(num_micro_batches=1)}, "breaks the rule 'order'"),
])
def test_bad_runs(settings, words):
    settings = {"options": cases.OPTIONS, **settings}
    with pytest.raises(RankFailedError, match=words):
        simulate_ranks(2, lambda comm: train_pipeline(comm, cases.mlp(), cases.DIGITS, **settings))
