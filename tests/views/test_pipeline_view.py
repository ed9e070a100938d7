"""What the pictures of pipeline schedules show."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.trace.events import Span
from labkit.trace.timeline import Timeline
from labkit.training.pipeline.actions import KINDS
from labkit.training.pipeline.memory import memory_over_time
from labkit.training.pipeline.schedules import SCHEDULES, make_plan
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.pipeline.timeline import planned_timeline
from labkit.training.pipeline.token_slices import TokenSlices, best_slices
from labkit.views.pipeline import MAX_BLOCKS, MAX_MEMORY_LINES, pipeline_figure, pipeline_layout
from labkit.views.pipeline_cells import cells_of
from labkit.views.token_slices import token_slices_figure, token_slices_layout

TIMES = StageTimes(0.02, 0.03, 0.01, 0.001)


def test_every_action_is_a_block():
    for name in SCHEDULES:
        run = simulate(make_plan(name, 3, 6), TIMES)
        layout = pipeline_layout(run)
        expected = {
            (rank, str(action), round(start * 1e9), round(end * 1e9))
            for rank, of_rank in enumerate(run.plan.actions)
            for action, start, end in zip(of_rank, run.start_s[rank], run.end_s[rank], strict=True)
        }
        blocks = {(b.rank, b.hover.split(":")[0].removeprefix("<b>"), b.start_ns, b.end_ns) for b in layout.blocks}
        assert blocks == expected and layout.cells is None
        assert f"bubble {run.bubble_fraction:.1%}" in layout.title and f"longest rank {run.bubble_rate:.1%}" in layout.title
        assert layout.bubbles == tuple(f"idle {share:.0%}" for share in run.idle_share)
        bars = [trace for trace in pipeline_figure(run).data if trace.type == "bar"]
        assert sum(len(trace.x) for trace in bars) == run.plan.num_actions
        assert {trace.legendgroup for trace in bars} == {a.kind for of_rank in run.plan.actions for a in of_rank}


def test_chunks_of_a_rank_differ_and_text_is_the_microbatch():
    layout = pipeline_layout(simulate(make_plan("interleaved", 2, 4, num_chunks=3), TIMES))
    assert {block.depth for block in layout.blocks} == {0, 1, 2} and {b.text for b in layout.blocks} == set("0123")
    layout = pipeline_layout(simulate(make_plan("terapipe", 2, 1, num_slices=2), TIMES))
    assert {block.text for block in layout.blocks} == {"0.0", "0.1"}


def test_measured_and_planned_lie_over_each_other():
    plan = make_plan("zb-h1", 2, 3)
    run, slower = simulate(plan, TIMES), planned_timeline(simulate(plan, StageTimes(0.03, 0.03, 0.02, 0.01)))
    late = 7_000_000  # a measured run begins at some time, and records more than the actions
    spans = [Span(s.rank, s.lane, s.name, s.kind, s.start_ns + late, s.end_ns + late) for s in slower.spans]
    measured = Timeline(2, (*spans, Span(0, "training", "wait for 0B1", "wait", 0, 5), Span(1, "x", "step", "other", 0, 9)))
    layout = pipeline_layout(run, measured)
    assert len(layout.blocks) == len(layout.measured) == plan.num_actions
    assert [(b.start_ns, b.end_ns) for b in layout.measured] == [(s.start_ns, s.end_ns) for s in slower.spans]
    assert {(b.low, b.high) for b in layout.blocks} == {(0.5, 1.0)} and {b.low for b in layout.measured} == {0.0}
    assert layout.end_ns == max(s.end_ns for s in slower.spans) and "measured" in layout.title
    rows = {trace.meta: set(np.round(np.array(trace.y) % 1, 2)) for trace in pipeline_figure(run, measured).data}
    assert rows == {"planned": {0.79}, "measured": {0.21}}  # the upper half has the smaller y: rows go down
    with pytest.raises(UsageError, match="others"):
        pipeline_layout(run, Timeline(2, tuple(spans[1:])))
    with pytest.raises(UsageError, match="others"):
        pipeline_layout(run, planned_timeline(simulate(make_plan("zb-h1", 3, 2), TIMES)))


def test_memory_lines_and_their_limit():
    run = simulate(make_plan("1f1b", 4, 6), TIMES)
    figure = pipeline_figure(run, memory=memory_over_time(run), memory_limit=5)
    lines = [trace for trace in figure.data if trace.type == "scatter"]
    assert [max(line.y) for line in lines] == [4, 3, 2, 1] and all(line.yaxis == "y2" for line in lines)
    assert figure.layout.shapes[0].y0 == 5 and figure.layout.yaxis2.range[1] > 5
    wide = simulate(make_plan("1f1b", 20, 6), TIMES)
    shown = pipeline_layout(wide, memory=memory_over_time(wide)).memory
    assert len(shown) == MAX_MEMORY_LINES and (shown[0].rank, shown[-1].rank) == (0, 19)


def test_many_actions_become_cells_with_the_same_time():
    run = simulate(make_plan("zb-h2", 16, 100), TIMES)
    assert run.plan.num_actions > MAX_BLOCKS
    layout = pipeline_layout(run)
    assert layout.blocks == () and layout.cells.shares.shape[:2] == (len(KINDS), 16)
    cells = cells_of(run, 37)
    width = run.step_s / 37
    for rank, of_rank in enumerate(run.plan.actions):
        for number, kind in enumerate(KINDS):
            for column in (0, 5, 20, 36):
                spans = zip(of_rank, run.start_s[rank], run.end_s[rank], strict=True)
                inside = sum(
                    max(0.0, min(end, (column + 1) * width) - max(start, column * width))
                    for action, start, end in spans
                    if action.kind == kind
                )
                assert cells.shares[number, rank, column] == pytest.approx(inside / width, abs=1e-9)
    figure = pipeline_figure(run)
    assert figure.data[0].type == "heatmap" and {t.name[0] for t in figure.data[1:]} == {"F", "B", "W"}


def test_nothing_to_do_still_gives_a_figure():
    assert pipeline_figure(simulate(make_plan("gpipe", 1, 1), StageTimes(0.0, 0.0, 0.0))).data


def test_token_slices():
    time_of = lambda length, at: 1e-3 + 1e-5 * length + 1e-8 * length * at  # noqa: E731
    best = best_slices(64, time_of, 8, granularity=4)
    whole = TokenSlices((64,), (time_of(64, 0),), 8 * time_of(64, 0))
    layout = token_slices_layout({"whole": whole, "best": best})
    lengths = [one.length for one in layout.slices if one.name == "best"]
    assert lengths == list(best.lengths) and "best" in layout.title
    starts = [one.start for one in layout.slices if one.name == "best"]
    assert starts == [sum(lengths[:k]) for k in range(len(lengths))]
    assert [row[:2] for row in layout.totals_s] == [("whole", whole.total_s), ("best", best.total_s)]
    figure = token_slices_figure({"whole": whole, "best": best})
    assert sum(figure.data[0].x) == 128 and len(figure.data[1].x) == 2
    assert len(token_slices_figure({}).data) == 2
