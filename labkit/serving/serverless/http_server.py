"""HTTP/1.1 on an event loop: what the Runtime API, the function URL and the Invoke API have in common.

httptools (the parser of Node.js) reads, a connection answers one request after the other, and an answer is one write on
a socket without Nagle's delay: with two writes a warm call takes 40 ms, because the second waits for an acknowledgement
that the other side holds back.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus

import httptools

MAX_HEAD_BYTES = 65_536
READ_LIMIT_S = 30.0  # for one request, from its first byte to its last
IDLE_LIMIT_S = 300.0
DISCARD_LIMIT_S = 20.0
REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """A complete request. Names of headers are lower case."""

    method: str = ""
    target: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    keep_alive: bool = True
    version: str = "1.1"

    def header(self, name: str) -> str | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None


class HttpServer:
    """Listens on a port of this machine's loopback and knows its connections."""

    def __init__(self, make_connection, *, read_limit_s: float = READ_LIMIT_S):
        self.make_connection = make_connection
        self.read_limit_s = read_limit_s
        self.connections: set[HttpConnection] = set()
        self._server = self._sweeper = None

    async def serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self.make_connection(self), sock=listener)
        self._sweeper = loop.call_later(1, self._sweep)

    def _sweep(self):
        """Close what takes too long; looking once a second is cheaper than a timer a request."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            if connection.deadline is not None and now > connection.deadline:
                connection.too_late()
        self._sweeper = loop.call_later(1, self._sweep)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.transport.close()

    @property
    def num_unsent_bytes(self) -> int:
        return sum(connection.transport.get_write_buffer_size() for connection in self.connections)


def listen(port: int = 0) -> socket.socket:
    """A listening socket on loopback; port 0 is the system's choice."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class HttpConnection(asyncio.Protocol):
    """One connection. A subclass has ``handle(request)``, which calls :meth:`answer`, now or later."""

    max_body_bytes = 1 << 20
    waits_for_ever = False  # True: a connection without a request is as it should be

    def __init__(self, server: HttpServer):
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.transport = None
        self.parser = httptools.HttpRequestParser(self)
        self.deadline: float | None = None
        self.waiting: deque[Request] = deque()  # pipelined
        self.current: Request | None = None
        self.incoming: Request | None = None
        self.is_discarding = False
        self._body: list[bytes] = []
        self._num_bytes = self._num_head_bytes = 0
        self._refused: tuple[int, str] | None = None

    # what the event loop calls

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.connections.add(self)
        self._rest()

    def connection_lost(self, error):
        self.server.connections.discard(self)
        self.gone()

    def data_received(self, data: bytes):
        if self.is_discarding:
            return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError):
            if self._refused is None:
                self._refused = (
                    400,
                    "this is no HTTP/1.1 request that can be read: send a method, a path and headers.",
                )
        if self._refused is not None and self.current is None:
            self._refuse()

    def eof_received(self):
        return self.current is not None or bool(self.waiting)  # a client may close its half and still read the answer

    # what the parser calls

    def on_message_begin(self):
        self.incoming, self._body, self._num_bytes, self._num_head_bytes = Request(), [], 0, 0
        self.deadline = self.loop.time() + self.server.read_limit_s

    def on_url(self, url: bytes):
        self._count_head(url)
        self.incoming.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes):
        self._count_head(name + value)
        self.incoming.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def _count_head(self, part: bytes):
        self._num_head_bytes += len(part)
        if self._num_head_bytes > MAX_HEAD_BYTES:
            self._stop_reading(431, f"path and headers have more than {MAX_HEAD_BYTES} bytes: send less.")

    def on_headers_complete(self):
        length = self.incoming.header("content-length")
        if length is not None and length.isdigit() and int(length) > self.max_body_bytes:
            self._stop_reading(413, self.too_large(int(length)))
        if (self.incoming.header("expect") or "").lower() == "100-continue" and self.current is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes):
        self._num_bytes += len(part)
        if self._num_bytes > self.max_body_bytes:
            self._stop_reading(413, self.too_large(self._num_bytes))
        self._body.append(part)

    def on_message_complete(self):
        request, self.incoming = self.incoming, None
        request.method = self.parser.get_method().decode("latin-1")
        request.version = self.parser.get_http_version()
        request.keep_alive = self.parser.should_keep_alive()
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self.deadline = None
        self.waiting.append(request)
        if self.current is None:
            self._next()
        else:
            self.transport.pause_reading()

    def _stop_reading(self, status: int, sentence: str):
        self._refused = (status, sentence)
        raise ValueError(sentence)  # ends the parser

    # what a subclass calls or has

    def handle(self, request: Request) -> None:
        raise NotImplementedError

    def gone(self) -> None:
        """The connection is closed, from either side."""

    def too_large(self, num_bytes: int) -> str:
        return (
            f"the body has {num_bytes} bytes or more, and at most {self.max_body_bytes} are taken: send less at a time."
        )

    def error_body(self, status: int, sentence: str) -> bytes:
        return json.dumps({"error": sentence}).encode()

    def answer(self, status: int, body: bytes = b"", headers=(), content_type: str = "application/json") -> None:
        """Answer the current request, in one write, and begin with the next one."""
        request, self.current = self.current, None
        if request is None or self.transport.is_closing():
            return  # the client went away
        keep_alive = request.keep_alive and self._refused is None
        self._write(status, body, headers, content_type, keep_alive, request.method == "HEAD")
        if self._refused is not None:
            self._refuse()
        elif not keep_alive:
            self.transport.close()
        elif self.waiting:
            self.loop.call_soon(self._next)
        else:
            self.transport.resume_reading()
            self._rest()

    def _write(self, status, body, headers, content_type, keep_alive, is_head=False):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"{name}: {value}" for name, value in headers]
        if status >= 200 and status != 204:
            lines.append(f"Content-Length: {len(body)}")
        if not keep_alive:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        self.transport.write(head if is_head or status in (204, 304) else head + body)

    def _next(self):
        if self.current is None and self.waiting and not self.transport.is_closing():
            self.current = self.waiting.popleft()
            self.deadline = None
            self.handle(self.current)

    def _rest(self):
        self.deadline = None if self.waits_for_ever else self.loop.time() + IDLE_LIMIT_S

    def _refuse(self):
        """Say what is wrong. What is still on its way is read and thrown away: closing now would lose the answer."""
        status, sentence = self._refused
        self.is_discarding = True
        self._write(status, self.error_body(status, sentence), (), "application/json", keep_alive=False)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.deadline = self.loop.time() + DISCARD_LIMIT_S

    def too_late(self):
        if self.incoming is not None and not self.is_discarding and self.current is None:
            self._refused = (408, f"the request was not complete after {self.server.read_limit_s:g} s: send it faster.")
            self._refuse()
        else:
            self.transport.close()
