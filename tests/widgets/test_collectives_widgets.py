"""Widgets of collectives and of live timelines: they react to their controls, and the button measures."""

import threading

import numpy as np
import plotly.graph_objects as go
import pytest

from labkit.comm.network.model import alpha_beta
from labkit.comm.network.presets import PRESETS
from labkit.comm.simulated.run import simulate
from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import run_mpi
from labkit.mpi.collectives.registry import OPERATIONS, family
from labkit.mpi.curves import SIZES_BYTES, predicted_time_s
from labkit.mpi.measure import measure_collectives
from labkit.widgets.collective_times import RUN, STOP
from labkit.widgets.collectives import CollectiveExplorer, CollectiveTimes
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.live_timeline import LiveTimeline
from labkit.widgets.replace import replace_figure

NETWORK = alpha_beta(1e-6, 1e-9)


# -- explorer -----------------------------------------------------------------------------------------


def test_explorer_follows_its_controls():
    explorer = CollectiveExplorer("allreduce_ring", 4)
    assert explorer.step.max == explorer.play.max == 6
    explorer.step.value = 3
    assert "round 3 of 6" in explorer.figure.layout.title.text
    assert np.max(explorer.figure.data[0].z) == 1.0  # reduce-scatter is over
    explorer.step.value = 6
    assert np.min(explorer.figure.data[0].z) == 1.0 and set(explorer.figure.data[3].marker.color) == {"#009e73"}

    explorer.play.playing = True
    explorer.num_ranks.value = 16
    assert not explorer.play.playing
    assert explorer.step.value == explorer.play.value == 0 and explorer.step.max == 30
    assert len(explorer.figure.data) == 4 and len(explorer.figure.data[0].z) == 16
    assert explorer.figure.layout.yaxis.range == (15.5, -0.5)

    explorer.operation.value = "barrier"
    assert explorer.algorithm.options == ("barrier_central", "barrier_tree", "barrier_dissemination")
    explorer.algorithm.value = "barrier_dissemination"
    assert explorer.step.max == 4 and "4 rounds, 64 messages on 16 ranks" in explorer.sentence.value
    assert "tell the rank 2^k further on" in explorer.sentence.value
    explorer.step.value = 1
    assert len([size for size in explorer.figure.data[2].marker.size if size]) == 16


def test_explorer_reaches_every_algorithm_with_messages():
    explorer = CollectiveExplorer("barrier_tree", 3)
    for operation in OPERATIONS:
        explorer.operation.value = operation
        names = [a.name for a in family(operation) if not a.needs_shared_memory]
        assert list(explorer.algorithm.options) == names
        for name in names:
            explorer.algorithm.value = name
            assert explorer.rounds.name == name
            explorer.step.value = explorer.step.max
            assert f"<b>{name}</b>" in explorer.figure.layout.title.text


def test_explorer_shows_the_ranks_of_its_slider_and_says_how_many_are_on_a_node():
    for num_ranks in (1, 33):
        with pytest.raises(UsageError, match=f"num_ranks = {num_ranks}: rounds are shown for 2 to 32 ranks"):
            CollectiveExplorer("allreduce_ring", num_ranks)
    explorer = CollectiveExplorer("allreduce_hierarchical", 8)
    assert "on 8 ranks, 4 ranks a node." in explorer.sentence.value
    explorer.algorithm.value = "allreduce_ring"
    assert explorer.sentence.value.endswith("on 8 ranks.")


# -- times --------------------------------------------------------------------------------------------


def lines_of(widget):
    return {trace.name: trace for trace in widget.figure.data if trace.mode == "lines"}


def points_of(widget):
    return {trace.name: trace for trace in widget.figure.data if trace.mode == "markers"}


def test_the_first_choice_of_all_reduces_has_those_of_the_lesson_and_lines_only_where_there_are_nodes():
    widget = CollectiveTimes()
    assert set(lines_of(widget)) == {"recursive_doubling", "ring", "rabenseifner", "reduce_broadcast", "swing"}
    widget.algorithms.value = ("allreduce_hierarchical", "allreduce_ring")
    assert set(lines_of(widget)) == {"ring"}
    widget.network.value = "nvlink+infiniband"
    assert set(lines_of(widget)) == {"hierarchical", "ring"}


def test_times_follow_their_controls():
    widget = CollectiveTimes(networks={"mine": NETWORK} | PRESETS, run=None)
    assert len(lines_of(widget)) == 5 and "4 ranks; lines: mine" in widget.figure.layout.title.text
    widget.algorithms.value = ("allreduce_ring", "allreduce_recursive_doubling")
    assert set(lines_of(widget)) == {"ring", "recursive_doubling"}
    widget.num_ranks.value = 1024
    widget.network.value = "ethernet-10g"
    widget.sizes.value = (SIZES_BYTES[2], SIZES_BYTES[8])
    ring = lines_of(widget)["ring"]
    assert ring.x == tuple(map(float, SIZES_BYTES[2:9]))
    assert ring.y[3] == predicted_time_s("allreduce_ring", 1024, ring.x[3], PRESETS["ethernet-10g"])
    assert "1024 ranks; lines: ethernet-10g" in widget.figure.layout.title.text
    for operation in OPERATIONS[1:]:
        widget.operation.value = operation
        assert len(lines_of(widget)) == min(5, len([a for a in family(operation) if not a.needs_shared_memory]))
        assert f"<b>{operation}</b>" in widget.figure.layout.title.text
    widget.algorithms.value = ()
    assert lines_of(widget) == {}


def test_the_button_measures_and_overlays():
    asked = []

    def run(names, num_ranks, sizes):
        asked.append((tuple(names), num_ranks, tuple(sizes)))
        return {name: [(size, 1e-6 * size) for size in sizes] for name in names}

    widget = CollectiveTimes(run=run)
    widget.algorithms.value = ("allreduce_ring", "allreduce_shared_memory")
    widget.sizes.value = (8, 512)
    widget.button.click()
    widget.wait(20)
    assert asked == [(("allreduce_ring", "allreduce_shared_memory"), 4, (size,)) for size in (8, 32, 128, 512)]
    assert points_of(widget)["ring, measured"].y == (8e-6, 32e-6, 128e-6, 512e-6)
    assert points_of(widget)["shared_memory, measured"].x == (8, 32, 128, 512)
    assert widget.status.value.startswith("Measured 2 algorithms at 4 sizes on 4 ranks.")
    assert widget.button.description == RUN and widget.progress.layout.visibility == "hidden"
    assert "points: this machine" in widget.figure.layout.title.text
    widget.num_ranks.value = 8  # measured points belong to 4 ranks
    assert points_of(widget) == {}
    widget.num_ranks.value = 4
    assert set(points_of(widget)) == {"ring, measured", "shared_memory, measured"}


def test_an_error_is_a_sentence_and_the_button_works_again():
    problems = [NotAvailableError("No MPI here: <none> of it."), ZeroDivisionError(), None]

    def run(names, num_ranks, sizes):
        problem = problems.pop(0)
        if problem is not None:
            raise problem
        return {name: [(size, 1e-6)] for name in names for size in sizes}

    widget = CollectiveTimes(run=run)
    widget.sizes.value = (8, 8)
    for words in ("No MPI here: &lt;none&gt; of it.", "ZeroDivisionError", "Measured 5 algorithms at 1 size"):
        widget.button.click()
        widget.wait(20)
        assert words in widget.status.value
        assert widget.button.description == RUN and not widget.button.disabled
    assert problems == []


def test_a_second_click_stops_after_the_size_that_runs():
    started, go_on, sizes_run = threading.Event(), threading.Event(), []

    def run(names, num_ranks, sizes):
        sizes_run.extend(sizes)
        started.set()
        assert go_on.wait(20)
        return {name: [(sizes[0], 1e-6)] for name in names}

    widget = CollectiveTimes(run=run)
    widget.button.click()
    assert started.wait(20)
    assert widget.button.description == STOP and widget.progress.layout.visibility == "visible"
    assert "4 ranks, 8 B (1 of 12 sizes)" in widget.status.value
    widget.num_ranks.value = 2  # the controls are alive meanwhile
    assert "2 ranks" in widget.figure.layout.title.text
    widget.button.click()
    assert widget.status.value == "Stopping after this size."
    go_on.set()
    widget.wait(20)
    assert sizes_run == [8] and widget.button.description == RUN
    assert set(widget.measured) == {(4, name) for name in widget.algorithms.value}


def test_what_cannot_be_measured_is_said_at_once():
    widget = CollectiveTimes(num_ranks=64, run=None)
    widget.button.click()
    assert "64 ranks are more than are started here at once: choose 16 or fewer." in widget.status.value and widget._thread is None
    widget.num_ranks.value = 2
    assert widget.status.value == ""  # it was about the choice before
    widget.num_ranks.value = 64
    widget.num_ranks.value, widget.algorithms.value = 4, ()
    widget.button.click()
    assert widget.status.value == "Choose an algorithm to measure." and widget._thread is None


@pytest.mark.mpi
def test_the_button_runs_real_ranks():
    widget = CollectiveTimes(num_ranks=2)
    widget.algorithms.value = ("allreduce_ring", "allreduce_shared_memory", "allreduce_hierarchical")
    widget.sizes.value = (32, 128)
    widget.button.click()
    widget.wait(100)
    assert "Measured 3 algorithms at 2 sizes on 2 ranks" in widget.status.value
    for trace in points_of(widget).values():
        assert trace.x == (32, 128) and all(1e-7 < seconds < 1 for seconds in trace.y)
    assert len(points_of(widget)) == 3


@pytest.mark.mpi
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_algorithm_passes_its_check_on_real_ranks(operation):
    names = [algorithm.name for algorithm in family(operation)]
    times = measure_collectives(names, 3, [96])
    assert {name: [size for size, _ in points] for name, points in times.items()} == {name: [96] for name in names}
    assert all(0 < seconds < 5 for points in times.values() for _, seconds in points)


@pytest.mark.mpi
def test_a_wrong_result_is_not_timed(tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text(
        "from labkit.mpi import measure_ranks\n"
        "from labkit.mpi.collectives.registry import Algorithm\n"
        "def wrong(comm, sendbuf, recvbuf, *, op):\n"
        "    recvbuf[...] = sendbuf * comm.size\n"
        "measure_ranks.find = lambda name: Algorithm(name, 'allreduce', wrong)\n"
        "measure_ranks.main(['allreduce_wrong'], [64], 9)\n"
    )
    with pytest.raises(NotAvailableError, match="allreduce_wrong gave a wrong result on 3 ranks, so it was not timed"):
        run_mpi([str(program)], 3)


def test_measurements_that_say_nothing_are_refused():
    for names, p, rounds in (([], 2, 9), (["allreduce_ring"], 0, 9), (["allreduce_ring"], 2, 8), (["no_such"], 2, 9)):
        with pytest.raises(UsageError):
            measure_collectives(names, p, [8], num_rounds=rounds)


# -- another figure in the same widget ----------------------------------------------------------------


def test_a_figure_is_replaced_in_place_or_as_a_whole():
    first = go.Figure([go.Scatter(y=[1, 2], text=["a", "b"])], {"title": {"text": "first"}, "shapes": [{"x0": 0, "x1": 1}]})
    widget = FigureWidget(first)
    assert widget.model_id  # as if it were shown
    trace = widget.data[0]
    replace_figure(widget, go.Figure([go.Scatter(y=[3, 4, 5])], {"title": {"text": "second"}}))
    assert widget.data[0] is trace and trace.y == (3, 4, 5) and trace.text is None
    assert widget.layout.title.text == "second" and not widget.layout.shapes
    edits = widget._num_edits_sent
    replace_figure(widget, go.Figure([go.Bar(y=[6]), go.Scatter(y=[7])], {"title": {"text": "third"}}))
    assert [t["type"] for t in widget._widget_data] == ["bar", "scatter"]
    assert widget._widget_layout["title"]["text"] == "third" and widget._num_edits_sent > edits


# -- live timeline ------------------------------------------------------------------------------------


def token_ring(comm):
    token = np.zeros(10)
    for _ in range(3):
        comm.Sendrecv(token, (comm.rank + 1) % comm.size, 0, token.copy(), (comm.rank - 1) % comm.size)


def traced(num_ranks=3):
    return simulate(num_ranks, token_ring, network=alpha_beta(1e-6, 0), trace=True).timeline


def test_a_timeline_plays():
    live = LiveTimeline(traced())
    assert live.play.value == live.position.value == live.position.max  # the page gives the slider the value of play
    assert live.now_ns == 3000 and "6 messages" not in live.figure.layout.title.text
    assert "9 messages" in live.figure.layout.title.text
    live.position.value = 50
    assert live.now_ns == 1500 and live.figure.layout.title.text.startswith("At 1.5 µs: ")
    assert "3 messages" in live.figure.layout.title.text
    under_way = live.figure.data[-1]
    assert under_way.name == "under way" and len([y for y in under_way.y if y is not None]) == 6
    before = live.play.interval
    live.seconds.value = 40
    assert live.play.interval == 5 * before and "The run of 3 µs plays in 40 s" in live.sentence.value


def test_a_timeline_grows_while_its_run_goes_on():
    whole = traced()
    from labkit.views.playback import timeline_until

    parts = [(timeline_until(whole, 1100), False), (timeline_until(whole, 2100), False), (whole, True)]
    live = LiveTimeline(type(whole)(3))
    assert "nothing has been communicated" in live.figure.layout.title.text
    live.follow(lambda: parts.pop(0), interval_s=0.01)
    live._thread.join(20)
    assert parts == [] and "9 messages" in live.figure.layout.title.text

    def broken():
        raise OSError("the engines are gone")

    live.follow(broken)
    live._thread.join(20)
    assert live.sentence.value == "The run cannot be followed any more: the engines are gone"

    def odd():
        raise OSError("no <MPI.Comm> & no engines")

    live.follow(odd)
    live._thread.join(20)
    assert live.sentence.value.endswith("no &lt;MPI.Comm&gt; &amp; no engines")  # a page would swallow the name
    assert "9 messages" in live.figure.layout.title.text
    live.stop()


def test_a_page_that_loads_its_javascript_meanwhile_finds_the_newest_picture():
    from labkit.views.playback import timeline_until

    whole = traced()
    live = LiveTimeline(timeline_until(whole, 2100))
    assert live.figure.model_id  # as if it were shown
    edits = live.figure._num_edits_sent
    live.update(whole)
    # What a page begins with, once it can draw; and no page draws anew for it.
    state = live.figure.get_state()
    assert state["_widget_layout"]["title"]["text"] == live.figure.layout.title.text
    assert "9 messages" in live.figure.layout.title.text
    assert [list(t["x"]) for t in state["_widget_data"] if t["type"] == "bar"] == [list(t.x) for t in live.figure.data if t.type == "bar"]
    assert live.figure._num_edits_sent == edits


def test_the_axis_reaches_to_the_end_of_the_run():
    from dataclasses import replace

    from labkit.views.playback import playback_layout

    timeline = replace(traced(), end_ns=9000)  # computes for long after its last message
    assert playback_layout(timeline, 9000).timeline.end_ns == playback_layout(timeline, 1000).timeline.end_ns == 9000


def test_a_growing_timeline_keeps_the_moment_one_looks_at():
    whole = traced()
    live = LiveTimeline(whole)
    live.position.value = 50
    from dataclasses import replace

    live.update(replace(whole, end_ns=6000))
    assert live.position.value == 25 and live.now_ns == 1500
