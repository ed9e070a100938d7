"""The picture of concurrency counts environments and requests as a recount moment by moment does."""

from types import SimpleNamespace

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.views.serving.concurrency_over_time import concurrency_over_time_figure, concurrency_over_time_layout

ZERO = 1_700_000_000.0  # seconds since the epoch, as records have
PHASES = {"process": 0.1, "imports": 0.2, "model": 0.1, "first_call": 0.5}


def record(environment, arrived, started, ended, outcome="ok", phases=None):
    return SimpleNamespace(
        environment=environment, is_cold=bool(phases), arrived_s=ZERO + arrived, started_s=ZERO + started,
        ended_s=ZERO + ended, phases_s=phases or {}, outcome=outcome,
    )


RECORDS = [
    record(1, 0.0, 0.4, 0.9, phases=PHASES), record(1, 2.0, 2.0, 3.0), record(2, 2.5, 2.9, 3.4, phases=PHASES),
    record(None, 2.6, 2.6, 2.6, "throttled"), record(None, 2.61, 2.61, 2.61, "throttled"),
    record(2, 5.0, 5.0, 6.0, "timeout"),
]
INFOS = [
    SimpleNamespace(started_s=ZERO, ended_s=ZERO + 4, phases_s=PHASES),
    SimpleNamespace(started_s=ZERO + 2.5, ended_s=None, phases_s=PHASES),
    SimpleNamespace(started_s=ZERO + 1, ended_s=None, phases_s={"process": 0.5}),  # started ahead, never called
]


def at(layout, name, second):
    window = np.searchsorted(layout.edges_s, second, "right") - 1
    return (layout.under_way if name == "under_way" else layout.environments[name])[window]


def test_counts_without_environments():
    layout = concurrency_over_time_layout(RECORDS, num_windows=600)
    assert layout.edges_s[0] == 0 and layout.edges_s[-1] == pytest.approx(6)
    for second, starting, busy, warm, under_way in (
        (0.2, 1, 0, 0, 1), (0.6, 0, 1, 0, 1), (1.5, 0, 0, 1, 0), (2.2, 0, 1, 0, 1), (2.7, 1, 1, 0, 2),
        (3.2, 0, 1, 1, 1), (4, 0, 0, 2, 0), (5.5, 0, 1, 1, 1),
    ):
        seen = [at(layout, name, second) for name in ("starting", "busy", "warm", "under_way")]
        assert seen == pytest.approx([starting, busy, warm, under_way], abs=1e-5), second
    assert layout.most_under_way == 2 and layout.throttled.sum() == 2 and layout.failed.sum() == 1
    assert layout.throttled[np.searchsorted(layout.edges_s, 2.59, "right") - 1:].sum() == 2
    assert layout.failed[-1] == 1


def test_environments_say_when_they_ended_and_which_started_ahead():
    layout = concurrency_over_time_layout(RECORDS, INFOS, until_s=ZERO + 8)
    for second, starting, busy, warm in (
        (0.2, 1, 0, 0), (1.2, 1, 0, 1), (1.8, 0, 0, 2), (2.7, 1, 1, 1), (3.7, 0, 0, 3), (4.5, 0, 0, 2), (7, 0, 0, 2),
    ):
        seen = [at(layout, name, second) for name in ("starting", "busy", "warm")]
        assert seen == pytest.approx([starting, busy, warm], abs=1e-5), second


def test_means_of_windows_keep_the_sums():
    """Coarse windows: seconds of each state are those of the intervals."""
    random = np.random.default_rng(3)
    records = []
    for number in range(200):
        begun = random.uniform(0, 50)
        records.append(record(number, begun, begun + 0.4, begun + 0.9 + random.exponential(1), phases=PHASES))
    for one in records:  # phases add up to the whole of a cold call
        one.phases_s = {"process": 0.4, "first_call": one.ended_s - one.started_s}
    layout = concurrency_over_time_layout(records, num_windows=37)
    width = np.diff(layout.edges_s)
    busy, waiting = sum(r.ended_s - r.started_s for r in records), sum(r.ended_s - r.arrived_s for r in records)
    assert (layout.environments["busy"] * width).sum() == pytest.approx(busy, rel=1e-6)
    assert (layout.environments["starting"] * width).sum() == pytest.approx(200 * 0.4, rel=1e-6)
    assert (layout.under_way * width).sum() == pytest.approx(waiting, rel=1e-6)
    moments = sorted(r.arrived_s for r in records)
    assert layout.most_under_way == max(sum(r.arrived_s <= t < r.ended_s for r in records) for t in moments)


def test_figure():
    figure = concurrency_over_time_figure(RECORDS, INFOS)
    names = [trace.name for trace in figure.data]
    assert names[:3] == ["busy", "warm, waiting for requests", "starting (cold)"]
    assert names[3:] == ["requests under way", "turned away (429)", "failed"]
    assert sum(figure.data[4].y) == 2 and sum(figure.data[5].y) == 1
    assert "2 requests at once, 3 environments, 2 requests turned away" in figure.layout.title.text
    quiet = concurrency_over_time_figure(RECORDS[:2])
    assert len(quiet.data) == 4 and quiet.layout.xaxis.title.text == "s"
    assert "no call" in concurrency_over_time_figure([]).layout.annotations[0].text
    refused = concurrency_over_time_figure([RECORDS[3]])
    assert sum(refused.data[-1].y) == 1
    with pytest.raises(UsageError, match="until_s"):
        concurrency_over_time_layout(RECORDS, until_s=ZERO - 1)
