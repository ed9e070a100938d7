"""``LocalLambda``: a function of AWS Lambda on this machine, as its owner sees it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

from labkit.errors import LabkitError, NotAvailableError, UsageError
from labkit.serving.serverless.client import ServiceClient
from labkit.serving.serverless.records import EnvironmentInfo, Invocation, InvocationRecord
from labkit.serving.serverless.settings import FunctionSettings

START_LIMIT_S = 60.0
END_LIMIT_S = 40.0
RECORD_HEADER = "X-Labkit-Record"
WARDEN = Path(__file__).with_name("warden.py")


class LocalLambda:
    """A function that runs as AWS Lambda runs it: by AWS's own client, one process an environment.

    Use it in a ``with`` statement, or call :meth:`start` and :meth:`stop`. All methods may be called from any thread.
    No process outlives the owner, not even one that a handler started, and not even if the owner is killed.

    Parameters
    ----------
    settings : FunctionSettings
    port : int
        Of :attr:`url`; 0 is the system's choice.
    read_limit_s : float
        A client of :attr:`url` gets a 408 if its request takes longer to arrive.

    Raises
    ------
    NotAvailableError
        This is not Linux, or ``awslambdaric`` is not installed.

    Notes
    -----
    Kept as on AWS: placement (idle environment used last first, otherwise a new one), limits and what is answered
    when they are exceeded, the words of errors and logs, billing (the initialisation counts since August
    2025). Other than on AWS: only a few environments start at a time (every start computes, and here they share the
    processors); an environment killed from outside costs no request, it is tried once more; an initialisation that
    takes too long is not tried again; background threads of a handler go on between two calls, where AWS freezes them;
    processor time is what this machine has.

    References
    ----------
    AWS, "Lambda runtime API" and "Understanding the Lambda execution environment lifecycle", Lambda Developer Guide.

    Examples
    --------
    ::

        with LocalLambda(FunctionSettings(folder="my_function")) as function:
            print(function.invoke({"rows": [[0.0] * 64]}).payload)
            print(function.records[-1].phases_s)
    """

    def __init__(self, settings: FunctionSettings, *, port: int = 0, read_limit_s: float = 30.0):
        if not sys.platform.startswith("linux"):
            raise NotAvailableError(
                "the local Lambda needs Linux, as AWS's runtime client does: use the dedicated server here."
            )
        if importlib.util.find_spec("awslambdaric") is None:
            raise NotAvailableError("AWS's runtime client is not installed: pip install 'labkit[serving]'.")
        self.settings = settings
        self._port, self._read_limit_s = port, read_limit_s
        self._process: subprocess.Popen | None = None
        self._errors = None
        self._front = 0
        self._client: ServiceClient | None = None
        self._lock = threading.Lock()
        self._records: list[InvocationRecord] = []
        self._next_record = 0
        self._last: tuple[list[EnvironmentInfo], list] = ([], [])
        self._is_stopped = False

    def __enter__(self) -> LocalLambda:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop(0 if exc_info[0] is KeyboardInterrupt else None)

    # start and stop

    def start(self) -> LocalLambda:
        """Start the service; returns when it takes requests and the provisioned environments are there."""
        if self._process is not None:
            raise UsageError("this function was started already: make another LocalLambda.")
        root = str(Path(__file__).parents[3])
        variables = dict(os.environ)
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [root, variables.get("PYTHONPATH")]))
        self._errors = tempfile.TemporaryFile()
        command = [sys.executable, "-P", "-m", "labkit.serving.serverless.process"]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WARDEN), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=variables,
            start_new_session=True,
        )
        weakref.finalize(self, _let_go, self._process)
        order = {"settings": self.settings.to_dict(), "port": self._port, "read_limit_s": self._read_limit_s}
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or b"{}")
            if "error" in answer:
                raise UsageError(answer["error"] + ": take another port, or 0.")
            if "api" not in answer:
                raise LabkitError(f"the service did not start: {self._said()}")
            self._front = answer["front"]
            self._client = ServiceClient(answer["api"], self._said)
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def _wait_until_ready(self):
        limit = time.monotonic() + START_LIMIT_S + self.settings.init_timeout_s
        while self.settings.provisioned_concurrency and not self._client.ask("state")["is_ready"]:
            if time.monotonic() > limit:
                break
            time.sleep(0.01)

    def stop(self, timeout_s: float | None = None) -> None:
        """Take no more requests, answer those that were accepted, and end all processes.

        Parameters
        ----------
        timeout_s : float, optional
            How long accepted requests may take; without it, as long as the function's limits allow.
        """
        if self._process is None or self._is_stopped:
            return
        if timeout_s is None:
            timeout_s = self._patience_s
        try:
            if timeout_s > 0 and self._process.poll() is None:
                self._client.request("POST", "/labkit/drain", b"", {}, timeout_s)
            self._fetch()
        except LabkitError:
            pass  # out of time, or the service is gone: what is left is ended
        finally:
            self._end()

    def _fetch(self):
        """What can be asked after the end, too."""
        self._last = (self.environments, self._client.ask("logs")["lines"])
        self._update_records()

    def _end(self):
        self._is_stopped = True
        _let_go(self._process)
        self._process.terminate()  # a forked process of the owner may still hold the pipe
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    # calls

    @property
    def _patience_s(self) -> float:
        """No accepted request can take longer: two attempts, and its turn to start an environment."""
        return 2 * (self.settings.init_timeout_s + self.settings.timeout_s) + 2 * self.settings.concurrency_limit + 30

    def invoke(self, event: object, *, timeout_s: float | None = None) -> Invocation:
        """Call the function and wait for its answer, as ``boto3.client("lambda").invoke`` does.

        Parameters
        ----------
        event : object
            Anything that JSON can say; bytes are sent as they are.
        timeout_s : float, optional
            How long to wait; without it, as long as the function's limits allow.

        Returns
        -------
        Invocation
            Also if the handler failed; see its ``function_error``.

        Raises
        ------
        LabkitError
            The service is not there, or the answer did not come in time.
        """
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if timeout_s is None:
            timeout_s = self._patience_s
        path = f"/2015-03-31/functions/{self.settings.name}/invocations"
        self._check_running()
        answer, content = self._client.request("POST", path, body, {RECORD_HEADER: "1"}, timeout_s)
        record = answer.getheader(RECORD_HEADER)
        return Invocation(
            answer.status,
            content,
            answer.getheader("X-Amz-Function-Error"),
            InvocationRecord(**json.loads(record)) if record else None,
        )

    def _check_running(self):
        if self._process is None:
            raise UsageError("the function is not running: use it in a with statement, or call start().")
        if self._is_stopped:
            raise UsageError("the function was stopped: make another LocalLambda.")
        if self._process.poll() is not None:
            raise LabkitError(f"the service of the function has ended: {self._said()}")

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")[-2000:].strip() or "it said nothing"

    # what is known

    @property
    def url(self) -> str:
        """Where HTTP requests become calls, as at a Lambda function URL; without a slash at the end."""
        self._check_running()
        return f"http://127.0.0.1:{self._front}"

    @property
    def endpoint_url(self) -> str:
        """For other clients of AWS: ``boto3.client("lambda", endpoint_url=...)``."""
        self._check_running()
        return f"http://127.0.0.1:{self._client.port}"

    @property
    def records(self) -> list[InvocationRecord]:
        """All calls that have ended, in the order of their ends, at most 200 000 behind; also after :meth:`stop`."""
        if not self._is_stopped:
            self._check_running()
            self._update_records()
        return list(self._records)

    def _update_records(self):
        with self._lock:
            while True:
                answer = self._client.ask(f"records?{self._next_record}")
                self._records += [InvocationRecord(**values) for values in answer["records"]]
                self._next_record = answer["next"]
                if not answer["records"]:
                    return

    @property
    def environments(self) -> list[EnvironmentInfo]:
        """All environments so far, in the order of their starts; also after :meth:`stop`, as they were before it."""
        if self._is_stopped:
            return list(self._last[0])
        self._check_running()
        return [EnvironmentInfo(**values) for values in self._client.ask("environments")]

    def logs(self, environment: int | None = None) -> list[str]:
        """What handlers wrote, between the START, END and REPORT lines; also after :meth:`stop`.

        Parameters
        ----------
        environment : int, optional
            Number of one; without it all, in the order in which lines came.
        """
        if not self._is_stopped:
            self._check_running()
        lines = self._last[1] if self._is_stopped else self._client.ask("logs")["lines"]
        return [text for _, number, text in lines if environment in (None, number)]

    def new_log_lines(self, start: int) -> tuple[list[tuple[int, str]], int]:
        """Lines from number `start` on, each with its environment's number, and the number to begin with next time."""
        self._check_running()
        answer = self._client.ask(f"logs?{start}")
        return [(number, text) for _, number, text in answer["lines"]], answer["next"]


def _let_go(process: subprocess.Popen) -> None:
    """Close the pipe that the warden and the service watch."""
    try:
        process.stdin.close()
    except OSError:
        pass
