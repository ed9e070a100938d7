"""What the pictures of collectives, ping-pongs, halos and played timelines show."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest

from labkit.comm.network.model import alpha_beta
from labkit.comm.network.presets import PRESETS
from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.mpi.collectives.registry import ALGORITHMS
from labkit.mpi.collectives.rounds import collective_rounds
from labkit.mpi.curves import (
    SIZES_BYTES,
    Curve,
    predicted_time_s,
    scaling_curves,
    simulated_time_s,
    size_curves,
    with_points,
)
from labkit.mpi.point_to_point.ping_pong import AlphaBetaFit, PingPongResult, fit_ping_pong
from labkit.views.collective_times import equally_fast, times_layout
from labkit.views.collectives import (
    collective_animation_figure,
    collective_round_figure,
    collective_time_figure,
    round_layout,
    scaling_figure,
)
from labkit.views.playback import MAX_IN_FLIGHT, playback_figure, playback_layout, timeline_until
from labkit.views.point_to_point import halo_figure, halo_layout, ping_pong_figure

NETWORK = alpha_beta(10e-6, 1e-9, 0.1e-9)


# -- rounds -------------------------------------------------------------------------------------------


def test_a_round_shows_what_has_changed_and_who_sent():
    layout = round_layout(collective_rounds("allreduce_ring", 4), 2)
    assert layout.title == "<b>allreduce_ring</b>, 4 ranks: round 2 of 6, 4 messages of 1 chunk"
    # In round 2 rank r gets chunk r - 2, which then is a sum over three ranks.
    assert set(layout.changed) == {(r, (r - 2) % 4) for r in range(4)}
    assert layout.fractions[0][2] == 0.75 and layout.texts[0][2] == "3"
    assert layout.hovers[0][2] == "<b>rank 0, chunk 2</b><br>sum over 3 of 4 ranks: 0, 2-3"
    assert {(a.source, a.dest) for a in layout.arrows} == {(r, (r + 1) % 4) for r in range(4)}
    assert layout.arrows[0].hover.startswith("message 3 → 0: 1 chunk<br>chunks 2")
    assert layout.done == (False,) * 4


def test_cells_side_by_side_share_a_frame():
    figure = collective_round_figure(collective_rounds("allreduce_rabenseifner", 8), 1)
    frames = figure.data[1]
    assert len([x for x in frames.x if x is None]) == 8  # one a rank, around four chunks
    assert frames.x[:2] == (-0.45, 3.45) and frames.y[:3] == (-0.43, -0.43, 0.43)
    assert "rank 1 gets no result" in collective_round_figure(collective_rounds("reduce_flat", 3), 2).data[3].hovertext


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("barrier_tree", "round 1 of 4, 2 empty messages"), ("broadcast_binomial", "round 1 of 2, 1 message of 4 chunks"),
        ("gather_binomial", "round 1 of 2, 2 messages of 1 chunk"), ("alltoall_bruck", "round 1 of 2, 4 messages of 2 chunks"),
    ],
)
def test_titles_count_messages(name, words):
    assert round_layout(collective_rounds(name, 4), 1).title.endswith(words)


@pytest.mark.parametrize("name", [n for n, a in ALGORITHMS.items() if not a.needs_shared_memory])
def test_every_algorithm_has_its_pictures(name):
    for p in (1, 2, 5, 12, 32):
        rounds = collective_rounds(name, p)
        first, last = (round_layout(rounds, step) for step in (0, rounds.num_rounds))
        assert not first.changed and not first.arrows
        assert last.done == last.gets_result
        everybody = rounds.operation not in ("gather", "reduce", "exscan")
        assert sum(last.gets_result) == (p if everybody else p - 1 if rounds.operation == "exscan" else 1)
        figure = collective_round_figure(rounds, rounds.num_rounds)
        assert len(figure.data) == 4
        assert len(figure.data[0].z) == p and len(figure.data[0].z[0]) == rounds.num_chunks
    assert round_layout(rounds, 10**6) == last and round_layout(rounds, -1) == first


@pytest.mark.parametrize("p", [2, 3, 8, 16, 32])
def test_arrows_end_at_their_ranks_and_ranks_are_apart(p):
    figure = collective_round_figure(collective_rounds("allgather_ring", p), 1)
    arrows, nodes = figure.data[2], figure.data[3]
    places = list(zip(nodes.x, nodes.y, strict=True))
    assert min(math.dist(a, b) for i, a in enumerate(places) for b in places[:i]) * 125 > nodes.marker.size
    layout = round_layout(collective_rounds("allgather_ring", p), 1)
    for arrow in layout.arrows:
        for point, rank in ((arrow.points[0], arrow.source), (arrow.points[-1], arrow.dest)):
            assert min(range(p), key=lambda r: math.dist(point, places[r])) == rank
    heads = [size for size in arrows.marker.size if size]
    assert len(heads) == p and len(arrows.x) == len(arrows.marker.size) == len(arrows.hovertext)


def test_an_animation_has_a_frame_and_a_slider_step_a_round():
    rounds = collective_rounds("reduce_scatter_ring", 6)
    figure = collective_animation_figure(rounds)
    assert [frame.name for frame in figure.frames] == [str(k) for k in range(6)]
    assert [step.label for step in figure.layout.sliders[0].steps] == [frame.name for frame in figure.frames]
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["Play", "Pause"]
    for step, frame in enumerate(figure.frames):
        assert frame.layout.title.text == round_layout(rounds, step).title
        assert len(frame.data) == 4
    assert len(collective_animation_figure(collective_rounds("allreduce_segmented_ring", 32)).to_json()) < 8e6


# -- times --------------------------------------------------------------------------------------------


def test_the_crossover_is_where_the_two_costs_are_equal():
    # Recursive doubling: 3 rounds of n; ring: 14 rounds, 1.75 n; gamma 0. Equal at 11 alpha = 1.25 n beta.
    network = alpha_beta(10e-6, 1e-9)
    names = ["allreduce_recursive_doubling", "allreduce_ring"]
    sizes = [8 * 2**k for k in range(24)]
    layout = times_layout(size_curves(names, 8, network, sizes))
    assert len(layout.crossovers) == 1
    assert layout.crossovers[0].x == pytest.approx(11 * 10e-6 / (1.25 * 1e-9), rel=0.1)  # straight lines between points
    assert (layout.crossovers[0].before, layout.crossovers[0].after) == tuple(names)
    assert layout.fastest[0] == (names[0], 8, pytest.approx(layout.crossovers[0].x))
    assert layout.fastest[1][2] == sizes[-1]


def test_crossovers_follow_the_lower_envelope():
    def line(name, *seconds):
        return Curve(name, tuple((float(x), s) for x, s in zip((1, 10, 100), seconds, strict=True)))

    layout = times_layout([line("a", 1, 1, 100), line("b", 2, 2, 2), line("c", 9, 3, 1), line("slow", 50, 50, 50)])
    assert [(c.before, c.after) for c in layout.crossovers] == [("a", "b"), ("b", "c")]
    assert [name for name, _, _ in layout.fastest] == ["a", "b", "c"]
    assert 10 < layout.crossovers[0].x < layout.crossovers[1].x < 100
    same = times_layout([line("first", 1, 2, 3), line("second", 1, 2, 3)])
    assert not same.crossovers and same.fastest == (("first", 1, 100),)
    assert times_layout([Curve("no line", (), ((8, 1e-6),))]).fastest == ()


def test_lines_that_lie_on_each_other_are_named_together():
    def line(name, *seconds):
        return Curve(name, tuple((float(x), s) for x, s in zip((1, 10, 100), seconds, strict=True)))

    def strip(*curves):
        return [note.text for note in collective_time_figure(curves).layout.annotations]

    twins = line("bcast_one", 1, 2, 4), line("bcast_slow", 5, 5, 5), line("bcast_two", 1, 2, 4)
    assert equally_fast(twins, "bcast_one", 1, 100) == ("bcast_two",)
    assert strip(*twins) == ["fastest: one = two"]
    assert strip(*twins, Curve("bcast_measured", (), ((1, 1e-6),))) == ["fastest: one = two"]
    # Equal at first only: from there on, the other is alone, and each piece says so.
    partly = line("bcast_one", 1, 2, 4), line("bcast_two", 1, 2, 3)
    assert equally_fast(partly, "bcast_one", 1, 10) == ("bcast_two",) and equally_fast(partly, "bcast_one", 1, 100) == ()
    assert equally_fast(partly, "bcast_two", 2, 20) == ()
    # Names too long for their piece are cut, but never to one of several.
    many = [line(f"bcast_a_long_name_{k}", 1, 2, 3) for k in range(6)]
    assert strip(*many) == ["a_long_name_0 = ..."]


def test_time_figure_has_lines_points_and_marked_crossovers():
    names = ["allreduce_recursive_doubling", "allreduce_ring", "allreduce_shared_memory"]
    measured = {name: [(8, 1e-5), (65536, 2e-4)] for name in names}
    figure = collective_time_figure(with_points(size_curves(names, 8, NETWORK), measured))
    lines = {t.name: t for t in figure.data if t.mode == "lines"}
    points = {t.name: t for t in figure.data if t.mode == "markers"}
    assert set(lines) == {"recursive_doubling", "ring"}
    assert {line.line.width for line in lines.values()} == {2}
    assert set(points) == {f"{n.removeprefix('allreduce_')}, measured" for n in names}
    ring = lines["ring"]
    assert ring.y[3] == pytest.approx(predicted_time_s("allreduce_ring", 8, ring.x[3], NETWORK))
    assert points["ring, measured"].y == (1e-5, 2e-4) and "64 KiB: 200 µs measured" in points["ring, measured"].hovertext[1]
    assert "recursive_doubling → ring" in figure.data[-1].hovertext[0]
    assert "ring" in figure.data[-1].text[0] and "KiB" in figure.data[-1].text[0]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    low, high = figure.layout.yaxis.range
    shown = [s for t in figure.data for s in t.y]
    assert low < math.log10(min(shown)) and math.log10(max(shown)) < high
    assert figure.layout.legend.x > 1  # beside the data
    assert len(collective_time_figure([]).data) == 0


def test_equal_lines_are_all_seen():
    names = ["allreduce_rabenseifner", "allreduce_ring", "allreduce_swing"]  # the first and the last cost the same
    lines = collective_time_figure(size_curves(names, 16, NETWORK)).data[:3]
    assert lines[0].y == pytest.approx(lines[2].y, rel=0.01)
    assert lines[0].line.width > lines[2].line.width == lines[1].line.width


def test_pictures_run_nothing():
    program = (
        "import sys, labkit.views.collectives, labkit.views.point_to_point, labkit.views.playback\n"
        "print(*{m.split('.')[0] for m in sys.modules} & {'mpi4py', 'torch', 'ipywidgets', 'anywidget', 'numba', 'greenlet'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_simulated_points_lie_on_the_predicted_lines():
    names = ["allreduce_ring", "allreduce_rabenseifner", "allreduce_recursive_doubling", "allreduce_swing"]
    curves = scaling_curves(names, 65536, NETWORK, max_messages=3000)
    for curve in curves:
        lines = dict(curve.predicted)
        assert set(lines) == {2**k for k in range(1, 11)} and 4 <= len(curve.points) < 10
        assert all(seconds == pytest.approx(lines[p], rel=1e-9) for p, seconds in curve.points)
    figure = scaling_figure(curves)
    assert list(figure.layout.xaxis.ticktext) == [str(2**k) for k in range(1, 11)]
    assert {t.name for t in figure.data if t.mode == "markers"} >= {"ring, simulated", "swing, simulated"}
    assert "1024 ranks" in figure.data[0].hovertext[-1]


def test_the_hierarchical_prediction_knows_nodes():
    from labkit.comm.network.model import LinkCost

    network = alpha_beta(10e-6, 1e-9, ranks_per_node=4, inside=LinkCost(1e-6, 1e-10))
    predicted = predicted_time_s("allreduce_hierarchical", 16, 4096, network)
    assert predicted == pytest.approx(simulated_time_s("allreduce_hierarchical", 16, 4096, network))
    assert predicted_time_s("allreduce_ring", 4, 4096, network) == pytest.approx(
        simulated_time_s("allreduce_ring", 4, 4096, network)
    )


def test_what_takes_no_time_has_no_place_on_logarithmic_axes():
    names = ["allreduce_ring", "allreduce_recursive_doubling"]
    figure = scaling_figure(scaling_curves(names, 1000, NETWORK, ranks=(1, 2, 4)))
    lines = [t for t in figure.data if t.mode == "lines"]
    assert [tuple(line.x) for line in lines] == [(2, 4), (2, 4)]  # one rank sends nothing
    alone = size_curves(names, 1, NETWORK)
    assert times_layout(alone).fastest == () and not collective_time_figure(alone).data
    with_empty = [
        Curve("a", ((0, 1e-6), (8, 1e-6), (64, 2e-6)), ((0, 1e-6), (8, 0.0), (64, 2e-6))),
        Curve("b", ((8, 3e-6), (64, 1e-6))),
    ]
    a, points, b = (t for t in collective_time_figure(with_empty).data if t.mode in ("lines", "markers"))
    assert (a.x, points.x, b.x) == ((8, 64), (64,), (8, 64))
    assert {a.line.width, b.line.width} == {2}
    assert [(c.before, c.after) for c in times_layout(with_empty).crossovers] == [("a", "b")]
    assert not collective_time_figure([Curve("a", ((0, 1e-6),))]).data


@pytest.mark.parametrize(
    ("sizes", "p", "num_ticks"),
    [(SIZES_BYTES, 8, 6), ((8, 8), 4, 1), ((8, 128), 4, 2), ((8, 9, 10, 10**6), 4, 2), ((1, 64), 1, 0)],
)
def test_ticks_lie_on_the_sizes_and_every_axis_has_numbers(sizes, p, num_ticks):
    figure = collective_time_figure(size_curves(["allreduce_recursive_doubling"], p, PRESETS["ethernet-10g"], sizes))
    xaxis, yaxis = figure.layout.xaxis, figure.layout.yaxis
    assert len(xaxis.tickvals) == num_ticks and set(xaxis.tickvals) <= set(sizes)
    low, high = yaxis.range
    shown = [s for trace in figure.data for s in trace.y] or [1.0]
    apart = max(shown) > 1.1 * min(shown)  # else one number tells them all
    assert not xaxis.tickvals or len([t for t in yaxis.tickvals if low <= math.log10(t) <= high]) >= 1 + apart
    assert len(set(yaxis.ticktext)) == len(yaxis.tickvals)


def test_numbers_of_ranks_that_are_no_powers_of_2_have_ticks():
    for ranks in ((3,), (3, 5, 6), (1,)):
        figure = scaling_figure(scaling_curves(["allreduce_ring"], 1000, NETWORK, ranks=ranks))
        assert figure.layout.xaxis.tickvals == tuple(p for p in ranks if p > 1)


@pytest.mark.parametrize("times", [{1000: 3e-6, 1001: 3.1e-6}, {1024: 3e-6}, {0: 1e-6}, {64: 3e-6, 64 * 2**14: 4e-6}])
def test_a_ping_pong_of_few_sizes_has_numbers_on_its_axes(times):
    results = [PingPongResult(size, s, size / s) for size, s in times.items()]
    fit = AlphaBetaFit(2e-6, 1e-9, tuple(times), (0.0,) * len(times))
    figure = ping_pong_figure(results, fit)
    for axis in (figure.layout.xaxis, figure.layout.xaxis2, figure.layout.xaxis3):
        assert 1 <= len(axis.tickvals) <= 8 and (not any(times) or set(axis.tickvals) <= set(times))
    shown = [y for trace in figure.data[:2] for y in trace.y]
    assert not any(times) or all(0.99 * min(shown) <= t <= 1.01 * max(shown) for t in figure.layout.yaxis.tickvals)
    assert figure.layout.yaxis.tickvals


# -- point to point -----------------------------------------------------------------------------------


def test_ping_pong_shows_time_bandwidth_and_residuals():
    times = {0: 2e-6, 64: 2.2e-6, 1024: 3e-6, 2**20: 1.05e-3}
    results = [PingPongResult(size, s, size / s) for size, s in times.items()]
    fit = fit_ping_pong(results)
    figure = ping_pong_figure(results, fit, eager_limit_bytes=4096)
    line, points, _, bandwidth, residuals = figure.data
    assert points.x == (64, 1024, 2**20) and points.y == (2.2e-6, 3e-6, 1.05e-3)
    assert "0 B takes 2 µs" in figure.layout.title.text and "alpha = " in figure.layout.title.text
    assert line.y[0] == pytest.approx(fit.predict_s(64)) and line.x[-1] == pytest.approx(2**20)
    assert bandwidth.y == tuple(r.bandwidth for r in results[1:])
    assert residuals.y == pytest.approx([100 * r for r in fit.relative_residuals[1:]])
    dashed = [s for s in figure.layout.shapes if s.x0 == s.x1]
    assert len(dashed) == 3 and all(s.x0 == 4096 for s in dashed)
    assert figure.layout.annotations[0].text == "eager up to 4 KiB"
    assert not ping_pong_figure(results, fit).layout.annotations


@pytest.mark.parametrize(
    ("shape", "p", "options"),
    [((8, 8), 4, {}), ((7, 13), 6, {}), ((10, 10), 5, {"periodic": True}), ((12, 12), 9, {"width": 2, "periodic": True}), ((5, 5), 1, {})],
)
def test_strips_are_the_edges_that_the_neighbours_lack(shape, p, options):
    layout = halo_layout(shape, p, **options)
    width = options.get("width", 1)
    owner = {}
    for rank, rows, columns in layout.blocks:
        owner |= {(i, j): rank for i in range(*rows) for j in range(*columns)}
    assert set(owner) == {(i, j) for i in range(shape[0]) for j in range(shape[1])}  # every point has one owner
    for strip in layout.strips:
        points = {(i, j) for i in range(*strip.rows) for j in range(*strip.columns)}
        assert {owner[point] for point in points} == {strip.source} and len(points) == strip.num_points
        down, right = {"up": (-width, 0), "down": (width, 0), "left": (0, -width), "right": (0, width)}[strip.direction]
        beyond = {((i + down) % shape[0], (j + right) % shape[1]) for i, j in points}
        assert {owner[point] for point in beyond} == {strip.dest}
    pairs = [(s.source, s.dest) for s in layout.strips]
    assert sorted(pairs) == sorted((b, a) for a, b in pairs)
    figure = halo_figure(shape, p, **options)
    heads = [size for size in figure.data[3].marker.size or () if size]
    assert len(heads) == len(layout.strips)
    assert f"{layout.num_travelling} values" in figure.layout.title.text


@pytest.mark.parametrize(
    ("shape", "p", "options", "words"),
    [
        ((4, 4), 4, {"width": 3}, "the smallest has 2 and width=3"), ((4, 4), 4, {"width": -1}, "width=-1"),
        ((4, 4), 4, {"width": 0}, "width=0"),
        ((3, 3), 6, {"process_shape": (6, 1)}, "3 rows on 6 blocks the smallest has 0"),
        ((12, 18), 6, {"process_shape": (2, 2)}, "2 x 2 does not make 6"),
        ((12, 18), 4, {"process_shape": (-2, -2)}, "-2 x -2"),
        ((0, 5), 2, {"process_shape": (1, 2)}, "it has 0 x 5"), ((5, 0), 1, {}, "5 x 0. Pass a larger grid"),
    ],
)
def test_a_halo_that_cannot_be_is_refused(shape, p, options, words):
    for make in (halo_layout, halo_figure):
        with pytest.raises(UsageError, match=words):
            make(shape, p, **options)


def test_a_frame_may_be_wider_than_a_block_that_exchanges_nothing_that_way():
    assert {s.num_points for s in halo_layout((2, 9), 3, process_shape=(1, 3), width=3).strips} == {6}
    assert halo_layout((2, 2), 5).process_shape == (2, 2)  # the fifth rank stays idle


# -- playback -----------------------------------------------------------------------------------------


def passing_on(comm):
    import numpy as np

    token = np.zeros(1000)
    if comm.rank:
        comm.Recv(token, comm.rank - 1)
    if comm.rank < comm.size - 1:
        comm.Send(token, comm.rank + 1)


def test_playing_shows_what_was_under_way():
    timeline = simulate(4, passing_on, network=alpha_beta(1e-6, 0), trace=True).timeline
    assert timeline.duration_ns == 3000
    layout = playback_layout(timeline, 1250)
    assert [(m.source, m.dest, m.rank) for m in layout.in_flight] == [(1, 2, 1.25)]
    assert [(m.source, m.dest) for m in layout.timeline.arrows] == [(0, 1)]
    assert max(bar.end_ns for bar in layout.timeline.bars) == 1250
    assert layout.timeline.end_ns >= 3000
    # The only call comes late, and the picture still begins at 0.
    late = replace(timeline, spans=(replace(timeline.spans[-1], start_ns=2500),), messages=())
    assert playback_layout(late, 0).timeline.start_ns == 0 and not playback_layout(late, 0).timeline.bars
    figure = playback_figure(timeline, 1250)
    assert figure.layout.title.text.startswith("At 1.25 µs: ")
    assert figure.data[-1].name == "under way" and figure.data[-1].y[1] == 1.25
    assert timeline_until(timeline, 3000).messages == timeline.messages
    assert playback_layout(timeline, 3000).in_flight == ()
    kinds = [[(t.type, t.name) for t in playback_figure(timeline, now).data] for now in (0, 500, 1250, 3000)]
    assert kinds[0] == kinds[1] == kinds[2] == kinds[3]  # a page only has to change their values
    # Bars that turn from lying to standing would make the page give up the ranges of its axes.
    assert all(t.orientation == "h" for now in (0, 500) for t in playback_figure(timeline, now).data if t.type == "bar")
    assert playback_figure(type(timeline)(2), 0).layout.title.text == "At 0 ns: nothing has been communicated yet"


def test_messages_under_way_that_are_not_drawn_are_counted():
    def around(comm):
        import numpy as np

        comm.Sendrecv(np.zeros(10), (comm.rank + 1) % comm.size, 0, np.empty(10), (comm.rank - 1) % comm.size, 0)

    timeline = simulate(512, around, network=alpha_beta(1e-6, 0), trace=True).timeline
    layout = playback_layout(timeline, timeline.duration_ns // 2)
    assert (len(layout.in_flight), layout.timeline.num_hidden_under_way) == (MAX_IN_FLIGHT, 112)
    notes = [note.text for note in playback_figure(timeline, timeline.duration_ns // 2).layout.annotations]
    assert any("112 messages under way not drawn." in note for note in notes)
    assert playback_layout(timeline, timeline.duration_ns).timeline.num_hidden_under_way == 0
    for empty in (type(timeline)(1), type(timeline)(2)):
        assert not any("under way" in note.text for note in playback_figure(empty, 0).layout.annotations)
