"""A server in processes of its own: equal answers, bad requests, slow clients, killed workers, and a stop under load."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.dedicated.server import DedicatedServer, ServerError
from labkit.serving.package import PackageError, load_package, save_package
from labkit.softmax.calibration.network import Network

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("requests_by_hand", Path(__file__).with_name("requests_by_hand.py"))
by_hand = importlib.util.module_from_spec(spec)
spec.loader.exec_module(by_hand)
ask, connect, read_answer, request, rows_of = by_hand.ask, by_hand.connect, by_hand.read_answer, by_hand.request, by_hand.rows_of
is_alive, wait_until = by_hand.is_alive, by_hand.wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def package(folder):
    return save_package(folder / "random", Network.random(64, 32, 10), preprocessing={"divide": 16})


@pytest.fixture(scope="module")
def server(package):
    with DedicatedServer(package, num_workers=2, body_timeout_s=2, max_body_bytes=1 << 20, progress=None) as server:
        yield server


def test_answers_are_those_of_the_package(server, package):
    model = load_package(package)
    with ThreadPoolExecutor(8) as pool:
        asked = [rows_of(seed, 1 + seed % 40) for seed in range(60)]
        answers = list(pool.map(lambda rows: ask(server.port, rows), asked))
    for rows, (status, headers, reply) in zip(asked, answers, strict=True):
        classes, probabilities = model.predict(rows)
        assert status == 200 and headers["content-type"] == "application/json" and reply["classes"] == classes.tolist()
        np.testing.assert_allclose(reply["probabilities"], probabilities, atol=1e-6)
        assert reply["model"] == model.checksum[:12]


def test_one_connection_takes_many_requests(server):
    with connect(server.port) as connection:
        connection.sendall(request(json.dumps({"rows": rows_of(0)}).encode()) * 3)  # at once
        for _ in range(3):
            assert read_answer(connection)[0] == 200
        connection.sendall(request(b"{"))
        assert read_answer(connection)[0] == 400
        connection.sendall(request(json.dumps({"rows": rows_of(1)}).encode()))
        connection.shutdown(socket.SHUT_WR)  # it will send no more, and still gets its answer
        assert read_answer(connection)[0] == 200


def test_bad_requests_have_their_answers(server):
    numbers = ", ".join(["1"] * 63)
    for body, status, words in (
        (b"", 400, "no JSON"), (b"{", 400, "no JSON"), (b"[" * 90_000, 400, "nested"), (b"{}", 422, "keys []"),
        (b'{"rows": []}', 422, "an empty list"), ([[1.0] * 64, [1.0] * 63], 422, "rows[1] has 63 numbers"),
        (f'{{"rows": [[{numbers}, "1"]]}}'.encode(), 422, "rows[0][63] is a text"),
        (f'{{"rows": [[{numbers}, NaN]]}}'.encode(), 422, "rows[0][63] is nan"),
        (f'{{"rows": [[{numbers}, 1e999]]}}'.encode(), 422, "rows[0][63] is inf"),
        (rows_of(0, 257), 422, "at most 256 rows"),
    ):  # fmt: skip
        found, _, reply = ask(server.port, body)
        assert found == status and words in reply["error"], (body[:40], found, reply)
    for path, method, status in (("/nowhere", "GET", 404), ("/predict", "GET", 405), ("/health", "POST", 405)):
        found, _, reply = ask(server.port, b"", path=path, method=method)
        assert found == status and f"{method} {path}" in reply["error"]
    assert ask(server.port, rows_of(0, 256))[0] == 200  # eight batches


def peak_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_a_body_of_20_mb_is_refused_and_not_kept(server):
    before = [peak_bytes(pid) for pid in server.pids]
    body = b'{"rows": [' + b" " * 20_000_000 + b"]}"
    status, headers, reply = ask(server.port, body)
    assert status == 413 and "1048576 bytes" in reply["error"] and "20000012" in reply["error"]
    with connect(server.port) as connection:  # without a length
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            connection.sendall(b"1e8480\r\n" + b" " * 2_000_000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        status, headers, reply = read_answer(connection)
        assert status == 413 and "more than 1048576" in reply["error"] and headers["connection"] == "close"
    with connect(server.port) as connection:  # a client that asks first need not send it
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 20000000\r\nExpect: 100-continue\r\n\r\n")
        assert read_answer(connection)[0] == 413
    assert all(peak_bytes(pid) - b < 12_000_000 for pid, b in zip(server.pids, before, strict=True))
    assert ask(server.port, rows_of(0))[0] == 200


def test_slow_clients_have_a_time_limit_and_hold_up_nobody(server):
    body = json.dumps({"rows": rows_of(0)}).encode()
    trickling = [connect(server.port) for _ in range(20)]
    for connection in trickling:
        connection.sendall(request(body)[:-5])
    silent, headers_only, refused = connect(server.port), connect(server.port), connect(server.port)
    headers_only.sendall(b"POST /predict HTTP/1.1\r\nHost: te")
    refused.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n[")
    for _ in range(10):
        assert ask(server.port, rows_of(0))[0] == 200 and ask(server.port, path="/health")[0] == 200
    for connection in trickling:
        status, _, reply = read_answer(connection)
        assert status == 408 and "within 2 s" in reply["error"] and f"only {len(body) - 5} bytes" in reply["error"]
        assert connection.recv(1) == b""
    assert read_answer(refused)[0] == 413
    for connection in (silent, headers_only):
        assert connection.recv(1) == b""
    for connection in (*trickling, silent, headers_only, refused):
        connection.close()


def test_what_is_no_http(server):
    with connect(server.port) as connection:
        connection.sendall(b"\x16\x03\x01 nothing\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    with connect(server.port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 300_000)
        assert connection.recv(100).startswith((b"HTTP/1.1 400", b""))
        while connection.recv(100):
            pass
    assert ask(server.port, path="/health")[0] == 200


def test_a_client_that_goes_away_breaks_nothing(server):
    for _ in range(30):
        with connect(server.port) as connection:
            connection.sendall(request(json.dumps({"rows": rows_of(0, 20)}).encode()))
    for _ in range(10):
        with connect(server.port) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n[")
    assert ask(server.port, rows_of(0))[0] == 200
    wait_until(lambda: server.metrics()["queue_rows"] == 0)
    assert server.num_restarts == 0 and "Traceback" not in server.logs()


def test_metrics_and_the_model(server):
    before = server.metrics()
    for _ in range(20):
        assert ask(server.port, rows_of(0, 3))[0] == 200
    ask(server.port, b"{")
    after = server.metrics()
    assert after["rows"] - before["rows"] == 60
    assert after["answers"][200] - before["answers"].get(200, 0) == 20
    assert after["answers"][400] - before["answers"].get(400, 0) == 1
    assert sum(size * n for size, n in after["batch_sizes"].items()) == after["rows"]
    assert sum(after["batch_sizes"].values()) == after["batches"] and max(after["batch_sizes"]) <= 32
    status, headers, text = ask(server.port, path="/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["labkit_rows_total"]) == after["rows"] == float(values["labkit_batch_rows_sum"])
    assert float(values['labkit_requests_total{status="200"}']) == after["answers"][200] and values["labkit_ready"] == "2"
    assert float(values['labkit_batch_rows_bucket{le="+Inf"}']) == float(values["labkit_batch_rows_count"]) == after["batches"]
    assert float(values["labkit_request_seconds_count"]) == after["answers"][200]
    model = ask(server.port, path="/model")[2]
    assert model["num_features"] == 64 and model["class_names"] == list("0123456789") and model["max_rows"] == 256


def test_a_worker_that_is_killed_is_started_again_and_the_other_goes_on(server):
    first, second = server.pids
    before, answers, end = server.num_restarts, [], threading.Event()

    def client():
        while not end.is_set():
            try:
                answers.append(ask(server.port, rows_of(0))[0])
            except ConnectionError:
                answers.append(0)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answers) > 20)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: server.num_restarts == before + 1 and server.num_ready == 2)
    enough = len(answers) + 20
    wait_until(lambda: len(answers) > enough)
    end.set()
    for thread in threads:
        thread.join()
    assert second in server.pids and first not in server.pids and len(server.pids) == 2
    assert answers.count(0) <= 3 and set(answers) <= {0, 200}  # what the killed one had taken is lost, and nothing else


def test_one_worker_killed_again_and_again(package):
    with DedicatedServer(package, progress=None) as server:
        rows = server.metrics()["rows"]
        for count in (1, 2, 3):
            os.kill(server.pids[0], signal.SIGKILL)
            assert ask(server.port, rows_of(0))[0] == 200  # the connection waits for the next process
            assert server.num_restarts == count
        assert server.metrics()["rows"] == rows + 3 and server.metrics()["starts"] == 4
        pids = server.pids
    assert not any(map(is_alive, pids))


FAULTS = """
import time
from labkit.serving.package.classifier import Classifier

whole = Classifier.predict

def predict(self, rows):
    for mark in rows[:, 0]:
        if mark == 99:
            raise ValueError("pixel 99 is broken")
        if mark >= 90:
            time.sleep({90: 0.03, 91: 3.0, 92: 1000}[int(mark)])
    return whole(self, rows)

Classifier.predict = predict
"""
SLOW, SLOWER, HANGS, RAISES = 90, 91, 92, 99  # the first pixel of a row


def marked(mark, *, seed=0, num_rows=1):
    rows = rows_of(seed, num_rows)
    rows[0][0] = mark
    return rows


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """Processes that are started now have a model that can be slow, hang and raise."""
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))


def test_a_stop_under_load_answers_all_that_was_accepted(package, faults):
    """Every request that was sent gets its classes or 503, or meets a closed port; none is lost on the way."""
    model = load_package(package)
    rows = {seed: marked(SLOW, seed=seed, num_rows=1 + seed % 3) for seed in range(24)}
    expected = {seed: model.predict(rows[seed])[0].tolist() for seed in rows}
    server = DedicatedServer(package, num_workers=2, max_batch=4, max_queue=64, progress=None)
    outcomes = []

    def client(seed):
        body = request(json.dumps({"rows": rows[seed]}).encode())
        while True:
            try:
                connection = connect(server.port)
            except ConnectionRefusedError:
                return
            with connection:
                while True:
                    try:
                        connection.sendall(body)
                        status, headers, reply = read_answer(connection)
                    except ConnectionError:  # it came when the port was being closed, and no worker had accepted it
                        break
                    outcomes.append((status, status == 503 or reply["classes"] == expected[seed], len(rows[seed])))
                    if headers.get("connection") == "close":
                        break

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(24)]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(status == 200 for status, *_ in outcomes) > 60)
    pids = server.pids
    assert server.stop() == 0
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    metrics = server.metrics()
    statuses = [status for status, *_ in outcomes]
    assert set(statuses) <= {200, 503} and all(right for _, right, _ in outcomes)
    assert metrics["answers"][200] == statuses.count(200)  # answered = received
    assert metrics["rows"] == sum(num_rows for status, _, num_rows in outcomes if status == 200)  # computed = received
    assert metrics["answers"].get(503, 0) == statuses.count(503) and metrics["queue_rows"] == 0
    assert not any(map(is_alive, pids)) and server.stop() == 0 and "stopped" in repr(server)
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)


def test_health_answers_during_a_batch_and_says_that_it_drains(package, faults):
    with DedicatedServer(package, drain_s=3, progress=None) as server:
        with connect(server.port) as busy, connect(server.port) as looking:
            busy.sendall(request(json.dumps({"rows": marked(SLOWER, num_rows=3)}).encode()))
            looking.sendall(request(b"", method="GET", path="/health"))
            assert read_answer(looking)[2]["status"] == "ok"
            busy.setblocking(False)
            with pytest.raises(BlockingIOError):  # still computing
                busy.recv(1)
            busy.settimeout(60)
            os.kill(server.pids[0], signal.SIGTERM)
            wait_until(lambda: server.metrics()["ready"] == 0)
            looking.sendall(request(b"", method="GET", path="/health"))
            status, headers, reply = read_answer(looking)
            assert (status, reply["status"], headers["connection"]) == (503, "draining", "close")
            status, headers, reply = ask(server.port, rows_of(0))
            assert status == 503 and "being stopped" in reply["error"] and headers["retry-after"] == "1"
            assert len(read_answer(busy)[2]["classes"]) == 3
        wait_until(lambda: server.num_restarts == 1 and server.num_ready == 1)  # nobody stopped the server itself
        assert ask(server.port, rows_of(0))[0] == 200


def test_a_model_that_raises_hangs_or_is_behind(package, faults):
    with DedicatedServer(
        package, max_batch=2, max_queue=4, max_wait_s=0.02, timeout_s=3, progress=None
    ) as server, ThreadPoolExecutor(24) as pool:
        for _ in range(3):
            status, _, reply = ask(server.port, marked(RAISES))
            assert status == 500 and "ValueError: pixel 99 is broken" in reply["error"]
            assert ask(server.port, rows_of(0))[0] == 200
        assert "pixel 99" in server.logs() and "Traceback" in server.logs() and server.num_restarts == 0

        answers = list(pool.map(lambda seed: ask(server.port, marked(SLOW, seed=seed)), range(24)))
        statuses = [status for status, _, _ in answers]
        assert set(statuses) == {200, 429} and statuses.count(200) >= 4
        for status, headers, reply in answers:
            assert status == 200 or (int(headers["retry-after"]) >= 1 and "would exceed 4" in reply["error"])
        assert ask(server.port, rows_of(0, 5))[0] == 422 and ask(server.port, rows_of(0, 4))[0] == 200
        metrics = server.metrics()
        assert metrics["answers"][429] == statuses.count(429) and metrics["failed_batches"] == 3

        status, _, reply = ask(server.port, marked(HANGS))
        assert status == 504 and "within 3 s" in reply["error"]
        wait_until(lambda: server.num_restarts == 1 and server.num_ready == 1)
        assert ask(server.port, rows_of(0))[0] == 200 and "the model hangs" in server.logs()


OWNER = """
import sys, time
from labkit.serving.dedicated import DedicatedServer
server = DedicatedServer(sys.argv[1], num_workers=2, progress=None)
print(*server.pids, flush=True)
time.sleep(1000)
"""


def test_no_process_outlives_its_owner(package):
    for number in (signal.SIGKILL, signal.SIGINT):
        command = [sys.executable, "-c", OWNER, str(package.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as owner:
            pids = [int(word) for word in owner.stdout.readline().split()]
            assert len(pids) == 2 and all(map(is_alive, pids))
            owner.send_signal(number)
            owner.wait(60)
        wait_until(lambda pids=pids: not any(map(is_alive, pids)))


def test_from_the_command_line(package):
    command = [sys.executable, "-m", "labkit.serving.dedicated", str(package.path), "--port", "0", "--num-workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        port = int(program.stdout.readline().rsplit(":", 1)[1])
        assert ask(port, rows_of(0))[0] == 200
        taken = subprocess.run([*command[:4], "--port", str(port)], capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert taken.returncode == 2 and f"port {port} of 127.0.0.1 is taken" in taken.stderr and "Traceback" not in taken.stderr
        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=60)
        assert program.returncode == 0 and "answers after" in errors and "stopping" in errors


def test_a_server_that_cannot_start(package, tmp_path, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="is taken by another program"):
            DedicatedServer(package, port=other.getsockname()[1])
    for settings, words in (
        ({"port": 70000}, "a port is"), ({"num_workers": 0}, "num_workers"), ({"max_batch": 0}, "max_batch"),
        ({"max_queue": 3}, "max_queue"), ({"workers": 2}, "workers are not all settings"), ({"timeout_s": 0}, "timeout_s"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            DedicatedServer(package, **settings)
    with pytest.raises(PackageError, match="there is no model package"):
        DedicatedServer(tmp_path / "nothing")
    said = []
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvicorn'] = None\n")  # it cannot be imported
    before = time.monotonic()
    with pytest.raises(ServerError, match="(?s)ended 3 times before it answered.*uvicorn"):
        DedicatedServer(package, progress=said.append)
    assert said and "starting 1 worker" in said[0] and time.monotonic() - before < 60


def test_progress_of_a_start(package):
    said = []
    with DedicatedServer(package, num_workers=2, progress=said.append) as server:
        assert said[0] == f"starting 2 workers for {package.path.name} on {server.url}"
        assert said[-1].startswith(f"{server.url} answers after") and "2 of 2 workers ready" in repr(server)
