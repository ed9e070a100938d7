"""Races: what the report says of results, when it stops looking, and that the safe versions are safe."""

import numpy as np
import pytest
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.experiments import races
from labkit.openmp.experiments import sum_costs as sum_costs_file
from labkit.openmp.experiments.compiled.races import add_unsafely
from labkit.openmp.experiments.races import RaceReport, watch_race
from labkit.openmp.experiments.sum_costs import SAFE, SumCosts, sum_costs


def fake_runs(monkeypatch, results):
    """The next runs give these results, and then the right one for ever."""
    values = iter(results)
    monkeypatch.setattr(races, "runner", lambda version, p, n: lambda: next(values, n))


def test_numbers_of_a_report():
    report = RaceReport(4, 8, 1000, np.array([1000, 400, 999, 1000, 700]), np.ones(5))
    assert (report.num_runs, report.num_wrong, report.share_wrong) == (5, 3, 0.6)
    assert (report.smallest, report.most_lost, report.was_seen) == (400, 600, True)
    assert report.words() == "3 of 5 runs on 4 threads are wrong: the worst lost 600 of 1,000 updates."


@pytest.mark.parametrize(
    ("threads", "cores", "busy", "why"),
    [(1, 8, False, "nobody to race with"), (2, 1, False, "on one core threads take turns"),
     (2, 2, True, "other processes use the cores"), (2, 2, False, "did not meet")],
)
def test_a_race_that_was_not_seen_is_said_honestly(threads, cores, busy, why):
    report = RaceReport(threads, cores, 10, np.full(3, 10), np.ones(3), busy)
    assert not report.was_seen and report.share_wrong == 0 and report.most_lost == 0
    assert why in report.words()
    assert ("It is there all the same" in report.words()) == (threads > 1)


def test_the_unsafe_update_reads_and_writes_memory_every_time():
    values, total = np.ones(100, np.int64), np.zeros(8, np.int64)
    compiled = njit(add_unsafely.py_func)  # compiled here: what comes from the cache cannot be looked into
    compiled(0, 100, values, total)
    assert total[0] == 100  # alone it is right
    text = "".join(compiled.inspect_llvm().values())
    assert "load atomic" in text and "store atomic" in text and "atomicrmw" not in text


def test_results_of_a_race_lie_between_two_and_the_right_one():
    report = watch_race(3, 5_000, num_runs=30)
    assert report.expected == 5_000 and len(report.times_s) == report.num_runs >= 30 and (report.times_s > 0).all()
    assert (report.results <= 5_000).all() and (report.results >= 2).all()


@pytest.mark.parametrize(
    ("results", "num_runs"), [([3] * 200, 10), ([100] * 22 + [99], 23), ([100] * 50, 50), ([100] * 9 + [1], 10)]
)
def test_it_looks_until_a_race_was_seen_up_to_a_bound(monkeypatch, results, num_runs):
    fake_runs(monkeypatch, [0, *results])  # the first is not counted
    report = watch_race(2, 100, num_runs=10, limit_s=60)
    assert report.num_runs == num_runs
    assert report.results.tolist() == results[:num_runs]


def test_one_thread_is_not_run_longer(monkeypatch):
    fake_runs(monkeypatch, [])
    assert watch_race(1, 100, num_runs=10, limit_s=60).num_runs == 10


def test_no_run_is_begun_after_the_limit(monkeypatch):
    fake_runs(monkeypatch, [])
    assert watch_race(2, 100, num_runs=10, limit_s=0).num_runs == 1


@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_safe_versions_are_right(p):
    for n in (1, p, 1001):
        costs = sum_costs(p, n, num_rounds=3)
        assert costs.all_right and set(costs.times_s) == {"serial", *SAFE}
        assert all((len(times) == 3) and (times > 0).all() for times in costs.times_s.values())


def test_wrong_results_are_counted(monkeypatch):
    monkeypatch.setattr(sum_costs_file, "runner", lambda version, p, n: lambda: n - (version == "atomic"))
    costs = sum_costs(2, 10, num_rounds=3)
    assert not costs.all_right
    assert costs.num_wrong == {"serial": 0, "critical": 0, "atomic": 4, "reduction": 0, "reproducible": 0}


def test_costs_of_an_update():
    times = {"serial": np.array([3e-6, 1e-6, 0.5e-6]), "critical": np.array([8e-6, 5e-6, 1e-6])}
    costs = SumCosts(2, 2, {"serial": 1000, "critical": 100}, times, {})
    assert costs.update_ns("serial") == pytest.approx(1) and costs.update_ns("critical") == pytest.approx(50)
    assert costs.ratio("critical") == pytest.approx(50)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((0, 10), "num_threads is a whole number, 1 to 512, not 0"), ((10_000, 10), "num_threads"),
     ((2.0, 10), "num_threads"),
     ((2, 0), "num_updates is a whole number, 1 to 10000000, not 0"), ((2, 10**9), "num_updates")],
)
def test_bad_input(arguments, words):
    for function in (watch_race, sum_costs):
        with pytest.raises(UsageError, match=words):
            function(*arguments)
    with pytest.raises(UsageError, match="num_runs"):
        watch_race(2, 10, num_runs=0)
    with pytest.raises(UsageError, match="num_rounds"):
        sum_costs(2, 10, num_rounds=0)
    with pytest.raises(UsageError, match="limit_s"):
        watch_race(2, 10, limit_s=-1)
