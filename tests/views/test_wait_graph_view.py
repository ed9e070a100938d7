"""What the picture of a wait-for graph shows."""

import math

import pytest

from labkit.comm.deadlock import find_stuck
from labkit.comm.waits import Operation, RankStatus, WaitReport
from labkit.views.wait_graph import wait_graph_figure, wait_graph_layout


def ring(size):
    states = []
    for rank in range(size):
        peer = (rank + 1) % size
        operation = Operation("recv", f"Recv(source={peer}, tag=7)", "comm", (peer,), 7)
        states.append(WaitReport(rank, 1, operation.text, (operation,), line=3))
    return find_stuck(states)


@pytest.mark.parametrize("size", [2, 3, 8, 64])
def test_every_rank_and_the_whole_cycle_are_drawn(size):
    layout = wait_graph_layout(ring(size))
    assert [node.rank for node in layout.nodes] == list(range(size))
    assert {(a.waiter, a.awaited) for a in layout.arrows if a.in_cycle} == {(r, (r + 1) % size) for r in range(size)}
    distances = [math.dist((a.x, a.y), (b.x, b.y)) for a in layout.nodes for b in layout.nodes if a is not b]
    assert min(distances) > 1.5 * math.sin(math.pi / size)
    assert len(wait_graph_figure(ring(size)).layout.annotations) >= size


def test_labels_name_call_and_line():
    layout = wait_graph_layout(ring(2))
    assert layout.nodes[0].label == "Recv(source=1, tag=7)<br>line 3"
    assert "0 → 1 → 0" in layout.title


def test_states_are_told_apart_and_self_waits_do_not_fail():
    operation = Operation("recv", "recv(source=0)", "comm", (0,))
    graph = find_stuck([WaitReport(0, 1, "recv(source=0)", (operation,)), RankStatus(1, "computing", "computes")])
    assert graph.cycle == (0,)
    figure = wait_graph_figure(graph)
    assert {trace.name for trace in figure.data} == {"waiting", "computing"}


def test_many_arrows_are_cut_with_a_sentence():
    peers = tuple(range(40))
    operation = Operation("recv", "recv(source=ANY_SOURCE)", "comm", peers)
    graph = find_stuck([WaitReport(r, 1, operation.text, (operation,)) for r in peers])
    layout = wait_graph_layout(graph)
    assert {arrow.waiter for arrow in layout.arrows} == set(peers)  # every rank keeps an arrow
    assert set(zip(graph.cycle, graph.cycle[1:] + graph.cycle[:1], strict=True)) <= {(a.waiter, a.awaited) for a in layout.arrows}
    assert len(layout.arrows) <= 40 + len(graph.cycle)
    assert layout.num_hidden_arrows == 40 * 39 - len(layout.arrows)
    assert "more arrows are not drawn" in wait_graph_figure(graph).layout.annotations[-1].text
