"""Pictures of the experiments with threads: what is drawn is what was measured, and nothing stands outside."""

import math

import numpy as np
import pytest

from labkit.hardware.roofline import Roofline
from labkit.openmp.experiments.false_sharing import FalseSharingCurve
from labkit.openmp.experiments.interpreter import WAYS as LOCK_WAYS
from labkit.openmp.experiments.interpreter import LockReport
from labkit.openmp.experiments.kernel_points import KernelPoint
from labkit.openmp.experiments.layers import Layers, LayersReport
from labkit.openmp.experiments.oversubscription import OversubscriptionCurve
from labkit.openmp.experiments.races import RaceReport
from labkit.openmp.experiments.sum_costs import SumCosts
from labkit.views.kernel_points import label_places, measured_roofline_figure, points_layout
from labkit.views.openmp_experiments import LINE_HEIGHT, TITLE_WIDTH, titled_layout
from labkit.views.openmp_false_sharing import false_sharing_figure, false_sharing_layout
from labkit.views.openmp_interpreter import lock_figure
from labkit.views.openmp_oversubscription import layers_figure, oversubscription_figure, oversubscription_layout
from labkit.views.openmp_races import NUM_BINS, cost_figure, cost_layout, race_figure, race_layout


def race(results, expected=1000):
    return RaceReport(2, 2, expected, np.array(results), np.ones(len(results)))


# -- races ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "expected"),
    [([1000, 999], 1000), ([1000, 100, 300, 300, 999], 1000), ([2] * 7, 20_000), ([1] * 3 + [2] * 4, 2),
     (list(range(100, 1001)), 1000)],
)
def test_every_run_is_in_the_histogram(results, expected):
    layout = race_layout(race(results, expected))
    wrong = [r for r in results if r != expected]
    assert layout.counts.sum() == len(wrong) and layout.num_right == len(results) - len(wrong)
    assert len(layout.counts) <= NUM_BINS and len(layout.edges) == len(layout.counts) + 1
    assert len(set(np.diff(layout.edges).tolist())) == 1 and layout.edges[-1] == expected
    for count, low, high in zip(layout.counts, layout.edges, layout.edges[1:], strict=False):
        assert count == sum(low <= r < high for r in wrong)


def test_a_result_above_the_right_one_is_not_lost():
    layout = race_layout(race([1000, 900, 1005]))
    assert layout.counts.sum() == 2 and layout.edges[-1] > 1005


def test_race_figure_marks_the_right_value_and_fits_it():
    for results in ([1000, 400, 700], [1000] * 5, [600] * 4):
        figure = race_figure(race(results))
        low, high = figure.layout.xaxis.range
        wrong, right = figure.data
        assert figure.layout.shapes[0].x0 == 1000 and right.y == (results.count(1000),)
        assert low < 1000 < right.x[0] + right.width[0] / 2 < high
        assert all(low < x < high for x in wrong.x)
        assert figure.layout.yaxis.range[1] > max([*wrong.y, *right.y])
        assert sum(wrong.y) + sum(right.y) == len(results)
    assert race_figure(race([1000, 400, 700])).layout.title.text.startswith("2 of 3 runs on 2 threads are wrong")


def costs(**changes):
    ns = {"serial": 0.5, "critical": 100.0, "atomic": 10.0, "reduction": 0.25, "reproducible": 1.0}
    values = {"num_threads": 2, "num_cores": 2, "num_wrong": dict.fromkeys(ns, 0)} | changes
    times = {version: np.array([value * 1e-6]) for version, value in ns.items()}
    return SumCosts(num_updates=dict.fromkeys(ns, 1000), times_s=times, **values)


def test_costs_are_sorted_and_compared_with_the_serial_loop():
    layout = cost_layout(costs())
    assert layout.names[0] == "serial loop" and layout.names[-1] == "critical section"
    assert layout.update_ns == pytest.approx((0.5, 0.25, 1.0, 10.0, 100.0))
    assert layout.ratios == pytest.approx((1, 0.5, 2, 20, 200))
    figure = cost_figure(costs())
    assert figure.data[0].text == ("0.5 ns", "0.25 ns, 0.5 × serial", "1 ns, 2 × serial", "10 ns, 20 × serial",
                                   "100 ns, 200 × serial")
    low, high = figure.layout.xaxis.range
    assert low < math.log10(0.25) and high > math.log10(100) + 0.3 * (high - low)  # room for the text of the longest


def test_costs_say_what_is_wrong():
    wrong = {"serial": 0, "critical": 0, "atomic": 2, "reduction": 0, "reproducible": 1}
    assert "WRONG RESULTS: atomic addition, reproducible reduction" in cost_figure(
        costs(num_wrong=wrong)
    ).layout.title.text.replace("<br>", " ")
    assert "every result was right" in cost_figure(costs()).layout.title.text
    assert "share 1 core." in cost_figure(costs(num_cores=1)).layout.title.text.replace("<br>", " ")


# -- false sharing ----------------------------------------------------------------------------


def curve(**changes):
    values = {"num_threads": 2, "num_cores": 2, "num_increments": 10, "line_bytes": 64} | changes
    plain = np.array([[4.0, 1, 1], [6, 1, 3], [5, 1, 2]])
    return FalseSharingCurve(paddings_bytes=np.array([8, 64, 256]), plain_ns=plain, atomic_ns=10 * plain, **values)


def test_false_sharing_layout():
    layout = false_sharing_layout(curve())
    assert layout.medians_ns["plain"].tolist() == [5, 1, 2] and layout.medians_ns["atomic"].tolist() == [50, 10, 20]
    assert layout.low_ns["plain"].tolist() == [4.5, 1, 1.5] and layout.high_ns["plain"].tolist() == [5.5, 1, 2.5]
    assert layout.ticks == (8, 16, 32, 64, 128, 256)


@pytest.mark.parametrize("line_bytes", [64, 512])
def test_the_cache_line_is_marked_inside_of_the_picture(line_bytes):
    figure = false_sharing_figure(curve(line_bytes=line_bytes))
    low, high = figure.layout.xaxis.range
    assert figure.layout.shapes[0].x0 == line_bytes and low < math.log10(line_bytes) < high
    assert figure.layout.annotations[0].text == f"cache line: {line_bytes} bytes"
    assert figure.layout.annotations[0].x == pytest.approx(math.log10(line_bytes))
    low, high = figure.layout.yaxis.range
    assert low < 0 and high > math.log10(55)
    assert [trace.name for trace in figure.data] == ["atomic increment", "load, add, store"]


# -- more threads than cores --------------------------------------------------------------------


def oversubscribed():
    times = {"no barrier": [[4.0, 2.0, 2.0]], "yielding": [[4.0, 2.1, 1.9]], "spinning": [[4.0, 2.0, 12.0]]}
    return OversubscriptionCurve(
        2, 5, 4e-3, np.array([1, 2, 8]), {way: np.array(values) * 1e-3 for way, values in times.items()}
    )


def test_barriers_lost_in_the_noise_are_left_out():
    layout = oversubscription_layout(oversubscribed())
    assert layout.throughput["spinning"].tolist() == pytest.approx([1, 2, 1 / 3])
    assert layout.barrier_us["spinning"] == [None, None, pytest.approx(2000)]
    assert layout.barrier_us["yielding"] == [None, pytest.approx(20), None]


def test_oversubscription_figure_shows_all_points():
    figure = oversubscription_figure(oversubscribed())
    for trace in figure.data:
        vertical = figure.layout.yaxis if trace.yaxis == "y" else figure.layout.yaxis2
        low, high = vertical.range
        assert all(low <= math.log10(y) <= high for y in trace.y if y is not None)
    assert [shape.x0 for shape in figure.layout.shapes] == [2, 2]
    assert figure.layout.yaxis2.ticktext[0] == "10 µs"
    assert len([trace for trace in figure.data if trace.showlegend is not False]) == 3


def test_layers_are_marked_when_they_are_too_many():
    report = LayersReport(2, 64, (Layers(1, 1, 1, (1e9,)), Layers(2, 1, 1, (3e9, 2e9)), Layers(2, 2, 2, (0.5e9,))))
    bars = layers_figure(report).data[0]
    assert bars.x == (1.0, 3.0, 0.5)
    assert bars.text == ("1 Gflop/s", "3 Gflop/s", "0.5 Gflop/s, more threads than cores")
    assert bars.marker.color[0] == bars.marker.color[1] != bars.marker.color[2]
    assert "PRODUCTS WERE WRONG" in layers_figure(
        LayersReport(2, 64, report.combinations, num_wrong=3)
    ).layout.title.text.replace("<br>", " ")


# -- the interpreter -----------------------------------------------------------------------------


def test_ways_that_help_are_green():
    serial = {way: np.array([2.0]) for way in LOCK_WAYS}
    parallel = {way: np.array([2.0 if way in ("Python", "compiled, keeps the lock") else 1.0]) for way in LOCK_WAYS}
    figure = lock_figure(LockReport(2, 2, True, False, serial, parallel))
    bars = figure.data[0]
    assert bars.x == (1.0, 1.0, 2.0, 2.0, 2.0) and bars.text == ("1.00", "1.00", "2.00", "2.00", "2.00")
    assert len(set(bars.marker.color[:2])) == 1 and len(set(bars.marker.color[2:])) == 1
    assert bars.marker.color[0] != bars.marker.color[2]
    assert [shape.x0 for shape in figure.layout.shapes] == [1, 2]
    assert figure.layout.xaxis.range[1] > 2


def test_no_way_is_judged_on_a_busy_machine():
    times = {way: np.array([1.0]) for way in LOCK_WAYS}
    faster = {way: np.array([0.5]) for way in LOCK_WAYS}
    quiet, busy = (LockReport(2, 2, True, False, times, faster, busy=is_busy) for is_busy in (False, True))
    assert set(lock_figure(quiet).data[0].marker.color).isdisjoint(lock_figure(busy).data[0].marker.color)
    assert "measure again" in lock_figure(busy).layout.title.text.replace("<br>", " ")


def test_one_core_has_no_lines_to_reach():
    times = {way: np.array([1.0]) for way in LOCK_WAYS}
    assert len(lock_figure(LockReport(2, 1, True, False, times, times)).layout.shapes) == 0


# -- the roofline --------------------------------------------------------------------------------

ROOF = Roofline(100e9, 200e9, (("L1", 400e9), ("DRAM", 20e9)))


def point(kernel, version, flops, num_bytes, seconds):
    return KernelPoint(kernel, version, 2, flops, num_bytes, (seconds,), True)


def test_points_stand_at_their_intensity_below_their_roof():
    points = [point("triad", "fast", 2e6, 24e6, 2e-3), point("triad", "naive", 2e6, 24e6, 4e-3),
              point("product", "fast", 64e9, 1e9, 1.0), point("copy", "fast", 0, 16e6, 1e-3)]
    layout = points_layout(ROOF, points)
    assert [(p.label, share) for p, _, share in layout.shown] == [
        ("triad (fast)", pytest.approx(1e9 / (20e9 / 12))), ("triad (naive)", pytest.approx(0.5e9 / (20e9 / 12))),
        ("product (fast)", pytest.approx(0.64)),
    ]
    assert layout.left_out == ("copy (fast)",)
    figure = measured_roofline_figure(ROOF, points)
    slow, fast = figure.data[-2:]
    assert slow.y == (0.5e9,) and fast.y == (1e9, 64e9) and fast.x == (2 / 24, 64)
    assert fast.text == ("triad", "product") and "copy (fast)" in figure.layout.annotations[0].text
    low, high = figure.layout.yaxis.range
    assert low < math.log10(0.5e9) and not any(trace.name == "kernels" for trace in figure.data)


def test_names_of_neighbours_stand_in_different_places():
    rows = points_layout(ROOF, [point(k, "fast", f, 8.0, 1e-9) for k, f in (("one", 1), ("two", 1.2))])
    one, two = label_places(rows.shown, (8, 12))
    assert one != two  # 6 px apart: on the same side they would cover each other
    apart = points_layout(ROOF, [point("one", "fast", 1, 8.0, 1e-9), point("two", "fast", 100, 8.0, 1e-9)])
    assert label_places(apart.shown, (8, 12)) == ["bottom right"] * 2


def test_a_roofline_without_points():
    assert len(measured_roofline_figure(ROOF, []).data) == 3


def test_long_titles_wrap_and_get_room():
    short, top = titled_layout("short", 300)
    long, more = titled_layout("word " * 60, 300)
    lines = long["title"]["text"].split("<br>")
    assert max(map(len, lines)) <= TITLE_WIDTH and more - top == LINE_HEIGHT * (len(lines) - 1)
    assert long["height"] - short["height"] == more - top
