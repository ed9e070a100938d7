"""False sharing: counters stand where they should, count right, and the curve says what its numbers say."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.experiments import false_sharing
from labkit.openmp.experiments.compiled.counting import count_atomically, count_plainly
from labkit.openmp.experiments.false_sharing import (
    FalseSharingCurve,
    aligned_counters,
    cache_line_bytes,
    false_sharing_curve,
)
from labkit.openmp.team import Team


@pytest.mark.parametrize("body", [count_plainly, count_atomically])
@pytest.mark.parametrize(("p", "stride"), [(1, 1), (2, 1), (3, 2), (5, 8)])
def test_every_thread_counts_in_its_own_place(body, p, stride):
    counters, times = aligned_counters(p * stride), np.zeros((p, 16))
    Team(p).parallel(body, counters, stride, 777, times)
    expected = np.zeros(p * stride, np.int64)
    expected[::stride] = 777
    assert counters.tolist() == expected.tolist()
    assert (times[:, 1] >= times[:, 0]).all() and (times[:, 0] > 0).all()


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_counters_begin_at_a_cache_line(size):
    counters = aligned_counters(size)
    assert counters.ctypes.data % 4096 == 0 and counters.shape == (size,) and not counters.any()


def test_a_curve_has_all_paddings_in_order():
    curve = false_sharing_curve(2, [128, 8, 64, 8], num_increments=500, num_rounds=4)
    assert curve.paddings_bytes.tolist() == [8, 64, 128] and curve.num_increments == 500
    assert curve.plain_ns.shape == curve.atomic_ns.shape == (4, 3)
    assert (curve.plain_ns > 0).all() and curve.num_wrong == 0 and 0 <= curve.overlap <= 1
    assert curve.line_bytes == cache_line_bytes()


def curve_of(plain, atomic, **changes):
    values = {"num_threads": 2, "num_cores": 2, "num_increments": 10, "line_bytes": 64} | changes
    return FalseSharingCurve(
        paddings_bytes=np.array([8, 32, 64, 128]), plain_ns=np.array(plain), atomic_ns=np.array(atomic), **values
    )


def test_medians_and_slowdown():
    curve = curve_of([[4.0, 6, 1, 1], [4, 6, 1, 3], [90, 6, 1, 3]], [[20.0, 20, 4, 4]])
    assert curve.median_ns("plain").tolist() == [4, 6, 1, 3]
    assert curve.slowdown("plain") == 2.5 and curve.slowdown("atomic") == 5
    assert curve.words() == (
        "Counters in one cache line of 64 bytes: plain increments take 2.5 times, atomic ones 5 times as long as in "
        "lines of their own."
    )
    only_below = curve_of([[1.0, 1, 1, 1]], [[1.0, 1, 1, 1]], line_bytes=256)
    assert np.isnan(only_below.slowdown("plain")) and "below and above the cache line" in only_below.words()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"num_threads": 1}, "shares no cache line"), ({"num_cores": 1}, "Only one core is usable"),
     ({"overlap": 0.1}, "for only 10% of the time, for other processes use the cores"),
     ({"overlap": 0.1, "num_threads": 4}, "for they share 2 cores: take 2 threads")],
)
def test_a_curve_that_tells_nothing_says_so(changes, words):
    curve = curve_of([[4.0, 4, 1, 1]], [[4.0, 4, 1, 1]], **changes)
    assert not curve.is_telling and words in curve.words()


def test_wrong_counters_are_noticed(monkeypatch):
    real = Team.parallel

    def forgetful(team, body, counters, *arguments):
        real(team, body, counters, *arguments)
        counters[0] -= 1

    monkeypatch.setattr(Team, "parallel", forgetful)
    curve = false_sharing_curve(2, [8], num_increments=10, num_rounds=2)
    assert curve.num_wrong == 6  # two kinds, two rounds and one that is not counted


def test_the_cache_line_is_the_systems(tmp_path):
    folder = tmp_path / "devices/system/cpu/cpu0/cache/index0"
    folder.mkdir(parents=True)
    assert cache_line_bytes(tmp_path) == 64
    (folder / "coherency_line_size").write_text("128\n")
    false_sharing.cache_line_bytes.cache_clear()
    assert cache_line_bytes(tmp_path) == 128


@pytest.mark.parametrize(
    ("paddings", "words"),
    [([0], "a padding in bytes is a whole number, 8 to 4096, not 0"), ([-8], "not -8"), ([8, 12], "take 8 or 16"),
     ([8192], "8 to 4096, not 8192"), ([], "is empty"), (64, "is a list of distances"), ([8.0], "whole number")],
)
def test_bad_paddings(paddings, words):
    with pytest.raises(UsageError, match=words):
        false_sharing_curve(2, paddings)


@pytest.mark.parametrize("options", [{"num_threads": 0}, {"num_increments": 0}, {"num_rounds": 0}, {"limit_s": -1.0}])
def test_bad_input(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        false_sharing_curve(**options)
