"""The map of a mesh has every rank once, on its node, and the links of its groups."""

import pytest

from labkit.training.mesh import Mesh
from labkit.training.planner.plan import TrainingPlan
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.traffic import axis_traffic
from labkit.views.mesh import mesh_figure, mesh_layout


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2), (3, 2, 1), (1, 5, 2), (4, 4, 8), (8, 16, 8)])
@pytest.mark.parametrize("ranks_per_node", [1, 3, 8, 16])
def test_ranks_are_on_their_nodes(shape, ranks_per_node):
    mesh = Mesh(*shape)
    layout = mesh_layout(mesh, ranks_per_node)
    assert [r.rank for r in layout.ranks] == list(range(mesh.size))
    assert len({(round(r.x, 6), round(r.y, 6)) for r in layout.ranks}) == mesh.size
    boxes = {node: rest for node, *rest in layout.nodes}
    for r in layout.ranks:
        assert r.node == r.rank // ranks_per_node and r.stage == mesh.coordinates(r.rank)["pp"]
        inside = [node for node, (x0, y0, x1, y1) in boxes.items() if x0 < r.x < x1 and y1 < r.y < y0]
        assert inside == [r.node]


def test_links_join_neighbours_on_one_axis():
    mesh = Mesh(dp=3, pp=2, tp=2)
    links = mesh_layout(mesh, 4).links
    for axis, first, second in links:
        here, there = mesh.coordinates(first), mesh.coordinates(second)
        assert [name for name in here if here[name] != there[name]] == [axis]
    count = {axis: sum(kind == axis for kind, *_ in links) for axis in ("dp", "pp", "tp")}
    assert count == {"dp": 4 * 3, "pp": 6, "tp": 6}  # rings of three; pairs; pairs
    of_one = mesh_layout(mesh, 4, rank=7).links
    assert {rank for _, *pair in of_one for rank in pair} == {*mesh.group(7, "dp"), *mesh.group(7, "pp"), *mesh.group(7, "tp")}


def test_the_figure_names_axes_with_their_traffic():
    mesh = Mesh(2, 2, 2)
    traffic = axis_traffic(TransformerSize(48, 8192, 64), TrainingPlan(mesh, 16))
    figure = mesh_figure(mesh, 4, traffic=traffic)
    names = [trace.name for trace in figure.data if trace.name]
    assert len(names) == 3 and all("a rank and step" in name for name in names)
    assert list(figure.data[-1].text) == [str(rank) for rank in range(8)]
    assert [trace.name for trace in mesh_figure(Mesh(tp=2)).data if trace.name] == ["tensor parallel"]


def test_many_nodes_are_one_trace():
    """A shape for each of them took seconds."""
    figure = mesh_figure(Mesh(8, 8, 16), 1)
    assert len(figure.layout.shapes) == 0 and len(figure.data) == 5
    nodes = figure.data[0]
    assert len(nodes.x) == 6 * 1024 and nodes.fill == "toself"


def test_traffic_by_hand():
    """2 blocks, 3 tokens, width 4, 16 bits; one micro-batch has 2 * 3 * 4 * 2 = 48 bytes of activations."""
    size = TransformerSize(2, 4, 2, 5, 3)
    plan = TrainingPlan(Mesh(2, 2, 2), 16, 2)  # 4 micro-batches
    blocks = 12 * 16 // 2 + (7 * 4) // 2 + 6 * 4  # of one block on one rank of two
    parameters = blocks + 3 * 4 + 3 * 4  # the first stage: embedding (3 of 6 rows), positions
    assert axis_traffic(size, plan) == {"tp": 4 * 1 * 4 * 48, "pp": 4 * 48 / 2, "dp": parameters * 2 * 2 / 2}
    full = axis_traffic(size, plan.with_(checkpointing="full"))
    assert full["tp"] == 6 * 4 * 48 and full["pp"] == 96
    assert set(axis_traffic(size, TrainingPlan(Mesh(), 2)).values()) == {0.0}
