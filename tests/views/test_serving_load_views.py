"""Pictures of latency over load, cold starts and batching show the values they are given."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.load.result import LoadResult
from labkit.views.serving.batching_trade_off import BatchingPoint, batching_trade_off_figure, batching_trade_off_layout
from labkit.views.serving.cold_start_waterfall import cold_start_waterfall_figure, cold_start_waterfall_layout
from labkit.views.serving.latency_over_load import LoadPoint, latency_over_load_figure, latency_over_load_layout


def point(rate, throughput=None, errors=0.0, p50=0.01, p99=0.05, **more):
    return LoadPoint(rate, {50: p50, 99: p99}, rate if throughput is None else throughput, errors, **more)


def run(rate, num, latency_s, num_failed):
    due = np.arange(num) / rate
    status = np.where(np.arange(num) < num_failed, 429, 200).astype(np.int16)
    return LoadResult(
        "http://127.0.0.1:1", "open", due, due, due, due + latency_s, status, np.zeros(num, np.uint8), 30.0, num / rate,
        0.1, num,
    )


def test_points_of_runs_and_their_knee():
    latencies = np.linspace(0.001, 0.1, 100)
    dedicated = [run(200, 100, latencies, 20), run(50, 100, latencies, 0)]
    curves = latency_over_load_layout({"dedicated": dedicated, "other": []})
    assert [curve.name for curve in curves] == ["dedicated", "other"] and curves[1].knee is None
    slow, fast = curves[0].points
    assert slow.rate == pytest.approx(50) and fast.rate == pytest.approx(200) and curves[0].knee == pytest.approx(50)
    assert slow.latency_s == {50: pytest.approx(0.050), 99: pytest.approx(0.099)}
    assert fast.error_fraction == pytest.approx(0.2) and fast.errors == {"status 429": 20}
    assert fast.latency_s[50] == pytest.approx(0.060)  # of the 80 good ones


@pytest.mark.parametrize(
    ("points", "knee"),
    [
        ([point(10), point(20), point(40)], 40), ([point(40, 30), point(20), point(10)], 20),
        ([point(10, errors=0.02), point(20)], None),  # it fails at the lowest: later good luck does not count
        ([point(10), point(20, errors=0.009), point(30, errors=0.011)], 20), ([], None),
    ],
)
def test_knee(points, knee):
    assert latency_over_load_layout({"a": points})[0].knee == knee


def test_latency_figure_marks_errors_knee_and_limit():
    runs = {
        "dedicated": [
            point(10), point(100, 50, errors=0.3, p99=3.0), point(200, 50, p50=math.nan, p99=math.nan, errors=1),
        ],
        "serverless": [point(10), point(100, is_generator_limited=True)],
    }
    figure = latency_over_load_figure(runs, limit_s=0.2)
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["dedicated, p99"].y) == [0.05, 3.0, None] and by_name["dedicated, p99"].line.dash == "dash"
    assert list(by_name["requests failed"].x) == [100] and list(by_name["requests failed"].y) == [3.0]
    assert list(by_name["dedicated keeps up to 10/s"].x) == [10, 10]
    assert "30.00% failed" in by_name["dedicated, p50"].hovertext[1]
    assert list(by_name["serverless, p50"].marker.symbol) == ["circle", "circle-open"]
    assert figure.layout.yaxis.type == figure.layout.xaxis.type == "log"
    assert figure.layout.shapes[0].y0 == 0.2 and "limit 200 ms" in figure.layout.annotations[0].text
    low, high = figure.layout.yaxis.range
    assert low < math.log10(0.01) and high > math.log10(3.0)
    assert "no run" in latency_over_load_figure({}).layout.annotations[0].text
    with pytest.raises(UsageError, match="percentiles"):
        latency_over_load_figure(runs, percentiles=(50, 99.9))
    with pytest.raises(UsageError, match="from 0 to 100"):
        latency_over_load_figure(runs, percentiles=())


class Record:
    def __init__(self, environment, **phases):
        self.environment, self.phases_s = environment, phases


def test_phases_follow_each_other():
    starts = {
        "NumPy": {"first_call": 0.1, "imports": 0.2, "process": 0.05, "model": 0.15},
        "torch": Record(2, process=0.05, imports=2.0), "other": {"download": 0.5, "process": 0.0},
    }
    layout = cold_start_waterfall_layout(starts)
    assert layout.names == ("NumPy", "torch", "other") and layout.totals_s == pytest.approx((0.5, 2.05, 0.5))
    first = [(bar.phase, bar.start_s, bar.length_s, bar.share) for bar in layout.bars if bar.row == 0]
    assert [phase for phase, *_ in first] == ["process", "imports", "model", "first_call"]
    assert [start for _, start, *_ in first] == pytest.approx([0, 0.05, 0.25, 0.4])
    assert [share for *_, share in first] == pytest.approx([0.1, 0.4, 0.3, 0.2])
    figure = cold_start_waterfall_figure(starts, warm_s=0.001)
    drawn = {trace.name: (list(trace.base), list(trace.x), list(trace.y)) for trace in figure.data}
    assert drawn["imports"] == ([pytest.approx(0.05)] * 2, [pytest.approx(0.2), pytest.approx(2.0)], [0, 1])
    assert drawn["download"] == ([0], [0.5], [2])
    assert "2,050 x" in figure.layout.annotations[1].text and "98% of it: imports" in figure.layout.title.text
    assert figure.layout.xaxis.range[1] > 2.05


def test_records_of_warm_calls_are_left_out():
    records = [Record(1, process=0.1), Record(1), Record(2, process=0.2)]
    assert cold_start_waterfall_layout(records).names == ("environment 1", "environment 2")
    assert "no cold start" in cold_start_waterfall_figure([Record(1)]).layout.annotations[0].text
    with pytest.raises(UsageError, match="started twice"):
        cold_start_waterfall_layout([Record(1, process=0.1), Record(1, process=0.1)])
    for wrong in ({"a": {}}, {"a": Record(1)}, {"a": 3}, {"a": {"process": -1}}, {"a": {"process": math.nan}}):
        with pytest.raises(UsageError, match="cold_start_waterfall"):
            cold_start_waterfall_layout(wrong)
    with pytest.raises(UsageError, match="at most 24"):
        cold_start_waterfall_layout({str(k): {"process": 1} for k in range(25)})


def test_batching_lines():
    limits = [(b, w) for b in (8, 1, 2) for w in (0.002, 0.0)]
    points = [BatchingPoint(b, w, 100.0 * b, 0.001 * b + w, 0.002 * b + w, 0.9 * b) for b, w in limits]
    lines = batching_trade_off_layout(points)
    assert [line.max_wait_s for line in lines] == [0.0, 0.002]
    assert [[p.max_batch for p in line.points] for line in lines] == [[1, 2, 8]] * 2
    figure = batching_trade_off_figure(points)
    assert "8 times" in figure.layout.title.text and "max_batch 8" in figure.layout.title.text
    assert [trace.name for trace in figure.data if trace.showlegend is None] == ["waits not at all", "waits 2 ms"]
    left, p50, p99 = figure.data[3:]
    assert list(left.y) == [100, 200, 800] and list(p50.y) == pytest.approx([0.003, 0.004, 0.010])
    assert list(p99.y) == pytest.approx([0.004, 0.006, 0.018]) and (p99.xaxis, p99.line.dash) == ("x2", "dash")
    assert "7.2 rows a batch" in left.hovertext[2]
    assert batching_trade_off_figure(points[:2]).layout.title.text == "Dynamic batching"  # none without batching
    assert "no run" in batching_trade_off_figure([]).layout.annotations[-1].text
    with pytest.raises(UsageError, match="max_batch is 1"):
        batching_trade_off_layout([BatchingPoint(0, 0, 1, 1, 1)])
