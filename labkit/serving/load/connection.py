"""One keep-alive connection of the generator: sends a request, and tells its owner when the answer is complete."""

from __future__ import annotations

import asyncio
import socket
import time

import httptools

KEPT_BYTES = 600  # of an answer's body, for a message


class Connection(asyncio.Protocol):
    """HTTP/1.1 over one socket, one request at a time.

    ``owner`` has ``answered(connection, request, at, status, keeps)`` and ``broken(connection, request, at, is_lost)``;
    ``request`` is a number, in ``broken`` also None. After ``broken``, or ``abort``, nothing more is heard of it.
    """

    def __init__(self, owner):
        self.owner = owner
        self.transport = None
        self.request: int | None = None
        self.idle_since = 0.0
        self.body = b""
        self._is_gone = False
        self._new_answer()
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent."""
        return not (self._is_gone or self.transport.is_closing())

    def send(self, request: int, data: bytes) -> None:
        """Send a request whole; a large one leaves as the server takes it."""
        self.request = request
        self._new_answer()
        self.transport.write(data)

    def abort(self) -> None:
        """Close at once, without a word to the owner."""
        self._is_gone = True
        self.request = None
        if self.transport is not None:
            self.transport.abort()

    # what the loop calls

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        is_http = self.request is not None  # else nobody asked for these words, such as 408 of an idle connection
        if is_http:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                is_http = False
        if self._status:
            self._answered(at, keeps=is_http and self._keeps)
        elif not is_http:
            self._broken(at, is_lost=False)

    def connection_lost(self, error: Exception | None) -> None:
        at = time.monotonic()
        if self.request is not None and self._has_head and self._ends_with_connection and error is None:
            self._status = self._parser.get_status_code()
            self._answered(at, keeps=False)
        else:
            self._broken(at, is_lost=True)

    # what the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._ends_with_connection = False

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        if len(self.body) < KEPT_BYTES:
            self.body += body[:KEPT_BYTES]

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # "100 Continue" and the like: the answer is still to come
            self._new_answer()
        elif self._status:
            self._keeps = False  # two answers to one request
        else:
            self._status, self._keeps = status, self._parser.should_keep_alive()

    def _new_answer(self) -> None:
        self.body = b""
        self._status, self._keeps = 0, False
        self._has_head, self._ends_with_connection = False, True  # unless a header says how long the body is

    def _answered(self, at: float, keeps: bool) -> None:
        if not self._is_gone:
            request, self.request = self.request, None
            status, self._status = self._status, 0
            self.idle_since = at
            self.owner.answered(self, request, at, status, keeps)

    def _broken(self, at: float, is_lost: bool) -> None:
        if not self._is_gone:
            request = self.request
            self.abort()
            self.owner.broken(self, request, at, is_lost)
