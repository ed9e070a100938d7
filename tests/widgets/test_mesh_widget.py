"""The map of a mesh follows its controls."""

from labkit.training.mesh import Mesh
from labkit.widgets.mesh import MeshMapWidget


def names(widget):
    return [trace.name.split(",")[0] for trace in widget.figure.data if trace.name]


def test_it_follows_its_controls():
    widget = MeshMapWidget()
    assert widget.mesh == Mesh(2, 2, 2) and names(widget) == ["tensor parallel", "data parallel", "pipeline"]
    assert "<b>tp</b> stays inside a node" in widget.sentence.value and "crosses nodes" not in widget.sentence.value
    widget.order.value = ("tp", "dp", "pp")
    assert "Tensor parallelism crosses nodes" in widget.sentence.value
    widget.ranks_per_node.value = 8
    assert "crosses nodes" not in widget.sentence.value
    widget.rank.value = 7
    ring = [trace for trace in widget.figure.data if trace.name][0]
    assert len(ring.x) == 14  # one link, thirteen points and a gap
    widget.dp.value = widget.pp.value = 1
    assert widget.rank.max == 1 and widget.rank.value == 1 and names(widget) == ["tensor parallel"]
    widget.tp.value = 1
    assert "One rank" in widget.sentence.value and names(widget) == []
    widget.dp.value, widget.pp.value, widget.tp.value = 16, 16, 16
    assert len(widget.figure.data[-1].x) == 4096
