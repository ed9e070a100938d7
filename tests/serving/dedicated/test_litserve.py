"""The same package behind litserve: equal answers, and no process left."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import NotAvailableError, UsageError
from labkit.serving.dedicated import LitServeServer
from labkit.serving.dedicated.litserve_server import encode, predict
from labkit.serving.package import RequestError, load_package, save_package
from labkit.softmax.calibration.network import Network

spec = importlib.util.spec_from_file_location("requests_by_hand", Path(__file__).with_name("requests_by_hand.py"))
by_hand = importlib.util.module_from_spec(spec)
spec.loader.exec_module(by_hand)

OWNER = """
import sys
from labkit.serving.dedicated import LitServeServer
server = LitServeServer(sys.argv[1], max_batch=8, max_wait_s=0.01)
print(server.port, server._process.pid, flush=True)
sys.stdin.read()
"""


def of_session(leader: int) -> list[int]:
    """Processes that litserve started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(folder.name))
    return found


def test_answers_are_equal_and_no_process_is_left(tmp_path):
    package = save_package(tmp_path / "m", Network.random(64, 32, 10), preprocessing={"divide": 16})
    model = load_package(package)
    command = [sys.executable, "-c", OWNER, str(package.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as owner:
        port, leader = map(int, owner.stdout.readline().split())
        asked = [by_hand.rows_of(seed, 1 + seed % 3) for seed in range(30)]
        asked[7] = [[1.0]]  # among good ones
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda rows: by_hand.ask(port, rows), asked))
        for rows, (status, _, reply) in zip(asked, answers, strict=True):
            if len(rows[0]) == 64:
                assert status == 200 and reply["model"] == model.checksum[:12]
                np.testing.assert_allclose(reply["probabilities"], model.predict(rows)[1], atol=1e-6)
            else:
                assert status == 422 and "rows[0] has 1 numbers" in reply["error"]
        assert len(of_session(leader)) >= 3
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(60)
    by_hand.wait_until(lambda: not of_session(leader))


def test_a_batch_keeps_its_errors_apart(tmp_path):
    model = load_package(save_package(tmp_path / "m", Network.random(4, 3, 2)))
    error, rows = RequestError(422, "no."), [np.full((n, 4), n, np.float32) for n in (1, 2, 3)]
    outputs = predict(model, [rows[0], error, rows[1], rows[2]])
    assert outputs[1] is error and [len(outputs[k][0]) for k in (0, 2, 3)] == [1, 2, 3]
    replies = [encode(model, output) for output in outputs]
    assert [reply.status_code for reply in replies] == [200, 422, 200, 200]
    np.testing.assert_allclose(json.loads(replies[2].body)["probabilities"], model.predict(rows[1])[1], atol=1e-6)
    assert predict(model, [error]) == [error]


def test_where_it_cannot_start(tmp_path, monkeypatch):
    package = save_package(tmp_path / "m", Network.random(4, 3, 2))
    with pytest.raises(UsageError, match="from 1024"):
        LitServeServer(package, port=80)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotAvailableError, match=r"labkit\[serving\]"):
        LitServeServer(package)
