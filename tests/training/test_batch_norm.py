"""Synchronised batch norm against torch's layer on the whole batch, and what goes wrong around it."""

import copy

import pytest
import torch
from torch import nn

from labkit.comm.simulated.run import simulate
from labkit.errors import RankFailedError, TrainingError, UsageError
from labkit.training.batch_norm import SyncBatchNorm, backward, convert
from labkit.training.data import load_digits
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone
from labkit.training.hooks import TrainingHook
from labkit.training.in_pass import find_in_pass
from labkit.training.models.initial import initialise
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.training.serial import Alone
from labkit.training.trainer import Trainer, train

torch.set_num_threads(1)
DIGITS = load_digits().head(43, 20)  # batches of 10, and one of 3 that leaves a rank of 4 without any
OPTIONS = TrainingOptions(num_steps=20, batch_size=10, learning_rate=0.05, seed=3)
SHARDS = {1: [(7,)], 2: [(3, 4), (0, 7)], 3: [(5, 1, 1), (3, 0, 4)], 4: [(2, 2, 2, 2), (0, 1, 0, 6)]}
LAYERS = {
    "1-D": (nn.BatchNorm1d, (5,), {}),
    "sequence": (nn.BatchNorm1d, (5, 3), {"momentum": None}),
    "2-D": (nn.BatchNorm2d, (5, 3, 2), {"momentum": 0.3, "eps": 0.1}),
    "not affine": (nn.BatchNorm2d, (5, 3, 2), {"affine": False}),
    "no bias": (nn.BatchNorm1d, (5,), {"without": "bias"}),
    "untracked": (nn.BatchNorm3d, (5, 2, 2, 1), {"track_running_stats": False}),
}


def cnn():
    return make_model("cnn", DIGITS, channels=(4, 6), seed=1)


def values(seed, *shape, far=True):
    """Far from 0, a channel with little variance: a sum of squares minus a square would lose ten digits."""
    result = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if far:
        result = 3 * result + 100
        result[:, 1] = 5e4 + result[:, 1] * 0.1
    return result


def two_steps(layer, inputs, gradients, loss_backward):
    """(Outputs and gradients of the inputs of two training steps, of all parameters) and what it says in eval mode."""
    found = []
    for batch, gradient in zip(inputs, gradients, strict=True):
        batch = batch.clone().requires_grad_()
        outputs = layer(batch)
        loss_backward((outputs * gradient).sum())
        found.append((outputs.detach(), batch.grad))
    of_parameters = [p.grad for p in layer.parameters()]
    layer.eval()
    return found, of_parameters, layer(inputs[0]).detach()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("p", SHARDS)
def test_equals_the_whole_batch(kind, p):
    make, shape, settings = LAYERS[kind]
    for shares in SHARDS[p]:
        size = sum(shares)
        inputs, gradients = ([values(seed + k, size, *shape, far=seed == 1) for k in range(2)] for seed in (1, 7))
        whole = make(5, dtype=torch.float64, **{name: value for name, value in settings.items() if name != "without"})
        if "without" in settings:  # as newer torch does for bias=False
            whole.bias = None
        torch.manual_seed(1)
        for parameter in whole.parameters():
            nn.init.normal_(parameter)
        start = copy.deepcopy(whole)
        expected, of_parameters, evaluated = two_steps(whole, inputs, gradients, torch.Tensor.backward)

        def program(comm, shares=shares, start=start, inputs=inputs, gradients=gradients):
            mine = slice(sum(shares[: comm.rank]), sum(shares[: comm.rank + 1]))
            layer = convert(copy.deepcopy(start), comm)
            pieces = [b[mine] for b in inputs], [g[mine] for g in gradients]
            return two_steps(layer, *pieces, lambda loss: backward(layer, loss)), layer

        ranks = simulate(p, program).results
        for step, (outputs, of_inputs) in enumerate(expected):
            found = torch.cat([rank[0][0][step][0] for rank in ranks])
            # A mean of 5e4 is rounded to 7e-12 of its deviation of 0.1, in torch as well; ten lost digits would be 1e-6.
            torch.testing.assert_close(found, outputs, rtol=1e-9, atol=1e-9)
            found = torch.cat([rank[0][0][step][1] for rank in ranks])
            torch.testing.assert_close(found, of_inputs, rtol=1e-8, atol=1e-9)
        for number, gradient in enumerate(of_parameters):
            total = sum(rank[0][1][number] for rank in ranks)
            torch.testing.assert_close(total, gradient, rtol=1e-9, atol=1e-9)
        for _, layer in ranks:
            assert layer.state_dict().keys() == whole.state_dict().keys()
            for name, tensor in whole.state_dict().items():
                torch.testing.assert_close(layer.state_dict()[name], tensor, rtol=1e-10, atol=1e-12)
                assert torch.equal(layer.state_dict()[name], ranks[0][1].state_dict()[name])  # bitwise the same on all
        if settings.get("track_running_stats", True):
            torch.testing.assert_close(torch.cat([rank[0][2] for rank in ranks]), evaluated, rtol=1e-9, atol=1e-9)


def test_gradients_by_finite_differences():
    """The whole function of one rank, by autograd's own check."""
    layer = SyncBatchNorm(3, Alone(), dtype=torch.float64)
    nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
    inputs = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (inputs, layer.weight, layer.bias))


@pytest.mark.parametrize("strategy", ["naive", "flat", "bucketed", "overlapped"])
@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_training_equals_one_process(strategy, p, expected=[]):  # noqa: B006 - made once
    if not expected:
        expected.append(run_alone(cnn, DIGITS, OPTIONS))

    def check(make):
        return simulate(p, lambda comm: check_equivalence(
            comm, lambda: make(comm), DIGITS, OPTIONS, strategy, expected=expected[0], tolerance=2**13 * 2.0**-24
        )).results[0]

    found = check(lambda comm: convert(cnn(), comm))
    assert found.is_right and found.replicas_are_equal, str(found)
    if p > 1:
        assert not check(lambda comm: cnn()).is_right  # without: another function


def test_half_precision_keeps_its_type():
    layer = SyncBatchNorm(4, Alone())
    inputs = torch.randn(6, 4, 5).bfloat16().requires_grad_()
    outputs = layer(inputs)
    outputs.float().square().sum().backward()
    assert outputs.dtype == inputs.grad.dtype == torch.bfloat16 and layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(outputs.float(), nn.BatchNorm1d(4)(inputs.float()), rtol=1e-2, atol=1e-2)


def test_no_samples_anywhere_and_only_one():
    def program(comm):
        layer = SyncBatchNorm(2, comm)
        outputs = layer(torch.zeros(0, 2, 3))
        backward(layer, outputs.sum())
        assert outputs.shape == (0, 2, 3) and layer.num_batches_tracked == 0 and not layer.weight.grad.any()
        with pytest.raises(UsageError, match="more than 1 value"):
            layer(torch.zeros(1 if comm.rank else 0, 2))
        with pytest.raises(UsageError, match=r"\(N, 2, ...\)"):
            layer(torch.zeros(2, 3))
        return True

    assert all(simulate(2, program).results)


def test_convert_keeps_tensors_and_shared_layers():
    shared = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Linear(3, 3), shared, nn.Sequential(shared, nn.SyncBatchNorm(3)))
    before = dict(model.named_parameters())
    model[1].eval()
    convert(model, Alone())
    assert model[1] is model[2][0] and isinstance(model[2][1], SyncBatchNorm) and not model[1].training
    assert all(after is before[name] for name, after in model.named_parameters())
    assert find_in_pass(model).names == ["1", "2.1"] and find_in_pass(nn.Linear(1, 1)) is None
    copied = copy.deepcopy(model)
    assert find_in_pass(copied) is find_in_pass(model) and copied[1].weight is not shared.weight
    assert isinstance(convert(nn.BatchNorm2d(2), Alone()), SyncBatchNorm)
    with pytest.raises(UsageError, match="lazy"):
        convert(nn.Sequential(nn.LazyBatchNorm1d()), Alone())


class Trouble(nn.Module):
    """Two batch norms; raises on one rank at a place of the third step."""

    def __init__(self, comm, where, rank):
        super().__init__()
        self.inner, self.where, self.num_calls = convert(cnn(), comm), where if comm.rank == rank else "", 0

    def forward(self, inputs):
        if not self.training:
            return self.inner(inputs)
        self.num_calls += 1
        now = self.where if self.num_calls == 3 else ""
        if now == "first":
            raise ValueError("bad luck")
        first, second = self.inner.convolutions
        values = torch.relu(self.inner.norms[0](first(inputs)))
        if now == "between":
            raise ValueError("bad luck")
        if now == "backward":
            values.register_hook(lambda g: _raise("bad luck"))
        if now == "end of backward":
            hook = first.weight.register_hook(lambda g: (hook.remove(), _raise("bad luck")))
        values = torch.relu(self.inner.norms[1](second(values)))
        if now == "last":
            raise ValueError("bad luck")
        return self.inner.classify(values.mean((2, 3)))


def _raise(words):
    raise ValueError(words)


@pytest.mark.parametrize("where", ["first", "between", "last", "backward", "end of backward"])
def test_a_rank_that_fails_in_the_middle_stops_all(where):
    def program(comm):
        model = Trouble(comm, where, 1)
        with Trainer(comm, model, DIGITS, OPTIONS.replace(num_micro_batches=2), strategy="bucketed",
                     sync_every_micro_batch=True) as trainer:
            with pytest.raises(TrainingError, match="step 1: rank 1 raised ValueError: bad luck") as caught:
                trainer.run()
            assert caught.value.ranks == (1,)
            return len(trainer.run(2).losses)  # and the ranks can go on

    assert simulate(3, program).results == [2] * 3


def test_a_hook_that_fails_and_layers_that_do_not_meet():
    class Fails(TrainingHook):
        def after_step(self, trainer, record):
            if trainer.comm.rank == 2:
                _raise("no room")

    class Other(nn.Module):
        def __init__(self, comm):
            super().__init__()
            self.a, self.b, self.last = nn.BatchNorm2d(1), nn.BatchNorm2d(1), nn.Linear(64, 10)
            self.turned = comm.rank == 1
            initialise(self, 1)
            convert(self, comm)

        def forward(self, inputs):
            for layer in (self.b, self.a) if self.turned else (self.a, self.b):
                inputs = layer(inputs)
            return self.last(inputs.flatten(1))

    def program(comm):
        with pytest.raises(TrainingError, match="rank 2 raised ValueError: no room"):
            train(comm, convert(cnn(), comm), DIGITS, OPTIONS, strategy="flat", hooks=[Fails()])
        with pytest.raises(TrainingError, match="'a forward' and rank 1 at 'b forward'"):
            train(comm, Other(comm), DIGITS, OPTIONS, strategy="flat")
        return True

    assert all(simulate(3, program).results)


def test_wrong_communicators():
    def program(comm):
        with pytest.raises(UsageError, match="synchronised for rank 0 of 1"):
            train(comm, convert(cnn(), Alone()), DIGITS, OPTIONS)
        with pytest.raises(UsageError, match="layers of synchronised batch norm differ"):
            train(comm, convert(cnn(), comm) if comm.rank else cnn(), DIGITS, OPTIONS)
        twice = nn.Sequential(convert(nn.BatchNorm1d(2), comm), convert(nn.BatchNorm1d(2), comm))
        with pytest.raises(UsageError, match="2 communicators"):
            find_in_pass(twice)
        return True

    assert all(simulate(2, program).results)
    with pytest.raises(RankFailedError, match="backward\\(model, loss\\)"):  # plain backward() on a simulated rank

        def plain(comm):
            layer = SyncBatchNorm(2, comm)
            layer(torch.randn(3, 2, requires_grad=True)).sum().backward()

        simulate(2, plain)


def test_traffic_is_counted():
    """A message a layer and direction, and one at the end; of 2 + 1 + 2 x 6 numbers, to each of the others."""
    def program(comm):
        settings = {"strategy": "flat", "broadcast_buffers": False}
        plain = train(comm, cnn(), DIGITS, OPTIONS, **settings)
        synchronised = train(comm, convert(cnn(), comm), DIGITS, OPTIONS, **settings)
        spans = [s.name for s in synchronised.timeline.spans if s.rank == 0 and s.kind == "collective"]
        return plain.traffic[0], synchronised.traffic[0], spans[:8]

    plain, synchronised, spans = simulate(3, program).results[0]
    assert synchronised.num_calls - plain.num_calls == 20 * 5
    assert synchronised.num_messages - plain.num_messages == 20 * 5 * 2
    assert synchronised.sent_bytes - plain.sent_bytes == 20 * 5 * 2 * 8 * 15
    assert spans[:5] == ["norms.0 forward", "norms.1 forward", "norms.1 backward", "norms.0 backward", "end of a pass"]
