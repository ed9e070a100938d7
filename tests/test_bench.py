"""The runner of benchmarks: checks first, judges, exits."""

import json

import pytest

from labkit import bench
from labkit.bench import BENCHMARKS, BUSY, MEETS, SHORT, Benchmark, Goal, find_topics, run_benchmark
from labkit.errors import UsageError
from labkit.hardware.timing import Comparison

TOPIC = """
from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison

def benchmarks():
    yield Benchmark("one", Goal("<=", 1.5), lambda: Comparison(({ours},), (2.0,)))
"""


@pytest.mark.parametrize(
    ("goal", "ours", "other", "busy", "verdict"),
    [
        (Goal("<=", 1.3), 1.3, 1.0, False, MEETS),
        (Goal("<=", 1.3), 1.4, 1.0, False, SHORT),
        (Goal("<=", 1.3), 1.4, 1.0, True, BUSY),
        (Goal("<=", 1.3), 1.0, 1.0, True, MEETS),
        (Goal(">=", 0.95), 0.96, 1.0, False, MEETS),
        (Goal(">=", 0.95), 0.9, 1.0, False, SHORT),
        (Goal("<=", 5, "difference", "us"), 6.0, 1.0, False, MEETS),
        (Goal("<=", 5, "difference", "us"), 6.1, 1.0, False, SHORT),
    ],
)
def test_verdicts(goal, ours, other, busy, verdict):
    row = run_benchmark("topic", Benchmark("b", goal, lambda: Comparison((ours,), (other,), busy)))
    assert row.verdict == verdict
    assert row.ratio == ours / other


def test_a_wrong_result_is_not_measured():
    def check():
        assert 1 == 2, "one is not two"

    row = run_benchmark("topic", Benchmark("b", Goal("<=", 1), lambda: pytest.fail("measured"), check))
    assert row.verdict.startswith("wrong result: one is not two")
    assert row.ratio is None


@pytest.mark.parametrize(("ours", "code"), [(1.0, 0), (9.0, 1)])
def test_exit_status_and_json(tmp_path, capsys, ours, code):
    (tmp_path / "speed.py").write_text(TOPIC.format(ours=ours))
    (tmp_path / "_helper.py").write_text("raise RuntimeError")
    assert bench.main(["--json"], tmp_path) == code
    rows = json.loads(capsys.readouterr().out)
    assert [list(row) for row in rows] == [["topic", "name", "ours", "other", "ratio", "goal", "verdict"]]
    assert rows[0]["topic"] == "speed" and rows[0]["ratio"] == ours / 2
    assert bench.main(["speed"], tmp_path) == code
    assert "speed" in capsys.readouterr().out
    assert bench.main(["--list"], tmp_path) == 0
    assert capsys.readouterr().out == "speed\n"


def test_unknown_topic_and_missing_folder(tmp_path):
    (tmp_path / "speed.py").write_text(TOPIC.format(ours=1))
    with pytest.raises(UsageError, match="no topic 'weight'; the topics are speed"):
        bench.main(["weight"], tmp_path)
    with pytest.raises(UsageError, match="checkout"):
        find_topics(tmp_path / "nowhere")


def test_the_topics_of_this_checkout():
    assert set(find_topics(BENCHMARKS)) >= {"comm", "figures", "hardware", "mpi_cells"}
