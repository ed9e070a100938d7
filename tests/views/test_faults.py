"""Pictures of faults and of checkpoint intervals."""

import numpy as np
import pytest

from labkit.training.elastic.report import ElasticReport, Happening, StepDone, World, find_recoveries
from labkit.training.spot import Prices, best_interval, expected_time
from labkit.views.faults import faults_figure, faults_layout
from labkit.views.spot import cost_figure, interval_figure, interval_layout


def report(with_fault=True):
    """Two workers; one is killed after step 5, and the run goes on from step 3."""
    worlds = [World(0, (0, 1), 0, 5 if with_fault else 6, 1.0, 2.0, 7.0, "rank 1 killed" if with_fault else "the end")]
    steps = [StepDone(0, k, 1 / k, 1.0 + k) for k in range(1, worlds[0].last_step + 1)]
    happenings = [Happening(1.0, "world", "world 0")]
    if with_fault:
        worlds.append(World(1, (0,), 3, 6, 7.5, 8.0, 11.0, "the end"))
        steps += [StepDone(1, k, 1 / k, 4.0 + k) for k in range(4, 7)]
        happenings.append(Happening(7.0, "gone", "worker 1 killed by SIGKILL", 1, 1, 5))
    worlds, steps = tuple(worlds), tuple(steps)
    return ElasticReport(
        tuple(1 / k for k in range(1, 7)), 0.9, ("a",), worlds, steps, tuple(happenings), find_recoveries(worlds, steps), 12.0
    )


def test_what_was_lost_is_told_from_what_counted():
    layout = faults_layout(report())
    assert layout.workers == (0, 1) and [(bar.worker, bar.world) for bar in layout.bars] == [(0, 0), (1, 0), (0, 1)]
    assert [[step for _, step, _ in line] for line in layout.kept] == [[1, 2, 3], [4, 5, 6]]
    assert [[step for _, step, _ in line] for line in layout.lost] == [[4, 5], []]
    assert layout.kept[0][0][0] == 0.0 and layout.end_s == 9.0 and layout.marks == ((5.0, 1, "worker 1 killed by SIGKILL"),)
    assert layout.title == "6 steps; 2 done twice; training again after at most 1.00 s"
    (recovery,) = report().recoveries
    assert (recovery.lost_steps, recovery.recovery_s, recovery.caught_up_s, recovery.num_ranks) == (2, 1.0, 3.0, 1)
    assert "2 steps were done twice" in str(report())
    figure = faults_figure(report())
    lost = [trace for trace in figure.data if trace.name == "done, and lost"]
    assert [step for step in lost[0].y if step is not None] == [4, 5]


def test_a_run_without_faults():
    layout = faults_layout(report(with_fault=False))
    assert not any(layout.lost) and layout.title == "6 steps; 0 done twice"
    assert faults_figure(report(with_fault=False)).layout.annotations[0].text == "nothing happened"


def test_intervals_and_costs():
    layout = interval_layout(60, 300, 86400, 1e6)
    names = [name for name, _, _ in layout.optima]
    assert names == ["Young", "Daly", "least"]
    assert layout.optima[2][1] == best_interval(60, 86400)
    assert layout.optima[2][2] == pytest.approx(expected_time(1e6, layout.optima[2][1], 60, 300, 86400) / 1e6)
    assert np.nanmin(layout.slowdowns) >= layout.optima[2][2] * (1 - 1e-9)
    figure = interval_figure(60, 300, 86400, 1e6, [(3000, 1.1e6, 1e3)])
    assert [trace.name.split(":")[0] for trace in figure.data] == ["expected", "simulated", "Young", "Daly", "least"]
    job = {"work_s": 86400.0, "num_machines": 16, "write_s": 30.0, "restart_s": 300.0}
    assert "dearer beyond" in cost_figure(Prices(), **job).layout.title.text
    assert "never ends" in cost_figure(Prices(interruptions_per_hour=1e4), **job).layout.title.text
