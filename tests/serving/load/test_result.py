"""What follows from a record, against definitions written out."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.load.outcome import Outcome
from labkit.serving.load.result import LoadResult


def made(scheduled, latency, status, outcome, **options):
    scheduled = np.array(scheduled, float)
    defaults = {"timeout_s": 30.0, "elapsed_s": 10.0, "cpu_s": 1.0, "num_planned": len(scheduled)}
    return LoadResult(
        "http://127.0.0.1:1/", "open", scheduled, scheduled + options.pop("late", 0), scheduled + 1e-4,
        scheduled + np.array(latency, float), np.array(status, np.int16), np.array(outcome, np.uint8),
        **defaults | options,
    )


def random_run(seed, num=200):
    random = np.random.default_rng(seed)
    outcome = random.choice([Outcome.ANSWERED, Outcome.TIMEOUT, Outcome.UNDER_WAY], num, p=[0.8, 0.1, 0.1])
    status = np.where(outcome == Outcome.ANSWERED, random.choice([200, 204, 429, 503], num), 0)
    latency = np.where(outcome == Outcome.ANSWERED, random.exponential(0.5, num), np.nan)
    return made(np.sort(random.uniform(0, 9, num)), latency, status, outcome, timeout_s=0.7)


@pytest.mark.parametrize("seed", range(4))
def test_percentiles_are_of_all_requests_that_ended(seed):
    run = random_run(seed)
    ended = [
        value if 200 <= status < 300 else math.inf
        for value, status, outcome in zip(run.latency_s, run.status, run.outcome, strict=True)
        if outcome != Outcome.UNDER_WAY
    ]
    good = [value for value in ended if value < math.inf]
    for q in (0, 1, 25, 50, 90, 99, 99.9, 100):
        for values, failures in ((ended, "infinite"), (good, "left out")):
            least = min(v for v in values if sum(w <= v for w in values) >= q / 100 * len(values) - 1e-9)
            assert run.percentile(q, failures=failures) == least, (q, failures)
    assert run.num_ok == len(good) and run.error_fraction == pytest.approx(1 - len(good) / len(ended))
    assert sum(run.errors.values()) == len(ended) - len(good)
    assert list(run.errors.values()) == sorted(run.errors.values(), reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_requests_under_way(seed):
    run = random_run(seed)
    ends = [
        done if not math.isnan(done) else min(due + run.timeout_s, run.elapsed_s)
        for due, done in zip(run.scheduled_s, run.done_s, strict=True)
    ]
    at = np.linspace(-1, 12, 300)
    expected = [sum(due <= t < end for due, end in zip(run.scheduled_s, ends, strict=True)) for t in at]
    assert run.under_way(at).tolist() == expected and max(expected) > 3


def test_rates():
    run = made([0, 1, 2, 3], [0.1] * 4, [200, 200, 500, 200], [0] * 4, elapsed_s=4.0)
    assert run.offered_rate == 1 and run.throughput == 0.75 and run.sent_rate == 1
    late = made([0, 1, 2, 3], [3] * 4, [200] * 4, [0] * 4, late=np.array([0, 1, 2, 3]))
    assert late.sent_rate == 0.5 and late.offered_rate == 1


@pytest.mark.parametrize(
    ("late", "latency", "options", "words"),
    [
        (0.0001, 0.01, {}, ""), (0.0015, 0.001, {}, ""),  # a time slice
        (0.005, 1.0, {}, ""),  # late, but little beside the answers
        (0.005, 0.01, {}, "5 ms late (the median is 5 ms)"), (0.0, 0.01, {"cpu_s": 9.5}, "95% of the time"),
        (0.0, 0.01, {"num_waited": 3}, "3 requests"),
    ],
)
def test_who_was_the_bottleneck(late, latency, options, words):
    run = made(np.arange(100) / 10, [latency] * 100, [200] * 100, [0] * 100, late=late, **options)
    assert words in run.generator_limit and run.is_generator_limited == bool(words)


def test_saved_and_loaded(tmp_path):
    run = random_run(1)
    run.first_answers[429] = "täglich"
    again = LoadResult.load(run.save(tmp_path / "run"))
    assert again.first_answers == run.first_answers and again.url == run.url and again.elapsed_s == run.elapsed_s
    for name in ("scheduled_s", "started_s", "sent_s", "done_s", "status", "outcome"):
        ours, theirs = getattr(run, name), getattr(again, name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
    assert again.summary() == run.summary()


def test_other_files_are_refused(tmp_path):
    path = random_run(1).save(tmp_path / "run.npz")
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="no result of a run"):
            LoadResult.load(path)
    np.savez(path, about=np.array("{}"))
    for file in (path, tmp_path / "none.npz", tmp_path):
        with pytest.raises(UsageError, match="no result of a run"):
            LoadResult.load(file)
    with pytest.raises(UsageError, match="failures"):
        random_run(1).percentile(50, failures="none")
    with pytest.raises(UsageError, match="q is"):
        random_run(1).percentile(101)


def test_a_notebook_shows_one_line():
    run = random_run(1, num=5000)
    assert repr(run).startswith(f"<LoadResult: http://127.0.0.1:1/, open loop: 5000 requests in 10.00 s, {run.num_ok} ")
    assert "\n" not in repr(run) and len(repr(run)) < 200
    assert "0 requests" in repr(made([], [], [], [], elapsed_s=0.0))
