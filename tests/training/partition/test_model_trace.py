"""Tracing models: both ways agree, sizes are those of torch, nothing of the model changes; what is refused."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.models.cnn import CNN
from labkit.training.models.mlp import MLP
from labkit.training.models.transformer import Transformer
from labkit.training.partition.placement import CONVOLUTIONS_AND_FULLY_CONNECTED, place
from labkit.training.partition.registry import PARTITIONERS, partition
from labkit.training.partition.trace import trace_model

spec = importlib.util.spec_from_file_location("models_to_trace", Path(__file__).with_name("models_to_trace.py"))
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)

torch.manual_seed(0)
SEQUENTIAL = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 8, 3), nn.Tanh()), nn.Flatten(), nn.Linear(128, 10)
)
CASES = {
    "sequential": (SEQUENTIAL, torch.rand(5, 1, 8, 8)),
    "mlp": (MLP((64, 32, 16, 10)), torch.rand(5, 1, 8, 8)),
    "cnn": (CNN(10, channels=(4, 8)), torch.rand(5, 1, 8, 8)),
    "classifier": (Transformer(50, 12, 2, width=16, num_blocks=3), torch.randint(1, 50, (4, 12))),
    "language model": (Transformer(50, 12, None, width=16, num_blocks=2), torch.randint(0, 50, (4, 9))),
    "resnet": (models.ResNet(), torch.rand(2, 3, 12, 12)),
    "shapes": (models.AsksForShapes(), torch.rand(3, 5, 4)),
    "reused": (models.Reused(), torch.rand(3, 4)),
    "tied": (models.Tied(), torch.randint(0, 7, (2, 3))),
    "two inputs": (models.TwoInputs(), (torch.rand(3, 4), torch.rand(3, 4))),
    "attention": (nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 3)), torch.rand(4, 2, 8)),
}


@pytest.mark.parametrize("cuts", ["single", "any"])
@pytest.mark.parametrize("name", CASES)
def test_graph_and_hooks_agree(name, cuts):
    """Two ways that have no code in common but the list of pieces see the same layers, tensors and parameters."""
    model, inputs = CASES[name]
    by_graph, by_hooks = (trace_model(model, inputs, how=how, cuts=cuts, num_repeats=0) for how in ("fx", "hooks"))
    assert (by_graph.how, by_hooks.how) == ("fx", "hooks")
    assert by_graph.chain == by_hooks.chain and by_graph.tree == by_hooks.tree
    assert by_graph.chain.num_parameters == sum(p.numel() for p in model.parameters())
    assert by_graph.chain.num_bytes == sum(p.numel() * p.element_size() for p in model.parameters())
    assert by_graph.tree.num_parameters == sum(p.numel() for p in model.parameters())
    for node in by_graph.tree.walk():
        module = model.get_submodule(node.name)
        assert node.num_parameters == sum(p.numel() for p in module.parameters())
        assert node.kind == type(module).__name__


@pytest.mark.parametrize("name", CASES)
def test_every_module_with_parameters_is_somewhere_once(name):
    """What the executor needs: real names, disjoint, in order, with all that runs and has parameters."""
    model, inputs = CASES[name]
    chain = trace_model(model, inputs, num_repeats=0).chain
    names = [name for layer in chain.layers for name in layer.modules]
    inside = [leaf for name in names for leaf, _ in model.get_submodule(name).named_modules(prefix=name)]
    assert len(inside) == len(set(inside))
    missing = {
        name for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None and name not in inside
    }
    assert missing <= {"", "unused"}  # a parameter of the model itself; a module that does not run
    for method in PARTITIONERS:
        num_ranks = min(2, len(chain))
        found = partition(chain, num_ranks, method, shared="copies")
        assert [name for stage in found.stages for name in stage] == names


def test_sequential_stages_compute_what_the_model_does():
    model, inputs = CASES["sequential"]
    chain = trace_model(model, inputs, num_repeats=2).chain
    assert chain.names == ("0", "1", "2.0", "2.1", "3", "4")
    for num_ranks in range(1, 7):
        values, crossed = inputs, []
        for stage in partition(chain, num_ranks, "parameters").stages:
            for name in stage:
                values = model.get_submodule(name)(values)
            crossed.append(values.numel() * 4)
        assert torch.equal(values, model(inputs))
        sizes = {layer.name: layer.crossing_bytes for layer in chain.layers}
        ends = [stage[-1] for stage in partition(chain, num_ranks, "parameters").stages]
        assert [sizes[name] for name in ends[:-1]] == crossed[:-1] and sizes["4"] == 0


def test_residual_blocks():
    """The single cuts are around the blocks; inside one, the input crosses beside the activation and is charged."""
    model, inputs = CASES["resnet"]
    whole = trace_model(model, inputs, num_repeats=0).chain
    assert whole.names == ("stem", "relu", "blocks.0", "blocks.1", "blocks.2", "pool", "drop", "classify")
    finer = {layer.name: layer for layer in trace_model(model, inputs, cuts="any", num_repeats=0).chain.layers}
    activation = 2 * 8 * 10 * 10 * 4
    assert (finer["stem"].crossing_bytes, finer["stem"].num_crossing) == (activation, 1)
    for name in ("blocks.0.conv_1", "blocks.0.norm_1", "blocks.0.conv_2"):
        assert (finer[name].crossing_bytes, finer[name].num_crossing) == (2 * activation, 2)
    assert (finer["blocks.0.norm_2"].crossing_bytes, finer["blocks.0.norm_2"].num_crossing) == (activation, 1)
    # the last block halves the picture: behind its second norm, the input waits for the way around
    assert finer["blocks.2.norm_2"].crossing_bytes == activation + 2 * 16 * 5 * 5 * 4


def test_what_has_no_gradient_goes_one_way():
    """A classifier's blocks want the mask, which is (4, 12) of bool twice, once as it is and once with more axes."""
    model, inputs = CASES["classifier"]
    layers = trace_model(model, inputs, num_repeats=0).chain.layers
    activation = 4 * 12 * 16 * 4
    assert all(layer.gradient_bytes == activation and layer.num_crossing == 1 for layer in layers[:-2])
    assert {layer.crossing_bytes - activation for layer in layers[:-3]} <= {48, 96}
    second = trace_model(*CASES["two inputs"], num_repeats=0).chain.layers[0]
    assert (second.crossing_bytes, second.gradient_bytes) == (2 * 3 * 4 * 4, 3 * 4 * 4)


def test_a_module_that_runs_again_is_one_layer():
    model, inputs = CASES["reused"]
    chain = trace_model(model, inputs, num_repeats=0).chain
    assert [layer.modules for layer in chain.layers] == [("first",), ("again", "norm"), ("last",)]
    assert [layer.num_parameters for layer in chain.layers] == [20, 28, 10] and chain.shared == ()


def test_tied_parameters():
    chain = trace_model(*CASES["tied"], num_repeats=0).chain
    (shared,) = chain.shared
    assert (shared.name, shared.num_parameters, shared.layers) == ("embed.weight", 28, (0, 2))
    tree = trace_model(*CASES["tied"], num_repeats=0).tree
    assert tree.find("embed").shared == tree.find("head").shared == ("embed.weight",)
    assert tree.shared == tree.find("middle").shared == ()
    language_model = trace_model(*CASES["language model"], num_repeats=0).chain
    assert [(p.name, p.layers[0], p.layers[1]) for p in language_model.shared] == [
        ("embed.weight", 0, len(language_model) - 1)
    ]


def test_stored_bytes_are_what_autograd_keeps():
    """Against a second count, of the tensors' storages, over the whole model; and by hand for one product."""
    for name in ("cnn", "classifier", "resnet"):
        model, inputs = CASES[name]
        own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
        kept = {}

        def pack(tensor, own=own, kept=kept):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(inputs)
        chain = trace_model(model, inputs, num_repeats=0).chain
        assert sum(layer.stored_bytes for layer in chain.layers) == sum(kept.values()), name
        del output
    product = trace_model(nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 2)), torch.rand(10, 64), num_repeats=0).chain
    assert [layer.stored_bytes for layer in product.layers] == [10 * 64 * 4, 10 * 32 * 4]


def test_times_add_up_and_follow_the_work():
    """A layer with 64 times the work of the others is the slowest; the tree's times are those of its leaves."""
    model = nn.Sequential(nn.Linear(128, 128), nn.Linear(128, 8192), nn.Linear(8192, 128), nn.Linear(128, 128))
    trace = trace_model(model, torch.rand(64, 128), num_repeats=7)
    forward, backward = ([getattr(a, what) for a in trace.chain.layers] for what in ("forward_s", "backward_s"))
    assert min(forward[1:3]) > 3 * max(forward[0], forward[3])
    assert min(backward[1:3]) > 3 * max(backward[0], backward[3])
    assert trace.tree.forward_s == pytest.approx(sum(forward)) and trace.tree.backward_s == pytest.approx(sum(backward))
    assert trace.tree.find("2").backward_s == backward[2] > 0
    assert partition(trace.chain, 2).stages == (("0", "1"), ("2", "3"))


def test_nothing_of_the_model_changes():
    model, inputs = models.ResNet(), CASES["resnet"][1].requires_grad_()
    model(inputs).sum().backward()  # gradients that have to stay
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    random = torch.get_rng_state()
    input_gradient = inputs.grad.clone()
    for how in ("fx", "hooks"):
        trace_model(model, inputs, how=how, num_repeats=1)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(inputs.grad, input_gradient) and not inputs._backward_hooks
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert model.training


def test_frozen_and_evaluation_only():
    """Without a backward pass there is nothing to keep and no gradient to send."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).requires_grad_(False)
    for how in ("fx", "hooks"):
        layers = trace_model(model, torch.rand(3, 4), how=how, num_repeats=1).chain.layers
        sizes = [(layer.crossing_bytes, layer.gradient_bytes, layer.stored_bytes) for layer in layers]
        assert sizes == [(48, 0, 0), (48, 0, 0), (0, 0, 0)]


def test_untraceable_names_the_line_and_falls_back():
    model, inputs = models.AsksForValues(), torch.rand(2, 4)
    source = Path(models.__file__).read_text().splitlines()
    line = 1 + next(k for k, text in enumerate(source) if "the line that the message names" in text)
    words = rf"models_to_trace\.py, line {line}, in forward.*x\.sum\(\) > 1e9.*how='hooks'"
    with pytest.raises(UsageError, match=words):
        trace_model(model, inputs, how="fx")
    trace = trace_model(model, inputs, num_repeats=0)
    assert (trace.how, trace.chain.names) == ("hooks", ("a", "c")) and f"line {line}" in trace.reason
    assert trace.chain.num_parameters == sum(p.numel() for p in model.parameters())  # b is kept, though it did not run


def test_a_graph_that_is_not_what_runs_is_not_used():
    model = models.AsksForTypes()
    trace = trace_model(model, torch.rand(2, 4), num_repeats=0)
    assert (trace.how, trace.chain.names) == ("hooks", ("a", "b")) and "traced 1 calls" in trace.reason
    with pytest.raises(UsageError, match="2 ran.*how='hooks'"):
        trace_model(model, torch.rand(2, 4), how="fx")
    with pytest.raises(UsageError, match="called different modules"):
        trace_model(models.ChangesItsMind(), torch.rand(2, 4), how="hooks", num_repeats=0)


def test_refused():
    model, inputs = CASES["mlp"]
    for call, words in (
        (lambda: trace_model(model, torch.rand(2, 5)), r"does not run.*\(2, 5\).*Pass one micro-batch"),
        (lambda: trace_model(models.NoModules(), torch.rand(3)), "calls no modules"),
        (lambda: trace_model(model, inputs, how="jit"), "how is one of auto, fx, hooks"),
        (lambda: trace_model(model, inputs, cuts="all"), "cuts is one of"),
        (lambda: trace_model(model, inputs, num_repeats=-1), "num_repeats"),
        (lambda: trace_model(lambda x: x, inputs), "torch.nn.Module, not function"),
    ):
        with pytest.raises(UsageError, match=words):
            call()


def test_placement():
    trace = trace_model(*CASES["cnn"], num_repeats=0)
    found = place(trace, CONVOLUTIONS_AND_FULLY_CONNECTED)
    assert found.ranks == (0, 1) and found.stages[1] == ("classify",)
    plain = trace_model(*CASES["sequential"], num_repeats=0)
    assert place(plain, CONVOLUTIONS_AND_FULLY_CONNECTED).stages == (("0", "1", "2.0", "2.1", "3"), ("4",))  # no norms
    mixed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    mixed = trace_model(mixed, torch.rand(3, 1, 8, 8), num_repeats=0)
    assert place(mixed, CONVOLUTIONS_AND_FULLY_CONNECTED).stages == (("0", "1"), ("2", "3", "4"))  # the norm stays there
    assert place(plain, {"Conv*": 0, "Linear": 1}).stages == (("0", "1", "2.0", "2.1", "3"), ("4",))
    back = place(plain, {"2": 1, "Conv2d": 0, "4": 0})
    assert (back.layers, back.ranks, back.num_ranks) == ((("0", "1"), ("2.0", "2.1", "3"), ("4",)), (0, 1, 0), 2)
    assert place(plain, {"2.1": 0, "4": 1}).ranks == (0, 1)  # what comes before the first rule goes with it
    assert place(plain, {"*": 0}).num_stages == 1


def test_placement_of_a_sentiment_classifier():
    trace = trace_model(*CASES["classifier"], num_repeats=0)
    found = place(trace, {"embed": 0, "blocks.0": 0, "Block": 1, "classify": 2, "norm": 2})
    assert found.ranks == (0, 1, 2) and [found.stage_of(f"blocks.{k}") for k in range(3)] == [0, 1, 1]
    assert found.costs[0].num_parameters + found.costs[1].num_parameters + found.costs[2].num_parameters == (
        trace.chain.num_parameters
    )


def test_placement_refused():
    trace = trace_model(*CASES["classifier"], num_repeats=0)
    for rules, words in (
        ({}, "no rules"), ({"Conv*": 0}, r"rule 'Conv\*' decides about no module.*embed \(Embedding\)"),
        ({"embed": 0, "blocks*": 2}, "leaves rank 1 empty"), ({"embed": -1}, "whole number from 0"),
        ({"embed": 0.5}, "whole number from 0"), ({"embed": 0, "*": 0, "norm": 0}, "'norm' decides about no module"),
        ({"*.query": 0, "*.key": 1}, "blocks.0.attention.*more than one tensor crosses.*cuts='any'"),
    ):
        with pytest.raises(UsageError, match=words):
            place(trace, rules)
    finer = trace_model(*CASES["classifier"], cuts="any", num_repeats=0)
    assert place(finer, {"*.query": 0, "*.key": 1, "*": 0}).num_stages > 3


def test_some_rows_of_a_large_tensor_count_for_themselves():
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    everything = torch.randn(4096, 6)
    few, copied = (trace_model(model, x, num_repeats=0).chain for x in (everything[:8], everything[:8].clone()))
    assert few.layers == copied.layers and sum(layer.stored_bytes for layer in few.layers) < 4096 * 6 * 4
