"""The explorer of partitions follows its controls."""

import torch
from torch import nn

from labkit.training.models.transformer import Transformer
from labkit.training.partition.device import Device
from labkit.training.partition.registry import PARTITIONERS, partition
from labkit.training.partition.trace import trace_model
from labkit.widgets.model_tree import ModelTree

TRACES = {
    "row": trace_model(nn.Sequential(*(nn.Linear(8, 8) for _ in range(5))), torch.rand(2, 8), num_repeats=1),
    "tied": trace_model(
        Transformer(30, 8, None, width=16, num_blocks=3), torch.randint(0, 30, (2, 8)), num_repeats=1
    ),
}
MODELS = {name: lambda trace=trace: trace for name, trace in TRACES.items()}


def test_every_choice_is_what_the_partitioner_gives():
    widget = ModelTree(MODELS)
    assert widget.memory_weight.disabled
    for model in MODELS:
        widget.model.value = model
        for method in PARTITIONERS:
            widget.method.value = method
            for num_ranks in (1, 3, 5):
                widget.num_ranks.value = num_ranks
                device = Device(bandwidth_bytes_s=widget.link.value)
                assert widget.partition == partition(
                    TRACES[model].chain, num_ranks, method, device=device, shared="copies"
                ), (model, method, num_ranks)
                marks = [trace for trace in widget.balance_figure.data if trace.name == "a micro-batch"]
                assert len(marks[0].x) == widget.partition.num_stages
                ranks = {trace.name for trace in widget.tree_figure.data if trace.name.startswith("rank")}
                assert len(ranks) == len(set(widget.partition.ranks))
    widget.method.value, widget.num_ranks.value, widget.link.value = "tree", 2, 1e8
    assert not widget.memory_weight.disabled
    for weight in (0.0, 1.0):
        widget.memory_weight.value = weight
        expected = partition(
            TRACES["tied"].chain, 2, "tree", device=Device(bandwidth_bytes_s=1e8), shared="copies", memory_weight=weight
        )
        assert widget.partition == expected
    widget.by.value = "parameters"
    assert "by parameters" in widget.tree_figure.layout.title.text


def test_what_cannot_be_says_why_and_recovers():
    widget = ModelTree(MODELS)
    widget.num_ranks.value = 6  # five layers
    assert widget.partition is None and "cannot fill 6 stages" in widget.sentence.value
    assert [trace.name for trace in widget.tree_figure.data] == ["modules"] and not widget.balance_figure.data
    widget.num_ranks.value = 5
    assert widget.partition.num_stages == 5 and "5 stages on 5 ranks" in widget.sentence.value
    assert widget.balance_figure.data
    widget.model.value, widget.num_ranks.value = "tied", 3
    assert "hold copies of embed.weight" in widget.sentence.value
    widget.shared.value = "together"
    assert widget.partition is None and "shared=&#x27;copies&#x27;" in widget.sentence.value
    widget.method.value = "tree"
    assert "comes back to a rank" in widget.sentence.value


def test_models_of_its_own():
    """Each is made and traced when it is chosen, and only then."""
    widget = ModelTree()
    assert list(widget._traces) == [widget.model.value]
    for name in widget.models:
        widget.model.value = name
        assert widget.partition is not None, name
