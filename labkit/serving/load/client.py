"""The generator's client: as many connections as requests are under way, a record of each request, time limits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import resource
import time
from collections import deque
from collections.abc import Callable

from labkit.serving.load.connection import Connection
from labkit.serving.load.outcome import Outcome

IDLE_S = 2.0  # an idle connection is used again for so long; uvicorn closes it after 5 s
SPARE_FILES = 64
NAN = math.nan


class Client:
    """Starts requests and records what becomes of them, in lists with one entry a request.

    Parameters
    ----------
    requests : list of bytes
        Used in turn.
    finished : callable
        Called with the number of a request that is over.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: str, port: int, requests: list[bytes], timeout_s: float,
        num_connections: int | None, finished: Callable[[int], None],
    ):
        self.loop, self.address, self.port, self.requests = loop, address, port, requests
        self.timeout_s, self.finished = timeout_s, finished
        self.limit = min(num_connections or 1 << 30, most_connections())
        self.scheduled: list[float] = []
        self.started: list[float] = []
        self.sent: list[float] = []
        self.done: list[float] = []
        self.status: list[int] = []
        self.outcome: list[int] = []
        self.num_under_way = self.most_under_way = self.num_opened = self.num_waited = self.num_ok = 0
        self.first_answers: dict[int, str] = {}
        self._carriers: dict[int, Connection] = {}  # requests that were sent
        self._waiting: deque[int] = deque()  # and those that wait for a connection
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task] = set()
        self._unexpired = 0  # the first request whose time limit has not passed
        self._is_closed = False

    def start(self, scheduled: float) -> int:
        """Start the next request, now."""
        now = time.monotonic()
        request = len(self.scheduled)
        self.scheduled.append(scheduled)
        self.started.append(now)
        self.sent.append(NAN)
        self.done.append(NAN)
        self.status.append(0)
        self.outcome.append(Outcome.UNDER_WAY)
        self.num_under_way += 1
        self.most_under_way = max(self.most_under_way, self.num_under_way)
        if not self._waiting and (connection := self._take_idle(now)) is not None:
            self._send(connection, request)
        else:
            self._waiting.append(request)
            self._serve_waiting()
            self.num_waited += len(self._opening) < len(self._waiting)
        return request

    def expire(self) -> float | None:
        """End requests whose time limit has passed; when the next one's does, or None."""
        now = time.monotonic()
        while self._unexpired < len(self.scheduled):
            request = self._unexpired
            if self.outcome[request] == Outcome.UNDER_WAY:
                if self.scheduled[request] + self.timeout_s > now:
                    return self.scheduled[request] + self.timeout_s
                self._give_up(request, now)
            self._unexpired += 1
        self._serve_waiting()
        return None

    def close(self) -> None:
        """End everything; requests under way stay as they are."""
        self._is_closed = True
        for task in self._opening:
            task.cancel()
        for connection in self._open:
            connection.abort()

    # what connections say

    def answered(self, connection: Connection, request: int, at: float, status: int, keeps: bool) -> None:
        if status not in self.first_answers:
            self.first_answers[status] = connection.body.decode(errors="replace")
        self._carriers.pop(request, None)
        self.num_ok += 200 <= status < 300
        if keeps:
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.abort()
        self._serve_waiting()  # before a client that is told of its answer starts its next request
        self._finish(request, at, Outcome.ANSWERED, status)

    def broken(self, connection: Connection, request: int | None, at: float, is_lost: bool) -> None:
        self._open.discard(connection)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        if request is not None:
            self._carriers.pop(request, None)
            self._finish(request, at, Outcome.CONNECTION_LOST if is_lost else Outcome.NO_HTTP)
        self._serve_waiting()

    # inside

    def _finish(self, request: int, at: float, outcome: Outcome, status: int = 0) -> None:
        self.outcome[request], self.status[request] = outcome, status
        if outcome == Outcome.ANSWERED:
            self.done[request] = at
        self.num_under_way -= 1
        self.finished(request)

    def _give_up(self, request: int, now: float) -> None:
        connection = self._carriers.pop(request, None)
        if connection is not None:
            connection.abort()
            self._open.discard(connection)
        self._finish(request, now, Outcome.TIMEOUT)

    def _take_idle(self, now: float) -> Connection | None:
        """The connection used last, so that those not needed any more grow old and are closed."""
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < IDLE_S and connection.is_usable:
                return connection
            self._open.discard(connection)
            connection.abort()
        return None

    def _send(self, connection: Connection, request: int) -> None:
        self._carriers[request] = connection
        connection.send(request, self.requests[request % len(self.requests)])
        self.sent[request] = time.monotonic()

    def _serve_waiting(self) -> None:
        """Give free connections to requests that wait, and open more while fewer are being opened than wait."""
        while self._waiting and not self._is_closed:
            if self.outcome[self._waiting[0]] != Outcome.UNDER_WAY:  # its time limit passed
                self._waiting.popleft()
                continue
            connection = self._take_idle(time.monotonic())
            if connection is None:
                break
            self._send(connection, self._waiting.popleft())
        while len(self._opening) < len(self._waiting) and len(self._opening) + len(self._open) < self.limit:
            if self._is_closed:
                break
            task = self.loop.create_task(self._connect())
            self._opening.add(task)

    async def _connect(self) -> None:
        failure = None
        try:
            _, connection = await self.loop.create_connection(lambda: Connection(self), self.address, self.port)
        except OSError as error:
            failure = Outcome.REFUSED if error.errno == errno.ECONNREFUSED else Outcome.NO_CONNECTION
        finally:
            self._opening.discard(asyncio.current_task())
        if failure is None and connection.is_usable:
            self.num_opened += 1
            connection.idle_since = time.monotonic()
            self._open.add(connection)
            self._idle.append(connection)
        else:
            self._fail_one(Outcome.CONNECTION_LOST if failure is None else failure)
        self._serve_waiting()

    def _fail_one(self, outcome: Outcome) -> None:
        """A connection could not be had for the request that waits longest."""
        while self._waiting:
            request = self._waiting.popleft()
            if self.outcome[request] == Outcome.UNDER_WAY:
                self._finish(request, time.monotonic(), outcome)
                break


def most_connections() -> int:
    """As many as this process may have files, less some; the limit is raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, 65536, 10240):  # macOS refuses "unlimited"
        if wanted != resource.RLIM_INFINITY and wanted > soft:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                break
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(1, min(20000, (1 << 20 if soft == resource.RLIM_INFINITY else soft) - SPARE_FILES))
