"""What the pictures of a cut model show."""

import subprocess
import sys

import pytest

from labkit.errors import UsageError
from labkit.training.partition.chain import make_chain
from labkit.training.partition.device import Device
from labkit.training.partition.registry import partition
from labkit.training.partition.tree import ModuleTree
from labkit.views.model_tree import (
    CUT_COLOUR,
    RANK_COLOURS,
    model_tree_figure,
    model_tree_layout,
    stage_balance_figure,
    stage_balance_layout,
)


def leaf(name, num_parameters, seconds, shared=()):
    return ModuleTree(
        name, "Linear", num_parameters, 4 * num_parameters, 8, 16, seconds / 3, 2 * seconds / 3, 1, shared
    )


def inner(name, children, num_parameters=None):
    total = sum(child.num_parameters for child in children) if num_parameters is None else num_parameters
    return ModuleTree(
        name, "Block", total, 4 * total, 8, 16 * len(children), sum(c.forward_s for c in children),
        sum(c.backward_s for c in children), len(children), (), tuple(children),
    )


TREE = inner("", [
    leaf("embed", 50, 1.0, ("table",)), inner("blocks", [leaf("blocks.0", 10, 3.0), leaf("blocks.1", 40, 6.0)]),
    leaf("relu", 0, 0.0), leaf("head", 50, 2.0, ("table",)),
], 100)
CHAIN = make_chain(
    forward_s=[1, 3, 6, 2], parameter_bytes=[200, 40, 160, 200], stored_bytes=[5, 6, 7, 8],
    crossing_bytes=[10, 20, 30, 0], names=["embed", "blocks.0", "blocks.1", "head"],
)


def boxes_of(found=None, **options):
    return {box.name: box for box in model_tree_layout(TREE, found, **options)}


def test_children_fill_their_parents():
    by_time = boxes_of(by="time")
    assert (by_time[""].start, by_time[""].end, by_time[""].depth) == (0, 1, 0)
    assert by_time["blocks"].end - by_time["blocks"].start == pytest.approx(9 / 12)
    assert by_time["blocks.1"].start == by_time["blocks.0"].end
    assert by_time["blocks.1"].end == pytest.approx(by_time["blocks"].end)
    assert by_time["blocks.1"].depth == 2 and "relu" not in by_time  # nothing wide
    by_parameters = boxes_of()
    # the shared table counts in embed and in head: 150 shares of a model that has 100
    assert by_parameters["embed"].end == pytest.approx(50 / 150) and by_parameters["head"].end == pytest.approx(1)
    assert "shares table" in by_parameters["embed"].words and "50 parameters, 200 B" in by_parameters["embed"].words
    with pytest.raises(UsageError, match="parameters, time, memory"):
        model_tree_layout(TREE, by="size")


def test_stages_and_their_colours():
    found = partition(CHAIN, 2, "count", shared="copies")
    boxes = boxes_of(found, by="time")
    assert {name: box.stages for name, box in boxes.items()} == {
        "": (0, 1), "embed": (0,), "blocks": (0, 1), "blocks.0": (0,), "blocks.1": (1,), "head": (1,)
    }
    assert "cut: stages 0, 1" in boxes["blocks"].words
    figure = model_tree_figure(TREE, found, by="time")
    colours = {trace.name: trace.marker.color for trace in figure.data}
    assert colours == {
        "rank 0: stage 0": RANK_COLOURS[0], "rank 1: stage 1": RANK_COLOURS[1], "several stages": CUT_COLOUR
    }
    assert sum(len(trace.x) for trace in figure.data) == len(boxes)
    assert [trace.name for trace in model_tree_figure(TREE).data] == ["modules"]


def test_a_module_named_whole_colours_all_inside():
    """The partition speaks of "blocks"; its leaves are its stage's."""
    chain = make_chain(forward_s=[1, 9, 2], names=["embed", "blocks", "head"])
    boxes = boxes_of(partition(chain, 3), by="time")
    assert boxes["blocks"].stages == boxes["blocks.0"].stages == boxes["blocks.1"].stages == (1,)


def test_bars_are_the_costs():
    found = partition(CHAIN, 2, "count", device=Device(bandwidth_bytes_s=10, latency_s=0))
    bars = {(bar.stage, bar.kind): bar for bar in stage_balance_layout(found)}
    for stage, cost in enumerate(found.costs):
        assert (bars[stage, "forward"].start, bars[stage, "forward"].length) == (0, cost.forward_s)
        assert (bars[stage, "backward"].start, bars[stage, "backward"].length) == (cost.forward_s, cost.backward_s)
        assert bars[stage, "activations"].start == cost.state_bytes
        assert bars[stage, "activations"].length == cost.activation_bytes
    assert bars[0, "send"].length == bars[1, "receive"].length == 4 and (0, "receive") not in bars
    figure = stage_balance_figure(found, limit_bytes=3 * 2**20)
    marks = next(trace for trace in figure.data if trace.name == "a micro-batch")
    assert list(marks.x) == [cost.stage_s for cost in found.costs]
    assert figure.layout.shapes[0].x0 == found.slowest_s and figure.layout.shapes[1].x0 == 3
    assert f"balance {found.balance:.0%}" in figure.layout.title.text


def test_replicas_share_the_work():
    found = partition(CHAIN, 4, "pipedream")
    assert max(found.num_replicas) > 1
    for bar in stage_balance_layout(found):
        if bar.kind == "forward":
            cost = found.costs[bar.stage]
            assert bar.length == cost.forward_s / cost.num_replicas
    assert any(" x " in text for text in stage_balance_figure(found).layout.yaxis.ticktext)


def test_pictures_import_no_torch():
    program = (
        "import sys, labkit.views.model_tree; sys.exit(any(m in sys.modules for m in ('torch', 'mpi4py', "
        "'ipywidgets')))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
