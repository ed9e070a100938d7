"""Pictures of parameter servers: what they show is what the report says."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.training.parameter_server.explore import compare_rules
from labkit.views.parameter_server import (
    clock_figure,
    clock_layout,
    server_losses_figure,
    staleness_figure,
    wheel_figure,
)


@pytest.fixture(scope="module")
def reports():
    return compare_rules(("bsp", "ssp,2", "async"), num_workers=3, num_steps=12, slow=3.0, stall_s=0.1, seed=2)


def test_the_fan_of_clocks_keeps_to_the_bound(reports):
    apart = []
    for report in reports:
        layout = clock_layout(report)
        assert [len(row) for row in layout.times_s] == [13] * 3
        at, ahead = layout.spread
        # Counted anew at every moment: steps done by those that have not ended.
        ends = report.moments_s[:, :, 3]
        for t, found in zip(at[1:], ahead[1:], strict=True):
            done = (ends <= t).sum(1)
            running = done[done < 12]
            assert found == (done.max() - running.min() if len(running) else 0) or found <= done.max() - done.min()
        apart.append(int(ahead.max()))
        figure = clock_figure(report)
        assert f"at most {apart[-1]} step{'s' * (apart[-1] != 1)} apart;" in figure.layout.title.text
        assert [trace.name for trace in figure.data[:3]] == ["worker 0", "worker 1", "worker 2"]
    assert apart[0] == 1 and apart[1] == 3 < apart[2]


def test_staleness_adds_up(reports):
    figure = staleness_figure(reports)
    for trace, report in zip(figure.data, reports, strict=True):
        assert sum(trace.y) == pytest.approx(100)
        assert np.dot(trace.x, trace.y) / 100 == pytest.approx(np.mean(report.stalenesses))
    assert "bsp 0, ssp,2" in figure.layout.title.text
    with pytest.raises(UsageError, match="no run to draw"):
        staleness_figure([])


def test_losses_by_step_and_by_time(reports):
    figure = server_losses_figure(reports)
    assert len(figure.data) == 6
    for trace, report in zip(figure.data[1::2], reports, strict=True):
        assert np.allclose(trace.x, report.moments_s[:, :, 3].max(0) * 1e3)
        assert np.allclose(trace.y, report.losses.mean(0))


def test_the_wheel_has_a_spoke_for_each_worker(reports):
    figure = wheel_figure(reports[0])
    assert len(figure.data) == 3 + 2
    assert list(figure.data[3].text) == ["worker 0", "worker 1", "worker 2"] and list(figure.data[4].text) == ["server"]
    waits = np.asarray(figure.data[3].marker.color)
    assert waits.argmin() == 0 and waits[2] > 50  # the slow one is waited for
    assert f"{sum(reports[0].sent_bytes) / 1024:.3g} KiB" in figure.layout.title.text


def test_without_staleness_a_correction_changes_nothing():
    plain, corrected = (compare_rules(("bsp", "async"), num_workers=3, num_steps=4, correction=c) for c in (None, "momentum"))
    assert plain[0].digest == corrected[0].digest and plain[1].digest != corrected[1].digest
