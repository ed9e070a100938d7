"""HTTP as uvicorn speaks it, and a time limit for clients that are slow to send.

uvicorn waits without a limit for the first byte of a connection, for the end of the headers, and for the rest of a body
that was refused. Here a connection ends when a request has not come whole within a time, or its headers are too large.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 1 << 16


class TimedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes
    ----------
    limit_s : float
        From the first byte of a request, or from the start of the connection, to the last byte of the request.
    """

    limit_s = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._header_bytes: int | None = 0  # None: the headers are complete
        self._limit = self.loop.call_later(self.limit_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._header_bytes is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._header_bytes is not None and self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers of a request have at most {MAX_HEADER_BYTES} bytes.")

    def eof_received(self) -> bool | None:
        """A client that only ends its own side still gets the answer to a request that came whole."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return None
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        if self._limit is None:
            self._limit = self.loop.call_later(self.limit_s, self._too_slow)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._header_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        super().on_message_complete()

    def _disarm(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _too_slow(self) -> None:
        self._limit = None
        if not self.transport.is_closing():
            self.transport.close()


def timed_protocol(limit_s: float) -> type[TimedProtocol]:
    """The class of connections with this limit."""
    return type("TimedProtocol", (TimedProtocol,), {"limit_s": limit_s})
