"""One environment: a process with AWS's client in it, its Runtime API, its limits, its end.

::

    starting --next--> idle --dispatch--> busy --response--> idle ...   any --> ended

An environment that has answered is idle at once, although it asks for its next request a fraction of a millisecond
later: a call that is given to it meanwhile waits for that, instead of starting another environment.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time

from labkit.serving.serverless import processes
from labkit.serving.serverless.calls import Call, epoch_s, error_body
from labkit.serving.serverless.http_server import HttpServer, Request, listen
from labkit.serving.serverless.logs import OutputPipe
from labkit.serving.serverless.phases import Phases
from labkit.serving.serverless.records import EnvironmentInfo
from labkit.serving.serverless.runtime_api import RuntimeApiConnection

# Signals that come from outside: the call is tried once more. Others are of the handler's own making.
FROM_OUTSIDE = ("killed", "terminated", "hangup", "interrupt")

LONGEST_TURN_S = 5.0  # a start that does nothing but wait must not hold up others for long
TIMER_S = 0.001  # the event loop's timers may come so much early


class Environment:
    """Tells `service` of what happens: ``finish``, ``is_idle``, ``lost``, ``has_ended``."""

    def __init__(self, service, number: int, is_provisioned: bool = False):
        self.service, self.number, self.is_provisioned = service, number, is_provisioned
        self.settings = service.settings
        self.loop = asyncio.get_running_loop()
        self.log_stream = time.strftime("%Y/%m/%d/[$LATEST]") + secrets.token_hex(16)
        self.state, self.why_ended = "starting", ""
        self.call: Call | None = None  # that it runs, or that waits for it
        self.waiting: RuntimeApiConnection | None = None  # a "next" without an answer
        self.num_calls = self.max_memory_bytes = 0
        self.ended_ns = None
        self.expiry: asyncio.TimerHandle | None = None  # of an idle one; the service's
        self._limit: asyncio.TimerHandle | None = None
        self._start()

    def _start(self):
        self._listener = listener = listen()
        self.output = OutputPipe(self.service.book, self.number)
        self.phases = Phases()
        variables = processes.environment_variables(
            self.settings, listener.getsockname()[1], self.log_stream, self.is_provisioned
        )
        self.log(f"INIT_START Runtime Version: {variables['AWS_EXECUTION_ENV']} (labkit)")
        try:
            self.process = processes.spawn(self.settings, variables, self.phases.write_end, self.output.write_end)
        except OSError:
            self._close_files()
            raise
        finally:
            self.output.close_write_end()
            self.phases.close_write_end()
        self.pid = self.process.pid
        self.service.own_processes.add(self.pid)
        self._pidfd = os.pidfd_open(self.pid)
        self.loop.add_reader(self._pidfd, self._process_ended)
        self.loop.add_reader(self.output.read_end, self._read_output)
        self._server = HttpServer(lambda server: RuntimeApiConnection(server, self))
        self._serving = asyncio.ensure_future(self._server.serve(listener))
        self._limit = self.loop.call_later(self.settings.init_timeout_s, self._init_timed_out)
        self._turn: asyncio.TimerHandle | None = self.loop.call_later(LONGEST_TURN_S, self._give_turn)

    def _give_turn(self):
        """Let others start."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
            self.service.gives_turn()

    def log(self, text: str) -> None:
        self.service.book.add(self.number, text)

    def _read_output(self):
        if not self.output.read():
            self.loop.remove_reader(self.output.read_end)

    # giving it a call

    def dispatch(self, call: Call) -> None:
        """Run a call as soon as the environment asks for one."""
        self.call = call
        if self.waiting is not None:
            self._hand_over()

    def _hand_over(self):
        call, connection, self.waiting = self.call, self.waiting, None
        self.state = "busy"
        self.num_calls += 1
        call.num_attempts += 1
        limit_s = self.settings.timeout_s
        self.log(f"START RequestId: {call.request_id} Version: $LATEST")
        call.started_ns = time.monotonic_ns()
        self._limit = self.loop.call_later(limit_s + TIMER_S, self._timed_out)
        connection.hand_over(call, int((time.time() + limit_s) * 1000), self.settings.arn)

    # what the Runtime API is asked

    def next(self, connection: RuntimeApiConnection) -> None:
        self.waiting = connection
        if self.state == "starting":
            self.phases.ready()
            self._limit.cancel()
            self.state = "idle"
            self._give_turn()
            if self.call is None:
                self.service.is_idle(self)
        if self.call is not None:
            self._hand_over()

    def respond(self, connection: RuntimeApiConnection, request_id: str, request: Request) -> None:
        if self._is_current(connection, request_id):
            self._finish_call("ok", request.body)
            connection.accept()

    def respond_error(self, connection: RuntimeApiConnection, request_id: str, request: Request) -> None:
        if self._is_current(connection, request_id):
            self._finish_call("error", request.body)
            connection.accept()

    def _is_current(self, connection, request_id: str) -> bool:
        if self.state == "busy" and self.call is not None and self.call.request_id == request_id:
            return True
        connection.fail(
            400, "InvalidRequestID", f"Invalid request ID: {request_id} is not what this environment runs now."
        )
        return False

    def init_error(self, connection: RuntimeApiConnection, request: Request) -> None:
        if self.state != "starting":
            return connection.fail(403, "InvalidStateTransition", "the initialisation is over.")
        connection.accept()
        self._fail("init error", request.body)

    def response_too_large(self, sentence: str) -> None:
        if self.state == "busy" and self.call is not None:
            # AWS's client ends on the refusal, so this environment is done for
            self._fail("response too large", error_body("Function.ResponseSizeTooLarge", sentence))

    def connection_gone(self, connection: RuntimeApiConnection) -> None:
        if self.waiting is connection:
            self.waiting = None

    # ends of a call

    def _finish_call(self, outcome: str, body: bytes):
        """The call is over, and the environment goes on."""
        call, self.call = self.call, None
        ended_ns = time.monotonic_ns()
        self._limit.cancel()
        self.output.read()
        self.state = "idle"
        self.max_memory_bytes = max(self.max_memory_bytes, processes.peak_bytes(self.pid))
        self.service.finish(call, outcome, body, ended_ns, self)
        self.service.is_idle(self)

    def _fail(self, why: str, body: bytes):
        """The environment is over, and with it the call."""
        call, self.call = self.call, None
        ended_ns = time.monotonic_ns()
        self.output.read()
        self.max_memory_bytes = max(self.max_memory_bytes, processes.peak_bytes(self.pid))
        self.kill(why)
        if call is not None:
            self.service.finish(call, why, body, ended_ns, self)

    def _timed_out(self):
        limit = f"Task timed out after {self.settings.timeout_s:.2f} seconds"
        self.log(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {self.call.request_id} {limit}")
        self._fail("timeout", error_body("Sandbox.Timedout", limit, self.call.request_id))

    def _init_timed_out(self):
        limit = f"Init timed out after {self.settings.init_timeout_s:.2f} seconds"
        self.log(
            f"INIT_REPORT Init Duration: {self.settings.init_timeout_s * 1e3:.2f} ms\tPhase: init\tStatus: timeout"
        )
        self._fail("init timeout", error_body("Sandbox.Timedout", limit, self.call.request_id if self.call else None))

    def check_memory(self, with_children: bool) -> None:
        """Kill it if its processes hold more than the function may have."""
        held = processes.resident_bytes(self.pid)
        if with_children and (children := processes.descendants(self.pid)):
            held += sum(map(processes.resident_bytes, children))
            if held > self.settings.memory_mb * 2**20:  # forked processes share pages: then count those once
                held = sum(map(processes.proportional_bytes, [self.pid, *children]))
        self.max_memory_bytes = max(self.max_memory_bytes, held)
        if held > self.settings.memory_mb * 2**20 and self.state != "ended":
            self.log(f"Memory Size: {self.settings.memory_mb} MB, held: {held / 2**20:.0f} MB: killed")
            request_id = self.call.request_id if self.call else None
            self._fail(
                "out of memory",
                error_body("Runtime.OutOfMemory", "Runtime exited with error: signal: killed", request_id),
            )

    # its end

    def kill(self, why: str) -> None:
        """End the process and all that it started."""
        if self.state != "ended":
            self._give_turn()
            self.state, self.why_ended = "ended", why
            self.ended_ns = time.monotonic_ns()
            if self._limit is not None:
                self._limit.cancel()
            processes.kill_group(self.pid)
            self.service.lost(self)

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs, also if its end has not been noticed yet."""
        return os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def _process_ended(self):
        self.loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        processes.kill_group(self.pid)  # its children; as long as it is not reaped, its id means nothing else
        status = self.process.wait()
        self.service.own_processes.discard(self.pid)
        if self.state != "ended":
            self._died(status)
        self.loop.remove_reader(self.output.read_end)
        self._serving.cancel()
        self._server.close()
        self._close_files()
        self.service.has_ended(self)

    def _close_files(self):
        self.output.close()
        self.phases.close()
        self._listener.close()

    def _died(self, status: int):
        """Nobody here ended it."""
        word = processes.signal_words(-status) if status < 0 else ""
        call, self.call = self.call, None
        was_starting, ended_ns = self.state == "starting", time.monotonic_ns()
        self.kill(f"signal: {word}" if word else f"exit status {status}")
        if call is None:
            return
        if call.started_ns == 0 and not was_starting:
            self.service.place(call)  # it died idle: nothing of the call has run
            return
        call.num_attempts += was_starting
        if word in FROM_OUTSIDE and call.num_attempts < 2:
            self.log(
                f"RequestId: {call.request_id} the environment was killed from outside; the request is tried on another"
            )
            self.service.place(call)
        else:
            reason = f"with error: {self.why_ended}" if status else "without providing a reason"
            body = error_body("Runtime.ExitError", f"Runtime exited {reason}", call.request_id)
            self.service.finish(call, "killed" if word in FROM_OUTSIDE else "exit", body, ended_ns, self)

    def info(self) -> EnvironmentInfo:
        return EnvironmentInfo(
            self.number,
            self.pid,
            self.state,
            self.is_provisioned,
            self.num_calls,
            epoch_s(self.phases.spawned_ns),
            epoch_s(self.ended_ns) if self.ended_ns else None,
            round(self.max_memory_bytes / 2**20, 1),
            self.log_stream,
            self.phases.seconds(),
            self.why_ended,
        )
