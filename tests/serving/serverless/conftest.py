"""A function whose events say what it does, and ways to wait for conditions."""

import http.client
import os
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

HANDLER = '''
import json, os, subprocess, sys, threading, time
from classifier import load_package

print("imported")
MODEL = load_package(0.05)
CALLS = 0


def spawn(words):
    """A child in a session of its own, which survives its parent; its id."""
    return subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True).pid


def handler(event, context):
    global CALLS
    CALLS += 1
    do = event.get("do") if isinstance(event, dict) else None
    if do:
        names = dict(globals(), event=event, context=context)
        exec(do, names)
        if "result" in names:
            return names["result"]
    return {"event": event, "calls": CALLS, "pid": os.getpid(), "id": context.aws_request_id}
'''
CLASSIFIER = """
import time


def load_package(seconds):
    time.sleep(seconds)
    return "model"
"""


def write_function(folder: Path, handler: str = HANDLER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lambda_function.py").write_text(handler)
    (folder / "classifier.py").write_text(CLASSIFIER)
    return folder


def wait_until(condition, what: str, limit_s: float = 60):
    """Wait until `condition` returns something true, and return it."""
    limit = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < limit, f"not after {limit_s} s: {what}"
        time.sleep(0.01)
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def gone(*pids: int):
    wait_until(lambda: not any(map(is_running, pids)), f"the end of {pids}")


def post(url: str, body: bytes, headers=None, method="POST", path="/", timeout=90):
    """Status, headers in lower case, and content."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


class Together:
    """Calls in threads; ``results`` after the ``with`` block, in order."""

    def __init__(self, *functions):
        self.results = [None] * len(functions)
        self.threads = [threading.Thread(target=self._run, args=pair) for pair in enumerate(functions)]

    def _run(self, number, function):
        try:
            self.results[number] = function()
        except Exception as error:
            self.results[number] = error

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        for thread in self.threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in self.threads)


class Tools:
    """What tests use, without importing this file."""

    write_function, wait_until, is_running, gone, post = map(
        staticmethod, (write_function, wait_until, is_running, gone, post)
    )
    Together = Together
    HANDLER = HANDLER

    @staticmethod
    def start(folder, **settings):
        from labkit.serving.serverless import FunctionSettings, LocalLambda

        options = {"timeout_s": 60.0, "init_timeout_s": 60.0, "name": "test"} | settings
        return LocalLambda(FunctionSettings(folder=folder, **options))

    @staticmethod
    def busy_call(function, tmp_path, do="", **event):
        """An event that runs until a file is there: the event, a wait for its start, and a function that ends it."""
        began, end = tmp_path / f"began-{os.urandom(4).hex()}", tmp_path / f"end-{os.urandom(4).hex()}"
        text = (
            f"{do}\nopen({str(began)!r} + '.part', 'w').write(str(os.getpid()))\n"
            f"os.rename({str(began)!r} + '.part', {str(began)!r})\n"
            f"while not os.path.exists({str(end)!r}): time.sleep(0.005)"
        )

        def pid():
            wait_until(began.exists, "the call runs")
            return int(began.read_text())

        return {"do": text} | event, pid, end.touch


@pytest.fixture(scope="session")
def tools():
    pytest.importorskip("awslambdaric")
    return Tools


@pytest.fixture(scope="module")
def folder(tools, tmp_path_factory):
    return write_function(tmp_path_factory.mktemp("function"))


@pytest.fixture(scope="module")
def function(folder):
    """One function for the tests that do not change how it is set up."""
    with Tools.start(folder, memory_mb=256, environment={"COLOUR": "blue"}) as running:
        yield running
