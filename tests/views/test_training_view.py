"""What the pictures of training show: the numbers of the runs, in the places where they belong."""

import subprocess
import sys

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.training.compare import ComparisonRow, StrategyTable
from labkit.training.memory import MemoryUse
from labkit.training.options import TrainingOptions
from labkit.training.recording import Traffic
from labkit.training.report import TrainingReport
from labkit.training.timing import RankSpans, make_timeline, step_times
from labkit.views.training import compare_figure, losses_figure, memory_figure, step_figure, step_layout

MS = 10**6


def report():
    """Two steps of two ranks, 20 ms each; rank 1 comes 2 ms late to the bucket of the second step."""
    ranks = []
    for rank in range(2):
        spans, steps = [], []
        for step in range(2):
            t, late = 20 * step, 2 * rank * step
            spans += [
                ("main", "forward", "compute", t, t + 4, 0), ("main", "backward", "compute", t + 4, t + 14, 0),
                ("communication", "bucket 0", "collective", t + 6 + late, t + 15, 4000),
                ("main", "wait for buckets", "wait", t + 14, t + 15, 0),
                ("main", "optimizer", "compute", t + 15, t + 20, 0),
            ]
            steps.append((t * MS, (t + 20) * MS))
        ranks.append(RankSpans(tuple((*s[:3], s[3] * MS, s[4] * MS, s[5]) for s in spans), tuple(steps)))
    return TrainingReport(
        "overlapped", 2, TrainingOptions(num_steps=2), 0, (2.0, 1.0), (0.1, 0.1), (1.0, 1.0), None, None,
        step_times(ranks), (Traffic(2, 4, 8000),) * 2, (MemoryUse(40, 30, 20, 10, 500), MemoryUse(41, 31, 21, 11, 500)),
        ("a", "a"), (), make_timeline(ranks), 0.04,
    )


def test_a_step_by_rank():
    bars = step_layout(report(), 1)
    early = {(bar.lane, bar.name, bar.kind): (bar.start_ns // MS, bar.end_ns // MS) for bar in bars if bar.rank == 0}
    assert early == {
        ("main", "forward", "forward"): (0, 4), ("main", "backward", "backward"): (4, 14),
        ("communication", "bucket 0", "waiting"): (6, 8), ("communication", "bucket 0", "communication"): (8, 15),
        ("main", "wait for buckets", "waiting"): (14, 15), ("main", "optimizer", "optimizer"): (15, 20),
    }
    late = [bar for bar in bars if bar.rank == 1 and bar.lane == "communication"]
    found = [(bar.kind, bar.start_ns // MS, bar.end_ns // MS, bar.num_bytes) for bar in late]
    assert found == [("communication", 8, 15, 4000)]
    assert step_layout(report(), -1) == bars and len(step_layout(report(), 0)) == 10  # nobody waits there for the other
    figure = step_figure(report(), 1)
    lanes = [f"rank {rank}, {lane}" for rank in (1, 0) for lane in ("communication", "main")]
    assert list(figure.layout.yaxis.categoryarray) == lanes
    (transfer,) = [trace for trace in figure.data if trace.name == "communication"]
    assert list(transfer.base) == [8, 8] and list(transfer.x) == [7, 7] and figure.layout.xaxis.title.text == "ms"
    with pytest.raises(UsageError, match="from 0 to 1"):
        step_figure(report(), 2)


def test_losses_and_memory():
    figure = losses_figure([report(), report()])
    assert [trace.name for trace in figure.data] == ["overlapped (1)", "overlapped (2)"]
    assert list(figure.data[0].x) == [0, 1] and list(figure.data[0].y) == [2.0, 1.0]
    figure = memory_figure({"mine": report()})
    assert {trace.name: list(trace.x) for trace in figure.data} == {
        "parameters": [40, 41], "gradients": [30, 31], "optimizer": [20, 21], "buffers": [10, 11],
    }
    assert list(figure.data[0].y) == ["mine, rank 0", "mine, rank 1"]


def test_strategies_side_by_side():
    memory = (MemoryUse(4000, 4000, 0, 0, 9999),) * 2
    rows = (
        ComparisonRow("serial", 0.02, 0.02, 0.0, 0.0, 0.0, (0,), (0,), memory[:1], (1.0,), 0.0),
        ComparisonRow("overlapped", 0.012, 0.009, 0.005, 0.003, 0.001, (8000, 6000), (4, 4), memory, (1.0,), 1e-6),
        ComparisonRow("torch_ddp", left_out="not here"),
    )
    figure = compare_figure(StrategyTable(2, TrainingOptions(), rows))
    values = {trace.name: list(trace.x) for trace in figure.data}
    assert np.allclose(values["computing"], [20, 9]) and np.allclose(values["communication that is not hidden"], [0, 2])
    assert np.allclose(values["idle"], [0, 1]) and values["sent"] == [0, 8] and values["live tensors"] == [8, 8]
    assert values["difference"] == (None, 1e-6) or values["difference"] == [None, 1e-6]
    assert all(list(trace.y) == ["serial", "overlapped"] for trace in figure.data)


def test_pictures_need_no_torch():
    code = "import sys, labkit.views.training; assert not {'torch', 'mpi4py', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
