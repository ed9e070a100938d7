"""What the pictures of training at scale show."""

import subprocess
import sys

import pytest

from labkit.comm.network.presets import find_network
from labkit.training.scale.curves import ScalingCurve, scaling_curve
from labkit.training.scale.profile import published_profile
from labkit.training.scale.step import step_time
from labkit.training.scale.zero_table import zero_memory, zero_table
from labkit.views.training_scale import (
    training_scaling_figure,
    training_scaling_layout,
    training_step_figure,
    training_step_layout,
    zero_memory_figure,
)

NETWORK = find_network("ethernet-10g")
PROFILE = published_profile("vgg16")


def test_speed_up_is_efficiency_times_gpus():
    steps = scaling_curve("ring", PROFILE, NETWORK, nums_ranks=(1, 8, 64)).steps
    curve = ScalingCurve("ring", steps, ((64, 0.5),))
    (line,) = training_scaling_layout([curve])
    assert line.line == tuple((s.num_ranks, s.num_ranks * s.efficiency, s.efficiency) for s in steps)
    assert line.points == ((64, 32.0, 0.5),)
    assert f"efficiency {steps[2].efficiency:.1%}" in line.hovers[2] and "1 GPU<br>" in line.hovers[0]
    figure = training_scaling_figure([curve])
    by_axis = {(trace.name, trace.yaxis): list(trace.y) for trace in figure.data}
    assert by_axis["ring", "y"] == [row[1] for row in line.line] and by_axis["ring", "y2"] == [row[2] for row in line.line]
    assert by_axis["ring, measured", "y"] == [32.0] and by_axis["ideal", "y2"] == [1.0] * 3
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "log" and figure.layout.yaxis2.tickformat == ".0%"
    assert len(training_scaling_figure([]).data) == 2  # nothing chosen: the ideal alone


def test_one_step():
    step = step_time(PROFILE, 64, NETWORK)
    bars = training_step_layout(step)
    gpu = [bar for bar in bars if bar.lane == "GPU"]
    assert [bar.kind for bar in gpu] == ["forward", "backward", "waiting"]
    assert gpu[0].start_s == 0 and gpu[-1].end_s == pytest.approx(step.step_s)
    assert all(a.end_s == b.start_s for a, b in zip(gpu, gpu[1:], strict=False))
    sent = [bar for bar in bars if bar.lane == "network"]
    assert [(bar.start_s, bar.end_s) for bar in sent] == [(b.start_s, b.end_s) for b in step.buckets]
    assert "fc8" in sent[0].words and "for its turn" in sent[-1].words
    figure = training_step_figure(step)
    assert f"efficiency {step.efficiency:.0%}" in figure.layout.title.text
    assert sum(sum(trace.x) for trace in figure.data if trace.name == "all-reduce") == pytest.approx(1e3 * step.communication_s)
    alone = training_step_layout(step_time(PROFILE, 1, NETWORK))
    assert [bar.kind for bar in alone] == ["forward", "backward"]


def test_memory_is_stacked_by_kind():
    rows = zero_table(7.5e9, (4, 64))
    figure = zero_memory_figure(rows, limit_bytes=32e9)
    bars = {trace.name: trace for trace in figure.data if trace.type == "bar"}
    assert list(bars) == ["optimizer", "gradients", "parameters"] and figure.layout.barmode == "stack"
    for number, row in enumerate(rows):
        assert sum(trace.y[number] for trace in bars.values()) == pytest.approx(row.total_bytes / 1e9)
    assert list(bars["optimizer"].x[0]) == ["4 devices"] * 3 + ["64 devices"] * 3
    assert list(figure.data[-1].text) == ["52.5", "41.2", "30", "31.4", "16.6", "1.88"]
    assert figure.layout.shapes[0].y0 == 32 and "32 GB" in figure.layout.annotations[0].text
    assert zero_memory_figure([zero_memory(1e9, 1, 0)]).data[0].x[1][0] == "plain"


def test_pictures_import_no_torch():
    program = "import sys, labkit.views.training_scale; sys.exit(any(m in sys.modules for m in ('torch', 'mpi4py', 'ipywidgets')))"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
