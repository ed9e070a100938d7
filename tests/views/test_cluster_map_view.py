"""Where the map of a cluster puts nodes and ranks, and what it says."""

import itertools

import pytest

from labkit.views.cluster_map import (
    MAX_HEIGHT_PX,
    NAME_PX,
    STATE_COLOURS,
    WIDTH_PX,
    MapNode,
    MapRank,
    cluster_map_figure,
    cluster_map_layout,
)


def nodes_of(num_nodes, per_node, state="idle"):
    numbers = itertools.count()
    return [
        MapNode(f"node-{n:03}", tuple(MapRank(next(numbers), state) for _ in range(per_node)), num_cpus=8)
        for n in range(num_nodes)
    ]


@pytest.mark.parametrize(
    ("num_nodes", "per_node"), [(1, 1), (1, 256), (2, 4), (3, 5), (5, 33), (16, 16), (64, 1), (64, 4), (256, 1)]
)
def test_every_rank_is_in_the_box_of_its_node_and_nothing_overlaps(num_nodes, per_node):
    nodes = nodes_of(num_nodes, per_node)
    layout = cluster_map_layout(nodes)
    assert [box.name for box in layout.boxes] == [node.name for node in nodes]
    assert [cell.rank for cell in layout.cells] == list(range(num_nodes * per_node))
    width, height = layout.box_size
    size = layout.cell_size
    assert size >= (18 if num_nodes * per_node <= 256 and num_nodes <= 64 else 6)
    for number, cell in enumerate(layout.cells):
        box = layout.boxes[number // per_node]
        assert box.x - 1e-6 <= cell.x and cell.x + size <= box.x + width + 1e-6
        assert box.y + NAME_PX - 1e-6 <= cell.y and cell.y + size <= box.y + height + 1e-6
    for things, wide, high in ((layout.boxes, width, height), (layout.cells, size, size)):
        for a, b in itertools.combinations(things, 2):
            assert abs(a.x - b.x) >= wide - 1e-6 or abs(a.y - b.y) >= high - 1e-6
    if num_nodes <= 64:
        assert layout.size[0] <= WIDTH_PX + 1e-6 and layout.size[1] <= MAX_HEIGHT_PX + 1e-6


def test_states_are_colours_and_words():
    nodes = [
        MapNode("left", (MapRank(0, "waiting", "waits in Recv(source=3), line 2", gpu="1"), MapRank(1, "idle")), 4),
        MapNode("right", (MapRank(2, "computing"), MapRank(3, "died", "does not answer"))),
    ]
    figure = cluster_map_figure(nodes)
    by_state = {trace.name: trace for trace in figure.data if trace.type == "bar"}
    assert {state: list(trace.text) for state, trace in by_state.items()} == {
        "idle": ["1"], "computing": ["2"], "waiting": ["0"], "died": ["3"],
    }
    assert len({trace.marker.color for trace in by_state.values()}) == 4
    hover = by_state["waiting"].hovertext[0]
    assert hover.split("<br>") == [
        "<b>rank 0</b> on left", "waiting: waits in Recv(source=3), line 2", "GPU 1", "4 CPUs for 2 ranks of this node",
    ]
    assert "CPU" not in by_state["died"].hovertext[0] and "GPU" not in by_state["idle"].hovertext[0]
    assert figure.data[-1].hovertext[0] == "<b>left</b><br>4 CPUs, ranks 0, 1"


def test_a_figure_can_be_brought_up_to_date():
    maps = [], nodes_of(1, 1), nodes_of(9, 3, "died")
    kinds = [[trace.type for trace in cluster_map_figure(nodes).data] for nodes in maps]
    assert kinds[0] == kinds[1] == kinds[2] and len(kinds[0]) == len(STATE_COLOURS) + 1


def test_titles():
    assert cluster_map_layout([]).title == "No ranks are running"
    assert cluster_map_layout(nodes_of(1, 1)).title == "1 rank on 1 node"
    assert cluster_map_layout(nodes_of(2, 4)).title == "8 ranks on 2 nodes"
    assert "seen by the notebook" in cluster_map_layout([MapNode("n1"), MapNode("n2")]).title
    assert "not known" in cluster_map_layout([MapNode("n1")]).boxes[0].hover


def test_long_names_keep_their_end():
    layout = cluster_map_layout([MapNode(f"machine-of-the-site-{n:04}", (MapRank(n, "idle"),)) for n in range(30)])
    labels = [box.label for box in layout.boxes]
    assert len(set(labels)) == 30
    assert all(label.startswith("…") and label.endswith(f"{n:04}") for n, label in enumerate(labels))
    assert layout.boxes[7].hover.startswith("<b>machine-of-the-site-0007</b>")


def test_what_is_no_map_is_refused():
    with pytest.raises(ValueError, match="rank 0 is 'asleep', but a rank is one of idle, computing, waiting, died"):
        cluster_map_layout([MapNode("n", (MapRank(0, "asleep"),))])
    with pytest.raises(ValueError, match="one node only"):
        cluster_map_layout([MapNode("a", (MapRank(0, "idle"),)), MapNode("b", (MapRank(0, "idle"),))])
