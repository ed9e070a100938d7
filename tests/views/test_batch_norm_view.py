"""What the picture of batch norm's damage shows."""

import subprocess
import sys

import numpy as np
import pytest

from labkit.views.batch_norm import batch_norm_figure, batch_norm_layout, smoothed

damage = pytest.importorskip("labkit.training.batch_norm_damage")


def made_up():
    def learned(error):
        return damage.Learned(((2.0, error), (1.0, error)), (error * 3, error * 5), (error, error + 0.1))

    points = tuple(
        damage.BatchNormPoint(32 // size, size, learned(0.1), learned(0.1 + 1 / size)) for size in (16, 1, 4)
    )
    return damage.BatchNormDamage(32, learned(0.1), points)


def test_lines_are_medians_by_size_of_shards():
    synchronised, other = batch_norm_layout(made_up())
    assert synchronised.shard_sizes == other.shard_sizes == (1, 4, 16)
    assert other.test_errors == pytest.approx((1.15, 0.4, 0.2125))
    assert synchronised.test_errors == pytest.approx((0.15,) * 3)
    assert other.test_losses == pytest.approx([4 * (0.1 + 1 / size) for size in (1, 4, 16)])
    assert len(other.seeds) == 6 and other.seeds[1] == (1, pytest.approx(1.2))
    assert np.allclose(smoothed([np.arange(30.0)])[[0, 5, 29]], [0, 2.5, 24.5])


def test_figure():
    figure = batch_norm_figure(made_up())
    lines = {(trace.name, trace.yaxis): trace for trace in figure.data}
    assert list(lines["unsynchronised", "y"].y) == pytest.approx([1.5, (1.5 + 1.1) / 2])
    assert list(lines["one process", "y2"].y) == pytest.approx([0.15] * 2)
    words = lines["unsynchronised", "y2"].hovertext[0]
    assert "1 sample a rank" in words and "115.0% wrong" in words
    assert figure.layout.xaxis2.type == "log" and list(figure.layout.xaxis2.tickvals) == [1, 4, 16]
    assert "32 ranks of 1" in figure.layout.xaxis.title.text


def test_needs_no_torch():
    code = "import sys, labkit.views.batch_norm; print([n for n in ('torch', 'mpi4py', 'numba') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
