"""A warm call of the local Lambda, through AWS's client and the Runtime API, against the handler called directly."""

import contextlib
import http.client
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.errors import NotAvailableError
from labkit.hardware.timing import Comparison, Contention

NUM_CALLS, NUM_WARM_UP = 1000, 50
HANDLER = Path(__file__).parents[1] / "labkit/serving/serverless/handler/lambda_function.py"
EVENT = {"rows": [[float(k % 17) for k in range(64)]]}


def make_folder(folder: Path) -> Path:
    """The handler, what it imports, and a small model."""
    from labkit.serving.package import classifier, digits_package

    shutil.copy(HANDLER, folder)
    shutil.copy(classifier.__file__, folder)
    digits_package(folder, hidden=(64,))
    return folder


@contextlib.contextmanager
def handler_of(folder: Path):
    """The handler itself, imported here."""
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("lambda_function", folder / "lambda_function.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module.handler
    finally:
        sys.path.remove(str(folder))


def in_turn(ours, other) -> Comparison:
    """Milliseconds of many single calls."""
    times = ([], [])
    with Contention() as contention:
        for number in range(NUM_CALLS + NUM_WARM_UP):
            for which, function in enumerate((ours, other)):
                start = time.perf_counter_ns()
                function()
                if number >= NUM_WARM_UP:
                    times[which].append((time.perf_counter_ns() - start) / 1e6)
    return Comparison(tuple(times[0]), tuple(times[1]), contention.busy)


def benchmarks():
    from labkit.serving.serverless import FunctionSettings, LocalLambda

    with contextlib.ExitStack() as stack:
        folder = make_folder(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labkit-bench-"))))
        handler = stack.enter_context(handler_of(folder))
        try:
            function = stack.enter_context(
                LocalLambda(FunctionSettings(folder=folder, init_timeout_s=60.0, timeout_s=60.0))
            )
        except NotAvailableError as reason:
            return print(f"serverless: {reason}", file=sys.stderr)
        connection = http.client.HTTPConnection(function.url.removeprefix("http://"))
        stack.callback(connection.close)
        body = json.dumps(EVENT)

        def through_url():
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())

        def check():
            right = handler(EVENT, None)
            assert right["classes"], right
            assert function.invoke(EVENT).payload == right, "invoke() answers otherwise than the handler"
            assert through_url() == right, "the function's URL answers otherwise than the handler"

        for name, ours in (("invoke()", lambda: function.invoke(EVENT)), ("its URL", through_url)):
            yield Benchmark(
                f"warm call by {name}, against the handler",
                Goal("<=", 1.5, "difference", "ms"),
                lambda ours=ours: in_turn(ours, lambda: handler(EVENT, None)),
                check,
                "ms",
            )
