"""The generator against servers whose behaviour is known."""

import collections
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import LabkitError, UsageError
from labkit.serving.load.arrivals import constant, poisson
from labkit.serving.load.generator import run_closed, run_load
from labkit.serving.load.outcome import Outcome

sys.path.insert(0, str(Path(__file__).parent))
from load_fake_server import FakeServer, after, at_once, odd, one_at_a_time, stalls  # noqa: E402

SLACK_S = 1e-3  # clocks and timers of two processes


def test_every_request_is_sent_once_with_its_body():
    bodies = [json.dumps({"k": k}) for k in range(7)]
    with FakeServer(at_once) as server:
        times = poisson(300, 2, seed=4)
        result = run_load(server.url + "?q=1", times, bodies)
        assert collections.Counter(server.bodies) == {
            body.encode(): len(range(k, len(times), 7)) for k, body in enumerate(bodies)
        }
        assert {line for line, _ in server.heads} == {"POST /predict?q=1 HTTP/1.1"}
        assert server.heads[0][1]["host"] == f"127.0.0.1:{server.port}"
        assert server.num_connections == result.num_connections
    assert len(result) == len(times) == result.num_ok == result.num_planned and not result.errors
    assert np.allclose(result.scheduled_s, times, rtol=0, atol=1e-6)
    assert (result.started_s >= result.scheduled_s).all() and (result.sent_s >= result.started_s).all()
    assert (result.done_s > result.sent_s).all() and not result.is_stopped
    assert result.elapsed_s >= result.done_s.max() - SLACK_S


def test_keep_alive_uses_as_many_connections_as_are_busy():
    with FakeServer(at_once) as server:
        result = run_closed(server.url, 1, 0.3, b"{}")
        assert server.num_connections == result.num_connections == 1 and result.num_ok == len(server.bodies) > 3
    with FakeServer(after(0.3)) as server:  # 20 requests in 0.2 s: none is answered before the last is sent
        result = run_load(server.url, constant(100, 0.2), b"{}")
        assert result.num_ok == 20 and 2 <= result.num_connections <= 20 and server.most_under_way >= 2


def test_answers_of_every_shape_and_answers_that_are_none():
    good = ["200", "pieces", "chunked", "until close", "says close", "continue", "no content", "large", "201", "twice"]
    expected = dict.fromkeys(good, Outcome.ANSWERED) | dict.fromkeys(("429", "500", "404"), Outcome.ANSWERED) | {
        "garbage": Outcome.NO_HTTP, "half": Outcome.CONNECTION_LOST, "close": Outcome.CONNECTION_LOST,
        "reset": Outcome.CONNECTION_LOST, "never": Outcome.TIMEOUT,
    }
    words = list(expected)
    with FakeServer(odd) as server:
        result = run_load(server.url, constant(60, 2), [{"do": word} for word in words], timeout_s=5)
        assert len(server.bodies) == len(result) == 120
        twice = run_load(server.url, [0.0, 0.2, 0.4], {"do": "twice"})
        assert twice.num_ok == twice.num_connections == 3  # such a connection is not used again
    for number, (outcome, status) in enumerate(zip(result.outcome, result.status, strict=True)):
        word = words[number % len(words)]
        assert outcome == expected[word], (number, word, Outcome(outcome))
        if outcome == Outcome.ANSWERED:
            assert status == {"no content": 204}.get(word, int(word) if word.isdigit() else 200), word
        assert math.isnan(result.done_s[number]) == (outcome != Outcome.ANSWERED)
    counts = collections.Counter(words[number % len(words)] for number in range(120))
    assert result.errors == {
        "connection lost": counts["half"] + counts["close"] + counts["reset"], "time limit passed": counts["never"],
        "answer is not HTTP": counts["garbage"], **{f"status {s}": counts[s] for s in ("429", "500", "404")},
    }
    assert result.num_ok == 120 - sum(result.errors.values())
    assert result.first_answers[429] == '{"error": "status 429"}' and "status 429" in result.summary()


def test_one_server_queue_as_theory_says():
    """Departures are never before those of Lindley's recursion, and near them."""
    service_s, times = 0.010, poisson(70, 4, seed=8)
    finish, expected = 0.0, []
    for due in times:
        finish = max(due, finish) + service_s
        expected.append(finish)
    assert np.max(np.array(expected) - times) > 3 * service_s  # it does queue
    with FakeServer(one_at_a_time(service_s)) as server:
        result = run_load(server.url, times, b"{}")
    excess = np.sort(result.done_s) - expected
    assert result.num_ok == len(times)
    assert excess.min() > -SLACK_S
    assert np.median(excess) < 0.3


def test_a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one():
    rate = 200
    with FakeServer(stalls(1, 2)) as server:
        opened = run_load(server.url, constant(rate, 3), b"{}")
    with FakeServer(stalls(1, 2)) as server:
        closed = run_closed(server.url, 4, 3, b"{}")
    assert opened.num_ok == 3 * rate
    # Due in the first half of the stall: half a second and more. A user in twelve waits three quarters.
    assert (opened.latency_s > 0.5).sum() >= 0.5 * rate - 5
    assert opened.percentile(98) > 0.9 and opened.percentile(91) > 0.7
    assert (opened.service_s > 0.5).sum() >= 0.5 * rate - 20  # connections enough: sent in time
    assert (closed.latency_s > 0.5).sum() <= 4 + 8  # its four clients, and a busy machine
    assert closed.latency_s.max() > 0.5 and closed.num_ok == len(closed) > 8


def test_time_limit_counts_from_the_time_that_was_due():
    with FakeServer(one_at_a_time(0.2)) as server:  # the tenth of ten at once would have its answer after 2 s
        result = run_load(server.url, [0.0] * 10, b"{}", timeout_s=1.1)
    assert 1 <= result.num_ok < 10 and result.errors == {"time limit passed": 10 - result.num_ok}
    assert result.percentile(99) == math.inf and result.percentile(99, failures="left out") < math.inf
    assert result.elapsed_s >= 1.1 - SLACK_S


def test_connections_can_be_limited_and_the_waiting_counts():
    with FakeServer(after(0.05)) as server:
        result = run_load(server.url, [0.0] * 8, b"{}", num_connections=2)
        assert server.most_under_way == 2 and server.num_connections == 2
    assert result.num_ok == 8 and result.most_under_way == 8
    assert result.latency_s.max() >= 4 * 0.05 - SLACK_S and np.sort(result.service_s)[0] >= 0.05 - SLACK_S
    assert result.num_waited == 6 and "6 requests waited" in result.generator_limit and result.is_generator_limited


def test_a_server_that_is_not_there_or_dies_is_a_result():
    with FakeServer(at_once) as server:
        url = server.url
    gone = run_load(url, constant(50, 0.5), b"{}")
    assert gone.errors == {"connection refused": 25} and gone.throughput == 0 and gone.percentile(50) == math.inf
    assert "connection refused 25" in gone.summary()
    closed = run_closed(url, 3, 0.5, b"{}")
    assert set(closed.errors) == {"connection refused"} and 3 <= len(closed) <= 3 * 6

    def dies(server, connection, number, body):
        if number == 40:
            server.die()
        elif number < 40:
            server.after(0.03, connection.answer)

    with FakeServer(dies) as server:
        result = run_load(server.url, constant(50, 2), b"{}", timeout_s=20)
        assert len(server.bodies) == result.num_ok + result.errors["connection lost"]
    assert len(result) == 100 == result.num_ok + sum(result.errors.values())
    assert set(result.errors) == {"connection lost", "connection refused"} and 1 <= result.errors["connection lost"]


def test_closed_loop_keeps_its_number_of_clients():
    with FakeServer(after(0.02)) as server:
        result = run_closed(server.url, 5, 1, [b"1", b"2"])
        assert server.most_under_way == 5 == result.most_under_way and len(server.bodies) == len(result)
    assert result.kind == "closed" and result.num_ok == len(result) and result.scheduled_s.max() <= 1 + SLACK_S
    assert (result.latency_s >= 0.02 - SLACK_S).all() and len(result) <= 5 * 51


def test_progress_and_an_error_in_it():
    told = []
    with FakeServer(at_once) as server:
        run_load(server.url, constant(40, 1), b"{}", progress=told.append)
        assert [state.num_started for state in told] == sorted(state.num_started for state in told)
        assert told[0].num_planned == 40 and told[-1].planned_s == pytest.approx(39 / 40)
        assert "of 40 requests" in str(told[-1])
        with pytest.raises(ZeroDivisionError):
            run_load(server.url, constant(40, 30), b"{}", progress=lambda state: 1 / 0)


def test_nothing_to_send():
    result = run_load("http://127.0.0.1:9/", [], b"{}")
    assert len(result) == 0 and result.errors == {} and math.isnan(result.percentile(50)) and result.throughput == 0
    assert math.isnan(result.error_fraction) and not result.is_generator_limited and result.summary()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: run_load("https://127.0.0.1/", [0], b""), "TLS"),
        (lambda: run_load("127.0.0.1:80", [0], b""), "http URL"),
        (lambda: run_load("http://127.0.0.1:99999/", [0], b""), "no URL"),
        (lambda: run_load("http://127.0.0.1/ä b", [0], b""), "percent-encode"),
        (lambda: run_load(None, [0], b""), "URL"),
        (lambda: run_load("http://nowhere.invalid/", [0], b""), "not known"),
        (lambda: run_load("http://127.0.0.1:9", [-1], b""), "go from -1"),
        (lambda: run_load("http://127.0.0.1:9", [1.7e9], b""), "subtract the first"),
        (lambda: run_load("http://127.0.0.1:9", [math.nan], b""), "go from nan"),
        (lambda: run_load("http://127.0.0.1:9", [[1, 2]], b""), "one dimension"),
        (lambda: run_load("http://127.0.0.1:9", "soon", b""), "array of seconds"),
        (lambda: run_load("http://127.0.0.1:9", 3, b""), "array of seconds"),
        (lambda: run_load("http://127.0.0.1:9", [0], []), "at least one"),
        (lambda: run_load("http://127.0.0.1:9", [0], 3), "bodies is bytes"),
        (lambda: run_load("http://127.0.0.1:9", [0], [3]), r"bodies\[0\] is int"),
        (lambda: run_load("http://127.0.0.1:9", [0], {"rows": np.zeros(2)}), "lists and numbers"),
        (lambda: run_load("http://127.0.0.1:9", [0], b"", timeout_s=0), "timeout_s"),
        (lambda: run_load("http://127.0.0.1:9", [0], b"", num_connections=0), "num_connections"),
        (lambda: run_closed("http://127.0.0.1:9", 0, 1, b""), "num_clients"),
        (lambda: run_closed("http://127.0.0.1:9", 1, math.inf, b""), "duration_s"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_get_without_a_body_and_the_default_path():
    with FakeServer(at_once) as server:
        run_load(f"http://localhost:{server.port}", [0.0], None)
        run_load(f"http://127.0.0.1:{server.port}/", [0.0], "")
        (first, fields), (second, _) = server.heads
        assert first == "GET /predict HTTP/1.1" and "content-length" not in fields
        assert second == "POST /predict HTTP/1.1" and server.bodies == [b"", b""]


def test_a_killed_generator_is_an_error():
    import psutil

    def kill(state):
        for child in psutil.Process().children():
            if "labkit.serving.load.sender" in child.cmdline():
                child.kill()

    with FakeServer(at_once) as server, pytest.raises(LabkitError, match="ended by SIGKILL"):
        run_load(server.url, constant(10, 60), b"{}", progress=kill)
