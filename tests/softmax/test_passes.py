"""Passes over memory as they are counted, against what can be counted by hand in the source; times of versions."""

import platform
import sys

import numpy as np
import pytest

from labkit.errors import NotAvailableError, UsageError
from labkit.softmax.ladder import VERSIONS
from labkit.softmax.passes import count_passes, stated_passes
from labkit.softmax.threaded_kernels import KEPT
from labkit.softmax.times import measure_times

WATCHED = sys.platform == "linux" and platform.machine() == "x86_64"
CLOSE = 0.1  # pages that were still in the cache, or half written when they left it


@pytest.mark.skipif(not WATCHED, reason="faults are read as Linux on x86-64 has them")
def test_counted_by_hand():
    found = {p.version: p for p in count_passes()}
    assert set(found) == {name for name, version in VERSIONS.items() if not version.needs_gpu}
    # exp reads x and writes e; the sum and the quotient read e; the quotient is written, then copied to the result
    naive = found["naive"]
    assert (naive.reads, naive.writes) == pytest.approx((1, 1), abs=CLOSE)
    assert (naive.extra_reads, naive.extra_writes) == pytest.approx((3, 2), abs=CLOSE)
    # the maximum reads x first; x - m is one array more
    shifted = found["shifted"]
    assert (shifted.reads, shifted.writes) == pytest.approx((2, 1), abs=CLOSE)
    assert (shifted.extra_reads, shifted.extra_writes) == pytest.approx((4, 3), abs=CLOSE)
    for name in ("online", "blocked"):  # as their algorithms have it
        one = found[name]
        assert (one.reads, one.writes) == (VERSIONS[name].num_reads, VERSIONS[name].num_writes)
        assert one.extra_reads + one.extra_writes < (0.5 if name == "blocked" else 0.001)
    # Up to KEPT columns threaded writes the exponentials into the result, and scales them; beyond, it computes them again.
    longer = count_passes(["threaded"], num_columns=2 * KEPT)[0]
    for one, expected in ((found["threaded"], (2, 2)), (longer, (2, 1))):
        assert (one.reads, one.writes) == expected and one.extra_reads + one.extra_writes < 0.001
    assert (longer.reads, longer.writes) == (VERSIONS["threaded"].num_reads, VERSIONS["threaded"].num_writes)
    assert naive.total == naive.reads + naive.writes + naive.extra_reads + naive.extra_writes
    assert count_passes() is count_passes()


@pytest.mark.skipif(not WATCHED, reason="faults are read as Linux on x86-64 has them")
def test_a_longer_row_of_other_numbers_is_gone_over_as_often():
    plain = {p.version: p for p in count_passes()}
    for one in count_passes(["online", "naive"], num_columns=2**19, dtype="float64"):
        for name in ("reads", "writes", "extra_reads", "extra_writes"):
            assert getattr(one, name) == pytest.approx(getattr(plain[one.version], name), abs=0.3)


@pytest.mark.skipif(not WATCHED, reason="faults are read as Linux on x86-64 has them")
def test_rows_that_fit_in_the_cache_are_read_once():
    for one in count_passes(["online", "threaded", "shifted"], num_rows=32, num_columns=2**15):
        assert one.writes == pytest.approx(1, abs=CLOSE)
        assert one.reads == pytest.approx(2 if one.version == "shifted" else 1, abs=CLOSE)  # NumPy: whole arrays


def test_other_machines_are_told(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotAvailableError, match="stated_passes"):
        count_passes(["online"])
    assert [(p.reads, p.writes, p.total) for p in stated_passes(["online", "gpu"])] == [(2, 1, 3), (1, 1, 2)]


def test_a_failing_process_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(NotAvailableError, match="process that runs the versions failed"):
        count_passes(["online"], num_columns=2**20 + 8)


def test_times_and_their_bound():
    told = []
    times = measure_times(3, 1000, dtype="float64", rounds=2, progress=told.append)
    assert [t.version for t in times] == [n for n, v in VERSIONS.items() if not v.needs_gpu]
    assert all(t.num_elements == 3000 and t.itemsize == 8 and t.time_s == pytest.approx(3000 * t.element_s) and t.time_s > 0 for t in times)
    assert len(told) == 3 * len(times) and told[-1] == "round 2 of 2: threaded ..."
    assert times[0].least_s(4, 16e9) == pytest.approx(2e-9)

    def stop(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_times(1, 10, progress=stop)


def test_a_wrong_result_is_not_timed(monkeypatch):
    import labkit.softmax.online as online

    monkeypatch.setattr(online, "softmax_online", lambda x, out: np.full_like(x, 0.5))
    with pytest.raises(ArithmeticError, match="online: a row of the result sums to 5"):
        measure_times(2, 10, versions=["online"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: count_passes(["gpu"]), "runs on a GPU"), (lambda: count_passes(["offline"]), "one of naive"),
        (lambda: count_passes(num_columns=100), "524288 to"), (lambda: count_passes(num_rows=0), "num_rows"), (lambda: count_passes(dtype="int8"), "one of float16"),
        (lambda: measure_times(1, 2**28), "at most"), (lambda: measure_times(1, 4, versions=["gpu"]), "leave it out"),
        (lambda: measure_times(0, 4), "num_rows"), (lambda: measure_times(1, 4, dtype="int8"), "float16"),
    ],
)  # fmt: skip
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
