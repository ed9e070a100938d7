"""The interpreter's lock: every way comes to the right sum, and the report says what interpreter this is."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.experiments import interpreter
from labkit.openmp.experiments.interpreter import (
    WAYS,
    LockReport,
    add_with_numpy,
    is_free_threaded_build,
    is_lock_on,
    lock_report,
    sum_of_remainders,
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("p", [1, 2, 3])
def test_every_way_comes_to_the_right_sum(way, p):
    with ThreadPoolExecutor(p) as pool:
        serial, parallel = interpreter._loops(way, p, pool)
        for n in (1, 2, 3, 20_000):
            expected = sum(i * i % 7 for i in range(n))
            assert sum_of_remainders(n) == expected == serial(n) == parallel(n)


def test_numpy_works_in_blocks_that_cover_everything():
    for start, stop in ((0, 0), (5, 16_384 + 5), (16_000, 50_001)):
        assert add_with_numpy(start, stop) == sum(i * i % 7 for i in range(start, stop))


def test_a_report_measures_all_ways():
    report = lock_report(2, scale=0.01, num_rounds=3)
    assert list(report.serial_s) == list(report.parallel_s) == list(WAYS)
    assert report.num_wrong == 0 and all(len(times) == 3 for times in report.serial_s.values())


def test_wrong_sums_are_counted(monkeypatch):
    monkeypatch.setattr(interpreter, "sum_of_remainders", lambda n: -1)
    assert lock_report(1, scale=0.001, num_rounds=1).num_wrong == 2 * 2 * len(WAYS)


def test_speedup_is_that_of_the_best_rounds():
    report = LockReport(2, 2, True, False, {"Team": np.array([4.0, 3.0])}, {"Team": np.array([9.0, 1.5])})
    assert report.speedup("Team") == 2


def test_the_lock_is_looked_for(monkeypatch):
    for is_on in (False, True):
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda is_on=is_on: is_on, raising=False)
        assert is_lock_on() is is_on
    monkeypatch.delattr(sys, "_is_gil_enabled", raising=False)
    assert is_lock_on() is True
    monkeypatch.setattr(interpreter.sysconfig, "get_config_var", lambda name: {"Py_GIL_DISABLED": 1}[name])
    assert is_free_threaded_build() is True


@pytest.mark.parametrize(
    ("lock", "build", "cores", "words"),
    [(True, False, 2, "with its lock (GIL)"), (True, True, 2, "a free-threaded build whose lock is on"),
     (False, True, 2, "threads execute Python at the same time"), (True, False, 1, "Only one core is usable")],
)
def test_words_of_an_interpreter(lock, build, cores, words):
    assert words in LockReport(2, cores, lock, build, {}, {}).words()


@pytest.mark.parametrize(
    "options", [{"num_threads": 0}, {"num_threads": 65}, {"scale": -1.0}, {"scale": "1"}, {"scale": 101},
                {"num_rounds": 0}]
)
def test_bad_input(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        lock_report(**options)
