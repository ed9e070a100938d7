"""Which environment runs which request: AWS's rules of placement, concurrency and keep-alive.

A request goes to the environment that was used last among the idle ones, provisioned ones first; if there is none, to a
new one, for which it waits. So as many environments live as requests ran at the same time, and those that are needed
least are idle longest and end first.

Every start computes, and AWS has a processor for each. Here only a few start at the same time and the others wait their
turn: all at once, each would take as long as all together, and none would be ready within its time limit.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque

from labkit.serving.serverless.calls import Call, Result, epoch_s, error_body
from labkit.serving.serverless.environment import Environment
from labkit.serving.serverless.logs import LogBook, report_line
from labkit.serving.serverless.processes import Orphans
from labkit.serving.serverless.records import EnvironmentInfo, InvocationRecord
from labkit.serving.serverless.settings import FunctionSettings

MAX_RECORDS = 200_000
MAX_ENDED = 10_000
WATCH_EVERY_S = 0.05  # memory of busy environments
LONGEST_END_S = 10.0  # a killed process can still wait for a disk
MAX_STARTING = max(4, 2 * (os.cpu_count() or 1))
LONGEST_PAUSE_S = 30.0  # between two attempts to start a provisioned environment that does not


class FunctionService:
    """The function: its environments and its calls. It lives on one event loop and knows nothing of HTTP."""

    def __init__(self, settings: FunctionSettings):
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.book = LogBook()
        self.records: deque[InvocationRecord] = deque(maxlen=MAX_RECORDS)
        self.num_records = 0
        self.environments: dict[int, Environment] = {}  # that live
        self.ended: deque[EnvironmentInfo] = deque(maxlen=MAX_ENDED)
        self.idle: list[Environment] = []  # used last, last
        self.waiting: deque[Call] = deque()  # for an environment of their own to be started
        self.num_starting = 0
        self.own_processes: set[int] = set()
        self.orphans = Orphans(self.own_processes)
        self.num_in_flight = self._num_started = self._num_failed_starts = 0
        self.is_draining = False
        self._drained = asyncio.Event()
        self._watch = asyncio.ensure_future(self._watch_memory())
        self.keep_provisioned()

    # requests

    def submit(self, call: Call) -> None:
        """Accept a call, or finish it at once with "throttled" or "draining"."""
        if self.is_draining:
            return self._refuse(call, "draining", error_body("ServiceException", "The function is being stopped."))
        if self.num_in_flight >= self.settings.concurrency_limit:
            return self._refuse(call, "throttled", error_body("TooManyRequestsException", "Rate Exceeded."))
        self.num_in_flight += 1
        self.place(call)

    def place(self, call: Call) -> None:
        """Give an accepted call to an environment."""
        call.started_ns, call.is_cold = 0, False
        while (environment := self._take_idle()) is not None:
            if environment.is_alive:
                return environment.dispatch(call)
            # Its process has just died; that is noticed in a moment
        call.is_cold = True
        if self.num_starting < MAX_STARTING:
            self._start_for(call)
        else:
            self.waiting.append(call)

    def _start_for(self, call: Call):
        try:
            environment = self._start_environment()
        except OSError as error:  # no more processes, files or memory
            body = error_body("Runtime.StartError", f"no environment could be started: {error}", call.request_id)
            self.loop.call_soon(self._start_next)
            return self.finish(call, "exit", body, time.monotonic_ns(), None)
        environment.dispatch(call)

    def _take_idle(self) -> Environment | None:
        if not self.idle:
            return None
        at = next((i for i in range(len(self.idle) - 1, -1, -1) if self.idle[i].is_provisioned), -1)
        environment = self.idle.pop(at)
        if environment.expiry is not None:
            environment.expiry.cancel()
            environment.expiry = None
        return environment

    def _start_environment(self, is_provisioned: bool = False) -> Environment:
        self._num_started += 1
        environment = Environment(self, self._num_started, is_provisioned)
        self.environments[environment.number] = environment
        self.num_starting += 1
        return environment

    def _refuse(self, call: Call, outcome: str, body: bytes):
        self._record(call, outcome, body, call.arrived_ns, None)

    def finish(self, call: Call, outcome: str, body: bytes, ended_ns: int, environment: Environment | None) -> None:
        """An accepted call is over."""
        self.num_in_flight -= 1
        self._record(call, outcome, body, ended_ns, environment)
        if self.is_draining and self.num_in_flight == 0:
            self._drained.set()

    def _record(self, call: Call, outcome: str, body: bytes, ended_ns: int, environment: Environment | None):
        started_ns = call.started_ns or ended_ns
        duration_ns = ended_ns - started_ns
        phases_s, init_ns = {}, 0
        if environment is not None:
            if environment.num_calls == 1 and call.started_ns:
                environment.phases.first_call(started_ns, ended_ns)
            if call.is_cold:
                phases_s, init_ns = environment.phases.seconds(), environment.phases.init_ns
        record = InvocationRecord(
            request_id=call.request_id,
            environment=environment.number if environment is not None else None,
            is_cold=call.is_cold,
            arrived_s=epoch_s(call.arrived_ns),
            started_s=epoch_s(started_ns),
            ended_s=epoch_s(ended_ns),
            phases_s=phases_s,
            init_ms=init_ns / 1e6,
            duration_ms=duration_ns / 1e6,
            billed_ms=-(-(duration_ns + init_ns) // 1_000_000),
            max_memory_mb=round(environment.max_memory_bytes / 2**20, 1) if environment is not None else 0.0,
            outcome=outcome,
            num_attempts=call.num_attempts,
        )
        self.records.append(record)
        self.num_records += 1
        call.done(Result(outcome, body, record))
        if environment is not None:
            environment.log(f"END RequestId: {call.request_id}")
            environment.log(report_line(record, self.settings.memory_mb, record.init_ms))

    # what environments tell

    def gives_turn(self) -> None:
        """One has started, or failed to, or takes so long that others need not wait for it."""
        self.num_starting -= 1
        self.loop.call_soon(self._start_next)

    def _start_next(self):
        if self.waiting and self.num_starting < MAX_STARTING:
            self._start_for(self.waiting.popleft())

    def is_idle(self, environment: Environment) -> None:
        if environment.is_provisioned:
            self._num_failed_starts = 0
        else:
            environment.expiry = self.loop.call_later(self.settings.keep_alive_s, environment.kill, "keep-alive")
        self.idle.append(environment)

    def lost(self, environment: Environment) -> None:
        """It takes no calls any more; its process may still be there."""
        if environment in self.idle:
            self.idle.remove(environment)
        if environment.expiry is not None:
            environment.expiry.cancel()
        if environment.is_provisioned and not self.is_draining:
            self._num_failed_starts += environment.num_calls == 0
            pause_s = min(2.0 ** (self._num_failed_starts - 1), LONGEST_PAUSE_S) if self._num_failed_starts else 0
            self.loop.call_later(pause_s, self.keep_provisioned)

    def has_ended(self, environment: Environment) -> None:
        """Its process is gone."""
        self.environments.pop(environment.number, None)
        self.ended.append(environment.info())
        self.orphans.sweep()

    # what goes on without requests

    def keep_provisioned(self) -> None:
        """Start what is missing of the provisioned environments."""
        alive = sum(each.is_provisioned and each.state != "ended" for each in self.environments.values())
        for _ in range(0 if self.is_draining else self.settings.provisioned_concurrency - alive):
            try:
                self._start_environment(is_provisioned=True)
            except OSError:
                self.loop.call_later(LONGEST_PAUSE_S, self.keep_provisioned)
                return

    @property
    def is_ready(self) -> bool:
        """Whether the provisioned environments are there, or one of them has failed to start."""
        ready = sum(each.is_provisioned and each.state in ("idle", "busy") for each in self.environments.values())
        return ready >= self.settings.provisioned_concurrency or self._num_failed_starts > 0

    async def _watch_memory(self):
        tick = 0
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            tick += 1
            for environment in list(self.environments.values()):
                # what is idle can hardly grow, and looking for children costs more
                if environment.state in ("starting", "busy") or (environment.state == "idle" and tick % 20 == 0):
                    environment.check_memory(with_children=tick % 4 == 0)

    async def drain(self) -> None:
        """Take no more calls, and wait until all accepted ones are answered."""
        self.is_draining = True
        if self.num_in_flight:
            await self._drained.wait()

    async def end(self) -> None:
        """End all environments, with all that they started."""
        self.is_draining = True
        self._watch.cancel()
        for environment in list(self.environments.values()):
            environment.kill("stop")
        limit = time.monotonic() + LONGEST_END_S
        while self.environments and time.monotonic() < limit:
            await asyncio.sleep(0.002)
        await self.orphans.finish()
