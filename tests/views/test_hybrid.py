"""The picture of ranks and threads: every run at its place, honest about crowds and wrong results."""

from labkit.openmp.hybrid import HybridRun, HybridTimes
from labkit.views.hybrid import hybrid_figure, hybrid_layout

RUNS = (
    HybridRun(1, 1, (0.5, 0.4), True, False), HybridRun(1, 2, (0.2,), True, False), HybridRun(4, 1, (0.25,), True, True),
    HybridRun(2, 1, (0.2, 0.16), True, False), HybridRun(2, 2, (0.1,), True, True),
)
TIMES = HybridTimes(100, 200, 5, 2, RUNS)


def test_runs_are_by_kind_and_in_order():
    layout = hybrid_layout(TIMES)
    assert {kind: values[:2] for kind, values in layout.points.items()} == {
        "serial": ((1,), (1.0,)), "threads": ((2,), (2.0,)), "ranks": ((2, 4), (2.5, 1.6)), "ranks x threads": ((4,), (4.0,)),
    }
    assert layout.points["ranks"][2] == ("square", "square-open") and layout.most_workers == 4
    assert layout.points["ranks"][3][1] == (
        "<b>4 x 1</b> (ranks x threads)<br>250 ms, speed-up 1.6<br>more workers than cores"
    )


def test_figure_says_when_a_result_is_wrong():
    assert hybrid_figure(TIMES).layout.title.text == "Jacobi, 100 x 200 points, on 2 cores: every result has the same bits"
    wrong = HybridTimes(100, 200, 5, 1, (*RUNS[:1], HybridRun(1, 2, (0.2,), False, False)))
    assert hybrid_figure(wrong).layout.title.text == "Jacobi on 1 core: 1 of 2 RESULTS ARE WRONG"


def test_nothing_is_cut_off():
    figure = hybrid_figure(TIMES)
    low, high = figure.layout.yaxis.range
    assert all(low < y < high for trace in figure.data for y in trace.y)
    low, high = figure.layout.xaxis.range
    assert all(low < x < high for trace in figure.data for x in trace.x)
