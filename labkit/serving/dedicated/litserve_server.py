"""The same package behind litserve, a library for this: to compare with.

References
----------
LitServe, Lightning AI: https://github.com/Lightning-AI/LitServe

Requests and answers are those of :mod:`.app`, with these differences of the library: a body that is no JSON gets 500,
nothing limits the size of a body or the length of the queue, and a batch counts requests, not rows.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

import numpy as np

from labkit.errors import NotAvailableError, UsageError
from labkit.serving.dedicated.server import HOST, LOG_LINES, ServerError, _listen
from labkit.serving.package.classifier import RequestError, load_package, parse_rows


def make_lit_server(package: str, max_batch: int, max_wait_s: float):
    """A ``litserve.LitServer``."""
    import litserve

    options = {"max_batch_size": max_batch, "batch_timeout": max_wait_s} if max_batch > 1 else {}
    api = __getattr__("Classes")(**options)
    api.package = package
    return litserve.LitServer(api, accelerator="cpu", workers_per_device=1)


def __getattr__(name: str):
    """``Classes``, made when it is asked for: this module can be imported where litserve is not installed.

    litserve's processes look it up here by its name.
    """
    if name != "Classes":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import litserve

    class Classes(litserve.LitAPI):
        """Rows to classes. What is wrong with a request travels beside the rows: raising would fail its whole batch."""

        __qualname__ = "Classes"

        def setup(self, device):
            self.classifier = load_package(self.package)

        def decode_request(self, request):
            try:
                return parse_rows(request, self.classifier.num_features)
            except RequestError as error:
                return error

        def batch(self, inputs):
            return inputs

        def predict(self, inputs):
            return predict(self.classifier, inputs) if isinstance(inputs, list) else predict(self.classifier, [inputs])[0]

        def unbatch(self, output):
            return output

        def encode_response(self, output):
            return encode(self.classifier, output)

    return globals().setdefault("Classes", Classes)


def predict(classifier, blocks: list) -> list:
    """Results of every block of rows; an error stays where it is."""
    good = [block for block in blocks if not isinstance(block, RequestError)]
    found = classifier.predict(np.concatenate(good)) if good else ()
    outputs, start = [], 0
    for block in blocks:
        if isinstance(block, RequestError):
            outputs.append(block)
        else:
            outputs.append(tuple(array[start : start + len(block)] for array in found))
            start += len(block)
    return outputs


def encode(classifier, output):
    """The answer to one request."""
    from starlette.responses import Response

    try:
        if isinstance(output, RequestError):
            raise output
        status, reply = 200, classifier.response(*output)
    except RequestError as error:
        status, reply = error.status, {"error": error.sentence}
    return Response(json.dumps(reply), status, media_type="application/json")


class LitServeServer:
    """litserve with a package, as :class:`.server.DedicatedServer` is used.

    Parameters
    ----------
    package : path or PackageInfo
    max_batch, max_wait_s
        litserve's ``max_batch_size`` (of requests) and ``batch_timeout``.
    port : int
        From 1024; 0: one that is free.
    start_timeout_s : float

    Raises
    ------
    NotAvailableError
        litserve is not installed.
    """

    def __init__(
        self, package, *, max_batch: int = 32, max_wait_s: float = 0.002, port: int = 0, start_timeout_s: float = 90.0
    ):  # fmt: skip
        if importlib.util.find_spec("litserve") is None:
            raise NotAvailableError("litserve is not installed: pip install 'labkit[serving]'.")
        if 0 < port < 1024:
            raise UsageError(f"litserve takes ports from 1024, not {port}: pass such a one, or 0.")
        path = Path(os.path.abspath(package))
        load_package(path)
        listener = _listen(port)  # litserve wants a number: this one is free
        self.port = listener.getsockname()[1]
        listener.close()
        self.url = f"http://{HOST}:{self.port}"
        pipe, life = os.pipe()
        command = [
            sys.executable, "-m", "labkit.serving.dedicated.litserve_server", str(path), "--port", str(self.port),
            "--max-batch", str(max_batch), "--max-wait-s", str(max_wait_s), "--pipe", str(pipe),
        ]
        root = str(Path(__file__).parents[3])
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
        }
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment, pass_fds=(pipe,),
            start_new_session=True,
        )
        os.close(pipe)
        self._end = weakref.finalize(self, _end, self._process, life)
        try:
            self._wait_until_ready(start_timeout_s)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> LitServeServer:
        return self

    def __exit__(self, *exc_info) -> None:
        self.stop()

    def logs(self) -> str:
        """What litserve has written."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def stop(self) -> None:
        """End all its processes."""
        self._end()

    def _wait_until_ready(self, timeout_s: float) -> None:
        limit = time.monotonic() + timeout_s
        while self._process.poll() is None and time.monotonic() < limit:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        end = "\n".join(self.logs().splitlines()[-LOG_LINES:])
        raise ServerError(f"litserve did not answer within {timeout_s:g} s: mend what the end of its log says.\n{end}")


def _end(process: subprocess.Popen, life: int) -> None:
    """The whole session: litserve starts a manager, a worker and a web server."""
    for number, wait_s in ((signal.SIGINT, 5), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGINT:
                process.send_signal(number)
            else:
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    os.close(life)


def _end_with_owner(pipe: int) -> None:
    """End the session when the owner's end of the pipe is closed."""
    with contextlib.suppress(OSError):
        while os.read(pipe, 1):
            pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """In the process that is started."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-batch", type=int, default=32)
    parser.add_argument("--max-wait-s", type=float, default=0.002)
    parser.add_argument("--pipe", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pipe is not None:
        threading.Thread(target=_end_with_owner, args=(options.pipe,), daemon=True).start()
    from labkit.serving.dedicated import litserve_server  # not __main__, which its processes cannot import by this name

    server = litserve_server.make_lit_server(options.package, options.max_batch, options.max_wait_s)
    server.run(host=HOST, port=options.port, generate_client_file=False, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
